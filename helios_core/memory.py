"""What a film needs to go on: its last frames, its anchor and the state of its random numbers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .config import HISTORY_LATENTS, SPATIAL_FACTOR, check_size


@dataclass(frozen=True)
class HistoryMemory:
    """A value: sampling makes a new one.

    `frames` (B, C, 19, H/8, W/8) are the last latent frames, oldest first, in model space, zeros where there is no
    past yet. `anchor` (B, C, 1, H/8, W/8) is the first frame of the film, None until there is one. `chunk` counts the
    chunks made. `rng_state` is the generator's after them, `seed` and `noise_device` what it was made with.
    """

    frames: Tensor
    anchor: Tensor | None = None
    chunk: int = 0
    seed: int | None = None
    noise_device: str = "cpu"
    rng_state: Tensor | None = None

    @classmethod
    def empty(cls, width: int, height: int, batch: int = 1, channels: int = 16) -> "HistoryMemory":
        """The beginning of a text-to-video film of width x height pixels, multiples of 16."""
        check_size(width, height, 16, "Helios' patches")
        size = height // SPATIAL_FACTOR, width // SPATIAL_FACTOR
        return cls(torch.zeros(batch, channels, HISTORY_LATENTS, *size))

    @property
    def width(self) -> int:
        return self.frames.shape[-1] * SPATIAL_FACTOR

    @property
    def height(self) -> int:
        return self.frames.shape[-2] * SPATIAL_FACTOR

    def anchor_or_zeros(self) -> Tensor:
        return torch.zeros_like(self.frames[:, :, :1]) if self.anchor is None else self.anchor

    def generator(self, seed: int, device: str = "cpu") -> torch.Generator:
        """The film's own random stream where seed and device are its own, else a new one."""
        generator = torch.Generator(device)
        if self.rng_state is not None and (seed, generator.device.type) == (self.seed, self.noise_device):
            generator.set_state(self.rng_state.cpu())
            return generator
        return generator.manual_seed(seed)

    def append(self, latents: Tensor, generator: torch.Generator, seed: int, renew_anchor: bool = False):
        """The memory after a chunk of latents (B, C, 9, H/8, W/8); `generator` made them from `seed`."""
        first = latents[:, :, :1].clone()
        return HistoryMemory(
            frames=torch.cat([self.frames, latents], dim=2)[:, :, -HISTORY_LATENTS:].clone(),
            anchor=first if self.anchor is None or renew_anchor else self.anchor,
            chunk=self.chunk + 1,
            seed=seed,
            noise_device=generator.device.type,
            rng_state=generator.get_state(),
        )

    def to(self, device) -> "HistoryMemory":
        """The same with its frames on another device."""
        anchor = None if self.anchor is None else self.anchor.to(device)
        return replace(self, frames=self.frames.to(device), anchor=anchor)
