"""Makes the numbers that tests/parity compares language models with: tiny seeded LLaMAs of transformers, their logits,
loss, gradients and ten AdamW steps, in float64 and (losses) in float32. See README.md in this folder for how to run it.

Usage: make_llama_parity.py OUTPUT_FOLDER

Per case the folder gets CASE.json (settings in dyttrain's words, tokens, targets, logits, losses), and safetensors
files CASE.weights (float32, the start), CASE.gradients (of the float64 loss, rounded to float32) and CASE.trained (float64,
after ten steps). transformers computes norms, rotations and the softmax in float32 whatever the model's type; for the
float64 numbers these are done in the model's type (`exact`), for the float32 ones nothing is changed."""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

WIDTH, DEPTH, HEADS, FFN, VOCABULARY, EPSILON = 16, 2, 4, 24, 23, 1e-6
BATCH, CONTEXT, STEPS = 3, 9, 10
LR, BETAS, EPS, DECAY = 1e-3, (0.9, 0.95), 1e-8, 0.1
CASES = {
    "llama_rmsnorm": dict(norm="rmsnorm", kv_heads=4, tied=False, theta=10000.0),
    "llama_shared": dict(norm="rmsnorm", kv_heads=2, tied=True, theta=500.0),
    "llama_dyt": dict(norm="dyt", kv_heads=1, tied=False, theta=10000.0),
}


class DyT(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return torch.tanh(self.alpha * x) * self.weight


class ExactNorm(nn.Module):
    """LlamaRMSNorm in the type of its input."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON))


class ExactRotary(nn.Module):
    def __init__(self, theta, size):
        super().__init__()
        self.frequency = theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)

    def forward(self, x, position_ids, *_, **__):
        angle = position_ids[..., None].double() * self.frequency
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)


def make_model(norm, kv_heads, tied, theta, exact):
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=DEPTH,
                         num_attention_heads=HEADS, num_key_value_heads=kv_heads, rms_norm_eps=EPSILON,
                         rope_theta=theta, tie_word_embeddings=tied, max_position_embeddings=CONTEXT,
                         attention_bias=False, use_cache=False, attn_implementation="eager")
    model = LlamaForCausalLM(config)
    make_norm = DyT if norm == "dyt" else ExactNorm if exact else None
    if make_norm:
        model.model.norm = make_norm(WIDTH)
    for layer in model.model.layers:
        if make_norm:
            layer.input_layernorm, layer.post_attention_layernorm = make_norm(WIDTH), make_norm(WIDTH)
        if exact:
            layer.self_attn.rotary_emb = ExactRotary(theta, WIDTH // HEADS)
    if norm == "dyt":
        model.model.embed_scale = nn.Parameter(torch.full((1,), WIDTH ** 0.5))
    return model.double() if exact else model


def logits_of(model, tokens):
    x = model.model.embed_tokens(tokens)
    if hasattr(model.model, "embed_scale"):
        x = x * model.model.embed_scale
    return model.lm_head(model.model(inputs_embeds=x).last_hidden_state)


def loss_of(model, tokens, targets):
    logits = logits_of(model, tokens)
    return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def draw_weights(model, rng):
    """No parameter is left at a special value (0, 1), so that a factor lost anywhere shows."""
    for name, p in model.named_parameters():
        noise = rng.standard_normal(p.shape)
        if name.endswith("alpha"):
            value = 0.7 + 0.2 * noise
        elif name.endswith("embed_scale"):
            value = WIDTH ** 0.5 + 0 * noise
        elif p.ndim == 1:
            value = 1.0 + 0.2 * noise
        else:
            value = noise * np.sqrt(2.0 / sum(p.shape))
        p.data = torch.from_numpy(value.astype(np.float32).astype(np.float64))


def arrays(model, pick, dtype):
    return {name: pick(p).detach().numpy().astype(dtype) for name, p in model.named_parameters()}


def train(model, tokens, targets):
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": DECAY},
              {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, tokens, targets)[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def in_own_type(softmax):
    return lambda x, dim=None, dtype=None, **_: softmax(x, dim=dim)


def make_case(name, folder, norm, kv_heads, tied, theta):
    rng = np.random.RandomState(20260102)
    tokens = torch.from_numpy(rng.randint(0, VOCABULARY, (BATCH, CONTEXT + 1)))
    tokens, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].clone()
    targets[-1, -2:] = -1
    softmax = F.softmax
    modeling_llama.nn.functional.softmax = in_own_type(softmax)
    model = make_model(norm, kv_heads, tied, theta, exact=True)
    draw_weights(model, rng)
    start = arrays(model, lambda p: p, np.float32)
    save_file(start, folder / f"{name}.weights.safetensors")
    logits, loss = loss_of(model, tokens, targets)
    loss.backward()
    save_file(arrays(model, lambda p: p.grad, np.float32), folder / f"{name}.gradients.safetensors")
    losses64 = train(model, tokens, targets)
    save_file(arrays(model, lambda p: p, np.float64), folder / f"{name}.trained.safetensors")
    modeling_llama.nn.functional.softmax = softmax

    small = make_model(norm, kv_heads, tied, theta, exact=False)
    small.load_state_dict({key: torch.from_numpy(value) for key, value in start.items()}, strict=not tied)
    losses32 = train(small, tokens, targets)
    settings = [
        "model.arch=llama", f"model.width={WIDTH}", f"model.depth={DEPTH}", f"model.heads={HEADS}",
        f"model.kv_heads={kv_heads}", f"model.ffn={FFN}", f"model.rope_theta={theta}",
        f"model.tied={str(tied).lower()}", f"model.embedding_scale={str(norm == 'dyt').lower()}", f"norm.kind={norm}",
        "norm.bias=false", f"norm.epsilon={EPSILON}", f"data.batch={BATCH}", "optim.kind=adamw", f"optim.lr={LR}",
        f"optim.betas={list(BETAS)}", f"optim.epsilon={EPS}", f"optim.weight_decay={DECAY}",
    ]
    case = dict(
        made_with=f"transformers {transformers.__version__}, torch {torch.__version__}", settings=settings,
        context=CONTEXT, vocabulary=VOCABULARY, tokens=tokens.flatten().tolist(), targets=targets.flatten().tolist(),
        logits=logits.detach().flatten().tolist(), losses_float64=losses64, losses_float32=losses32)
    (folder / f"{name}.json").write_text(json.dumps(case, indent=1) + "\n")
    print(f"{name}: loss {losses64[0]:.6f} to {losses64[-1]:.6f}, in float32 to {losses32[-1]:.6f}")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, case in CASES.items():
        make_case(name, folder, **case)


if __name__ == "__main__":
    main()
