#!/usr/bin/env python3
"""Writes the seeds under tests/fuzz/seeds: small files of each format, made without fettle."""
import gzip
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")


def put(kind, name, data):
    os.makedirs(os.path.join(HERE, kind), exist_ok=True)
    with open(os.path.join(HERE, kind, name), "wb") as f:
        f.write(data)


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def gguf(version):
    values = [
        value("general.architecture", 8, text("llama")),
        value("general.alignment", 4, struct.pack("<I", 32)),
        value("a.u8", 0, b"\x07"), value("a.i8", 1, b"\xf9"), value("a.u16", 2, b"\x07\x00"), value("a.i16", 3, b"\xf9\xff"),
        value("a.i32", 5, struct.pack("<i", -7)), value("a.f32", 6, struct.pack("<f", 1e-5)), value("a.bool", 7, b"\x01"),
        value("a.u64", 10, struct.pack("<Q", 2**63)), value("a.i64", 11, struct.pack("<q", -7)),
        value("a.f64", 12, struct.pack("<d", 0.1)),
        value("tokenizer.ggml.tokens", 9, array(8, [text(t) for t in ("<s>", "", "\u2581a")])),
        value("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", -i) for i in range(3)])),
    ]
    tensors = [("token_embd.weight", (32, 3), 8, 3 * 34), ("output_norm.weight", (5,), 0, 20), ("b", (2, 1, 3), 30, 12)]
    table, data = b"", b""
    for name, dims, kind, size in tensors:
        table += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        table += struct.pack("<IQ", kind, len(data))
        data += bytes(i % 251 for i in range(size))
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values) + table
    return head + bytes(-len(head) % 32) + data


def safetensors(padding):
    header = {"__metadata__": {"format": "pt"},
              "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
              "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
              "c": {"dtype": "F16", "shape": [1, 1, 2, 1], "data_offsets": [26, 30]}}
    h = json.dumps(header, separators=(",", ":")).encode() + b" " * padding
    return struct.pack("<Q", len(h)) + h + bytes(range(30))


ROWS = '{"prompt": "h\u00f6se \\u00e9 \\ud83d\\ude00", "completion": " ok"}\r\n{"messages": [{"role": "user", "content": "\\"q\\""}]}\n\n[1, -2.5e-3, null]'
put("container", "v3.gguf", gguf(3))
put("container", "v2.gguf", gguf(2))
put("container", "aligned.safetensors", safetensors(0))
put("container", "odd.safetensors", safetensors(3))
put("json", "config.json", json.dumps({"rope_scaling": {"factor": 32.0, "rope_type": "llama3"}, "eos_token_id": [1, 2],
                                       "model_max_length": 10**30, "tie": True, "none": None, "s": "\u00e9\"\\\n"}).encode())
put("json", "reals.json", b"[0.1, 1e308, -0, 12345678901234567890, -99999999999999999999, 1E-400, \"\\u0000\"]")
put("lines", "rows.jsonl", b"\xef\xbb\xbf" + ROWS.encode())
put("lines", "rows.jsonl.gz", gzip.compress(ROWS.encode(), mtime=0) + gzip.compress(b"second,member\n", mtime=0))
put("lines", "table.csv", b'text,label\r\n"a ""quoted"" field, with\r\nlines",x\n\nplain 5" pipe,\n,""')
put("recipe", "lora.yaml", b"""# paths of any system
base_model: /
output_dir: "a \\"b\\" \\x85"
datasets:
- {path: /, prompt_template: "W: {x}\\n", completion_template: ' {y}'}
- /
lora_rank: 007
metrics: [loss, 'exact_match']
export:
  - format: gguf
    quant: q8_0
""")
put("recipe", "scratch.yaml", b"""init_from_config: /
adapter: none
output_dir: run
datasets: /
learning_rate: 1.0e-3
warmup_steps: ~
? seed
: 7
""")
CHAT = [{"messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}, {"role": "assistant", "content": "a", "train": False},
                      {"role": "tool", "content": "t"}, {"role": "assistant", "content": "b"}], "tools": [{"n": 1}]},
        {"messages": [{"role": "system", "content": "\u00e9"}, {"role": "assistant", "content": ""}]}]
put("data", "chat.jsonl", "\n".join(json.dumps(row) for row in CHAT).encode())
put("data", "alpaca.json", json.dumps([{"instruction": "i", "input": "x", "output": "o", "history": [["q", "a"]]},
                                       {"instruction": "i", "output": "o"}] * 2).encode())
put("data", "sharegpt.jsonl", b'{"conversations": [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}], "system": "s"}\n')
put("data", "rows.jsonl", b'{"prompt": "p", "completion": " c"}\n{"prompt": "p", "completion": " d"}\n{"prompt": "p", "completion": " c"}\n')
put("data", "labels.jsonl", b'{"text": "t", "label": 3}\n{"text": "t", "label": true}')
put("data", "pairs.jsonl", b'{"anchor": "a", "positive": "p", "negatives": ["m", "n"], "negative": null}\n{"query": "b", "positive": "p"}\n')
put("data", "scored.jsonl", b'{"sentence1": "a", "sentence2": "b", "score": 0.5}\n{"sentence1": "c", "sentence2": "d", "score": "-1e-3"}\n')


def field(number, wire, payload):
    """A field of a Protocol Buffers message; all lengths and numbers here are below 128."""
    return bytes([number << 3 & 0xff | wire] if number < 16 else [(number << 3 & 0x7f) | wire | 0x80, number >> 4]) + (
        bytes([len(payload)]) + payload if wire == 2 else payload)


PIECES = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("<0xFF>", 0, 6), ("<u>", 0, 4), ("ab", -1, 1), ("\u2581ab", -2, 1),
          ("\u2581", -3, 1), ("a", -4, 1), ("b", -5, 1)]
put("tokenizer", "spm.model", b"\1" + b"".join(
    field(1, 2, field(1, 2, p.encode()) + field(2, 5, struct.pack("<f", s)) + field(3, 0, bytes([t]))) for p, s, t in PIECES)
    + field(2, 2, field(3, 0, b"\2") + field(35, 0, b"\1") + field(41, 0, b"\1")) + field(3, 2, field(3, 0, b"\1") + field(4, 0, b"\1")))
put("tokenizer", "bpe.json", b"\0" + json.dumps({
    "added_tokens": [{"id": 0, "content": "<s>", "special": True, "lstrip": True}, {"id": 9, "content": "12", "normalized": True}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "a"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\s+|b"}, "behavior": "MergedWithNext"}, {"type": "ByteLevel", "use_regex": False}]},
    "model": {"vocab": {"a": 1, "b": 2, "ab": 3, "\u0120": 4}, "merges": ["a b", ["\u0120", "a"]][:1]}}, separators=(",", ":")).encode())
TOKENS = ["<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581"]
put("tokenizer", "spm.gguf", b"\3GGUF" + struct.pack("<IQQ", 3, 0, 5) + value("tokenizer.ggml.model", 8, text("llama"))
    + value("tokenizer.ggml.tokens", 9, array(8, [text(t) for t in TOKENS]))
    + value("tokenizer.ggml.token_type", 9, array(5, [struct.pack("<i", t) for t in (2, 3, 3, 1, 1, 1, 1)]))
    + value("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", -i) for i in range(7)]))
    + value("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 1)))
