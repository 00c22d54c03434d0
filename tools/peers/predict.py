"""Hours and memory on machines that are not here, from rates measured on this one.

Rate of n cores: the FLOPs a second of one core in a training step (the growth part, its largest shape) times a speedup
between two bounds. The upper one is n. The lower one goes through the products of a block as src/kernel/linear.c cuts them
into tiles: a tile belongs to one thread, so n threads take ceil(tiles / n) turns; and what the second thread failed to
bring here is lost again with every doubling.
Memory: `fettle plan --threads n` on a checkpoint of the shape, whose file is a header and a hole: a plan reads no weight.
Bandwidth: how often a step reads the weights (twice, three times with checkpointing), over the step's time at the upper
bound. What a memory gives that cannot be kept up.
"""
import json
import math
import os
import shutil
import tempfile

from . import common as c
from . import growth

SHAPES = ("tinyllama-1.1b", "llama3.2-3b", "llama3.1-8b")
CORES = (16, 64)
SEQ, BATCH, RANK, JOB_TOKENS = 512, 4, 16, 10_000_000
TILE, ROUND, WISHED, LOW, PART_SUM = 512, 32, 8, 128, 512  # the constants of src/kernel/linear.c
SPAN, UNIT, WISHED_TOGETHER, LOW_COLS, GROUP = 2048, 256, 64, 256, 8  # those of src/kernel/together.c
ROWS, COLS = 14, 32  # of the AVX-512 engine's tile


def names_of(s):
    """Names and shapes of a Llama checkpoint."""
    width, q, kv = s["hidden_size"], s["num_attention_heads"] * s["head_dim"], s["num_key_value_heads"] * s["head_dim"]
    ffn, vocab = s["intermediate_size"], s["vocab_size"]
    found = {"model.embed_tokens.weight": (vocab, width), "model.norm.weight": (width,)}
    if not s["tie_word_embeddings"]:
        found["lm_head.weight"] = (vocab, width)
    for i in range(s["num_hidden_layers"]):
        at = f"model.layers.{i}."
        found.update({at + "self_attn.q_proj.weight": (q, width), at + "self_attn.k_proj.weight": (kv, width),
                      at + "self_attn.v_proj.weight": (kv, width), at + "self_attn.o_proj.weight": (width, q),
                      at + "mlp.gate_proj.weight": (ffn, width), at + "mlp.up_proj.weight": (ffn, width),
                      at + "mlp.down_proj.weight": (width, ffn), at + "input_layernorm.weight": (width,),
                      at + "post_attention_layernorm.weight": (width,)})
    return found


def hollow_checkpoint(shape, work):
    """An HF directory in bf16 whose weights are a hole in the file."""
    s, header, end = c.shapes()[shape], {}, 0
    for name, size in names_of(s).items():
        n = 2 * size[0] * (size[1] if len(size) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": size, "data_offsets": [end, end + n]}
        end += n
    folder = os.path.join(work, shape)
    os.makedirs(folder)
    c.write_json(s, folder, "config.json")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(c.TOP, "data", "base", name), folder)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.truncate(8 + len(text) + end)
    return folder


def plan(shape, checkpointing, cores, work):
    folder = os.path.join(work, shape)
    if not os.path.isdir(folder):
        hollow_checkpoint(shape, work)
    rows = os.path.join(work, "rows.txt")
    with open(rows, "w", encoding="utf-8") as f:
        f.write("the pump leaks again " * 40000)
    recipe = c.write_json({"base_model": folder, "output_dir": os.path.join(work, "run"), "adapter": "lora",
                           "lora_r": RANK, "lora_target_modules": "all-linear", "micro_batch_size": BATCH,
                           "sequence_len": SEQ, "pack_text": True, "datasets": [{"path": rows, "type": "text",
                                                                                "split": "file"}],
                           "gradient_checkpointing": checkpointing, "metrics": ["loss"]}, work, "recipe.yaml")
    return c.fettle("plan", recipe, "--probe", "0", "--ram-limit", "4000", "--threads", str(cores))


def flops_per_token(s):
    """LoRA on all linears, docs/performance.md."""
    adapter = sum(RANK * (size[0] + size[1]) for name, size in names_of(s).items() if "_proj" in name)
    attention = 12 * s["num_hidden_layers"] * s["num_attention_heads"] * s["head_dim"] * (SEQ + 1) / 2
    return 4 * growth.multiplied(s) + attention + 6 * adapter


def part(n, most, unit):
    even = -(-n // -(-n // most))
    return min(n, -(-even // unit) * unit)


def tiles_together(rows, cols):
    """Of a span, as plan_tiles in src/kernel/together.c."""
    stripes, n, group = -(-rows // ROWS), part(cols, SPAN, UNIT), GROUP
    wide = part(n, TILE, COLS)
    while -(-stripes // group) * -(-n // wide) < WISHED_TOGETHER and group > 1:
        group //= 2
    while -(-stripes // group) * -(-n // wide) < WISHED_TOGETHER and wide > LOW_COLS:
        wide = part(n, max(wide // 2, LOW_COLS), COLS)
    return -(-stripes // group) * -(-n // wide)


def tiles_of(rows, cols):
    """As tile_plan and resize_tiles in src/kernel/linear.c, and where a panel is shared as there."""
    high, wide = part(rows, TILE, ROUND), part(cols, TILE, ROUND)
    while -(-rows // high) * -(-cols // wide) < WISHED and high > LOW:
        high = part(rows, (high + 1) // 2, ROUND)
    while -(-rows // high) * -(-cols // wide) < WISHED and wide > LOW:
        wide = part(cols, (wide + 1) // 2, ROUND)
    return tiles_together(rows, cols) if high < rows else -(-rows // high) * -(-cols // wide)


def parts_of(rows, cols, inner):
    """As count_parts there: where a sum is cut, each part has tiles of the full size."""
    tiles = -(-rows // TILE) * -(-cols // TILE)
    parts = max(min(-(-WISHED // tiles), inner // PART_SUM), 1)
    return parts * tiles if parts > 1 else tiles_of(rows, cols)


def speedup_by_tiles(s, cores):
    """Of y = x W^T and dx = dy W over the linears of a block; the rest of a step has more tiles than they."""
    work = time = 0
    for name, size in names_of(s).items():
        if not name.startswith("model.layers.0.") or "_proj" not in name:
            continue
        out, width = size
        for tiles in (tiles_of(SEQ * BATCH, out), parts_of(SEQ * BATCH, width, out)):
            work += out * width
            time += out * width * math.ceil(tiles / cores) / tiles
    return work / time


def predict(shape, cores, measured, work):
    s, one = c.shapes()[shape], measured["gflops_of_one"] * 1e9
    kept_by_doubling = (measured["speedup"] / measured["threads"]) ** (1 / math.log2(measured["threads"]))
    least = speedup_by_tiles(s, cores) * min(kept_by_doubling, 1) ** math.log2(cores)
    rates = [one * speedup / flops_per_token(s) for speedup in (least, cores)]
    kept, again = (plan(shape, on, cores, work)["memory"]["peak_bytes"] for on in (False, True))
    return {"shape": shape, "cores": cores, "tokens_per_s": rates, "hours": [JOB_TOKENS / r / 3600 for r in rates],
            "ram_bytes": kept, "ram_bytes_checkpointing": again,
            "weights_gb_per_s": 2 * 2 * growth.multiplied(s) * rates[1] / (SEQ * BATCH) / 1e9}


def from_growth(results):
    """results: those of the growth part; none where there was one thread to measure with."""
    measured = results["threads"][-1]
    if measured["threads"] == 1:
        return []
    with tempfile.TemporaryDirectory() as work:
        return [predict(shape, cores, measured, work) for shape in SHAPES for cores in CORES]


HEAD = ("shape, cores", "tokens a second: lower, upper bound", f"hours for {JOB_TOKENS // 10**6} million tokens",
        "memory GB, with checkpointing", "weights read GB/s")


def table(results):
    return [(f"{r['shape']}, {r['cores']}", "{:.0f}, {:.0f}".format(*r["tokens_per_s"]),
             "{:.1f}, {:.1f}".format(*r["hours"]),
             f"{r['ram_bytes'] / 1e9:.1f}, {r['ram_bytes_checkpointing'] / 1e9:.1f}", f"{r['weights_gb_per_s']:.1f}")
            for r in results]
