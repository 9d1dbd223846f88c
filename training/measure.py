"""What is seen in frames of the demo's world, by plain image analysis: grounds, colours, shapes, motions."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .world import COLOURS, GROUNDS, LIGHT, SHAPES, SIZES, X, Y, distance_to

DIFFERENT = 0.13  # in any colour, from the ground
LEAST = 80  # pixels of a thing; the smallest has 600
STILL, MOVED = 6.0, 15.0  # pixels in a chunk, at most and at least; what moves goes 32 or 45
JUMP = 20.0  # pixels between two looks that nothing goes


@dataclass(frozen=True)
class Seen:
    """A thing in a frame: the name of its colour, its mean colour, its middle, its area in pixels, where it is."""

    name: str
    colour: np.ndarray
    x: float
    y: float
    area: float
    mask: np.ndarray


def ground_of(frame: np.ndarray) -> tuple[str, np.ndarray]:
    """The ground's name and its rows' colours (128, 1, 3): the median of a row is ground, since no thing is so wide."""
    rows = np.median(frame, axis=1, keepdims=True)
    colour = np.median(rows / LIGHT[:, :1], axis=(0, 1))
    return nearest(colour, GROUNDS), rows


def nearest(colour: np.ndarray, table: dict) -> str:
    return min(table, key=lambda name: float(np.square(colour - np.array(table[name])).sum()))


def things_of(frame: np.ndarray) -> list[Seen]:
    """What lies on the ground, the largest first; things of different colours are told apart where they touch."""
    _, rows = ground_of(frame)
    mask = np.abs(frame - rows).max(-1) > DIFFERENT
    names, palette = list(COLOURS), np.array(list(COLOURS.values()))
    closest = np.square(frame[:, :, None] - palette).sum(-1).argmin(-1)
    # Without their edges, which are of many colours.
    insides = {name: ndimage.binary_opening(mask & (closest == i), iterations=2) for i, name in enumerate(names)}
    found = []
    for name, inside in insides.items():
        labels, count = ndimage.label(inside)
        others = np.any([other for key, other in insides.items() if key != name], axis=0)
        for label in range(1, count + 1):
            core = labels == label
            part = ndimage.binary_dilation(core, iterations=3) & mask & ~others  # grown back to its edges
            if (area := float(part.sum())) >= LEAST:
                found.append(Seen(name, frame[core].mean(0), float(X[part].mean()), float(Y[part].mean()), area, part))
    return sorted(found, key=lambda seen: -seen.area)


def size_of(seen: Seen) -> str:
    radius = np.sqrt(seen.area / np.pi)
    return min(SIZES, key=lambda size: abs(SIZES[size] - radius))


def shape_of(seen: Seen) -> str:
    """The shape that covers the thing best, of its own area, moved by a pixel at the most."""
    radius = np.sqrt(seen.area / np.pi)

    def overlap(shape):
        best = 0.0
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                drawn = distance_to(shape, (X - seen.x - dx) / radius, (Y - seen.y - dy) / radius) < 0
                best = max(best, (drawn & seen.mask).sum() / (drawn | seen.mask).sum())
        return best

    return max(SHAPES, key=overlap)


def usual_shape(frames: np.ndarray, name: str) -> str:
    """The shape that the thing of a colour has in more than half of the frames, "" where it has none so often."""
    votes = Counter(shape_of(seen) for frame in frames if (seen := largest(frame, name)))
    return next((shape for shape, count in votes.items() if 2 * count > len(frames)), "")


def follow(frames: np.ndarray, name: str) -> np.ndarray:
    """Where the thing of a colour is in each frame, (T, 2), NaN where it is not seen."""
    return np.array([(seen.x, seen.y) if (seen := largest(frame, name)) else (np.nan, np.nan) for frame in frames])


def largest(frame: np.ndarray, name: str) -> Seen | None:
    """The thing of a colour; what else has that colour is smaller."""
    return next((seen for seen in things_of(frame) if seen.name == name), None)


def motion_of(places: np.ndarray) -> str:
    """One of "left", "right", "up", "down", "still" for a path (T, 2) with a place every fourth frame; "lost" where it
    is often not seen, jumps, or goes less far than anything that moves."""
    if (places := steady(places)) is None:
        return "lost"
    dx, dy = places[-1] - places[0]
    if np.ptp(places, axis=0).max() < STILL:
        return "still"
    if max(abs(dx), abs(dy)) < MOVED:
        return "lost"
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def is_motion(places: np.ndarray, asked: str) -> bool:
    """Whether a path is what was asked; a bounce goes to a side, or to one and back."""
    if asked != "bounce":
        return motion_of(places) == asked
    if (places := steady(places)) is None:
        return False
    x, y = np.ptp(places, axis=0)
    return bool(x > MOVED > y)


def steady(places: np.ndarray) -> np.ndarray | None:
    """The places where a thing is seen; None where that is in less than three of four frames, or where it jumps."""
    there = places[~np.isnan(places[:, 0])]
    if 4 * len(there) < 3 * len(places) or np.hypot(*np.diff(there, axis=0).T).max() > JUMP:
        return None
    return there
