"""make_tokenizers.py SHARED FOLDER: tokenizer.json files of settings that no model of SHARED has; FOLDER/characters, texts of
every character of Unicode, and FOLDER/old_characters, of those that are as they were in Unicode 3.2 (see test_hf_tokenizers)."""
import base64
import gzip
import json
import os
import sys
import unicodedata

import sentencepiece

shared, folder = sys.argv[1:]
# Later characters are judged by the age of an implementation's tables.
unicode = unicodedata if unicodedata.unidata_version <= "14.0.0" else unicodedata.ucd_3_2_0


def write_characters(name, wanted):
    chosen = [c for c in range(1, 0x110000) if unicode.category(chr(c)) not in ("Cn", "Co", "Cs") and wanted(chr(c))]
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as f:
        for at in range(0, len(chosen), 32):
            f.write("".join(chr(c) + ("a", " ", "a")[i % 3] for i, c in enumerate(chosen[at:at + 32])) + "\0")


write_characters("characters", lambda c: True)
write_characters("old_characters", lambda c: unicodedata.category(c) == unicodedata.ucd_3_2_0.category(c))


def put(name, **files):
    os.makedirs(os.path.join(folder, name))
    for kind, content in files.items():
        with open(os.path.join(folder, name, kind + ".json"), "w", encoding="utf-8") as f:
            json.dump(content, f)


def byte_of():
    """The byte-level alphabet, character to byte."""
    same = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in same]
    return {**{chr(b): b for b in same}, **{chr(256 + i): b for i, b in enumerate(rest)}}


def tekken():
    """The first pieces of Llama 3.2 as Mistral writes such a vocabulary, and as tokenizer.json with the same ids."""
    with open(os.path.join(shared, "vocab/hf/llama-3.2-1b-instruct/tokenizer.json"), encoding="utf-8") as f:
        llama = json.load(f)
    specials, pieces, byte = 100, 20000, byte_of()
    ranked = sorted(llama["model"]["vocab"].items(), key=lambda item: item[1])[:pieces]
    known = {piece for piece, _ in ranked}
    merges = [m.split(" ") if isinstance(m, str) else m for m in llama["model"]["merges"]]
    names = ["<unk>", "<s>", "</s>"] + [f"<SPECIAL_{i}>" for i in range(3, specials)]
    model = dict(llama["model"], vocab={**{n: i for i, n in enumerate(names)}, **{p: i + specials for p, i in ranked}},
                 merges=[m for m in merges if known.issuperset([*m, "".join(m)])])
    put("made_tekken",
        tokenizer=dict(llama, model=model, post_processor=None, added_tokens=[
            {"id": i, "content": n, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for i, n in enumerate(names)]),
        tekken={"config": {"pattern": llama["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"], "num_vocab_tokens": pieces,
                           "default_vocab_size": pieces + specials, "default_num_special_tokens": specials, "version": "v3"},
                "vocab": [{"rank": i, "token_bytes": base64.b64encode(bytes(byte[c] for c in p)).decode(), "token_str": None}
                          for p, i in ranked],
                "special_tokens": [{"rank": i, "token_str": n, "is_control": True} for i, n in enumerate(names)]})


tekken()


def fields(message):
    """The length-delimited fields of a Protocol Buffers message; others are passed over."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, message[at:at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += {1: 8, 5: 4}[key & 7]


def charsmap(path):
    with open(path, "rb") as f:
        normalizer = next(value for number, value in fields(f.read()) if number == 3)
    return base64.b64encode(next((value for number, value in fields(normalizer) if number == 2), b"")).decode()


UNICODE = "这是一个测试 日本語のテキスト カタカナ 한국어 문장 Привет мир Ⅷ ① ㎏ ｆｕｌｌ ﬁ é ½ 🙂 "
MARK = "\u2581"
SHAPES = {  # as XLM-R and multilingual e5, as T5, as a BPE-like pipeline with byte fallback has them
    "xlmr": dict(rule="nmt_nfkc", fallback=False, normalizers=[{"type": "Strip", "strip_left": False, "strip_right": True},
                                                               {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": MARK}],
                 pre={"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}),
    "t5": dict(rule="nmt_nfkc", fallback=False, normalizers=[],
               pre={"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                                                          {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True}]}),
    "fallback": dict(rule="nfkc_cf", fallback=True, normalizers=[{"type": "Prepend", "prepend": MARK},
                                                                 {"type": "Replace", "pattern": {"String": " "}, "content": MARK}],
                     pre=None),
}


def unigram(name, rule, fallback, normalizers, pre):
    with gzip.open(os.path.join(shared, "data/english/mix-valid.txt.gz"), "rt", encoding="utf-8") as f:
        lines = [line.strip() for _, line in zip(range(1500), f) if line.strip()] + [UNICODE] * 3
    prefix = os.path.join(folder, name)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=prefix, model_type="unigram", vocab_size=3000,
                                             normalization_rule_name=rule, byte_fallback=fallback, minloglevel=2, num_threads=1)
    model = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
    table = {"type": "Precompiled", "precompiled_charsmap": charsmap(prefix + ".model")}
    put("made_" + name, tokenizer={
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": model.id_to_piece(i), "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [table, *normalizers]}, "pre_tokenizer": pre, "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": fallback,
                  "vocab": [[model.id_to_piece(i), model.get_score(i)] for i in range(model.get_piece_size())]}})


for name, shape in SHAPES.items():
    unigram(name, **shape)
