"""sentencepiece_ids.py SHARED ENCODE_TEXTS: compares token ids with the sentencepiece library (see test_sentencepiece)."""
import glob
import gzip
import os
import random
import subprocess
import sys
import tempfile

import sentencepiece

shared, encode_texts = sys.argv[1:]

SPECIAL = [
    "", " ", "  ", "   a   b   ", "Hello world", " Hello", "Hello ", "\t\n tabs\nand\nlines \r\n", "a\u00a0b", "\u2581already\u2581marked",
    "<s>", "</s> <unk> <0x0A>", "1234567890", "3.14159 10^-5", "don't won't DON'T", "é è ê ﬁ ﬂ ½ ²", "e\u0301 combining",
    "你好,世界。这是一个测试。", "日本語のテキスト、カタカナ", "한국어 문장입니다", "Привет, мир!", "مرحبا بالعالم", "नमस्ते दुनिया",
    "🦙🚀👩‍👩‍👧‍👦🏳️‍🌈", "\u200b\u200d\ufeffzero width", "x" * 300, "=" * 200, "ab" * 500, "\u3000全角　空白", "of <sep> the pump12 <c>the  pump", "<sep>", "the pump", "Ⅷ ① ㎏ ｆｕｌｌ",
]


def random_texts(rng):
    ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x5FF), (0x900, 0x97F), (0x2000, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
              (0xAC00, 0xD7A3), (0xF900, 0xFFEF), (0x1F300, 0x1FAFF), (0x1, 0x1F)]
    for _ in range(1500):
        lo, hi = rng.choice(ranges)
        yield "".join(chr(rng.randint(lo, hi)) if rng.random() < 0.8 else rng.choice(" aeiot") for _ in range(rng.randint(1, 60)))


def texts():
    yield from SPECIAL
    yield from random_texts(random.Random(1))
    with gzip.open(os.path.join(shared, "data/english/mix-valid.txt.gz"), "rt") as f:
        for i, line in enumerate(f):
            if i % 4 == 0:
                yield line.rstrip("\n")
    for name in ("data/excavator/test.jsonl", "data/banking77-small20/test.jsonl"):
        with open(os.path.join(shared, name), encoding="utf-8") as f:
            yield from (line.rstrip("\n") for line in f)


TRAINED = {
    "nmt_nfkc": dict(normalization_rule_name="nmt_nfkc"),
    "nfkc_cf": dict(normalization_rule_name="nfkc_cf", byte_fallback=True),
    "no_prefix": dict(normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, byte_fallback=True),
    "folded": dict(normalization_rule_name="identity", remove_extra_whitespaces=True, split_digits=True),
    "symbols": dict(normalization_rule_name="nmt_nfkc", user_defined_symbols=["<sep>", "the pump", "12"], control_symbols=["<c>"]),
    "unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc"),
    "unigram_bytes": dict(model_type="unigram", normalization_rule_name="identity", byte_fallback=True, remove_extra_whitespaces=False,
                          add_dummy_prefix=False),
    "unigram_symbols": dict(model_type="unigram", normalization_rule_name="nfkc", user_defined_symbols=["<sep>", "the pump", "12"],
                            control_symbols=["<c>"], split_digits=True),
}


def trained(folder, sentences):
    """Models of settings that no shipped one has."""
    for name, settings in TRAINED.items():
        prefix = os.path.join(folder, name)
        settings = dict(model_type="bpe") | settings
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_prefix=prefix, vocab_size=1200,
                                                 character_coverage=0.999, minloglevel=2, num_threads=1, **settings)
        yield prefix + ".model"


def main():
    cases = [t for t in texts() if "\0" not in t]
    models = [os.path.join(shared, "models/calib-5m/tokenizer.model"), os.path.join(shared, "vocab/hf/llama2/tokenizer.model")]
    models += sorted(glob.glob(os.path.join(shared, "vocab/hf/mistral-v0.3/*.model*")))
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as f:
        models += trained(folder, [c for c in cases[1600:] if c][:1500])
        f.write(b"".join(t.encode() + b"\0" for t in cases))
        f.flush()
        for path in models:
            want = sentencepiece.SentencePieceProcessor(model_file=path).encode(cases)
            run = subprocess.run([encode_texts, path, f.name], capture_output=True, text=True, check=True)
            got = [[int(x) for x in line.split()] for line in run.stdout.split("\n")[:-1]]
            wrong = [i for i in range(len(cases)) if i >= len(got) or got[i] != want[i]]
            for i in wrong[:5]:
                print(f"FAIL {path}: {cases[i]!r}: {got[i] if i < len(got) else None}, expected {want[i]}")
            print(f"{path}: {len(cases)} texts, {sum(map(len, want))} ids, {len(wrong)} differ")
            passed, failed = passed + (not wrong and len(got) == len(cases)), failed + bool(wrong or len(got) != len(cases))
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
