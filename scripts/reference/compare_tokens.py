"""Holds the tokens of `dyttrain prepare` against those of Hugging Face `tokenizers`, over whole files.

Usage: compare_tokens.py DYTTRAIN gpt2|llama3 FOLDER FILE...     FOLDER has GPT-2's encoder.json and vocab.bpe; llama3:
                                                                 its vocabulary behind Llama 3's word pattern
       compare_tokens.py DYTTRAIN json FOLDER FILE...            FOLDER has a tokenizer.json

Files are UTF-8. The reference gets them in pieces that end between a letter and the end of a line, where every pattern
begins anew. Needs: pip install tokenizers."""
import array
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


def pieces(text):
    at = 0
    while at < len(text):
        end = min(at + PIECE, len(text))
        while end < len(text) and not (text[end] == "\n" and text[end - 1].isascii() and text[end - 1].isalpha()):
            end += 1
        yield at, text[at:end]
        at = end


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
            for place, piece in pieces(text):
                want = tokenizer.encode(piece, add_special_tokens=False).ids
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
