"""Rotary position tables: 3-D positions of the noisy chunk, pooled ones of the older history."""

import torch
import torch.nn.functional as F
from torch import Tensor


def rope_table(times: Tensor, height: int, width: int, dims: tuple[int, int, int], theta: float) -> Tensor:
    """Angles of a (time, y, x) grid as cosine and sine.

    `times` (T,) are the frames' positions in the window; rows and columns count from 0. Returns float32
    (2, T, height, width, sum(dims) / 2): half the channels, since a pair of channels shares one angle.
    """

    def angles(positions: Tensor, dim: int) -> Tensor:
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=times.device) / dim
        return positions.float()[:, None] * (1.0 / theta**exponents)

    t, y, x = dims
    grid = (len(times), height, width)
    rows, columns = torch.arange(height, device=times.device), torch.arange(width, device=times.device)
    table = torch.cat(
        [
            angles(times, t)[:, None, None].expand(*grid, -1),
            angles(rows, y)[None, :, None].expand(*grid, -1),
            angles(columns, x)[None, None, :].expand(*grid, -1),
        ],
        dim=-1,
    )
    return torch.stack([table.cos(), table.sin()])


def pool_table(table: Tensor, factor: int) -> Tensor:
    """Average a table over `factor`^3 cells, edges repeated: the place of a token that covers them all.

    The mean of unit vectors is shorter than 1: a pooled token is also turned less sharply (reference:
    `center_down_sample_3d` on the tables, not on the positions).
    """
    cells = table.movedim(-1, 1)  # (2, D/2, T, H, W)
    return F.avg_pool3d(pad_to_multiple(cells, (factor,) * 3), factor).movedim(1, -1)


def as_rope(table: Tensor) -> Tensor:
    """A table (2, T, H, W, D/2) as complex numbers (T * H * W, D/2), to turn tokens by in one product."""
    return torch.complex(*table.flatten(1, 3))


def pad_to_multiple(x: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """Repeat the last frame, row and column of (..., T, H, W) until each length divides."""
    t, h, w = (-n % size for n, size in zip(x.shape[-3:], sizes))
    return F.pad(x, (0, w, 0, h, 0, t), mode="replicate") if t or h or w else x


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Turn each pair of channels of x (B, L, heads, D) by the complex rope (L, D/2); float32 inside, x's dtype out."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, L, heads, D/2)
    return torch.view_as_real(pairs * rope[:, None]).flatten(-2).to(x.dtype)
