#!/usr/bin/python3
"""Ids of prompt/completion rows as a PyTorch user makes them with sentencepiece: both encoded as one text, the prompt's
part what its own ids and the whole's have in common.

Run: peer_rows.py TOKENIZER.model ROWS.jsonl OUT.txt; a line a row: prompt tokens, then all ids, BOS first, EOS last.
Exit status 77: no sentencepiece. Called by tests/text/test_rows_oracle.c.
"""
import json
import os
import sys

try:
    import sentencepiece
except ImportError:
    sys.exit(77)
sp = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
with open(sys.argv[3], "w") as out:
    for line in open(sys.argv[2]):
        row = json.loads(line)
        whole = sp.encode(row["prompt"] + row["completion"])
        k = len(os.path.commonprefix([sp.encode(row["prompt"]), whole]))
        print(k + 1, sp.bos_id(), *whole, sp.eos_id(), file=out)
