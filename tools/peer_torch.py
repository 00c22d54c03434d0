#!/usr/bin/env python3
"""Training steps of a Llama-shape model in PyTorch on the CPU: what `fettle bench train` is compared with.

    peer_torch.py SHAPE.json [--style plain|tuned] [--adapter lora|none] [--seq N] [--batch N] [--lora-r N] [--rounds N]

SHAPE.json holds the members of a config.json. Weights and tokens are random, every token is supervised. Two styles do the
same arithmetic:

    plain   modules and autograd, as a program on top of PyTorch is written; all logits at once
    tuned   forward and backward of each part by hand, rows of the head in chunks, buffers used again where they may be

Prints one JSON object: tokens_per_s and step_s of the best round, peak_rss_bytes, the first loss. --check compares loss and
gradients of the two styles instead.
"""
import argparse
import json
import math
import resource
import time

import torch
import torch.nn.functional as F

EPS = 1e-5
CHUNK = 256


class Shape:
    def __init__(self, c):
        self.C, self.Fw, self.L = c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"]
        self.H, self.K, self.V = c["num_attention_heads"], c["num_key_value_heads"], c["vocab_size"]
        self.D = c.get("head_dim") or self.C // self.H
        self.tied, self.theta = c["tie_word_embeddings"], c.get("rope_theta", 10000.0)

    def linears(self):
        q, kv = self.H * self.D, self.K * self.D
        return {"q": (q, self.C), "k": (kv, self.C), "v": (kv, self.C), "o": (self.C, q),
                "gate": (self.Fw, self.C), "up": (self.Fw, self.C), "down": (self.C, self.Fw)}


class Weights:
    """All tensors by name; adapters are pairs (A, B) by the linear's name."""

    def __init__(self, s, lora_r):
        gen = torch.Generator().manual_seed(1)
        full = lora_r == 0

        def normal(*size, std=0.02):
            return torch.empty(*size).normal_(0, std, generator=gen)

        self.scale = 2.0
        self.embed = normal(s.V, s.C).requires_grad_(full)
        self.head = self.embed if s.tied else normal(s.V, s.C).requires_grad_(full)
        self.norms = [torch.ones(s.C).requires_grad_(full) for _ in range(2 * s.L + 1)]
        self.w = [{n: normal(*d).requires_grad_(full) for n, d in s.linears().items()} for _ in range(s.L)]
        self.ab = [{n: (normal(lora_r, d[1], std=d[1] ** -0.5).requires_grad_(),
                        normal(d[0], lora_r, std=0.01).requires_grad_())
                    for n, d in s.linears().items()} if lora_r else {} for _ in range(s.L)]

    def trained(self):
        every = [self.embed, self.head, *self.norms]
        for layer, pairs in zip(self.w, self.ab):
            every += list(layer.values()) + [t for pair in pairs.values() for t in pair]
        seen = {}
        for t in every:
            if t.requires_grad:
                seen[id(t)] = t
        return list(seen.values())


def rope_tables(s, n):
    inverse = s.theta ** (-torch.arange(0, s.D, 2, dtype=torch.float32) / s.D)
    angle = torch.arange(n, dtype=torch.float32)[:, None] * inverse
    return angle.cos(), angle.sin()


# ---------------------------------------------------------------- plain

def plain_linear(m, layer, name, x):
    y = F.linear(x, m.w[layer][name])
    if name in m.ab[layer]:
        a, b = m.ab[layer][name]
        y = y + F.linear(F.linear(x, a), b) * m.scale
    return y


def plain_norm(x, w):
    return w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS))


def plain_rope(x, cos, sin):
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def plain_attention(s, m, layer, x, cos, sin, mask):
    B, T, _ = x.shape
    q = plain_linear(m, layer, "q", x).view(B, T, s.H, s.D).transpose(1, 2)
    k = plain_linear(m, layer, "k", x).view(B, T, s.K, s.D).transpose(1, 2)
    v = plain_linear(m, layer, "v", x).view(B, T, s.K, s.D).transpose(1, 2)
    q, k = plain_rope(q, cos, sin), plain_rope(k, cos, sin)
    k, v = (t.repeat_interleave(s.H // s.K, 1) for t in (k, v))
    p = F.softmax(q @ k.transpose(2, 3) / math.sqrt(s.D) + mask, -1)
    return plain_linear(m, layer, "o", (p @ v).transpose(1, 2).reshape(B, T, s.H * s.D))


def plain_loss(s, m, ids, targets):
    T = ids.shape[1]
    cos, sin = rope_tables(s, T)
    mask = torch.full((T, T), float("-inf")).triu(1)
    x = F.embedding(ids, m.embed)
    for i in range(s.L):
        x = x + plain_attention(s, m, i, plain_norm(x, m.norms[2 * i]), cos, sin, mask)
        n = plain_norm(x, m.norms[2 * i + 1])
        x = x + plain_linear(m, i, "down", F.silu(plain_linear(m, i, "gate", n)) * plain_linear(m, i, "up", n))
    logits = F.linear(plain_norm(x, m.norms[-1]), m.head)
    return F.cross_entropy(logits.view(-1, s.V), targets.reshape(-1))


# ---------------------------------------------------------------- tuned

class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, a, b, scale):
        y = x @ w.t()
        h = None
        if a is not None:
            h = x @ a.t()
            y.addmm_(h, b.t(), alpha=scale)
        ctx.save_for_backward(x, w, a, b, h)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, a, b, h = ctx.saved_tensors
        dx = dw = da = db = None
        dh = (dy @ b).mul_(ctx.scale) if a is not None else None
        if ctx.needs_input_grad[0]:
            dx = dy @ w
            if dh is not None:
                dx.addmm_(dh, a)
        if ctx.needs_input_grad[1]:
            dw = dy.t() @ x
        if dh is not None:
            da, db = dh.t() @ x, (dy.t() @ h).mul_(ctx.scale)
        return dx, dw, da, db, None


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        inv = torch.einsum("tc,tc->t", x, x).div_(x.shape[1]).add_(EPS).rsqrt_().unsqueeze(1)
        ctx.save_for_backward(x, w, inv)
        return (x * inv).mul_(w)

    @staticmethod
    def backward(ctx, dy):
        x, w, inv = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[1]:
            dw = (x * inv).mul_(dy).sum(0)
        if ctx.needs_input_grad[0]:
            dx = dy * w
            along = torch.einsum("tc,tc->t", dx, x).unsqueeze(1).mul_(inv.pow(3)).div_(-x.shape[1])
            dx.mul_(inv).addcmul_(x, along)
        return dx, dw


class Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, dy):
        gate, up = ctx.saved_tensors
        s = torch.sigmoid(gate)
        silu = gate * s
        slope = s + silu * (1 - s)
        return slope.mul_(dy).mul_(up), silu.mul_(dy)


def turn(x, cos, sin, back=False):
    """x [B, T, heads, D] -> the same, turned, in new memory."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    c, s = cos[None, :, None], -sin[None, :, None] if back else sin[None, :, None]
    y = torch.empty(x.shape)
    torch.mul(a, c, out=y[..., :half]).addcmul_(b, s, value=-1)
    torch.mul(b, c, out=y[..., half:]).addcmul_(a, s)
    return y


class Attention(torch.autograd.Function):
    """q [B T, H D], k and v [B T, K D]: the query heads of a kv head are one batch of rows."""

    @staticmethod
    def forward(ctx, q, k, v, s, B, cos, sin):
        T, g = q.shape[0] // B, s.H // s.K
        q = turn(q.view(B, T, s.H, s.D), cos, sin).view(B, T, s.K, g, s.D)
        q = q.permute(0, 2, 3, 1, 4).reshape(B * s.K, g * T, s.D)
        k = turn(k.view(B, T, s.K, s.D), cos, sin).transpose(1, 2).reshape(B * s.K, T, s.D)
        v = v.view(B, T, s.K, s.D).transpose(1, 2).reshape(B * s.K, T, s.D)
        p = torch.bmm(q, k.transpose(1, 2)).mul_(s.D ** -0.5).view(B * s.K, g, T, T)
        p.masked_fill_(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
        p = torch.softmax(p, -1).view(B * s.K, g * T, T)
        ctx.save_for_backward(q, k, v, p, cos, sin)
        ctx.s, ctx.B = s, B
        return torch.bmm(p, v).view(B, s.K, g, T, s.D).permute(0, 3, 1, 2, 4).reshape(B * T, s.H * s.D)

    @staticmethod
    def backward(ctx, dy):
        q, k, v, p, cos, sin = ctx.saved_tensors
        s, B = ctx.s, ctx.B
        T, g = k.shape[1], s.H // s.K
        dy = dy.view(B, T, s.K, g, s.D).permute(0, 2, 3, 1, 4).reshape(B * s.K, g * T, s.D)
        dv = torch.bmm(p.transpose(1, 2), dy)
        ds = torch.bmm(dy, v.transpose(1, 2))
        ds = torch._softmax_backward_data(ds, p, -1, torch.float32).mul_(s.D ** -0.5)
        dq = torch.bmm(ds, k).view(B, s.K, g, T, s.D).permute(0, 3, 1, 2, 4).reshape(B, T, s.H, s.D)
        dk = torch.bmm(ds.transpose(1, 2), q).view(B, s.K, T, s.D).transpose(1, 2).contiguous()
        dv = dv.view(B, s.K, T, s.D).transpose(1, 2).reshape(B * T, -1)
        return turn(dq, cos, sin, True).view(B * T, -1), turn(dk, cos, sin, True).view(B * T, -1), dv, *[None] * 4


class Head(torch.autograd.Function):
    """Mean cross entropy, its gradients made in the same pass, a chunk of rows at a time."""

    @staticmethod
    def forward(ctx, x, w, targets):
        T = x.shape[0]
        dx = torch.empty_like(x)
        dw = torch.zeros_like(w) if w.requires_grad else None
        room, total = torch.empty(min(CHUNK, T), w.shape[0]), 0.0
        for i in range(0, T, CHUNK):
            rows, aim = x[i:i + CHUNK], targets[i:i + CHUNK, None]
            z = torch.mm(rows, w.t(), out=room[:rows.shape[0]])
            top = z.amax(1, keepdim=True)
            wanted = z.gather(1, aim)
            sums = z.sub_(top).exp_().sum(1, keepdim=True)
            total += float((sums.log() + top - wanted).sum())
            z.div_(sums * T).scatter_add_(1, aim, torch.full_like(wanted, -1 / T))
            torch.mm(z, w, out=dx[i:i + CHUNK])
            if dw is not None:
                dw.addmm_(z.t(), rows)
        ctx.dx, ctx.dw = dx, dw
        return x.new_tensor(total / T)

    @staticmethod
    def backward(ctx, g):
        return ctx.dx.mul_(g), None if ctx.dw is None else ctx.dw.mul_(g), None


def tuned_linear(m, layer, name, x):
    a, b = m.ab[layer].get(name, (None, None))
    return Linear.apply(x, m.w[layer][name], a, b, m.scale)


def tuned_loss(s, m, ids, targets):
    B, T = ids.shape
    cos, sin = rope_tables(s, T)
    x = F.embedding(ids.reshape(-1), m.embed)
    for i in range(s.L):
        n = Norm.apply(x, m.norms[2 * i])
        q, k, v = (tuned_linear(m, i, name, n) for name in "qkv")
        x = x + tuned_linear(m, i, "o", Attention.apply(q, k, v, s, B, cos, sin))
        n = Norm.apply(x, m.norms[2 * i + 1])
        x = x + tuned_linear(m, i, "down", Gate.apply(tuned_linear(m, i, "gate", n), tuned_linear(m, i, "up", n)))
    return Head.apply(Norm.apply(x, m.norms[-1]), m.head, targets.reshape(-1))


# ---------------------------------------------------------------- running

def check(s, m, ids):
    grads = []
    for loss_of in (plain_loss, tuned_loss):
        loss = loss_of(s, m, ids[:, :-1], ids[:, 1:])
        loss.backward()
        grads.append((float(loss.detach()), [t.grad.clone() for t in m.trained()]))
        for t in m.trained():
            t.grad = None
    (a, x), (b, y) = grads
    far = max(float((p - q).norm() / (p.norm() + 1e-12)) for p, q in zip(x, y))
    print(json.dumps({"plain_loss": a, "tuned_loss": b, "largest_gradient_difference": far}))
    return 0 if abs(a - b) < 1e-5 * a and far < 1e-4 else 1


def measure(s, m, ids, style, rounds):
    loss_of = tuned_loss if style == "tuned" else plain_loss
    optimizer = torch.optim.AdamW(m.trained(), lr=1e-5, weight_decay=0, foreach=style == "tuned")
    seconds, losses = [], []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        loss = loss_of(s, m, ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - begun)
    best = min(seconds[1:])
    return {"style": style, "torch": torch.__version__, "threads": torch.get_num_threads(),
            "tokens_per_s": (ids.shape[1] - 1) * ids.shape[0] / best, "step_s": best,
            "median_step_s": sorted(seconds[1:])[len(seconds[1:]) // 2], "loss": losses[0],
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("shape")
    p.add_argument("--style", choices=["plain", "tuned"], default="plain")
    p.add_argument("--adapter", choices=["lora", "none"], default="lora")
    for name, value in (("seq", 512), ("batch", 2), ("lora-r", 16), ("rounds", 3), ("threads", 0)):
        p.add_argument(f"--{name}", type=int, default=value)
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    with open(a.shape, encoding="utf-8") as f:
        s = Shape(json.load(f))
    m = Weights(s, a.lora_r if a.adapter == "lora" else 0)
    ids = torch.randint(0, s.V, (a.batch, a.seq + 1), generator=torch.Generator().manual_seed(2))
    if a.check:
        return check(s, m, ids)
    print(json.dumps(measure(s, m, ids, a.style, a.rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
