"""Reading prompts and making tokens beside the prebuilt llama.cpp (tools/peer_llama.py): the same file in turns, the same
number of threads. The file is made here: random weights of a shape, quantized by fettle.
"""
import glob
import os
import tempfile

from . import common as c

SHAPE, TYPE = "tinyllama-1.1b", "q8_0"
ROUNDS = "2"


def library():
    """The folder of libllama in the package that tests/oracle pins."""
    modules = c.npm_packages(os.path.join(c.TOP, "tests", "oracle"), os.path.join(c.BUILD, "peers", "llama"))
    found = glob.glob(os.path.join(modules, "@node-llama-cpp", "linux-x64", "bins", "*", "libllama.*so"))
    if not found:
        raise c.Absent("the package node-llama-cpp holds no libllama")
    return os.path.dirname(found[0])


def make_file(work):
    out = os.path.join(work, "model.gguf")
    c.run([c.FETTLE, "quantize", c.random_directory(SHAPE, "bf16", work), out, "--type", TYPE])
    return out


def measure(o):
    bins = library()
    size = ["--prompt", str(o.prompt), "--new", str(o.new), "--rounds", ROUNDS]
    with tempfile.TemporaryDirectory() as work:
        path = make_file(work)
        peer = [c.PYTHON, os.path.join(c.TOP, "tools", "peer_llama.py"), bins, path, *size, "--threads",
                str(c.threads())]
        turns = c.take_turns(o.rounds, {"fettle": lambda: c.fettle("bench", "decode", path, *size),
                                        "llama.cpp": lambda: c.last_json(peer)})
    result = {"shape": SHAPE, "type": TYPE, "prompt": o.prompt, "new": o.new, "threads": c.threads(),
              "made": c.ratio(turns, "fettle", "llama.cpp", "tokens_per_s"),
              "read": c.ratio(turns, "fettle", "llama.cpp", "prompt_tokens_per_s"), "turns": turns}
    print(f"{SHAPE} {TYPE}: tokens made {result['made']:.2f} x llama.cpp, prompts read {result['read']:.2f} x", flush=True)
    return [result]


HEAD = ("file", "tokens made, against llama.cpp", "prompt read, against llama.cpp", "fettle's tokens a second: made, read",
        "weights read GB/s")


def table(results):
    return [(f"{r['shape']}, {r['type']}, prompt {r['prompt']}", f"{r['made']:.2f}", f"{r['read']:.2f}",
             f"{c.median(r['turns'], 'fettle', 'tokens_per_s'):.1f}, "
             f"{c.median(r['turns'], 'fettle', 'prompt_tokens_per_s'):.0f}",
             f"{c.median(r['turns'], 'fettle', 'weight_gb_per_s'):.1f}") for r in results]
