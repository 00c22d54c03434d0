#!/usr/bin/env python3
"""Trains a LoRA adapter in PyTorch on rows of token ids and continues prompts with it: what `fettle train` and `fettle eval`
are compared with on real rows.

    peer_torch_rows.py JOB.json

JOB.json: model (an HF directory of a Llama shape, one safetensors file), train (rows {"ids", "mask"}), test (the same),
steps, batch, lr, r, alpha, warmup_ratio, max_grad_norm, threads, seed, eos, max_new, eval_batch.

As a program on top of PyTorch is written: modules' arithmetic with autograd (peer_torch.py's plain style), the rows of a
step padded to its longest, all logits at once. Prompts go in batches of rows of about one length, padded on the left, with a
KV cache; a batch ends when all its rows have. Prints one JSON object; seconds are those of the training loop and of the
loop over the prompts alone.
"""
import json
import math
import os
import resource
import sys
import time

import numpy
import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True  # the folder stays as it is
import peer_torch as P  # noqa: E402

NUMPY_TYPES = {"F32": numpy.float32, "F16": numpy.float16}


def load_safetensors(path):
    """Tensors by name, in f32."""
    with open(path, "rb") as f:
        data = f.read()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, t in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            raw = numpy.frombuffer(data[start + begin:start + end], NUMPY_TYPES[t["dtype"]])
            tensors[name] = torch.from_numpy(raw.astype(numpy.float32).reshape(t["shape"]))
    return tensors


class Weights:
    """The members that peer_torch.plain_* read, from a checkpoint, with fresh pairs (A, B) beside all linears."""

    def __init__(self, s, tensors, r, alpha):
        self.scale = alpha / r
        self.embed = tensors["model.embed_tokens.weight"]
        self.head = self.embed if s.tied else tensors["lm_head.weight"]
        self.norms, self.w, self.ab = [], [], []
        for i in range(s.L):
            at = f"model.layers.{i}."
            self.norms += [tensors[at + n + ".weight"] for n in ("input_layernorm", "post_attention_layernorm")]
            self.w.append({n: tensors[at + ("self_attn." if n in "qkvo" else "mlp.") + n + "_proj.weight"]
                           for n in s.linears()})
            self.ab.append({n: (torch.nn.init.kaiming_uniform_(torch.empty(r, d[1]), math.sqrt(5)).requires_grad_(),
                                torch.zeros(d[0], r).requires_grad_()) for n, d in s.linears().items()})
        self.norms.append(tensors["model.norm.weight"])
        self.trained = [t for pairs in self.ab for pair in pairs.values() for t in pair]


# ---------------------------------------------------------------- training

def padded(rows):
    """ids [B, n - 1] and what each predicts, -100 where nothing is supervised."""
    n = max(len(r["ids"]) for r in rows)
    ids, targets = torch.zeros(len(rows), n, dtype=torch.long), torch.full((len(rows), n), -100)
    for i, r in enumerate(rows):
        k = len(r["ids"])
        ids[i, :k] = torch.tensor(r["ids"])
        targets[i, :k] = torch.where(torch.tensor(r["mask"]) > 0, ids[i, :k], torch.tensor(-100))
    return ids[:, :-1], targets[:, 1:]


def train(s, m, job):
    rows, batch = job["train"], job["batch"]
    optimizer = torch.optim.AdamW(m.trained, lr=job["lr"], weight_decay=0)
    per_epoch = math.ceil(len(rows) / batch)
    steps, tokens, losses, order = job["steps"], 0, [], []
    rng = numpy.random.default_rng(job["seed"])
    begun = time.perf_counter()
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(len(rows))
        first = step % per_epoch * batch
        chosen = [rows[i] for i in order[first:first + batch]]
        ids, targets = padded(chosen)
        tokens += sum(len(r["ids"]) - 1 for r in chosen)
        warm = min(1, (step + 1) / max(1, job["warmup_ratio"] * steps))
        for group in optimizer.param_groups:
            group["lr"] = job["lr"] * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = P.plain_loss(s, m, ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.trained, job["max_grad_norm"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    seconds = time.perf_counter() - begun
    return {"train_s": seconds, "tokens": tokens, "tokens_per_s": tokens / seconds,
            "last_loss": losses[-1]}


# ---------------------------------------------------------------- continuing prompts

class Cache:
    """Keys and values [B, K, room, D] of every layer, the first `used` places filled."""

    def __init__(self, s, rows, room):
        self.k, self.v = ([torch.zeros(rows, s.K, room, s.D) for _ in range(s.L)] for _ in range(2))
        self.used = 0


def attend(s, m, layer, x, turn, mask, cache):
    B, T, _ = x.shape
    q, k, v = (P.plain_linear(m, layer, n, x).view(B, T, -1, s.D).transpose(1, 2) for n in "qkv")
    q, k = P.plain_rope(q, *turn), P.plain_rope(k, *turn)
    end = cache.used + T
    cache.k[layer][:, :, cache.used:end], cache.v[layer][:, :, cache.used:end] = k, v
    k, v = (t[layer][:, :, :end].repeat_interleave(s.H // s.K, 1) for t in (cache.k, cache.v))
    p = F.softmax(q @ k.transpose(2, 3) / math.sqrt(s.D) + mask, -1)
    return P.plain_linear(m, layer, "o", (p @ v).transpose(1, 2).reshape(B, T, s.H * s.D))


def next_tokens(s, m, ids, left, cache, tables):
    """The greedy token behind ids [B, T], which follow what the cache holds; left [B]: places of padding in front."""
    T = ids.shape[1]
    place = torch.arange(cache.used, cache.used + T)
    position = (place[None] - left[:, None]).clamp(min=0)
    turn = [t[position][:, None] for t in tables]
    key = torch.arange(cache.used + T)
    hidden = (key[None, None] > place[None, :, None]) | (key[None, None] < left[:, None, None])
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, -1e30)[:, None]
    x = F.embedding(ids, m.embed)
    for i in range(s.L):
        x = x + attend(s, m, i, P.plain_norm(x, m.norms[2 * i]), turn, mask, cache)
        n = P.plain_norm(x, m.norms[2 * i + 1])
        x = x + P.plain_linear(m, i, "down", F.silu(P.plain_linear(m, i, "gate", n)) * P.plain_linear(m, i, "up", n))
    cache.used += T
    return F.linear(P.plain_norm(x[:, -1], m.norms[-1]), m.head).argmax(-1)


def continue_batch(s, m, prompts, job, tables):
    n, new = max(len(p) for p in prompts), job["max_new"]
    left = torch.tensor([n - len(p) for p in prompts])
    ids = torch.tensor([[0] * (n - len(p)) + p for p in prompts])
    cache = Cache(s, len(prompts), n + new)
    made, ended = [], torch.zeros(len(prompts), dtype=torch.bool)
    while len(made) < new and not bool(ended.all()):
        ids = next_tokens(s, m, ids, left, cache, tables)[:, None]
        made.append(ids)
        ended |= ids[:, 0] == job["eos"]
    return torch.cat(made, 1).tolist()


def evaluate(s, m, job):
    tables = P.rope_tables(s, 4096)
    rows = sorted(job["test"], key=lambda r: r["mask"].index(1))
    hits, begun = 0, time.perf_counter()
    with torch.no_grad():
        for at in range(0, len(rows), job["eval_batch"]):
            part = rows[at:at + job["eval_batch"]]
            made = continue_batch(s, m, [r["ids"][:r["mask"].index(1)] for r in part], job, tables)
            for r, ids in zip(part, made):
                wanted = r["ids"][r["mask"].index(1):]
                hits += ids[:len(wanted)] == wanted
    seconds = time.perf_counter() - begun
    return {"eval_s": seconds, "rows_per_s": len(rows) / seconds, "exact_match": hits / len(rows)}


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        job = json.load(f)
    with open(os.path.join(job["model"], "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    P.EPS = config["rms_norm_eps"]
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    s = P.Shape(config)
    m = Weights(s, load_safetensors(os.path.join(job["model"], "model.safetensors")), job["r"], job["alpha"])
    print(json.dumps({**train(s, m, job), **evaluate(s, m, job), "torch": torch.__version__,
                      "threads": torch.get_num_threads(),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
