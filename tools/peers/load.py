"""From the start of `fettle train` to the end of its first step, on an f16 Hugging Face directory of 1.1 billion weights
whose pages are in memory. The directory is made here."""
import os
import subprocess
import tempfile
import time

from . import common as c

SHAPE = "tinyllama-1.1b"


def first_step(recipe):
    begun = time.perf_counter()
    with subprocess.Popen([c.FETTLE, "train", recipe, "--overwrite", "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            if '"event":"step"' in line.replace(" ", ""):
                seconds = time.perf_counter() - begun
                process.terminate()  # it finishes the step and saves
                process.communicate()
                return seconds
    raise SystemExit(f"fettle train {recipe} ended without a step")


def recipe_of(work):
    rows = os.path.join(work, "rows.jsonl")
    with open(rows, "w", encoding="utf-8") as f:
        f.write('{"prompt": "a pump", "completion": " leaks"}\n{"prompt": "a motor", "completion": " smokes"}\n')
    return c.write_json({"base_model": c.random_directory(SHAPE, "f16", work), "output_dir": os.path.join(work, "run"),
                         "datasets": [{"path": rows}], "adapter": "lora", "lora_r": 16, "max_steps": 100,
                         "micro_batch_size": 1, "metrics": ["loss"]}, work, "recipe.yaml")


def measure(o):
    with tempfile.TemporaryDirectory() as work:
        recipe = recipe_of(work)
        seconds = [first_step(recipe) for _ in range(o.rounds + 1)][1:]
    print(f"{SHAPE} in f16: {min(seconds):.1f} s to the end of the first step", flush=True)
    return [{"shape": SHAPE, "seconds": seconds}]


HEAD = ("model", "seconds to the end of the first step, best of the rounds")


def table(results):
    return [(f"{r['shape']}, f16 directory, LoRA", f"{min(r['seconds']):.1f}") for r in results]
