"""The reference side of our ViT: timm's own VisionTransformer with a chosen function at every norm site.

The norm modules are written from their definitions (DyT: arXiv 2503.10622, section 4; RMSNorm: arXiv 1910.07467), not
taken from any repository. The other scripts of this folder import this one."""
from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn


class DyT(nn.Module):
    """weight * tanh(alpha x) + bias, alpha one number per layer."""

    def __init__(self, channels, alpha0=0.5, **_):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), float(alpha0)))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.weight * torch.tanh(self.alpha * x) + self.bias


class RMSNorm(nn.Module):
    """weight * x / sqrt(mean(x^2) + eps)."""

    def __init__(self, channels, eps=1e-6, **_):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


def make_vit(norm, *, image, channels, patch, width, depth, heads, classes, pool="avg", alpha0=0.5):
    """Class token always present; pool "avg" is the head on the mean of the patch tokens, the norm after pooling."""
    kinds = {"layernorm": partial(nn.LayerNorm, eps=1e-6), "rmsnorm": RMSNorm, "dyt": partial(DyT, alpha0=alpha0)}
    return VisionTransformer(
        img_size=image, patch_size=patch, in_chans=channels, num_classes=classes, global_pool=pool, embed_dim=width,
        depth=depth, num_heads=heads, mlp_ratio=4.0, qkv_bias=True, class_token=True, norm_layer=kinds[norm])


def decay_groups(model, weight_decay):
    """Matrices decay, everything else (biases, norm parameters, position embedding, class token) does not."""
    decayed, others = [], []
    for name, p in model.named_parameters():
        (decayed if p.ndim > 1 and name not in ("pos_embed", "cls_token") else others).append(p)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
