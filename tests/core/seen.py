"""What is seen in the frames of the demo's films, in words; by the image analysis of its evaluation."""

from dataclasses import dataclass

import numpy as np
import torch

from training.measure import apart, follow, ground_of, look, motion_of, usual_shape
from training.world import Scene, Thing, make_film


@dataclass(frozen=True)
class Sight:
    """A chunk: its ground, and for each thing, the largest first, its colour, its shape and how it moves."""

    ground: str
    things: tuple[tuple[str, str, str], ...]

    @property
    def still(self) -> tuple[str, ...]:
        """(ground, colour and shape of the largest thing), however it moves; of a bounce one cannot tell."""
        return (self.ground, *(self.things[0][:2] if self.things else ()))


def seen(frames: np.ndarray) -> Sight:
    """Of a chunk's frames (33, H, W, 3) in 0..1."""
    looks = look(frames[::4])
    names = list(dict.fromkeys(thing.name for thing in looks[4]))
    things = tuple((n, usual_shape(looks[1::3], n), motion_of(follow(looks, n))) for n in names)
    return Sight(ground_of(frames[16])[0], things)


def distance(a: np.ndarray, b: np.ndarray, colour: str) -> float:
    """Pixels between the things of a colour in two frames (H, W, 3); both are there."""
    (pixels,) = apart(look([a]), look([b]), colour)
    assert not np.isnan(pixels), f"no {colour} thing"
    return float(pixels)


def drawn(thing: Thing, ground: str, chunks=1, right=0) -> torch.Tensor:
    """A film of the demo's world, as it would be drawn; moved to the right by so many pixels."""
    film = make_film([Scene(ground, (thing,))] * chunks, [1.0] * chunks, np.random.default_rng(3))
    return torch.from_numpy(np.roll(film, right, axis=2))
