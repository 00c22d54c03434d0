# The rooms, in the order of who may include whom (src/rooms.txt).
include src/base/local.mk
include src/tensor/local.mk
include src/kernel/local.mk
include src/grad/local.mk
include src/file/local.mk
include src/recipe/local.mk
include src/data/local.mk
include src/text/local.mk
include src/model/local.mk
include src/score/local.mk
include src/train/local.mk
include src/export/local.mk
include src/cmd/local.mk

src_libfettle_la_SOURCES += src/fettle.h
EXTRA_DIST += src/rooms.txt

# Public headers keep their rooms: <includedir>/fettle/room/file.h, found through fettle.pc.
public_headers = src/fettle.h \
	src/base/human.h src/base/mem.h src/base/os.h src/base/rng.h src/base/status.h src/base/str.h src/base/threads.h \
	src/tensor/tensor.h src/kernel/kernel.h src/grad/grad.h src/grad/vectors.h src/file/container.h src/file/json.h src/file/lines.h \
	src/file/store.h src/recipe/recipe.h src/data/data.h src/text/tokenizer.h src/text/rows.h src/model/model.h \
	src/model/pooling.h src/score/score.h src/train/train.h src/export/export.h

install-data-local:
	@for h in $(public_headers); do d=$(DESTDIR)$(pkgincludedir)/`dirname $$h | sed 's,^src/*,,'`; \
	  $(MKDIR_P) "$$d" && $(INSTALL_DATA) $(srcdir)/$$h "$$d/" || exit 1; done
uninstall-local:
	rm -rf $(DESTDIR)$(pkgincludedir)
