"""What is seen in the frames of the demo's films, in words; by the image analysis of its evaluation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from training.measure import follow, ground_of, largest, motion_of, things_of, usual_shape

DEMO = Path(__file__).parents[2] / "demo"
trained = pytest.mark.skipif(
    not (DEMO / "EVAL.md").exists(), reason="the demo is still in training: there is no demo/EVAL.md"
)


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
    middle = frames[len(frames) // 2]
    names = list(dict.fromkeys(thing.name for thing in things_of(middle)))
    things = tuple((n, usual_shape(frames[4::12], n), motion_of(follow(frames[::4], n))) for n in names)
    return Sight(ground_of(middle)[0], things)


def distance(a: np.ndarray, b: np.ndarray, colour: str) -> float:
    """Pixels between the things of a colour in two frames (H, W, 3); both are there."""
    one, other = largest(a, colour), largest(b, colour)
    assert one and other, f"no {colour} thing"
    return float(np.hypot(one.x - other.x, one.y - other.y))
