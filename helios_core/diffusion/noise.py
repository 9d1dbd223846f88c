"""Random numbers, in the reference's order: for each chunk the full-size noise, then each later stage's blocks."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .sigmas import GAMMA


def draw(shape: tuple[int, ...], generator: torch.Generator, device) -> Tensor:
    """Standard normal float32 numbers from `generator`, whose own device decides what they are, then moved."""
    return torch.randn(shape, generator=generator, device=generator.device).to(device)


def coarsest(noise: Tensor, stages: int) -> Tensor:
    """Full-size noise (B, C, T, H, W) as the first pyramid stage sees it: halved per stage, its variance kept."""
    for _ in range(stages - 1):
        noise = F.avg_pool3d(noise, (1, 2, 2)) * 2
    return noise


def block_noise(shape: tuple[int, ...], generator: torch.Generator, device) -> Tensor:
    """Noise (B, C, T, H, W) whose 2x2 blocks have covariance (1 + gamma) I - gamma.

    Added to nearest-upsampled latents it takes their blocks apart (arXiv 2410.05954, eq. 14). The matrix is
    singular, each block adds up to almost nothing, so that it is factored in float64: in float32 the factorization
    fails or depends on the machine.
    """
    b, c, t, h, w = shape
    eye = torch.eye(4, dtype=torch.float64)
    factor = torch.linalg.cholesky((1 + GAMMA + 1e-8) * eye - GAMMA).float()
    blocks = draw((b * c * t * (h // 2) * (w // 2), 4), generator, device) @ factor.T.to(device)
    return rearrange(blocks, "(b c t h w) (p q) -> b c t (h p) (w q)", b=b, c=c, t=t, h=h // 2, w=w // 2, p=2, q=2)
