"""What is seen in frames of the demo's world, by plain image analysis: grounds, colours, shapes, motions."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .world import COLOURS, GROUNDS, LIGHT, SHAPES, SIZES, X, Y, distance_to

DIFFERENT = 0.13  # in any colour, from the ground
LEAST = 80  # pixels of a thing; the smallest has 600
UNLIKE = 0.15  # how far a colour may be from the one that it is called by
COVERED = 0.7  # of a thing and the shape that it is called by together, at least what they have in common
STILL, MOVED = 6.0, 20.0  # pixels in a chunk, at most and at least; what moves goes 32 or 45
JUMP = 20.0  # pixels between two looks that nothing goes


@dataclass(frozen=True)
class Seen:
    """A thing in a frame: the name of its colour, "" if it has none, its mean colour, its middle, its area in pixels,
    where it is."""

    name: str
    colour: np.ndarray
    x: float
    y: float
    area: float
    mask: np.ndarray


def ground_of(frame: np.ndarray) -> tuple[str, np.ndarray]:
    """The ground's name, "" if it has none, and its rows' colours (128, 1, 3): things leave half of a row to it."""
    rows = np.median(frame, axis=1, keepdims=True)
    colour = np.median(rows / LIGHT[:, :1], axis=(0, 1))
    return nearest(colour, GROUNDS), rows


def nearest(colour: np.ndarray, table: dict[str, tuple]) -> str:
    """The name of the colour (3,) that this one is like, "" where there is none."""
    far = {name: float(np.linalg.norm(colour - np.array(known))) for name, known in table.items()}
    name = min(far, key=far.get)
    return name if far[name] < UNLIKE else ""


def look(frames: np.ndarray) -> list[list[Seen]]:
    """What is seen in each of these frames."""
    return [things_of(frame) for frame in frames]


def things_of(frame: np.ndarray) -> list[Seen]:
    """What lies on the ground, the largest first; things of different colours are told apart where they touch."""
    _, rows = ground_of(frame)
    mask = np.abs(frame - rows).max(-1) > DIFFERENT
    names, palette = list(COLOURS), np.array(list(COLOURS.values()))
    likest = np.square(frame[:, :, None] - palette).sum(-1).argmin(-1)
    # Without their edges, which are of many colours.
    insides = {name: ndimage.binary_opening(mask & (likest == i), iterations=2) for i, name in enumerate(names)}
    found = []
    for closest, inside in insides.items():
        labels, count = ndimage.label(inside)
        others = np.any([other for key, other in insides.items() if key != closest], axis=0)
        for label in range(1, count + 1):
            core = labels == label
            part = ndimage.binary_dilation(core, iterations=3) & mask & ~others  # grown back to its edges
            if (area := float(part.sum())) >= LEAST:
                colour = frame[core].mean(0)
                name = nearest(colour, COLOURS)
                found.append(Seen(name, colour, float(X[part].mean()), float(Y[part].mean()), area, part))
    return sorted(found, key=lambda seen: -seen.area)


def size_of(seen: Seen) -> str:
    radius = np.sqrt(seen.area / np.pi)
    return min(SIZES, key=lambda size: abs(SIZES[size] - radius))


def shape_of(seen: Seen) -> str:
    """The shape that covers the thing best, of its own area, moved by a pixel at the most; "" where none covers it."""
    radius = np.sqrt(seen.area / np.pi)

    def overlap(shape):
        best = 0.0
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                drawn = distance_to(shape, (X - seen.x - dx) / radius, (Y - seen.y - dy) / radius) < 0
                best = max(best, (drawn & seen.mask).sum() / (drawn | seen.mask).sum())
        return best

    covered, shape = max((overlap(shape), shape) for shape in SHAPES)
    return shape if covered > COVERED else ""


def usual_shape(looks: list[list[Seen]], name: str) -> str:
    """The shape that the thing of a colour has in more than half of the frames, "" where it has none so often."""
    votes = Counter(shape_of(seen) for look in looks if (seen := largest(look, name)))
    return next((shape for shape, count in votes.items() if shape and 2 * count > len(looks)), "")


def follow(looks: list[list[Seen]], name: str) -> np.ndarray:
    """Where the thing of a colour is in each frame, (T, 2), NaN where it is not seen."""
    return np.array([(seen.x, seen.y) if (seen := largest(look, name)) else (np.nan, np.nan) for look in looks])


def largest(look: list[Seen], name: str) -> Seen | None:
    """The thing of a colour; what else has that colour is smaller."""
    return next((seen for seen in look if seen.name == name), None)


def apart(looks: list[list[Seen]], others: list[list[Seen]], name: str) -> np.ndarray:
    """Pixels between the things of a colour in two films, frame by frame; NaN where one is not seen."""
    return np.hypot(*(follow(looks, name) - follow(others, name)).T)


def motion_of(places: np.ndarray) -> str:
    """One of "left", "right", "up", "down", "still" for a path (T, 2) with a place every fourth frame; "lost" where it
    is often not seen, jumps, goes less far than anything that moves, or askew."""
    if (places := steady(places)) is None:
        return "lost"
    dx, dy = places[-1] - places[0]
    if np.ptp(places, axis=0).max() < STILL:
        return "still"
    if max(abs(dx), abs(dy)) < max(MOVED, 2 * min(abs(dx), abs(dy))):
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
    return bool(x > max(MOVED, 3 * y))


def steady(places: np.ndarray) -> np.ndarray | None:
    """The places where a thing is seen; None where that is in less than three of four frames, or where it jumps."""
    there = places[~np.isnan(places[:, 0])]
    if 4 * len(there) < 3 * len(places) or np.hypot(*np.diff(there, axis=0).T).max() > JUMP:
        return None
    return there
