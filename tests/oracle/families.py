#!/usr/bin/python3
"""Granite, OLMo 2 and BERT in plain PyTorch, written from their papers' and configs' equations: logits (an encoder's vectors) and the
gradients of all weights, against what fettle gave for the same files.

  families.py DIR      run by test_families on what write_families left in DIR

Prints a line a family and the counts. Exit status: 0 equal within 1e-5 of the largest output and 1e-3 of each gradient's
largest component, 1 not, 77 without torch.
"""
import json
import math
import os
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)


def load(path):
    """{name: tensor} of an F32 safetensors file."""
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    out = {}
    for name, d in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            assert d["dtype"] == "F32"
            a, b = d["data_offsets"]
            x = np.frombuffer(raw[8 + n + a:8 + n + b], np.float32).reshape(d["shape"])
            out[name] = torch.from_numpy(x.copy())
    return out


def rms(x, w, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w


def heads(x, n):
    return x.view(x.shape[0], n, -1).transpose(0, 1)


def turn(x, theta):
    """Rotary positions, halves; x [heads, tokens, dim]."""
    d = x.shape[-1]
    inv = theta ** (-torch.arange(0, d, 2, dtype=torch.float32) / d)
    angle = torch.outer(torch.arange(x.shape[1], dtype=torch.float32), inv)
    c, s = angle.cos(), angle.sin()
    a, b = x[..., :d // 2], x[..., d // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def attend(q, k, v, scale, causal):
    """[heads, tokens, dim] each, fewer heads in k and v -> [tokens, heads * dim]."""
    k, v = (t.repeat_interleave(q.shape[0] // t.shape[0], 0) for t in (k, v))
    score = q @ k.transpose(1, 2) * scale
    if causal:
        n = q.shape[1]
        score = score.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf"))
    return (score.softmax(-1) @ v).transpose(0, 1).reshape(q.shape[1], -1)


def decoder(c, w, ids):
    """Hidden states and head of granite (pre-norm, four factors) and olmo2 (post-norm, q and k normed whole)."""
    olmo, eps = c["model_type"] == "olmo2", c["rms_norm_eps"]
    H, K = c["num_attention_heads"], c["num_key_value_heads"]
    D, theta = c["hidden_size"] // H, c.get("rope_theta", 10000.0)
    scale, r = c.get("attention_multiplier", D ** -0.5), c.get("residual_multiplier", 1.0)
    x = w["model.embed_tokens.weight"][ids] * c.get("embedding_multiplier", 1.0)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."

        def lin(x, name):
            return F.linear(x, w[p + name + ".weight"])

        def norm(x, name):
            return rms(x, w[p + name + ".weight"], eps)

        h = x if olmo else norm(x, "input_layernorm")
        q, k, v = (lin(h, f"self_attn.{s}_proj") for s in "qkv")
        if olmo:
            q, k = norm(q, "self_attn.q_norm"), norm(k, "self_attn.k_norm")
        y = lin(attend(turn(heads(q, H), theta), turn(heads(k, K), theta), heads(v, K), scale, True), "self_attn.o_proj")
        x = x + r * (norm(y, "post_attention_layernorm") if olmo else y)
        h = x if olmo else norm(x, "post_attention_layernorm")
        y = lin(F.silu(lin(h, "mlp.gate_proj")) * lin(h, "mlp.up_proj"), "mlp.down_proj")
        x = x + r * (norm(y, "post_feedforward_layernorm") if olmo else y)
    x = rms(x, w["model.norm.weight"], eps) / c.get("logits_scaling", 1.0)
    return x, w.get("lm_head.weight", w["model.embed_tokens.weight"])


def bert(c, w, ids):
    def norm(x, p):
        return F.layer_norm(x, x.shape[-1:], w[p + ".weight"], w[p + ".bias"], c["layer_norm_eps"])

    def lin(x, p):
        return F.linear(x, w[p + ".weight"], w[p + ".bias"])

    H = c["num_attention_heads"]
    e = "embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][:len(ids)] + w[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    for i in range(c["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (heads(lin(x, p + "attention.self." + s), H) for s in ("query", "key", "value"))
        y = attend(q, k, v, 1 / math.sqrt(q.shape[-1]), False)
        x = norm(x + lin(y, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        x = norm(x + lin(F.gelu(lin(x, p + "intermediate.dense")), p + "output.dense"), p + "output.LayerNorm")
    return x, w[e + "word_embeddings.weight"]


FAMILIES = {"granite": decoder, "olmo2": decoder, "bert": bert}


def distances(folder, f):
    config = json.load(open(os.path.join(folder, f["name"], "config.json")))
    weights = load(os.path.join(folder, f["name"], "model.safetensors"))
    for t in weights.values():
        t.requires_grad_()
    ids = torch.tensor(f["ids"])
    x, head = FAMILIES[f["model_type"]](config, weights, ids)
    logits = F.linear(x, head)
    want = (x if f["encoder"] else logits).detach()
    got = torch.from_numpy(np.fromfile(os.path.join(folder, f["name"] + ".outputs"), np.float32)).view(want.shape)
    outputs = float((got - want).abs().max() / want.abs().max())
    for way in f["pooled"]:
        got = torch.from_numpy(np.fromfile(os.path.join(folder, f"{f['name']}-{way}.outputs"), np.float32))
        vector = {"mean": x.mean(0), "cls": x[0], "last": x[-1]}[way].detach()
        outputs = max(outputs, float((got - vector).abs().max() / vector.abs().max()))
    if f["adapted"]:
        return outputs, 0.0
    F.cross_entropy(logits[:-1], ids[1:]).backward()
    grads = load(os.path.join(folder, f["name"] + ".grads.safetensors"))
    assert grads.keys() == weights.keys()
    # a bias on k shifts all scores of a query alike: its gradient is 0 but for rounding
    return outputs, max(float((grads[n] - t.grad).abs().max() / t.grad.abs().max()) for n, t in weights.items()
                        if not n.endswith("self.key.bias"))


torch.set_num_threads(1)
passed = failed = 0
for family in json.load(open(os.path.join(sys.argv[1], "families.json"))):
    if family["model_type"] in FAMILIES and family.get("base") != family["name"]:
        a, b = distances(sys.argv[1], family)
        holds = a < 1e-5 and b < 1e-3
        print(f"{'' if holds else 'FAILED: '}{family['name']} in PyTorch: outputs {a:.1e}, gradients {b:.1e}")
        passed, failed = passed + holds, failed + (not holds)
print(f"{passed} passed, {failed} failed, 0 skipped")
sys.exit(failed > 0)
