"""Steps of training on random weights, beside tools/peer_torch.py: plain, as PyTorch runs after apt install, and tuned, with
hand-written gradients, a BLAS on OpenMP and a malloc that keeps its memory.

A row of ROWS is a line of the table. Those without a peer are fettle's own: highest memory with checkpointing, and a base
stored in fewer bits against the same steps on f32, in one process.
"""
import os
import statistics
import tempfile

from . import common as c

ROWS = (
    {"shape": "smollm2-135m", "batch": 2, "adapter": "lora"},
    {"shape": "tinyllama-1.1b", "batch": 1, "adapter": "lora"},
    {"shape": "stories15m", "batch": 2, "adapter": "lora"},
    {"shape": "smollm2-135m", "batch": 2, "adapter": "none"},
)
STORED = {"shape": "tinyllama-1.1b", "batch": 1, "adapter": "lora"}
STORED_TYPES = ("bf16", "q8_0")
BF16_SHAPE = {"shape": "tinyllama-1.1b", "batch": 1, "adapter": "lora"}


def same(row, o):
    return ["--adapter", row["adapter"], "--seq", str(o.seq), "--batch", str(row["batch"]), "--lora-r", str(o.lora_r),
            "--rounds", str(o.steps)]


def ours(row, o, *more):
    return c.fettle("bench", "train", "--shape", row["shape"], *same(row, o), *more)


def compare(row, config, o):
    with tempfile.TemporaryDirectory() as work:
        path = c.write_json(config, work, "config.json")
        peer = [c.PYTHON, os.path.join(c.TOP, "tools", "peer_torch.py"), path, *same(row, o)]
        turns = c.take_turns(o.rounds, {
            "fettle": lambda: ours(row, o),
            "plain": lambda: c.last_json([*peer, "--style", "plain"]),
            "tuned": lambda: c.last_json([*peer, "--style", "tuned", "--threads", str(c.threads())],
                                         c.tuned_environment())})
    result = dict(row, seq=o.seq, lora_r=o.lora_r, mfu=c.median(turns, "fettle", "mfu"),
                  against_plain=c.ratio(turns, "fettle", "plain", "tokens_per_s"),
                  against_tuned=c.ratio(turns, "fettle", "tuned", "tokens_per_s"),
                  checkpointed=ours(row, o, "--checkpointing", "on"),
                  torch=turns[0]["plain"]["torch"], blis=os.path.exists(c.BLIS), turns=turns)
    print(f"{row['shape']} {row['adapter']}: mfu {result['mfu']:.2f}, {result['against_tuned']:.2f} x PyTorch "
          f"{result['torch']} tuned, {result['against_plain']:.2f} x as installed", flush=True)
    return result


def measure_rows(o, wanted):
    """Rows of shapes that are among `wanted` (None: all)."""
    c.need_torch()
    known = c.shapes()
    return [compare(row, known[row["shape"]], o) for row in ROWS if not wanted or row["shape"] in wanted]


def measure_stored(o):
    results = []
    for dtype in STORED_TYPES:
        d = ours(STORED, o, "--dtype", dtype, "--checkpointing", "on", "--against", "f32")
        alone = ours(STORED, o, "--dtype", dtype, "--checkpointing", "on")
        results.append({"shape": STORED["shape"], "dtype": dtype, "against_f32": 1 / d["median_step_ratio"],
                        "peak_rss_bytes": alone["peak_rss_bytes"], "runs": [d, alone]})
        print(f"{STORED['shape']} on {dtype}: {results[-1]['against_f32']:.3f} x the rate on f32", flush=True)
    return results


def measure_bf16(o):
    """compute: bf16 beside f32, in turns."""
    turns = c.take_turns(o.rounds, {compute: lambda compute=compute: ours(BF16_SHAPE, o, "--compute", compute)
                                    for compute in ("f32", "bf16")})
    return {"shape": BF16_SHAPE["shape"], "against_f32": c.ratio(turns, "bf16", "f32", "tokens_per_s"), "turns": turns}


def measure(o):
    wanted = o.shape.split(",") if o.shape else None
    results = {"rows": measure_rows(o, wanted), "stored": [], "bf16": None}
    if not wanted or STORED["shape"] in wanted:
        results.update(stored=measure_stored(o), bf16=measure_bf16(o))
    return results


HEAD = ("shape, rows of a step", "mfu", "tokens/s against PyTorch tuned", "as installed",
        "highest memory GB: fettle, with checkpointing", "PyTorch tuned, as installed")


def gigabytes(turns, who):
    return f"{statistics.median(t[who]['peak_rss_bytes'] for t in turns) / 1e9:.2f}"


def table(results):
    rows = []
    for r in results["rows"]:
        turns = r["turns"]
        what = "LoRA" if r["adapter"] == "lora" else "full"
        rows.append((f"{r['shape']}, {r['batch']}, {what}", f"{r['mfu']:.2f}", f"{r['against_tuned']:.2f}",
                     f"{r['against_plain']:.2f}",
                     f"{gigabytes(turns, 'fettle')}, {r['checkpointed']['peak_rss_bytes'] / 1e9:.2f}",
                     f"{gigabytes(turns, 'tuned')}, {gigabytes(turns, 'plain')}"))
    for r in results["stored"]:
        rows.append((f"{r['shape']}, 1, LoRA on {r['dtype']}: {r['against_f32']:.3f} of the rate on f32", "", "", "",
                     f"{r['peak_rss_bytes'] / 1e9:.2f} with checkpointing", ""))
    if results["bf16"]:
        rows.append((f"{results['bf16']['shape']}, 1, compute: bf16: {results['bf16']['against_f32']:.2f} of the rate in "
                     "f32", "", "", "", "", ""))
    return rows
