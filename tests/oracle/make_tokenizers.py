"""make_tokenizers.py SHARED FOLDER: tokenizer.json files of settings that no model of SHARED has; FOLDER/characters, texts of
every character of Unicode, and FOLDER/old_characters, of those that are as they were in Unicode 3.2 (see test_hf_tokenizers)."""
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
