#!/usr/bin/env python3
"""Writes src/data/unicode_table.h: which code points are letters, numbers and white space, as the regular expressions of
Hugging Face `tokenizers` have it (pip install tokenizers). Usage: unicode_classes.py > src/data/unicode_table.h"""
import textwrap

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 256


def members(pattern):
    """The code points that the pattern matches: those that removing it leaves out."""
    split, found = Split(Regex(pattern), behavior="removed"), set()
    for i in range(0, len(CODES), 4096):
        part = CODES[i:i + 4096]
        left = set("".join(piece for piece, _ in split.pre_tokenize_str("".join(map(chr, part)))))
        found |= {c for c in part if chr(c) not in left}
    return found


def main():
    classes = bytearray(0x110000)
    for value, pattern in ((1, r"\p{L}"), (2, r"\p{N}"), (3, r"\s")):
        for code in members(pattern):
            classes[code] = value
    blocks, index = {}, []
    for i in range(0, len(classes), BLOCK):
        block = classes[i:i + BLOCK]
        packed = bytes(sum(block[j + k] << 2 * k for k in range(4)) for j in range(0, BLOCK, 4))
        index.append(blocks.setdefault(packed, len(blocks)))
    while len(index) > 1 and index[-1] == index[-2]:
        index.pop()
    print(f"/* Made by scripts/reference/unicode_classes.py with tokenizers {tokenizers.__version__}. Classes of code")
    print(f" * points: 0 other, 1 letter, 2 number, 3 white space; {BLOCK} in a block, four in a byte, lowest bits first.")
    print(" * Code points behind the index are of the class of its last block. */")
    for name, kind, values in (("unicode_index", "uint8_t", index),
                               ("unicode_block", "uint8_t", [b for block in blocks for b in block])):
        print(f"static const {kind} {name}[{len(values)}] = {{")
        print(textwrap.fill(", ".join(map(str, values)) + ",", 118, initial_indent="    ", subsequent_indent="    "))
        print("};")


main()
