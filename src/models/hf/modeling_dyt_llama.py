"""LLaMA with dyttrain's norm sites: DyT (gamma * tanh(alpha * x) + beta; Zhu et al., "Transformers without
Normalization", 2025) or another function where LLaMA has RMSNorm, and a learned factor behind the embedding.

dyttrain writes this file beside config.json and the weights:

    AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)

config.norms says for each site ("attention", "ffn", "final") what stands there."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

POINT_WISE = {
    "dyt": torch.tanh,
    "hardtanh": F.hardtanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda u: u,
    "derf": torch.erf,
    "isru": lambda u: u * torch.rsqrt(1 + u * u),
}
SHIFTED = {"derf"}  # kinds with a learned shift: f(alpha x + shift)


class SiteNorm(nn.Module):
    def __init__(self, width, epsilon, kind, alpha0=1.0, learn_alpha=True, gain=True, bias=False):
        super().__init__()
        self.kind, self.epsilon = kind, epsilon
        if kind in POINT_WISE:
            self.alpha = nn.Parameter(torch.full((1,), float(alpha0)), requires_grad=learn_alpha)
        if kind in SHIFTED:
            self.shift = nn.Parameter(torch.zeros(1))
        self.weight = nn.Parameter(torch.ones(width)) if gain else None
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def function(self, x):
        if self.kind in POINT_WISE:
            u = self.alpha.to(x.dtype) * x
            return POINT_WISE[self.kind](u + self.shift.to(x.dtype) if self.kind in SHIFTED else u)
        if self.kind == "layernorm":
            x = x - x.mean(-1, keepdim=True)
        elif self.kind != "rmsnorm":
            raise ValueError(f"a norm of kind {self.kind!r} is not known")
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)

    def forward(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        y = self.function(x.to(wide))
        if self.weight is not None:
            y = y * self.weight.to(wide)
        if self.bias is not None:
            y = y + self.bias.to(wide)
        return y.to(x.dtype)


class DytLlamaConfig(LlamaConfig):
    """LlamaConfig with `norms` and `embedding_scale`, which are kept as they stand in config.json."""

    model_type = "dyt_llama"


class DytLlamaModel(LlamaModel):
    config_class = DytLlamaConfig

    def __init__(self, config):
        super().__init__(config)

        def norm(site):
            return SiteNorm(config.hidden_size, config.rms_norm_eps, **config.norms[site])

        for layer in self.layers:
            layer.input_layernorm = norm("attention")
            layer.post_attention_layernorm = norm("ffn")
        self.norm = norm("final")
        if config.embedding_scale:
            self.embed_scale = nn.Parameter(torch.full((1,), config.hidden_size**0.5))

    def forward(self, input_ids=None, inputs_embeds=None, **others):
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        if self.config.embedding_scale:
            inputs_embeds = inputs_embeds * self.embed_scale.to(inputs_embeds.dtype)
        return super().forward(inputs_embeds=inputs_embeds, **others)


class DytLlamaForCausalLM(LlamaForCausalLM):
    config_class = DytLlamaConfig

    def __init__(self, config):
        super(LlamaForCausalLM, self).__init__(config)  # not LlamaForCausalLM's own, which makes a LlamaModel
        self.model = DytLlamaModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
