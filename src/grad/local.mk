src_libfettle_la_SOURCES += \
	%D%/add.c \
	%D%/attention.c %D%/attention.h %D%/attention_grad.c \
	%D%/block.c \
	%D%/columns.c \
	%D%/dora.c \
	%D%/embedding.c \
	%D%/gelu.c \
	%D%/glu.c \
	%D%/grad.h %D%/ops.def \
	%D%/head_loss.c \
	%D%/layernorm.c \
	%D%/linear.c \
	%D%/logits.c \
	%D%/lora.c \
	%D%/mean.c \
	%D%/memory.c \
	%D%/rmsnorm.c \
	%D%/rope.c \
	%D%/rows.c \
	%D%/scale.c \
	%D%/tape.c %D%/tape.h \
	%D%/values.c \
	%D%/vector_loss.c \
	%D%/vector_losses.c %D%/vector_losses.def %D%/vectors.h
