"""What tools/make-defects and tools/make-clinical share: a fixed random stream, wordings, slips of the pen, writing of splits.

The stream is a 64-bit linear generator of our own, so that the rows stay the same whatever the Python version.
A wording list has two parts: what every split may say, and what only the test split says.
"""
import json
import os
import re
import sys


class Stream:
    """Random draws that depend on the seed alone (splitmix64)."""

    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed & self.MASK

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.bits() % n

    def chance(self, p):
        return self.bits() < p * (1 << 64)

    def pick(self, items):
        return items[self.below(len(items))]


class Words:
    """Wordings of one meaning: `known` stand in every split, `unseen` in the test split only."""

    def __init__(self, known, unseen=()):
        self.known, self.unseen = list(known), list(unseen)


class Writer:
    """Says things in the wordings of a split and remembers whether a test-only wording was used."""

    UNSEEN_SHARE = 0.12

    def __init__(self, stream, split):
        self.stream, self.split, self.unseen_used = stream, split, 0

    def say(self, words, **parts):
        choice = words.known
        if self.split == "test" and words.unseen and self.stream.chance(self.UNSEEN_SHARE):
            choice, self.unseen_used = words.unseen, self.unseen_used + 1
        return self.stream.pick(choice).format(**parts)


def slip(stream, word):
    """One slip of the pen inside a word: two letters swapped, one dropped or one doubled; the first letter stays."""
    at = 1 + stream.below(len(word) - 2)
    kind = stream.below(3)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2:]
    if kind == 1:
        return word[:at] + word[at + 1:]
    return word[:at] + word[at] + word[at:]


def scribble(stream, text, share):
    """The text with slips in about `share` of its longer words."""
    def touch(m):
        return slip(stream, m.group()) if stream.chance(share) else m.group()
    return re.sub(r"[a-z]{5,}", touch, text)


def held_out(combination, share):
    """Whether a combination of labels belongs to the test split: a fixed hash, so that it needs no table."""
    h = 0xCBF29CE484222325
    for byte in "/".join(combination).encode():
        h = ((h ^ byte) * 0x100000001B3) & Stream.MASK
    return Stream(h).chance(share)


def write_splits(name, make_row, sizes, seed, head, tail, argv):
    """make_row(writer, stream) gives (text, labels) or None to draw again; no text stands twice in any two splits."""
    out = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(argv[0])), "..", "data", name)
    os.makedirs(out, exist_ok=True)
    seen = set()
    for number, (split, size) in enumerate(sizes):
        stream = Stream(seed * 1000 + number)
        lines = []
        while len(lines) < size:
            writer = Writer(stream, split)
            row = make_row(writer, stream)
            if row is None or row[0].lower() in seen or (split == "test" and not writer.unseen_used):
                continue
            seen.add(row[0].lower())
            lines.append(json.dumps({"prompt": head + row[0] + tail, "completion": " " + json.dumps(row[1])}))
        path = os.path.join(out, split + ".jsonl")
        with open(path, "w", encoding="utf-8", newline="\n") as f:
            f.write("\n".join(lines) + "\n")
        print(f"{path}: {len(lines)} rows", file=sys.stderr)
