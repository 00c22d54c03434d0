"""Real rows: LoRA on ../shared/models/calib-5m, training and then greedy answers, beside tools/peer_torch_rows.py.

Both get the ids that fettle makes of the rows, the same settings, and all cores; the peer as installed and with the settings
that make it fast. Tokens a second count what the rows hold, not what they are padded with, and training alone.
"""
import json
import math
import os
import tempfile

from . import common as c

TASKS = ("excavator", "disease-ontology")
SETTINGS = {"micro_batch_size": 16, "learning_rate": 2e-3, "lora_r": 16, "lora_alpha": 32,
            "warmup_ratio": 0.05, "max_grad_norm": 1.0, "seed": 1}
EVAL_BATCH = 64


def recipe_of(task, work, o):
    data = os.path.join(c.SHARED, "data", task)
    recipe = dict(SETTINGS, num_epochs=1, max_steps=o.recipe_steps, base_model=os.path.join(c.SHARED, "models", "calib-5m"),
                  output_dir=os.path.join(work, "run"), datasets=[{"path": os.path.join(data, "train.jsonl")}],
                  test_datasets=[{"path": os.path.join(data, "test.jsonl")}], sequence_len=512, dedup=False,
                  adapter="lora", lora_target_modules="all-linear", lr_scheduler="cosine", weight_decay=0.0,
                  eval_steps=100000, metrics=["loss"])
    return c.write_json(recipe, work, "recipe.yaml"), recipe  # JSON is YAML too


def rows_of(recipe_path, split):
    return c.fettle("preview", recipe_path, "--split", split, "--rows", "1000000")["rows"]


def job_of(recipe_path, recipe, work, threads, most_rows):
    train, test = rows_of(recipe_path, "train"), rows_of(recipe_path, "test")[:most_rows]
    steps = recipe["max_steps"] or math.ceil(len(train) / recipe["micro_batch_size"])
    answers = [sum(r["mask"]) for r in test]
    job = {"model": recipe["base_model"], "train": train, "test": test, "steps": steps,
           "batch": recipe["micro_batch_size"], "lr": recipe["learning_rate"], "r": recipe["lora_r"],
           "alpha": recipe["lora_alpha"], "warmup_ratio": recipe["warmup_ratio"],
           "max_grad_norm": recipe["max_grad_norm"], "threads": threads, "seed": recipe["seed"],
           "eos": train[0]["ids"][-1], "max_new": 2 * max(answers) + 8, "eval_batch": EVAL_BATCH}
    return c.write_json(job, work, f"job-{threads}.json")


def train_fettle(recipe_path, recipe, most_rows):
    done = c.fettle("train", recipe_path, "--overwrite")
    with open(os.path.join(recipe["output_dir"], "log.jsonl"), encoding="utf-8") as f:
        seconds = [e["elapsed_s"] for e in map(json.loads, f) if e["event"] == "step"][-1]
    tokens = done["training"]["tokens"]
    scored = c.fettle("eval", recipe["output_dir"], "--data", recipe["test_datasets"][0]["path"], "--metrics",
                      "exact_match", "--max-rows", str(most_rows))
    return {"train_s": seconds, "tokens": tokens, "tokens_per_s": tokens / seconds, "eval_s": scored["time_s"],
            "rows_per_s": scored["rows"] / scored["time_s"], "exact_match": scored["exact_match"],
            "last_loss": done["training"]["final_loss"], "peak_rss_bytes": done["training"]["peak_rss_bytes"]}


def compare(task, o):
    peer = [c.PYTHON, os.path.join(c.TOP, "tools", "peer_torch_rows.py")]
    with tempfile.TemporaryDirectory() as work:
        path, recipe = recipe_of(task, work, o)
        plain, tuned = (job_of(path, recipe, work, n, o.recipe_rows) for n in (0, c.threads()))
        turns = c.take_turns(o.rounds, {
            "fettle": lambda: train_fettle(path, recipe, o.recipe_rows),
            "plain": lambda: c.last_json([*peer, plain]),
            "tuned": lambda: c.last_json([*peer, tuned], c.tuned_environment())})
    result = {"task": task, "steps": recipe["max_steps"], "torch": turns[0]["tuned"]["torch"], "turns": turns}
    for who in ("plain", "tuned"):
        result[f"training_against_{who}"] = c.ratio(turns, "fettle", who, "tokens_per_s")
        result[f"answers_against_{who}"] = c.ratio(turns, "fettle", who, "rows_per_s")
    for who in ("fettle", "plain", "tuned"):
        result[f"{who}_exact_match"] = c.median(turns, who, "exact_match")
    print(f"{task}: training {result['training_against_tuned']:.2f} x tuned, {result['training_against_plain']:.2f} x as "
          f"installed; answers {result['answers_against_tuned']:.2f} x tuned", flush=True)
    return result


def measure(o):
    if not os.path.isdir(os.path.join(c.SHARED, "models", "calib-5m")):
        raise c.Absent("../shared, which is not part of the repository")
    c.need_torch()
    return [compare(task, o) for task in TASKS]


HEAD = ("rows", "training against PyTorch tuned", "as installed", "answers, rows a second, tuned", "as installed",
        "exact match fettle / tuned")


def table(results):
    return [(r["task"], f"{r['training_against_tuned']:.2f}", f"{r['training_against_plain']:.2f}",
             f"{r['answers_against_tuned']:.2f}", f"{r['answers_against_plain']:.2f}",
             f"{r['fettle_exact_match']:.3f} / {r['tuned_exact_match']:.3f}") for r in results]
