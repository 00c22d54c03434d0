# shellcheck shell=sh disable=SC2154
# A tiny random model with a tokenizer of its own, and rows that it can learn, made once for a script: $tiny/base (HF
# directory), $tiny/tok, $tiny/config.json, $tiny/train.jsonl, $tiny/test.jsonl, $tiny/text.txt.
tiny=$work/tiny

tiny_text() {
    awk 'BEGIN {
        split("pump valve motor belt seal gear fan pipe", a); split("leaks jams rattles stops", b)
        split("3 7 12 40", c)
        for (i = 1; i <= 8; i++) for (j = 1; j <= 4; j++) for (k = 1; k <= 4; k++)
            print "the " a[i] " " c[k] " " b[j] " today and is checked again"
    }'
}

# prompt: part and fault; completion: one word for the fault
tiny_rows() {
    awk -v from="$1" -v to="$2" 'BEGIN {
        split("pump valve motor belt seal gear fan pipe", a); split("leaks jams rattles stops", b)
        split("water block noise off", w)
        for (i = from; i <= to; i++) for (j = 1; j <= 4; j++)
            printf "{\"prompt\": \"the %s %s:\", \"completion\": \" %s\"}\n", a[i], b[j], w[j]
    }'
}

make_tiny() {
    [ -d "$tiny/base" ] && return
    mkdir -p "$tiny"
    cat >"$tiny/config.json" <<END
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
 "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
 "hidden_act": "silu", "initializer_range": 0.4, "bos_token_id": null, "eos_token_id": 0}
END
    tiny_text >"$tiny/text.txt"
    tiny_rows 1 6 >"$tiny/train.jsonl"
    tiny_rows 7 8 >"$tiny/test.jsonl"
    "$fettle" tokenizer train "$tiny/text.txt" --vocab-size 320 --special '<|endoftext|>' --special '<|im_start|>' \
        --special '<|im_end|>' --eos '<|endoftext|>' --out "$tiny/tok" >"$tiny/log" 2>&1 &&
        "$fettle" init "$tiny/config.json" --tokenizer "$tiny/tok" --out "$tiny/base" >>"$tiny/log" 2>&1 || {
        cat "$tiny/log"
        fail "cannot make the tiny model"
        exit 1
    }
}

# recipe [LINE...]: recipe.yaml for the tiny model in the current directory, run folder `run`, with more lines.
recipe() {
    make_tiny
    cat >recipe.yaml <<END
base_model: $tiny/base
output_dir: run
datasets: [{path: $tiny/train.jsonl}]
test_datasets: [{path: $tiny/test.jsonl}]
sequence_len: 64
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
num_epochs: 3
micro_batch_size: 4
learning_rate: 0.01
metrics: [loss, exact_match]
END
    for line; do echo "$line" >>recipe.yaml; done
}
