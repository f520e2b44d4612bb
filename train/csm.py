"""The language model's network: a CSM of small dimensions under the tensor names of transformers' checkpoints.

It is written out here so that training can look inside: `watch` returns the attention logits of chosen heads. Source of
the architecture: transformers, models/csm/modeling_csm.py.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from codes import BOOK, CODEBOOKS, USED

VOCAB = BOOK + 3                       # audio ids of one codebook: its codes and three that never occur
DIMS = dict(
    backbone=dict(layers=6, hidden=192, heads=6, kv_heads=3, head_dim=32, ff=512),
    depth=dict(layers=2, hidden=128, heads=4, kv_heads=2, head_dim=32, ff=256),
    theta=10000.0, eps=1e-5, window=2048,
)


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def linear(i, o):
    layer = nn.Linear(i, o, bias=False)
    nn.init.normal_(layer.weight, std=i ** -0.5)
    return layer


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.d = d
        self.q_proj = linear(d["hidden"], d["heads"] * d["head_dim"])
        self.k_proj = linear(d["hidden"], d["kv_heads"] * d["head_dim"])
        self.v_proj = linear(d["hidden"], d["kv_heads"] * d["head_dim"])
        self.o_proj = linear(d["heads"] * d["head_dim"], d["hidden"])

    def forward(self, x, rope, watch=0):
        """x: (B, T, hidden). `watch`: also return the attention logits of this many first heads, (B, watch, T, T)."""
        b, t, _ = x.shape
        d = self.d
        q = self.q_proj(x).view(b, t, d["heads"], d["head_dim"]).transpose(1, 2)
        k = self.k_proj(x).view(b, t, d["kv_heads"], d["head_dim"]).transpose(1, 2)
        v = self.v_proj(x).view(b, t, d["kv_heads"], d["head_dim"]).transpose(1, 2)
        q, k = turn(q, rope), turn(k, rope)
        group = d["heads"] // d["kv_heads"]
        keys, values = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        # Plain products: on a CPU they are faster at these lengths than the fused attention is.
        scores = q @ keys.transpose(2, 3) / math.sqrt(d["head_dim"])
        y = (scores + causal(t, x)).softmax(-1, dtype=scores.dtype) @ values
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1)), scores[:, :watch] if watch else None


def causal(t, x):
    """Mask (T, T) of what comes later, to be added to attention logits."""
    return torch.full((t, t), -1e4, device=x.device, dtype=torch.bfloat16).triu(1)


class Mlp(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.gate_proj, self.up_proj = linear(d["hidden"], d["ff"]), linear(d["hidden"], d["ff"])
        self.down_proj = linear(d["ff"], d["hidden"])

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.self_attn, self.mlp = Attention(d), Mlp(d)
        self.input_layernorm, self.post_attention_layernorm = Norm(d["hidden"], eps), Norm(d["hidden"], eps)

    def forward(self, x, rope, watch=0):
        y, scores = self.self_attn(self.input_layernorm(x), rope, watch)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), scores


class Stack(nn.Module):
    def __init__(self, d, theta, eps, window):
        super().__init__()
        self.layers = nn.ModuleList(Layer(d, eps) for _ in range(d["layers"]))
        self.norm = Norm(d["hidden"], eps)
        frequency = theta ** (-torch.arange(0, d["head_dim"], 2) / d["head_dim"])
        angles = torch.outer(torch.arange(window).float(), frequency).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # Start near the identity: what is written into the residual is small.
        for layer in self.layers:
            for out in (layer.self_attn.o_proj, layer.mlp.down_proj):
                out.weight.data.mul_(0.5 / math.sqrt(d["layers"]))

    def forward(self, x, watch=None):
        """x: (B, T, hidden). Returns the states and, by number of layer, the watched attention logits."""
        rope = (self.cos[:x.shape[1]], self.sin[:x.shape[1]])
        seen = {}
        for i, layer in enumerate(self.layers):
            x, seen[i] = layer(x, rope, (watch or {}).get(i, 0))
        return self.norm(x), seen


def turn(x, rope):
    """Rotary embedding in halves, as in transformers."""
    cos, sin = rope[0].to(x.dtype), rope[1].to(x.dtype)
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Csm(nn.Module):
    """Names of the parameters are those of the checkpoint."""

    def __init__(self, text_vocab, dims=DIMS):
        super().__init__()
        hidden, depth = dims["backbone"]["hidden"], dims["depth"]["hidden"]
        self.dims = dims
        self.embed_text_tokens = nn.Embedding(text_vocab, hidden)
        self.backbone_model = Stack(dims["backbone"], dims["theta"], dims["eps"], dims["window"])
        self.lm_head = linear(hidden, VOCAB)
        self.depth_decoder = nn.Module()
        self.depth_decoder.model = Stack(dims["depth"], dims["theta"], dims["eps"], CODEBOOKS + 1)
        self.depth_decoder.model.embed_tokens = nn.Embedding(CODEBOOKS * VOCAB, hidden)
        self.depth_decoder.model.inputs_embeds_projector = linear(hidden, depth)
        self.depth_decoder.codebooks_head = nn.Module()
        self.depth_decoder.codebooks_head.weight = nn.Parameter(torch.randn(CODEBOOKS - 1, depth, VOCAB) * 0.02)
        nn.init.normal_(self.embed_text_tokens.weight, std=0.5)
        nn.init.normal_(self.audio.weight, std=0.15)
        # A silent codebook adds nothing to a frame.
        self.audio.weight.data.view(CODEBOOKS, VOCAB, -1)[USED:] = 0
        self.lm_head.weight.data.mul_(0.3)
        self.register_buffer("offsets", torch.arange(CODEBOOKS) * VOCAB, persistent=False)

    @property
    def audio(self):
        return self.depth_decoder.model.embed_tokens

    def frames(self, codes):
        """Embeddings of frames (..., USED), as the sum over their codebooks."""
        return self.audio(codes + self.offsets[:USED]).sum(-2)

    def depth(self, hidden, codes):
        """States of the depth decoder, (N, n + 1, depth), for backbone states (N, hidden) and codes (N, n)."""
        given = self.audio(codes + self.offsets[:codes.shape[1]])
        x = torch.cat([hidden[:, None], given.to(hidden.dtype)], 1)
        return self.depth_decoder.model(self.depth_decoder.model.inputs_embeds_projector(x))[0]
