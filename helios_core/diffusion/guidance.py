"""Classifier-free guidance on flows (B, C, T, H, W)."""

from torch import Tensor


def cfg(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Away from the unconditioned flow (arXiv 2207.12598)."""
    return uncond + scale * (cond - uncond)


def cfg_zero_star(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """The same, with the unconditioned flow first scaled to fit the conditioned one (arXiv 2503.18886, eq. 8)."""
    c, u = cond.float().flatten(1), uncond.float().flatten(1)
    fit = (c * u).sum(1) / (u.square().sum(1) + 1e-8)
    return cfg(cond, uncond * fit.to(cond.dtype).view(-1, *[1] * (cond.ndim - 1)), scale)
