"""Makes the numbers that tests/parity compares with: tiny seeded ViTs of timm, their logits, loss, gradients and ten
AdamW steps, in float64 and (losses) in float32. See README.md in this folder for how to run it.

Usage: make_vit_parity.py OUTPUT_FOLDER

Per case the folder gets CASE.json (settings in dyttrain's words, images' labels, logits, losses), and safetensors files
CASE.input (u8 images), CASE.weights (float32, the start), CASE.gradients (of the float64 loss, rounded to float32) and
CASE.trained (float64, after ten steps)."""
import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from vit_reference import decay_groups, make_vit

DIMS = dict(image=12, channels=3, patch=4, width=16, depth=2, heads=2, classes=5)
BATCH, STEPS = 6, 10
LR, BETAS, EPS, DECAY, SMOOTHING = 1e-3, (0.9, 0.999), 1e-8, 0.05, 0.1
MEAN, STD = 0.5, 0.25
CASES = {
    "layernorm": dict(norm="layernorm", pool="avg"),
    "layernorm_token": dict(norm="layernorm", pool="token"),
    "rmsnorm": dict(norm="rmsnorm", pool="avg"),
    "dyt": dict(norm="dyt", pool="avg"),
}


def draw_weights(model, rng):
    """No parameter is left at a special value (0, 1), so that a factor lost anywhere shows."""
    for name, p in model.named_parameters():
        noise = rng.standard_normal(p.shape)
        if p.ndim > 1 and "embed" not in name and "token" not in name:
            value = noise * np.sqrt(2.0 / (p[0].numel() + p.shape[0]))
        elif name.endswith("alpha"):
            value = 0.7 + 0.2 * noise
        elif "norm" in name and name.endswith("weight"):
            value = 1.0 + 0.2 * noise
        else:
            value = 0.2 * noise
        p.data = torch.from_numpy(value.astype(np.float32).astype(np.float64))


def arrays(model, pick, dtype):
    return {name: pick(p).detach().numpy().astype(dtype) for name, p in model.named_parameters()}


def loss_of(model, images, labels):
    logits = model(images)
    return logits, F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def train(model, images, labels):
    optimizer = torch.optim.AdamW(decay_groups(model, DECAY), lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, images, labels)[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def make_case(name, norm, pool, folder):
    rng = np.random.RandomState(20260101)
    model = make_vit(norm, pool=pool, **DIMS).double()
    draw_weights(model, rng)
    bytes_ = rng.randint(0, 256, (BATCH, DIMS["channels"], DIMS["image"], DIMS["image"])).astype(np.uint8)
    labels = rng.randint(0, DIMS["classes"], BATCH)
    images, label_tensor = torch.from_numpy((bytes_ / 255.0 - MEAN) / STD), torch.from_numpy(labels)

    save_file({"images": bytes_}, folder / f"{name}.input.safetensors")
    start = arrays(model, lambda p: p, np.float32)
    save_file(start, folder / f"{name}.weights.safetensors")
    logits, loss = loss_of(model, images, label_tensor)
    loss.backward()
    save_file(arrays(model, lambda p: p.grad, np.float32), folder / f"{name}.gradients.safetensors")
    losses64 = train(model, images, label_tensor)
    save_file(arrays(model, lambda p: p, np.float64), folder / f"{name}.trained.safetensors")

    small = make_vit(norm, pool=pool, **DIMS)
    small.load_state_dict({key: torch.from_numpy(value) for key, value in start.items()})
    losses32 = train(small, images.float(), label_tensor)
    settings = [
        "model.arch=vit", f"model.image={DIMS['image']}", f"model.patch={DIMS['patch']}",
        f"model.width={DIMS['width']}", f"model.depth={DIMS['depth']}", f"model.heads={DIMS['heads']}",
        f"model.pool={'mean' if pool == 'avg' else 'class'}", f"norm.kind={norm}", f"data.batch={BATCH}",
        f"train.label_smoothing={SMOOTHING}", "optim.kind=adamw", f"optim.lr={LR}", f"optim.betas={list(BETAS)}",
        f"optim.epsilon={EPS}", f"optim.weight_decay={DECAY}",
    ]
    case = dict(
        made_with=f"timm {timm.__version__}, torch {torch.__version__}", settings=settings,
        channels=DIMS["channels"], classes=DIMS["classes"], mean=MEAN, std=STD, labels=labels.tolist(),
        logits=logits.detach().flatten().tolist(), losses_float64=losses64, losses_float32=losses32)
    (folder / f"{name}.json").write_text(json.dumps(case, indent=1) + "\n")
    print(f"{name}: loss {losses64[0]:.6f} to {losses64[-1]:.6f}")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, case in CASES.items():
        make_case(name, **case, folder=folder)


if __name__ == "__main__":
    main()
