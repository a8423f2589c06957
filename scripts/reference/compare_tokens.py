"""Holds the tokens of `dyttrain prepare` against those of Hugging Face `tokenizers`, over whole files.

Usage: compare_tokens.py DYTTRAIN gpt2|llama3 FOLDER FILE...     FOLDER has GPT-2's encoder.json and vocab.bpe; llama3:
                                                                 its vocabulary behind Llama 3's word pattern
       compare_tokens.py DYTTRAIN json FOLDER FILE...            FOLDER has a tokenizer.json

Files are UTF-8. The reference gets them in pieces, as it is slow with long texts. They end behind a letter, at the end
of a line where a pattern cuts words, as all begin anew there; at a space where spaces are marked (Llama 2), if no token
has a mark behind another character; not beside or inside special tokens; and where no place is safe, not at all. All
but the first get a letter in front, whose tokens are taken off again, so that a space in front is put in once.
Needs: pip install tokenizers."""
import array
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from make_tokenizers import level
from tokenizers import Tokenizer, decoders, models

PIECE, HEADER = 200000, 128


def make(kind, folder):
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe"),
                                               ignore_merges=kind == "llama3"))
    tokenizer.pre_tokenizer = level(kind)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def cut_before(parts):
    """The character before which a text can be cut; None: it cannot be."""
    before = parts["pre_tokenizer"]
    if before and before["type"] != "Metaspace":
        steps = before.get("pretokenizers", [before])
        return "\n" if any(step["type"] == "Split" or step.get("use_regex") for step in steps) else None
    return None if any(re.search("[^\u2581]\u2581", token) for token in parts["model"]["vocab"]) else " "


def is_safe(text, end, mark, names):
    """Can the text be cut at `end`? Names of special tokens neither end there nor go across."""
    return (text[end] == mark and text[end - 1].isalpha() and
            not any(name in text[max(end - len(name), 0):end + len(name) - 1] for name in names))


def pieces(text, parts):
    mark, names, at = cut_before(parts), [token["content"] for token in parts["added_tokens"]], 0
    while at < len(text):
        end = min(at + PIECE, len(text)) if mark else len(text)
        while end < len(text) and not is_safe(text, end, mark, names):
            end += 1
        yield at, text[at:end]
        at = end


def theirs(tokenizer, text, first):
    before = "" if first else "a"
    tokens = [tokenizer.encode(what, add_special_tokens=False).ids for what in (before, before + text)]
    return tokens[1][len(tokens[0]):]


def ours(program, tokenizer, file, work):
    out = Path(work) / "shards"
    subprocess.run([program, "prepare", "tokens", "--tokenizer", tokenizer, "--out", out, "--held-out", "0", file],
                   check=True, capture_output=True)
    tokens = []
    for shard in sorted(out.glob("train-*.tokens")):
        data = shard.read_bytes()
        width, count = struct.unpack_from("<I", data, 12)[0], struct.unpack_from("<Q", data, 32)[0]
        tokens += array.array({2: "H", 4: "I"}[width], data[HEADER:HEADER + width * count])
    return tokens


def main():
    program, kind, folder, files = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    for file in files:
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / "tokenizer.json"
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json")) if kind == "json" else make(kind, folder)
            tokenizer.save(str(path))
            have, at = ours(program, path, file, work), 0
            with open(file, encoding="utf-8", newline="") as source:
                text = source.read()
            for place, piece in pieces(text, json.loads(tokenizer.to_str())):
                want = theirs(tokenizer, piece, place == 0)
                got = have[at:at + len(want)]
                if got != want:
                    first = next(i for i, token in enumerate(want) if i >= len(got) or got[i] != token)
                    raise SystemExit(f"{file}: token {at + first}, behind character {place}: {got[first:first + 4]}, "
                                     f"not {want[first:first + 4]}: {tokenizer.decode(want[first:first + 4])!r}")
                at += len(want)
            if len(have) - at > 1:  # one ends the document
                raise SystemExit(f"{file}: {len(have) - at} tokens too many")
            print(f"{file}: {at} tokens, the same")


if __name__ == "__main__":
    main()
