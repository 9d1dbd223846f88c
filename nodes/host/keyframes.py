"""A keyframe's picture, encoded once the size of the film is known."""

from dataclasses import dataclass, replace
from typing import Any

import comfy.sd
import torch

from ...helios_core import PromptSchedule
from ...helios_core.film.fingerprint import fingerprint
from .recent import Recent
from .vae import check_picture, encode_image

KEPT = 32  # pictures of a VAE; one is 0.5 MB at 640x384

_encoded = Recent()


@dataclass(frozen=True)
class Picture:
    """A keyframe's picture before the size of the film is known; the same picture is not encoded again."""

    vae: Any
    image: torch.Tensor
    resize: str

    def __post_init__(self):
        check_picture(self.image)

    def at(self, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
        def encode():
            return encode_image(self.vae, self.image, width, height, self.resize)

        if type(self.vae) is not comfy.sd.VAE:  # of another pack: what may change in its place cannot be told
            return encode()
        key = fingerprint(self.image), width, height, self.resize, str(self.vae.vae_dtype)
        return _encoded.get(self.vae, key, encode, KEPT)


def encode_keyframes(schedule: PromptSchedule, width: int, height: int) -> PromptSchedule:
    """The schedule with latents in place of pictures."""
    encoded = ((keyframe, keyframe.image.at(width, height)) for keyframe in schedule.keyframes)
    return replace(schedule, keyframes=tuple(replace(k, image=image, last=last) for k, (image, last) in encoded))
