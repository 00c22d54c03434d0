"""Megabytes of English text a second on one core, beside Hugging Face's tokenizers from npm (tools/peer_tokenizers.mjs, the
version that tests/oracle pins)."""
import gzip
import os
import tempfile

from . import common as c

NAMES = ("qwen2.5-0.5b-instruct", "llama-3.2-1b-instruct")
ROUNDS = "5"


def compare(name, text, modules, o):
    folder = os.path.join(c.SHARED, "vocab", "hf", name)
    env = dict(os.environ, RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    peer = ["node", os.path.join(c.TOP, "tools", "peer_tokenizers.mjs"), modules,
            os.path.join(folder, "tokenizer.json"), text, ROUNDS]
    turns = c.take_turns(o.rounds, {
        "fettle": lambda: c.fettle("bench", "tokenizer", folder, "--text", text, "--rounds", ROUNDS),
        "tokenizers": lambda: c.last_json(peer, env)})
    result = {"tokenizer": name, "mb_per_s": c.median(turns, "fettle", "encode_mb_per_s"),
              "against": c.ratio(turns, "fettle", "tokenizers", "encode_mb_per_s"), "turns": turns}
    print(f"{name}: {result['mb_per_s']:.1f} MB/s, {result['against']:.1f} x tokenizers", flush=True)
    return result


def measure(o):
    english = os.path.join(c.SHARED, "data", "english", "mix-valid.txt.gz")
    if not os.path.exists(english):
        raise c.Absent("../shared, which is not part of the repository")
    modules = c.npm_packages(os.path.join(c.TOP, "tests", "oracle", "tokenizers"),
                             os.path.join(c.BUILD, "peers", "tokenizers"))
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as f:
        f.write(gzip.open(english).read())
        f.flush()
        return [compare(name, f.name, modules, o) for name in NAMES]


HEAD = ("tokenizer", "MB/s, one core", "against tokenizers from npm")


def table(results):
    return [(r["tokenizer"], f"{r['mb_per_s']:.1f}", f"{r['against']:.1f}") for r in results]
