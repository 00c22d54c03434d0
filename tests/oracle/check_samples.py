#!/usr/bin/env python3
"""Reads what write_samples wrote with nothing of fettle's: struct and json for safetensors and GGUF, h5py for the store.
usage: check_samples.py DIR. Ends with "N passed, N failed, N skipped"."""
import json
import struct
import sys

DIR = sys.argv[1]
passed = failed = skipped = 0


def check(name, good):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("FAIL", name)


def element(i):
    return ((i * 37) % 101 - 50) / 8


def floats(data, kind):
    if kind == "bf16":
        return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
    if kind == "q8_0":
        blocks = [struct.unpack("<e32b", data[i:i + 34]) for i in range(0, len(data), 34)]
        return [b[0] * q for b in blocks for q in b[1:]]
    size, code = {"f32": (4, "f"), "f16": (2, "e")}[kind]
    return list(struct.unpack("<%d%s" % (len(data) // size, code), data))


def same(values, count, error=0.0):
    return len(values) == count and all(abs(v - element(i)) <= error for i, v in enumerate(values))


def safetensors():
    b = open(DIR + "/sample.safetensors", "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])
    data = b[8 + n:]
    check("safetensors: the data begins at a multiple of 8", n % 8 == 0)
    check("safetensors: metadata", h.pop("__metadata__") == {
        "general.architecture": "llama", "u32": "4000000000", "i32": "-7", "u64": "18446744073709551615", "f32": "0.25", "bool": "true"})
    check("safetensors: names in order", list(h) == ["blk.0.a.weight", "b", "c"])
    check("safetensors: shapes", [h[k]["shape"] for k in h] == [[3, 5], [7], [1, 2, 3, 4]])
    check("safetensors: types", [h[k]["dtype"] for k in h] == ["F32", "BF16", "F16"])
    at = 0
    for key, kind, count in (("blk.0.a.weight", "f32", 15), ("b", "bf16", 7), ("c", "f16", 24)):
        begin, end = h[key]["data_offsets"]
        check("safetensors: no hole before " + key, begin == at)
        check("safetensors: values of " + key, same(floats(data[begin:end], kind), count))
        at = end
    check("safetensors: nothing behind", at == len(data))


class Gguf:
    """A reader after the format's description, for versions 2 and 3."""
    CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, data):
        self.b, self.at = data, 4
        self.version, tensors, values = self.take("IQQ")
        self.meta = [(self.string(), self.value(self.take("I")[0])) for _ in range(values)]
        self.tensors = [self.tensor() for _ in range(tensors)]
        self.data = (self.at + 31) // 32 * 32

    def take(self, codes):
        v = struct.unpack_from("<" + codes, self.b, self.at)
        self.at += struct.calcsize("<" + codes)
        return v

    def string(self):
        n = self.take("Q")[0]
        self.at += n
        return self.b[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return kind, self.string()
        if kind == 9:
            element, n = self.take("IQ")
            return kind, element, [self.value(element)[1] for _ in range(n)]
        return kind, self.take(self.CODES[kind])[0]

    def tensor(self):
        name, dims = self.string(), self.take("I")[0]
        return (name, self.take("%dQ" % dims)) + self.take("IQ")


def gguf():
    b = open(DIR + "/sample.gguf", "rb").read()
    g = Gguf(b)
    check("gguf: magic and version", b[:4] == b"GGUF" and g.version == 3)
    check("gguf: metadata with their types", g.meta == [
        ("general.architecture", (8, "llama")), ("u32", (4, 4000000000)), ("i32", (5, -7)), ("u64", (10, 2**64 - 1)),
        ("f32", (6, 0.25)), ("bool", (7, True)), ("words", (9, 8, ["<s>", "", "\u2581a"])),
        ("integers", (9, 5, [-1, 0, 2**31 - 1])), ("floats", (9, 6, [0.5, -3.25]))])
    check("gguf: tensors, contiguous dimension first", [t[:3] for t in g.tensors] == [
        ("blk.0.a.weight", (5, 3), 0), ("b", (7,), 30), ("c", (4, 3, 2, 1), 1), ("d", (64, 2), 8)])
    at = 0
    for (name, _, _, offset), kind, count, size in zip(g.tensors, ("f32", "bf16", "f16", "q8_0"), (15, 7, 24, 128), (60, 14, 48, 136)):
        check("gguf: place of " + name, offset == at and offset % 32 == 0)
        values = floats(b[g.data + offset:g.data + offset + size], kind)
        check("gguf: values of " + name, same(values, count, 6.25 / 127 * 0.51 if kind == "q8_0" else 0))
        at = (offset + size + 31) // 32 * 32
    check("gguf: padded to the alignment", len(b) == g.data + at)


def store():
    global skipped
    try:
        import h5py
        import numpy
    except ImportError:
        print("SKIP store: no h5py (Debian: python3-h5py)")
        skipped += 1
        return
    with h5py.File(DIR + "/sample.h5", "r") as f:
        expected = numpy.array([element(i) for i in range(101)], "f4")[numpy.arange(600000) % 101].reshape(600, 1000)
        names = []
        f.visititems(lambda name, o: names.append(name) if isinstance(o, h5py.Dataset) else None)
        check("store: user block", f.userblock_size == 512)
        check("store: names", sorted(names) == ["cursor", "moments/a/m", "moments/a/v", "none"])
        for key in ("moments/a/m", "moments/a/v"):
            check("store: values of " + key, f[key].dtype == "<f4" and numpy.array_equal(f[key][...], expected))
            check("store: checksum of " + key, f[key].fletcher32)
        check("store: integers", f["cursor"][...].tolist() == [-2**63, -1, 0, 1, 2**63 - 1])
        check("store: an empty array", f["none"].shape == (0,) and f["none"].dtype == "u1")
        check("store: attributes", f.attrs["step"] == 1234567890123 and f.attrs["best"] == 0.1)
        text = f.attrs["recipe"]
        check("store: text", (text.decode() if isinstance(text, bytes) else text) == "lora_r: 16\n# \u00e9\n")


def written_json():
    text = open(DIR + "/sample.json", encoding="utf-8").read()
    value = {"z": [0.1, 1e-300, -5, True, None], "a": {"text": "\"\\\n\x01 \u00e9", "o": {}, "l": []}}
    check("json: value", json.loads(text) == value)
    check("json: layout", text == json.dumps(value, indent=2, ensure_ascii=False) + "\n")


safetensors()
gguf()
store()
written_json()
print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
sys.exit(1 if failed else 0)
