"""How fettle's cost grows: with the tokens of a step, the length of rows, the rank, the size of the model, the threads. A
series is a list of points that differ in one option; each is a run of `fettle bench train`."""
from . import common as c

BASE = {"shape": "smollm2-135m", "seq": 512, "batch": 1, "lora-r": 16, "adapter": "lora"}
SERIES = {
    "tokens": ("tokens of a step, rows of 512", "batch", (1, 2, 4, 8)),
    "seq": ("length of a row, one row a step", "seq", (128, 256, 512, 1024, 2048)),
    "rank": ("rank of the adapter", "lora-r", (4, 16, 64, 128)),
    "size": ("size of the model, 10^9 multiplied weights", "shape",
             ("stories15m", "smollm2-135m", "smollm2-360m", "tinyllama-1.1b")),
}
THREADS_SHAPES = ("smollm2-135m", "tinyllama-1.1b")


def bench(o, changed, n_threads=None):
    options = [f"--{k}={v}" for k, v in dict(BASE, **changed).items()]
    more = [f"--threads={n_threads}"] if n_threads else []
    return c.fettle("bench", "train", *options, f"--rounds={o.steps}", *more)


def place(name, d):
    """Where a point stands on the series' axis."""
    return {"tokens": d["seq"] * d["batch"], "seq": d["seq"], "rank": d.get("lora_r"),
            "size": multiplied(c.shapes()[d["shape"]]) / 1e9}[name]


def multiplied(s):
    """Elements of all linears and the head."""
    width, head = s["hidden_size"], s["head_dim"]
    q, kv = s["num_attention_heads"] * head, s["num_key_value_heads"] * head
    layer = width * (2 * q + 2 * kv + 3 * s["intermediate_size"])
    return s["num_hidden_layers"] * layer + s["vocab_size"] * width


def measure(o):
    series = {}
    for name, (_, option, values) in SERIES.items():
        points = [bench(o, {option: value}) for value in values]
        series[name] = [dict(d, at=place(name, d)) for d in points]
        print(f"growth with {name}: " + ", ".join(f"{p['at']:g}: {1e3 / p['tokens_per_s']:.3g} ms a token"
                                                  for p in series[name]), flush=True)
    threads = []
    for shape in THREADS_SHAPES:
        turns = c.take_turns(o.rounds, {str(n): lambda n=n, shape=shape: bench(o, {"shape": shape}, n)
                                        for n in (1, c.threads())})
        threads.append({"shape": shape, "threads": c.threads(), "turns": turns,
                        "speedup": c.ratio(turns, str(c.threads()), "1", "tokens_per_s") if c.threads() > 1 else 1.0,
                        "gflops_of_one": c.median(turns, "1", "gflops")})
    return {"series": series, "threads": threads}


HEAD = ("", "ms a token", "GFLOPs of the formula a token", "mfu", "highest memory GB")


def table(results):
    rows = [(f"{SERIES[name][0]}: {p['at']:g}", f"{1e3 / p['tokens_per_s']:.3g}",
             f"{p['model_flops_per_token'] / 1e9:.3g}", f"{p['mfu']:.2f}", f"{p['peak_rss_bytes'] / 1e9:.2f}")
            for name, points in results["series"].items() for p in points]
    return rows + [(f"{t['shape']}, {t['threads']} threads against one: {t['speedup']:.2f} times the tokens/s", "", "", "",
                    "") for t in results["threads"]]
