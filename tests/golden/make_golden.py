#!/usr/bin/python3
"""Makes the goldens of this folder: tiny models with what an independent f64 implementation (numpy, below) says of them.

  make_golden.py          writes CASE/config.json, CASE/model.safetensors (F16), CASE/expected.json beside this script

expected.json: ids [T] and targets [T] (-1: not supervised), logits [T][V], loss (mean over supervised targets), and for
every weight W "slopes": d loss / d s of W scaled by 1 + s, at s = 0, by central differences: the sum over W * dLoss/dW.
Run again after a change: the numbers may move in their last digits only. Read by tests/model/test_golden_own.c.
"""
import json
import os
import struct

import numpy as np

V, C, H, K, D, F, L, T, EPS, THETA = 40, 16, 4, 2, 4, 24, 2, 12, 1e-5, 10000.0
SCALING = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 32}
CASES = {"llama-tied": dict(tied=True, scaling=None, seed=1), "llama3-rope": dict(tied=False, scaling=SCALING, seed=2)}


def shapes(tied):
    s = {"model.embed_tokens.weight": (V, C)}
    for i in range(L):
        p = f"model.layers.{i}."
        s |= {p + "input_layernorm.weight": (C,), p + "self_attn.q_proj.weight": (H * D, C),
              p + "self_attn.k_proj.weight": (K * D, C), p + "self_attn.v_proj.weight": (K * D, C),
              p + "self_attn.o_proj.weight": (C, H * D), p + "post_attention_layernorm.weight": (C,),
              p + "mlp.gate_proj.weight": (F, C), p + "mlp.up_proj.weight": (F, C), p + "mlp.down_proj.weight": (C, F)}
    s["model.norm.weight"] = (C,)
    return s if tied else s | {"lm_head.weight": (V, C)}


def frequencies(scaling):
    f = THETA ** (-np.arange(0, D, 2) / D)
    if not scaling:
        return f
    old, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    out = []
    for x in f:
        wavelength = 2 * np.pi / x
        mix = min(max((old / wavelength - low) / (high - low), 0), 1)
        out.append((1 - mix) * x / factor + mix * x)
    return np.array(out)


def norm(x, w):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w


def rotate(x, f):
    """x [T, heads, D], the first half of a head against the second."""
    angle = np.arange(len(x))[:, None, None] * f
    a, b = x[..., : D // 2], x[..., D // 2:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def logits(w, ids, f):
    x = w["model.embed_tokens.weight"][ids]
    mask = np.where(np.tril(np.ones((len(ids), len(ids)))) > 0, 0, -np.inf)
    for i in range(L):
        g = lambda name: w[f"model.layers.{i}.{name}.weight"]
        h = norm(x, g("input_layernorm"))
        q = rotate((h @ g("self_attn.q_proj").T).reshape(-1, H, D), f)
        k = rotate((h @ g("self_attn.k_proj").T).reshape(-1, K, D), f).repeat(H // K, 1)
        v = (h @ g("self_attn.v_proj").T).reshape(-1, K, D).repeat(H // K, 1)
        s = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(D) + mask
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hij,jhd->ihd", p, v).reshape(-1, H * D) @ g("self_attn.o_proj").T
        h = norm(x, g("post_attention_layernorm"))
        gate = h @ g("mlp.gate_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ g("mlp.up_proj").T)) @ g("mlp.down_proj").T
    return norm(x, w["model.norm.weight"]) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def loss(w, ids, targets, f):
    y = logits(w, ids, f)
    y = y - y.max(-1, keepdims=True)
    log_p = y - np.log(np.exp(y).sum(-1, keepdims=True))
    return -np.mean([log_p[i, t] for i, t in enumerate(targets) if t >= 0])


def slope(w, name, ids, targets, f, step=1e-4):
    at = lambda s: loss(w | {name: w[name] * (1 + s)}, ids, targets, f)
    return (at(step) - at(-step)) / (2 * step)


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F16", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def make(name, tied, scaling, seed):
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    os.makedirs(directory, exist_ok=True)
    rng = np.random.RandomState(seed)
    half = {n: (1 + 0.3 * rng.randn(*s) if len(s) == 1 else 0.4 * rng.randn(*s)).astype(np.float16)
            for n, s in shapes(tied).items()}
    w = {n: t.astype(np.float64) for n, t in half.items()}
    ids = rng.randint(0, V, T)
    targets = [int(t) if i >= 3 else -1 for i, t in enumerate(rng.randint(0, V, T))]
    f = frequencies(scaling)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": C,
              "intermediate_size": F, "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": K,
              "vocab_size": V, "max_position_embeddings": 128, "rms_norm_eps": EPS, "rope_theta": THETA,
              "rope_scaling": scaling, "tie_word_embeddings": tied, "torch_dtype": "float16"}
    expected = {"ids": ids.tolist(), "targets": targets, "loss": loss(w, ids, targets, f),
                "slopes": {n: slope(w, n, ids, targets, f) for n in w},
                "logits": [[round(float(v), 8) for v in row] for row in logits(w, ids, f)]}
    write_safetensors(os.path.join(directory, "model.safetensors"), half)
    for file, value in (("config.json", config), ("expected.json", expected)):
        with open(os.path.join(directory, file), "w", encoding="utf-8") as out:
            json.dump(value, out, indent=1)
            out.write("\n")


for case, options in CASES.items():
    make(case, **options)
