"""The colours of the demo's latents, for previews without a VAE: python -m training.preview prints them.

A linear map from the 16 channels of a latent to the RGB that is decoded from it, by least squares: what ComfyUI calls
latent_rgb_factors and latent_rgb_factors_bias. The numbers are in nodes/host/demo.py.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helios_core.files import demo_folder
from helios_core.media.codecs import VideoCodec

from .world import make_film, random_scene


def colours_of(latents: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """A chunk's latents (1, 16, 9, h, w) and the frames (33, 8h, 8w, 3) in 0..1 decoded from them -> rows of channels
    (N, 16) and the mean RGB (N, 3) in -1..1 of the pixels that each stands for. Without the first latent, which stands
    for one frame where others do for four, and has a code of its own."""
    colours = F.avg_pool3d(frames[1:].movedim(-1, 0)[None] * 2 - 1, (4, 8, 8))
    return tuple(x.movedim(1, -1).flatten(0, -2) for x in (latents[:, :, 1:], colours))


def fit(codec: VideoCodec, films: int = 60, seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """(factors (16, 3), bias (3,), root mean square error) over random films of one chunk."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(films):
        latents = codec.encode(torch.from_numpy(make_film([random_scene(rng)], [1.0], rng)))
        rows.append(colours_of(latents, codec.decode(latents)))
    channels, colours = (torch.cat(x).double() for x in zip(*rows))
    channels = F.pad(channels, (0, 1), value=1.0)
    solution = torch.linalg.lstsq(channels, colours).solution
    error = (channels @ solution - colours).square().mean().sqrt()
    return solution[:-1], solution[-1], float(error)


if __name__ == "__main__":
    factors, bias, error = fit(VideoCodec(demo_folder() / "vae.safetensors"))
    for row in factors.tolist():
        print([round(x, 4) for x in row], end=",\n")
    print("bias", [round(x, 4) for x in bias.tolist()], f"error {error:.3f} of -1..1")
