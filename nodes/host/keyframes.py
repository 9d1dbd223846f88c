"""A keyframe's picture, encoded once the size of the film is known."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...helios_core import PromptSchedule
from .vae import check_picture, encode_image


@dataclass(frozen=True)
class Picture:
    """A keyframe's picture before the size of the film is known; remembers what it was encoded to."""

    vae: Any
    image: torch.Tensor
    resize: str
    encoded: dict = field(default_factory=dict)

    def __post_init__(self):
        check_picture(self.image)

    def at(self, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
        if (width, height) not in self.encoded:
            self.encoded[width, height] = encode_image(self.vae, self.image, width, height, self.resize)
        return self.encoded[width, height]


def encode_keyframes(schedule: PromptSchedule, width: int, height: int) -> PromptSchedule:
    """The schedule with latents in place of pictures."""
    encoded = ((keyframe, keyframe.image.at(width, height)) for keyframe in schedule.keyframes)
    return replace(schedule, keyframes=tuple(replace(k, image=image, last=last) for k, (image, last) in encoded))
