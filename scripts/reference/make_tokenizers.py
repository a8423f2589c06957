#!/usr/bin/env python3
"""Small tokenizers of the supported kinds and what Hugging Face `tokenizers` makes of some texts with them.
Usage: make_tokenizers.py FOLDER (tests/data/tokenizers). Needs: pip install tokenizers."""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
TEXT = ("The quick brown fox jumps over the lazy dog, and it's not the dog's fault: they'll say we've seen 1234 of 'em. "
        "In the beginning there was nothing;\n\n    then there were four spaces.\r\nDas Größte ist über die Straße. "
        "return (x + y) * 2;\t// the rest of the line\n") * 3


def level(kind):
    if kind == "llama3":
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return pre_tokenizers.ByteLevel(add_prefix_space=kind == "prefix")


def byte_level(kind):
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    tokenizer.pre_tokenizer = level(kind)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[AddedToken("<|endoftext|>", normalized=False)]))
    return tokenizer


def byte_fallback(kind):
    mark = "\u2581"
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    words = [mark + word for word in TEXT.split(" ")] + [mark * 4, mark * 2]
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(
        vocab_size=420, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]))
    if kind == "llama2":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=mark, prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(mark, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    plain = json.loads(tokenizer.to_str())  # the bytes are ordinary tokens, as in Llama 2's file
    plain["added_tokens"] = [token for token in plain["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(plain))


def texts():
    rng = random.Random(1)
    codes = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    pool = [chr(c) for c in rng.sample(codes, 400)] + list("abc'sSdDtTlLrReEvVmM 019 \n\r\t !?.,\u017f\u00a0\u3000\u2581") * 20
    return [TEXT, "I'm they'LL 'tis 've'Re x  \n\n  y\r\n \r\n!\n?? a\u00a0b\u3000 c\u0085d\u180ee\u200bf 12345 ⅷ½ 你好 हिन्दी",
            "a" * 300 + " " * 101 + "\n" * 33 + "!" * 90 + "é" * 70 + "🙂👨\u200d👩\u200d👧" * 20 + "1" * 50 + "\r\n" * 9,
            " leading", "  two", "", " ", "\u2581x \u2581", "x<|endoftext|> y<|endoftext", "a</s> b<s><unk> <0x0A>",
            "".join(rng.choice(pool) for _ in range(4000))]


def main():
    folder = sys.argv[1]
    for kind in ("gpt2", "llama3", "prefix", "llama2", "metaspace"):
        tokenizer = (byte_fallback if kind in ("llama2", "metaspace") else byte_level)(kind)
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
        tokenizer.save(os.path.join(folder, kind, "tokenizer.json"), pretty=False)
        cases = [{"text": text, "tokens": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts()]
        with open(os.path.join(folder, kind, "expected.json"), "w") as out:
            json.dump(cases, out, separators=(",", ":"))
    model = json.load(open(os.path.join(folder, "gpt2", "tokenizer.json")))["model"]
    os.makedirs(os.path.join(folder, "pair"), exist_ok=True)
    with open(os.path.join(folder, "pair", "encoder.json"), "w") as out:
        json.dump(model["vocab"], out)
    with open(os.path.join(folder, "pair", "vocab.bpe"), "w") as out:
        out.write("#version: 0.2\n" + "\n".join(m if isinstance(m, str) else " ".join(m) for m in model["merges"]) + "\n")


if __name__ == "__main__":
    main()
