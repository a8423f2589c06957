"""Trains a language model of bytes in PyTorch as a run of dyttrain trained it: the settings are read from the run's
folder, the windows are the same in the same order. See README.md in this folder for how to run it, and docs/results.md.

Usage: torch_llama.py RUN OUT [--weights FILE.safetensors] [--compile]

OUT gets a metrics.jsonl like the run's (scripts/plot_run.sh draws both). The weights begin at FILE's, in dyttrain's
names, else at numbers drawn from the same distributions by PyTorch with the run's seed. On a GPU, if PyTorch sees one.
--compile: blocks by torch.compile, which pays on a GPU."""
import argparse
import gzip
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional as F

GCIDE = "/usr/share/dictd/gcide.dict.dz"
SITES = "attention", "ffn", "final"


class Settings:
    """config.yaml of a run, every setting resolved. PyYAML reads 1e-08 as text."""

    def __init__(self, run):
        self.tree = yaml.safe_load((Path(run) / "config.yaml").read_text())
        for path, only in REQUIRED.items():
            if self(path) != only:
                raise SystemExit(f"{run}: {path} is {self(path)}, but this script knows only {only}")

    def __call__(self, path, missing=None):
        section, name = path.split(".") if "." in path else (None, path)
        return (self.tree[section] if section else self.tree).get(name, missing)

    def real(self, path):
        return float(self(path))

    def of_site(self, path, site):
        value = self(path)
        return value.get(site, value.get("default")) if isinstance(value, dict) else value


REQUIRED = {
    "model.arch": "llama", "model.init": "fan_in", "model.tied": False, "model.dropout": 0, "model.drop_path": 0,
    "model.rope_factor": 0, "norm.bias": False, "norm.gain": True, "norm.learn_alpha": True, "data.subset": 0,
    "data.drop_last": True, "train.ema": 0, "train.label_smoothing": 0, "optim.kind": "adamw",
    "optim.decay": "matrices", "optim.layer_decay": 1, "schedule.kind": "cosine", "schedule.warmup_kind": "linear",
    "data.stride": None, "data.eval_stride": None,
}


# --- the model: names and shapes are transformers' ---

class DyT(nn.Module):
    def __init__(self, width, alpha0):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), alpha0))
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return torch.tanh(self.alpha * x) * self.weight


class RMSNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


def make_norm(settings, site):
    kind = settings.of_site("norm.kind", site)
    if kind == "dyt":
        return DyT(settings("model.width"), float(settings.of_site("norm.alpha0", site)))
    if kind == "rmsnorm":
        return RMSNorm(settings("model.width"), settings.real("norm.epsilon"))
    raise SystemExit(f"norm.kind is {kind} at site {site}, but this script knows only dyt and rmsnorm")


def linear(inputs, outputs):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / (inputs + outputs)))
    return layer


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self, settings):
        super().__init__()
        width, self.heads, self.kv_heads = settings("model.width"), settings("model.heads"), settings("model.kv_heads")
        self.size = width // self.heads
        self.q_proj = linear(width, self.heads * self.size)
        self.k_proj = linear(width, self.kv_heads * self.size)
        self.v_proj = linear(width, self.kv_heads * self.size)
        self.o_proj = linear(width, width)

    def forward(self, x, cos, sin):
        batch, context, width = x.shape
        q = rotate(self.q_proj(x).view(batch, context, self.heads, self.size).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(batch, context, self.kv_heads, self.size).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(batch, context, self.kv_heads, self.size).transpose(1, 2)
        if self.kv_heads != self.heads:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        x = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        return self.o_proj(x.transpose(1, 2).reshape(batch, context, width))


class FeedForward(nn.Module):
    def __init__(self, settings):
        super().__init__()
        width, hidden = settings("model.width"), settings("model.ffn")
        self.gate_proj, self.up_proj = linear(width, hidden), linear(width, hidden)
        self.down_proj = linear(hidden, width)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.input_layernorm = make_norm(settings, SITES[0])
        self.post_attention_layernorm = make_norm(settings, SITES[1])
        self.self_attn, self.mlp = Attention(settings), FeedForward(settings)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, settings):
        super().__init__()
        width = settings("model.width")
        self.embed_tokens = nn.Embedding(settings("model.vocabulary"), width)
        nn.init.normal_(self.embed_tokens.weight, 0, 1 / math.sqrt(width))
        if settings("model.embedding_scale"):
            self.embed_scale = nn.Parameter(torch.full((1,), math.sqrt(width)))
        self.layers = nn.ModuleList(Block(settings) for _ in range(settings("model.depth")))
        self.norm = make_norm(settings, SITES[2])


class Llama(nn.Module):
    def __init__(self, settings):
        super().__init__()
        width, context = settings("model.width"), settings("data.context")
        size = width // settings("model.heads")
        self.model = Body(settings)
        self.lm_head = linear(width, settings("model.vocabulary"))
        frequency = settings.real("model.rope_theta") ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        bf16 = settings("precision.mode") == "bf16" and settings("precision.residual") == "bf16"
        self.stream = torch.bfloat16 if bf16 else torch.float32

    def forward(self, tokens):
        x = self.model.embed_tokens(tokens)
        if hasattr(self.model, "embed_scale"):
            x = x * self.model.embed_scale
        x = x.to(self.stream)
        for layer in self.model.layers:
            x = layer(x, self.cos, self.sin)
        return self.lm_head(self.model.norm(x))


# --- the text, and the order of its windows ---

def read_text(settings):
    """Training part and held-out part, as data/text.c cuts them."""
    path = settings("data.path") or (GCIDE if settings("data.kind") == "gcide" else None)
    if settings("data.kind") not in ("gcide", "text") or not Path(path).is_file():
        raise SystemExit("this script reads data.kind=gcide, or a file of data.kind=text")
    raw = Path(path).read_bytes()
    text = np.frombuffer(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, dtype=np.uint8)
    cut = len(text) - int(len(text) * settings.real("data.held_out"))
    return text[:cut], text[cut:]


def philox(key, counter):
    """Philox4x32-10's first word; 32-bit words in 64-bit arrays."""
    low = np.uint64(0xFFFFFFFF)
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = p1 >> np.uint64(32) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = p0 >> np.uint64(32) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) % 2 ** 32, (k1 + 0xBB67AE85) % 2 ** 32
    return c0


def feistel(seed, epoch, half_bits, value):
    order = 2  # DT_PURPOSE_ORDER
    key = (seed ^ order * 0x85EBCA6B) % 2 ** 32, (seed >> 32 ^ epoch >> 32) % 2 ** 32
    word, mask = np.zeros_like(value), np.uint64(2 ** half_bits - 1)
    left, right = value >> np.uint64(half_bits), value & mask
    for r in range(8):
        hashed = philox(key, (right, word + np.uint64(epoch % 2 ** 32), word + np.uint64(r), word))
        left, right = right, (left ^ hashed) & mask
    return left << np.uint64(half_bits) | right


def permute(seed, epoch, count, positions):
    """dt_permute of base/random.h, for an array."""
    half_bits = 1
    while count - 1 >> 2 * half_bits:
        half_bits += 1
    value = feistel(seed, epoch, half_bits, positions.astype(np.uint64))
    while (beyond := value >= count).any():
        value[beyond] = feistel(seed, epoch, half_bits, value[beyond])
    return value.astype(np.int64)


def training_windows(settings, size):
    """The window of every sample of the run, one step a row. `size`: bytes of the training part."""
    batch, count = settings("data.batch"), (size - 1) // settings("data.context")
    epoch_samples = count // batch * batch
    position = np.arange(settings("train.steps") * batch)
    windows = np.concatenate([permute(settings("seed"), int(epoch), count, position[position // epoch_samples == epoch]
                                      % epoch_samples) for epoch in np.unique(position // epoch_samples)])
    return windows.reshape(-1, batch)


def cut_windows(text, first, context):
    """Tokens and targets of windows that begin at `first`; behind the end of the text targets are -1."""
    at = first[:, None] + torch.arange(context + 1, device=text.device)
    piece = text[at.clamp(max=len(text) - 1)].long()
    return piece[:, :-1], piece[:, 1:].masked_fill(at[:, 1:] >= len(text), -1)


# --- training ---

def learning_rate(settings, step):
    warmup, steps = settings("schedule.warmup_steps"), settings("train.steps")
    least, most = settings.real("schedule.min_lr"), settings.real("optim.lr")
    if step < warmup:
        return most * step / (warmup - 1) if warmup > 1 else 0.0
    return least + (most - least) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def make_optimizer(settings, model, device):
    decay = settings.real("optim.weight_decay")
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
              {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    betas = tuple(float(b) for b in settings("optim.betas"))
    return torch.optim.AdamW(groups, betas=betas, eps=settings.real("optim.epsilon"), fused=device == "cuda" or None)


class Trainer:
    def __init__(self, settings, device, weights, compiled):
        torch.manual_seed(settings("seed"))
        self.settings, self.device = settings, device
        self.context, self.batch = settings("data.context"), settings("data.batch")
        train, self.held_out = (torch.from_numpy(t.copy()).to(device) for t in read_text(settings))
        self.train, self.windows = train, torch.from_numpy(training_windows(settings, len(train))).to(device)
        self.model = Llama(settings)
        if weights:
            from safetensors.torch import load_file
            self.model.load_state_dict(load_file(weights))
        self.model.to(device)
        for layer in self.model.model.layers if compiled else []:
            layer.compile()
        self.optimizer = make_optimizer(settings, self.model, device)
        self.bf16 = settings("precision.mode") == "bf16"

    def loss(self, tokens, targets, reduction):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            logits = self.model(tokens)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=reduction)

    def step(self, step):
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, step)
        loss = self.loss(*cut_windows(self.train, self.windows[step] * self.context, self.context), "mean")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip = self.settings.real("train.clip_norm")
        if clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self):
        """Every byte of the held-out part but the first is a target once."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        begins = torch.arange(0, len(self.held_out) - 1, self.context, device=self.device)
        begins = F.pad(begins, (0, -len(begins) % self.batch), value=len(self.held_out))  # of one shape, compiled once
        for first in begins.split(self.batch):
            total += self.loss(*cut_windows(self.held_out, first, self.context), "sum")
        return total.item() / (len(self.held_out) - 1)

    def run(self, out):
        every, log_every, steps = (self.settings(p) for p in ("eval.every_steps", "log.every_steps", "train.steps"))
        summed, began = 0.0, time.perf_counter()
        for step in range(1, steps + 1):
            summed = summed + self.step(step - 1)
            if step % log_every == 0 or step == steps:
                count = step % log_every or log_every
                out.write(json.dumps({"step": step, "loss": summed.item() / count,
                                      "lr": learning_rate(self.settings, step - 1)}) + "\n")
                summed = 0.0
            if every and step % every == 0 or step == steps:
                loss = self.evaluate()
                out.write(json.dumps({"step": step, "eval": {"loss": loss}}) + "\n")
                out.flush()
        return loss, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--compile", action="store_true")
    words = parser.parse_args()
    settings = Settings(words.run)
    words.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() and settings("device") != "cpu" else "cpu"
    trainer = Trainer(settings, device, words.weights, words.compile)
    with open(words.out / "metrics.jsonl", "w") as out:
        loss, seconds = trainer.run(out)
    print(f"{words.out}: torch {torch.__version__}, {device}, seed {settings('seed')}, eval loss {loss:.6f} after "
          f"{settings('train.steps')} steps, {seconds:.1f} s")


if __name__ == "__main__":
    main()
