"""The Helios transformer (arXiv 2603.04379, section 3; reference: diffusers' HeliosTransformer3DModel).

What depends on the chunk only (the history's tokens and rotary tables) or on the prompt only (the text's keys and
values) is computed once, kept in `History` and `Text`, and handed to every step.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from .config import CHUNK_LATENTS, HISTORY, HISTORY_LATENTS, HeliosConfig
from .layers import Block, Head, sdpa
from .rope import as_rope, pad_to_multiple, pool_table, rope_table


class History:
    """The remembered frames as tokens (B, P, D), long, mid, anchor, short, and their complex rotary table (P, d/2)."""

    def __init__(self, tokens: Tensor, table: Tensor, rope_of_chunk):
        self.tokens = tokens
        self._table = table
        self._rope_of_chunk = rope_of_chunk
        self._tables = {}

    def rope(self, grid: tuple[int, int, int]) -> Tensor:
        """Table of the history and of a chunk of `grid` tokens (T, H, W) after it, made once per grid."""
        if grid not in self._tables:
            self._tables[grid] = torch.cat([self._table, self._rope_of_chunk(grid, self._table.device)])
        return self._tables[grid]

    def tokens_for(self, batch: int) -> Tensor:
        """Tokens for a larger batch: conditioned and unconditioned parts share one history."""
        times, rest = divmod(batch, self.tokens.shape[0])
        if rest:
            raise ValueError(f"a batch of {batch} does not divide by the history's {self.tokens.shape[0]}")
        return self.tokens.repeat(times, 1, 1)


class Text:
    """An embedded prompt: tokens (B, T, D) and, where memory allows, every block's keys and values."""

    def __init__(self, tokens: Tensor, keys_values: list[tuple[Tensor, Tensor]] | None):
        self.tokens = tokens
        self.keys_values = keys_values

    def of_block(self, i: int):
        return self.tokens if self.keys_values is None else self.keys_values[i]


class HeliosTransformer(nn.Module):
    """`operations` provides Linear, Conv3d, LayerNorm, RMSNorm and Embedding: torch.nn, or a host's own kinds.

    `dtype` is that of the large weights; norms, tables, patches and the time embedding stay at float32 or 16 bits.
    """

    def __init__(self, config: HeliosConfig, *, operations=torch.nn, device=None, dtype=None):
        super().__init__()
        self.config = config
        self.dtype = dtype or torch.get_default_dtype()
        dim, ops = config.dim, operations

        def patch(factor: int) -> nn.Module:
            size = tuple(factor * p for p in config.patch_size)
            return ops.Conv3d(config.in_channels, dim, size, stride=size, device=device, dtype=torch.float32)

        def linear(inputs: int, outputs: int, dtype=dtype) -> nn.Module:
            return ops.Linear(inputs, outputs, device=device, dtype=dtype)

        self.patch_embedding, self.patch_short = patch(1), patch(1)
        self.patch_mid, self.patch_long = patch(2), patch(4)
        self.text_embedding = nn.Sequential(linear(config.text_dim, dim), nn.GELU(approximate="tanh"), linear(dim, dim))
        self.time_embedding = nn.Sequential(
            linear(config.freq_dim, dim, torch.float32), nn.SiLU(), linear(dim, dim, torch.float32)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config, ops, device, dtype) for _ in range(config.num_layers))
        self.head = Head(config, ops, device, dtype)

    def forward(self, x: Tensor, timestep: Tensor, text: Text, history: History, attention=sdpa) -> Tensor:
        """Predict the flow of a noisy chunk.

        x (B, C, T, H, W) at the size of its pyramid stage, timestep (B,) in 0..1000. `attention` is a function
        (q, k, v, heads) -> out on (B, tokens, heads * D). Returns (B, C, T, H, W), in x's dtype.
        """
        past = history.tokens_for(x.shape[0])  # (B, P, D)
        tokens = self.patch_embedding(x.float()).to(x.dtype)  # (B, D, t, h, w)
        grid = tuple(tokens.shape[2:])
        rope = history.rope(grid)
        time, rows = self.embed_time(timestep, x.dtype)

        tokens = rearrange(tokens, "b d t h w -> b (t h w) d")
        for i in range(len(self.blocks)):
            past, tokens = self.run_block(i, past, tokens, rows, rope, text.of_block(i), attention)

        patches = self.head(tokens, time)
        (t, h, w), (p, q, r) = grid, self.config.patch_size
        return rearrange(patches, "b (t h w) (p q r c) -> b c (t p) (h q) (w r)", t=t, h=h, w=w, p=p, q=q, r=r)

    def run_block(self, i: int, past: Tensor, x: Tensor, rows: Tensor, rope: Tensor, text, attention):
        """One block; a host may override this to let others replace blocks."""
        return self.blocks[i](past, x, rows, rope, text, attention, last=i == len(self.blocks) - 1)

    def embed_time(self, timestep: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """timestep (B,) -> time (B, D) for the head, rows (2, B, 6, D): modulation of history and of the chunk."""
        batch = len(timestep)
        times = torch.cat([timestep.new_zeros(1) if self.config.zero_history_timestep else timestep, timestep])
        half = self.config.freq_dim // 2
        rates = torch.exp(-math.log(10000) / half * torch.arange(half, device=times.device, dtype=torch.float32))
        angles = times.float()[:, None] * rates
        time = self.time_embedding(torch.cat([angles.cos(), angles.sin()], dim=-1)).to(dtype)
        rows = self.time_projection(time).unflatten(-1, (6, -1))
        return time[-batch:], torch.stack([rows[:-batch].expand(batch, -1, -1), rows[-batch:]])

    def embed_history(self, frames: Tensor, anchor: Tensor, dtype: torch.dtype | None = None) -> History:
        """The tokens of the last 19 latent frames (B, C, 19, H, W), oldest first, and of the anchor (B, C, 1, H, W).

        Full size at every pyramid stage. Zero frames count as frames: a film begins with 19 of them.
        """
        dtype = dtype or frames.dtype
        long, mid, short = frames.float().split(HISTORY, dim=2)
        short = torch.cat([anchor.float(), short], dim=2)
        dims, theta = self.config.rope_dim, self.config.rope_theta
        height, width = (size // p for size, p in zip(frames.shape[-2:], self.config.patch_size[1:]))

        def embed(latents: Tensor, times: Tensor, patch: nn.Module, factor: int) -> tuple[Tensor, Tensor]:
            size = tuple(factor * p for p in self.config.patch_size)
            tokens = patch(pad_to_multiple(latents, size)).to(dtype)
            table = rope_table(times.to(latents.device), height, width, dims, theta)
            if factor > 1:
                table = pool_table(table, factor)
            return rearrange(tokens, "b d t h w -> b (t h w) d"), as_rope(table)

        anchor_time, long_times, mid_times, short_time, _ = torch.arange(1 + HISTORY_LATENTS + CHUNK_LATENTS).split(
            [1, *HISTORY, CHUNK_LATENTS]
        )
        parts = [
            embed(long, long_times, self.patch_long, 4),
            embed(mid, mid_times, self.patch_mid, 2),
            embed(short, torch.cat([anchor_time, short_time]), self.patch_short, 1),
        ]
        tokens, tables = zip(*parts)
        return History(torch.cat(tokens, dim=1), torch.cat(tables), self.rope_of_chunk)

    def rope_of_chunk(self, grid: tuple[int, int, int], device) -> Tensor:
        """Complex rotary table (T * H * W, d/2) of a chunk of `grid` tokens after the history."""
        t, h, w = grid
        times = torch.arange(1 + HISTORY_LATENTS, 1 + HISTORY_LATENTS + t, device=device)
        return as_rope(rope_table(times, h, w, self.config.rope_dim, self.config.rope_theta))

    def embed_text(self, context: Tensor, keep_keys_values: bool = True) -> Text:
        """context (B, T, text_dim), zeros after the last real token -> `Text`.

        The keys and values of all blocks take 4 * layers * B * T * D bytes at 16 bits (420 MB for one prompt of
        the 14B); without them every step computes them anew.
        """
        if context.shape[-1] != self.config.text_dim:
            raise ValueError(f"text embeddings are {context.shape[-1]} wide, this model needs {self.config.text_dim}")
        tokens = self.text_embedding(context)
        return Text(tokens, [b.cross_attn.keys_values(tokens) for b in self.blocks] if keep_keys_values else None)
