"""What tests/score/test_confidence.c expects: python3 with numpy; temperatures by a grid instead of a slope."""
import numpy as np

rng = np.random.RandomState(7)
n, L = 12, 3
s = np.round(rng.randn(n, L) * 4 - 5, 2)
y = np.argmax(s, 1)
y[[1, 4, 7]] = (y[[1, 4, 7]] + 1) % L
y[9] = -1
k = y >= 0


def lse(z):
    m = z.max(-1, keepdims=True)
    return (m + np.log(np.exp(z - m).sum(-1, keepdims=True)))[..., 0]


def loss(b, bias):
    e = 1 / (k.sum() + 1)
    t = np.full((k.sum(), L), e / L)
    t[np.arange(k.sum()), y[k]] += 1 - e
    z = (s + bias)[k]
    return (lse(b * z) - b * (t * z).sum(1)).sum()


def temperature(bias):
    at = min(np.linspace(np.log(.01), np.log(100), 10001), key=lambda x: loss(np.exp(x), bias))
    return np.exp(-min(np.linspace(at - .01, at + .01, 20001), key=lambda x: loss(np.exp(x), bias)))


print("scores", s.tolist(), "expected", y.tolist())
print("temperature", temperature(0))
p = np.exp(s - lse(s)[:, None])
bias = np.log([(y == c).sum() + 1 for c in range(L)]) - np.log(p[k].sum(0) + 1)
print("bias", bias.tolist(), "temperature with it", temperature(bias))
q = np.exp(s / 2 - lse(s / 2)[:, None])
c, right = q.max(1), q.argmax(1) == y
print("at temperature 2:", sorted(zip(c.tolist(), right.tolist()), reverse=True))
bins = np.minimum((c * 10).astype(int), 9)
print("ece", sum(abs(right[bins == i].sum() - c[bins == i].sum()) for i in range(10)) / n)
