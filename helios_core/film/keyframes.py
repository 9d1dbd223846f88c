"""Pictures that a film turns to while it runs: at a chunk's beginning they take the place of what it remembers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from .memory import NOISE, HistoryMemory, NoiseRange, add_noise


@dataclass(frozen=True, eq=False)
class Keyframe:
    """From chunk `start` on the film turns to a picture.

    `image` and `last` (1 or B, C, 1, H/8, W/8) are its latents as in `HistoryMemory.from_image`, or before they are
    encoded whatever an encoder makes them of. blend 0 is a cut: they become anchor and newest frame. In a blend of N
    chunks anchor and newest frame move there with the weights of a blended prompt, linspace(0, 1, N).
    """

    start: int
    image: Any
    last: Any = None
    blend: int = 0
    anchor_noise: NoiseRange | None = NOISE
    history_noise: NoiseRange | None = NOISE
    name: str = ""  # of its file, for the record

    def __post_init__(self):
        if not isinstance(self.start, int) or not isinstance(self.blend, int):
            raise ValueError(f"keyframe: start={self.start!r} and blend={self.blend!r} must be whole numbers of chunks")
        if self.start < 0:
            raise ValueError(f"keyframe: start={self.start}, chunks are counted from 0")
        if self.blend < 0 or self.blend == 1:
            raise ValueError("keyframe: a blend takes 2 chunks or more; for a change at once use cut")
        for name, noise in (("anchor_noise", self.anchor_noise), ("history_noise", self.history_noise)):
            if noise is not None and not 0 <= noise[0] <= noise[1] <= 1:
                raise ValueError(f"keyframe: {name}={noise}, a range within 0 and 1 is needed, the lower end first")

    def weight(self, chunk: int) -> float:
        """How far the newest frame moves to the picture at a chunk: 0 before it and behind it."""
        step = chunk - self.start
        if not 0 <= step < max(1, self.blend):
            return 0.0
        return step / (self.blend - 1) if self.blend else 1.0

    def apply(self, memory: HistoryMemory, seed: int) -> HistoryMemory:
        """The memory that the chunk after it is made from; the same object where nothing changes.

        `image` and `last` must be encoded by then. Raises ValueError for latents of another size, or with NaN.
        """
        weight = self.weight(memory.chunk)
        if weight == 0:
            return memory
        # On the CPU, so that a film that goes on from disk sees the same bits as one that was never away.
        device, memory = memory.frames.device, memory.to("cpu")
        for latent in (self.image, self.last):
            if latent.shape[1:2] + latent.shape[2:] != memory.frames.shape[1:2] + (1, *memory.frames.shape[3:]):
                raise ValueError(
                    f"keyframe at chunk {self.start}: its latents are {tuple(latent.shape)}, the film's frames "
                    f"{tuple(memory.frames[:, :, :1].shape)}"
                )
            if not torch.isfinite(latent).all():
                raise ValueError(
                    f"keyframe at chunk {self.start}: its latents have NaN or infinity in them; look for it in the "
                    "picture, and load the VAE in a higher precision if the picture is sound"
                )
        # Its own stream, the same in each of a blend's chunks: the film's is the same with and without keyframes.
        generator = torch.Generator().manual_seed((seed + 0x9E3779B97F4A7C15 * (self.start + 1)) % 2**64)
        image = add_noise(self.image.cpu(), self.anchor_noise, 1, generator)
        last = add_noise(self.last.cpu(), self.history_noise, 1, generator)
        newest = memory.frames[:, :, -1:].lerp(last.expand_as(memory.frames[:, :, -1:]), weight)
        # The anchor stays what it was moved to: a share of what is left each time makes even steps.
        share = 1 / (self.blend - memory.chunk + self.start) if self.blend else 1.0
        anchor = memory.anchor_or_zeros()
        anchor = anchor.lerp(image.expand_as(anchor), share)
        return replace(memory, frames=torch.cat([memory.frames[:, :, :-1], newest], dim=2), anchor=anchor).to(device)


def check_keyframes(keyframes: Sequence[Keyframe]) -> tuple[Keyframe, ...]:
    """In order of their starts; raises ValueError for two at one chunk."""
    ordered = tuple(sorted(keyframes, key=lambda k: k.start))
    for a, b in zip(ordered, ordered[1:]):
        if a.start == b.start:
            raise ValueError(f"schedule: two keyframes begin at chunk {a.start}; move or remove one of them")
    return ordered


def steer(memory: HistoryMemory, keyframes: Sequence[Keyframe], seed: int) -> HistoryMemory:
    """The memory for chunk `memory.chunk` as the last keyframe that has begun wants it."""
    begun = [k for k in keyframes if k.start <= memory.chunk]
    return max(begun, key=lambda k: k.start).apply(memory, seed) if begun else memory
