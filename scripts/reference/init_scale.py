"""How much the blocks of an untrained ViT add to the residual stream, for docs/init.md: widths 64, 128 and 768, both
settings of model.init, LayerNorm and DyT, on random input.

Usage: init_scale.py"""
import torch

from vit_reference import make_vit

DEPTH, IMAGES = 4, 256


def draw(model, init):
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, 0, 0.02 if init == "paper" else (2 / (p.shape[0] + p.shape[1])) ** 0.5)


def shares(width, init, norm):
    """Per block: standard deviation of what attention and MLP add, over that of the stream they add it to."""
    torch.manual_seed(0)
    model = make_vit(norm, image=28, channels=1, patch=7, width=width, depth=DEPTH, heads=width // 32, classes=10,
                     alpha0=1.0)
    draw(model, init)
    stream, added = [], []
    for block in model.blocks:
        block.register_forward_hook(lambda _, inputs, output: stream.append(inputs[0].std().item()))
        block.register_forward_hook(lambda _, inputs, output: added.append((output - inputs[0]).std().item()))
    model(torch.randn(IMAGES, 1, 28, 28))
    return sum(a / s for a, s in zip(added, stream)) / DEPTH


def main():
    print("width  init    LayerNorm  DyT   (what a block adds, as a share of the stream, mean of 4 blocks)")
    for width in (64, 128, 768):
        for init in ("paper", "fan_in"):
            print(f"{width:5d}  {init:6s}  {100 * shares(width, init, 'layernorm'):7.1f} %"
                  f"  {100 * shares(width, init, 'dyt'):5.1f} %")


if __name__ == "__main__":
    main()
