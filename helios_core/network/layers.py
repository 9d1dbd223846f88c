"""The transformer's layers. Module names are Wan 2.1's, so that Wan's LoRAs find them.

Tokens come in two groups, `past` (the history) and `x` (the noisy chunk), because everything but attention and
the matrix products treats them differently: the history is modulated as clean and never sees the text.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .rope import apply_rope

Tokens = tuple[Tensor, Tensor]  # past (B, P, D), x (B, L, D)


def sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """PyTorch's attention on (B, L, heads * D) tensors: the default of every `attention` argument."""
    q, k, v = (rearrange(t, "b l (h d) -> b h l d", h=heads) for t in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b h l d -> b l (h d)")


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Layer norm without weights, then one row of modulation (B, 1, D) for all tokens; float32 inside."""
    if len(x) == 1:  # the norm's own weights do the same in one pass over x
        return F.layer_norm(x.float(), x.shape[-1:], 1 + scale.flatten(), shift.flatten(), eps).to(x.dtype)
    normed = F.layer_norm(x.float(), x.shape[-1:], eps=eps)
    return torch.addcmul(shift, normed, 1 + scale).to(x.dtype)


def gated(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    """x + gate * y; the gate's float32 makes it the sum's."""
    return torch.addcmul(x, y, gate).to(x.dtype)


class Attention(nn.Module):
    """Projections of both attentions; queries and keys are RMS-normed over all heads together."""

    def __init__(self, dim, heads, eps, ops, device, dtype, history_scales=0):
        super().__init__()
        self.num_heads, self.head_dim = heads, dim // heads
        self.q = ops.Linear(dim, dim, device=device, dtype=dtype)
        self.k = ops.Linear(dim, dim, device=device, dtype=dtype)
        self.v = ops.Linear(dim, dim, device=device, dtype=dtype)
        self.o = ops.Linear(dim, dim, device=device, dtype=dtype)
        small = small_dtype(dtype)
        self.norm_q = ops.RMSNorm(dim, eps=eps, elementwise_affine=True, device=device, dtype=small)
        self.norm_k = ops.RMSNorm(dim, eps=eps, elementwise_affine=True, device=device, dtype=small)
        if history_scales:
            self.history_key_scale = ops.Embedding(1, history_scales, device=device, dtype=torch.float32)


class SelfAttention(Attention):
    def forward(self, y: Tensor, rope: Tensor, past: int, attention, first: int = 0) -> Tensor:
        """y (B, P + L, D), complex rope (P + L, head / 2) -> (B, P + L - first, D).

        Tokens before `first` answer but do not ask: the last block needs nothing of the history but its keys.
        """
        q = rearrange(self.norm_q(self.q(y[:, first:])), "b l (h d) -> b l h d", h=self.num_heads)
        q = apply_rope(q, rope[first:]).flatten(2)
        k = rearrange(self.norm_k(self.k(y)), "b l (h d) -> b l h d", h=self.num_heads)
        k = apply_rope(k, rope)
        if hasattr(self, "history_key_scale"):
            k = torch.cat([k[:, :past] * self.history_amplification(k), k[:, past:]], dim=1)
        return self.o(attention(q, k.flatten(2), self.v(y), self.num_heads))

    def history_amplification(self, k: Tensor) -> Tensor:
        """Factor on the history's keys, between 1 and 10, as (1, heads or 1, 1)."""
        p = self.history_key_scale(torch.zeros(1, dtype=torch.long, device=k.device)).float()
        return (1 + 9 * torch.sigmoid(p)).view(1, -1, 1).to(k.dtype)


class CrossAttention(Attention):
    def keys_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """What the text (B, T, D) answers with; the same at every step and chunk of a prompt."""
        return self.norm_k(self.k(text)), self.v(text)

    def forward(self, y: Tensor, text, attention) -> Tensor:
        """y (B, L, D); `text` is a (B, T, D) tensor or its (keys, values)."""
        k, v = self.keys_values(text) if isinstance(text, Tensor) else text
        return self.o(attention(self.norm_q(self.q(y)), k, v, self.num_heads))


class Block(nn.Module):
    def __init__(self, config, ops, device, dtype):
        super().__init__()
        self.eps = config.eps
        self.text_for_history = not config.guidance_cross_attn
        dim, heads = config.dim, config.num_attention_heads
        scales = {"per_head": heads, "scalar": 1}[config.history_scale_mode] if config.is_amplify_history else 0
        self.self_attn = SelfAttention(dim, heads, config.eps, ops, device, dtype, history_scales=scales)
        self.cross_attn = CrossAttention(dim, heads, config.eps, ops, device, dtype)
        self.norm3 = (
            ops.LayerNorm(dim, eps=config.eps, device=device, dtype=torch.float32)
            if config.cross_attn_norm
            else nn.Identity()
        )
        self.ffn = nn.Sequential(
            ops.Linear(dim, config.ffn_dim, device=device, dtype=dtype),
            nn.GELU(approximate="tanh"),
            ops.Linear(config.ffn_dim, dim, device=device, dtype=dtype),
        )
        # A table in a leaf module: ComfyUI moves, casts and patches leaves only.
        self.modulation = ops.Embedding(6, dim, device=device, dtype=torch.float32)

    def forward(self, past: Tensor, x: Tensor, rows: Tensor, rope: Tensor, text, attention, last=False) -> Tokens:
        """past (B, P, D), x (B, L, D), rows (2, B, 6, D): the time's modulation of past and x.

        `text` is a (B, T, D) tensor or its (keys, values). The `last` block leaves the history alone, for
        nobody reads it afterwards; it comes back empty.
        """
        table = self.modulation(torch.arange(6, device=x.device)).float()
        of_past, of_x = ((table + row.float()).unsqueeze(2).unbind(1) for row in rows)  # six (B, 1, D) each

        y = torch.cat([modulate(past, *of_past[0:2], self.eps), modulate(x, *of_x[0:2], self.eps)], dim=1)
        length = past.shape[1]
        y = self.self_attn(y, rope, length, attention, first=length if last else 0)
        past = past[:, length:] if last else past
        length = past.shape[1]
        past, x = gated(past, y[:, :length], of_past[2]), gated(x, y[:, length:], of_x[2])

        if self.text_for_history:
            y = self.cross_attn(self.norm3(torch.cat([past, x], dim=1).float()).to(x.dtype), text, attention)
            past, x = past + y[:, :length], x + y[:, length:]
        else:
            x = x + self.cross_attn(self.norm3(x.float()).to(x.dtype), text, attention)

        # One call for both groups: with offloaded weights a second one would fetch them again.
        y = torch.cat([modulate(past, *of_past[3:5], self.eps), modulate(x, *of_x[3:5], self.eps)], dim=1)
        y = self.ffn(y)
        return gated(past, y[:, :length], of_past[5]), gated(x, y[:, length:], of_x[5])


class Head(nn.Module):
    def __init__(self, config, ops, device, dtype):
        super().__init__()
        self.eps = config.eps
        t, h, w = config.patch_size
        self.head = ops.Linear(config.dim, config.out_channels * t * h * w, device=device, dtype=small_dtype(dtype))
        self.modulation = ops.Embedding(2, config.dim, device=device, dtype=torch.float32)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, L, D), time (B, D) -> (B, L, patch * channels)."""
        table = self.modulation(torch.arange(2, device=x.device)).float()
        shift, scale = (table + time.float()[:, None]).unsqueeze(2).unbind(1)
        return self.head(modulate(x, shift, scale, self.eps))


def small_dtype(dtype: torch.dtype | None) -> torch.dtype | None:
    """Never below 16 bits: a norm or the head in fp8 saves nothing and costs the picture."""
    return torch.float32 if dtype is not None and dtype.itemsize < 2 else dtype
