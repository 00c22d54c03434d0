"""make_tokenizers.py SHARED FOLDER: tokenizer.json files of settings that no model of SHARED has; FOLDER/characters, texts of
every character of Unicode, and FOLDER/old_characters, of those that are as they were in Unicode 3.2 (see test_hf_tokenizers)."""
import base64
import json
import os
import sys
import unicodedata

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
