# SPDX-License-Identifier: MIT
"""The GPT that nanoGPT trains, in PyTorch: the yardstick for accrete's GPT example.

Modules are created and initialised in nanoGPT's order, so that one seed gives both the same
numbers: with seed 1337 the losses that runs of nanoGPT report come out to every printed digit.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    layers: int
    heads: int
    width: int
    context: int
    batch: int
    vocabulary: int = 65
    bias: bool = False
    fused_attention: bool = True


PRESETS = {
    # nanoGPT's command line for a CPU.
    "shakespeare-cpu": dict(layers=4, heads=4, width=128, context=64, batch=12),
    # nanoGPT's configuration for a GPU (which has batch 64), at a batch that suits a CPU.
    "shakespeare": dict(layers=6, heads=6, width=384, context=256, batch=8),
}


class LayerNorm(nn.Module):
    """Layer normalisation with an optional shift."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    """Causal self-attention, by PyTorch's fused kernel or written out."""

    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.c_proj = nn.Linear(config.width, config.width, bias=config.bias)
        self.heads = config.heads
        self.fused = config.fused_attention
        future = torch.ones(config.context, config.context, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2)
                   for part in self.c_attn(x).split(width, dim=2))
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.future[:length, :length], -math.inf)
            y = functional.softmax(scores, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.width, config.width, bias=config.bias)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = LayerNorm(config.width, config.bias)
        self.attn = Attention(config)
        self.ln_2 = LayerNorm(config.width, config.bias)
        self.mlp = Mlp(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """Pre-norm GPT with learned positions and a head tied to the token embedding."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocabulary, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = LayerNorm(config.width, config.bias)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._initialise)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))

    @staticmethod
    def _initialise(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens, targets):
        """Mean cross-entropy in nats of `targets` (batch, length) given `tokens`."""
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1), device=tokens.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    def parameter_count(self):
        """nanoGPT's count: position embedding excluded, tied head counted once."""
        return sum(p.numel() for p in self.parameters()) - self.wpe.weight.numel()

    def flops_per_token(self):
        """Model FLOPs of forward and backward: 6 N + 12 L C T (PaLM, appendix B)."""
        c = self.config
        return 6 * self.parameter_count() + 12 * c.layers * c.width * c.context


def adamw(model, learning_rate=1e-3, **options):
    """nanoGPT's optimizer: decay on matrices and embeddings, none on vectors."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), **options)
