"""What holds at which chunk: the words, the pictures that the film turns to, and the seed."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS
from .keyframes import Keyframe, check_keyframes

# What nobody sees in pasted text: byte order marks, zero widths, directions of writing, controls.
INVISIBLE = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
ANY_INVISIBLE = re.compile(f"[{INVISIBLE}]")


@dataclass(frozen=True)
class Segment:
    """From chunk `start` on `prompt` holds, as text or as what an encoder made of `text`; blend 0 is a cut."""

    start: int
    prompt: Any
    blend: int = 0
    text: str = ""

    @property
    def words(self) -> str:
        """What it says; empty where only its embeddings are known."""
        return self.text or (self.prompt if isinstance(self.prompt, str) else "")


@dataclass(frozen=True)
class SeedChange:
    """From chunk `start` on the noise comes from the stream of another seed."""

    start: int
    seed: int


@dataclass(frozen=True)
class PromptSchedule:
    """Segments in order of their starts, the first at chunk 0, the pictures that the film turns to, and other seeds.

    `source` is the text it was read from, "" where there is none. Raises ValueError where two of a kind begin at once,
    where no segment begins at chunk 0, or where a blend takes one chunk.
    """

    segments: tuple[Segment, ...]
    keyframes: tuple[Keyframe, ...] = ()
    seeds: tuple[SeedChange, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self):
        odd = next((s for s in self.segments if not isinstance(s.start, int) or not isinstance(s.blend, int)), None)
        if odd is not None:
            raise ValueError(f"schedule: start={odd.start!r} and blend={odd.blend!r} must be whole numbers of chunks")
        object.__setattr__(self, "segments", tuple(sorted(self.segments, key=lambda s: s.start)))
        object.__setattr__(self, "keyframes", check_keyframes(self.keyframes))
        object.__setattr__(self, "seeds", tuple(sorted(self.seeds, key=lambda s: s.start)))
        starts = [s.start for s in self.segments]
        if starts and starts[0] < 0:
            raise ValueError(f"schedule: a prompt begins at chunk {starts[0]}; chunks are counted from 0")
        if not starts or starts[0] != 0:
            first = f"the first begins at chunk {starts[0]}" if starts else "there is none"
            raise ValueError(f"schedule: a prompt at chunk 0 is needed ({first})")
        doubled = next((a for a, b in zip(starts, starts[1:]) if a == b), None)
        if doubled is not None:
            raise ValueError(f"schedule: two prompts begin at chunk {doubled}; move or remove one of them")
        if self.segments[0].blend:
            raise ValueError("schedule: the first prompt has nothing to blend from; make it a cut")
        if any(s.blend < 0 or s.blend == 1 for s in self.segments):
            raise ValueError("schedule: a blend takes 2 chunks or more; for a change at once use cut")
        doubled = next((a.start for a, b in zip(self.seeds, self.seeds[1:]) if a.start == b.start), None)
        if doubled is not None:
            raise ValueError(f"schedule: two seeds begin at chunk {doubled}; remove one of them")

    def at(self, chunk: int) -> tuple[tuple[float, Any], ...]:
        """(weight, prompt) pairs of a chunk, weights above 0 and adding up to 1; more than one in a blend."""
        return tuple((weight, segment.prompt) for weight, segment in self._mix(chunk))

    def words_at(self, chunk: int) -> tuple[tuple[float, str], ...]:
        """`at` with what the prompts say."""
        return tuple((weight, segment.words) for weight, segment in self._mix(chunk))

    def seed_at(self, chunk: int, seed: int) -> int:
        """The seed of a chunk in a film that begins with `seed`."""
        return next((s.seed for s in reversed(self.seeds) if s.start <= chunk), seed)

    def picture_at(self, chunk: int) -> Keyframe | None:
        """The picture that a chunk turns to, or is on its way to."""
        begun = [k for k in self.keyframes if k.start <= chunk]
        return begun[-1] if begun and begun[-1].weight(chunk) else None

    def _mix(self, chunk: int) -> list[tuple[float, Segment]]:

        def share(segment: Segment) -> float:
            return min(1.0, (chunk - segment.start) / (segment.blend - 1)) if segment.blend else 1.0

        end = bisect_right(self.segments, chunk, key=lambda s: s.start)
        first = max(0, end - 1)
        while first and share(self.segments[first]) < 1:  # nothing is left of what was before a segment that is all
            first -= 1
        mixed = self.segments[first:end]
        weights = np.ones(len(mixed))
        for i, segment in enumerate(mixed[1:], 1):
            weights[:i] *= 1 - share(segment)
            weights[i] = share(segment)
        return [(w, s) for w, s in zip(weights.tolist(), mixed) if w > 0]

    def map(self, encode) -> "PromptSchedule":
        """The same with `encode(prompt)` in place of each prompt."""
        return replace(self, segments=tuple(replace(s, prompt=encode(s.prompt)) for s in self.segments))

    def unreached(self, end: int) -> "tuple[Segment | Keyframe | SeedChange, ...]":
        """What begins at chunk `end` or later, where a film that ends there shows none of it."""
        return tuple(x for kind in (self.segments, self.keyframes, self.seeds) for x in kind if x.start >= end)

    def describe_unreached(self, end: int, fps: float = FPS) -> str:
        """`unreached` as a sentence that names the first of them; empty where there is nothing to say."""
        left = self.unreached(end)
        if not left:
            return ""
        kinds = {Segment: "prompt", Keyframe: "picture", SeedChange: "seed"}
        totals = {name: sum(type(x) is kind for x in left) for kind, name in kinds.items()}
        counts = [f"{total} {name}{'s' * (total != 1)}" for name, total in totals.items() if total]
        named = [x for kind in kinds for x in [x for x in left if type(x) is kind][:3]]
        names = [
            f"{quote(x.words) if type(x) is Segment and x.words else f'the {kinds[type(x)]}'} at chunk {x.start}"
            for x in named
        ]
        rest = f" and {len(left) - len(named)} more" if len(left) > len(named) else ""
        return (
            f"The film ends before chunk {end} ({seconds(end, fps)}). "
            f"{_join(counts)} begin{'s' * (len(left) == 1)} later: {', '.join(names)}{rest}."
        )

    def describe(self, fps: float = FPS) -> str:
        """One line for each change: where it begins, how, and the beginning of its words."""
        lines = [
            (s.start, f"{f'blend {s.blend}' if s.blend else 'cut'}: {shorten(s.words, 100) or '(conditioning)'}")
            for s in self.segments
        ]
        lines += [
            (k.start, f"image {f'blend {k.blend}' if k.blend else 'cut'}: {shorten(k.name, 100) or '(picture)'}")
            for k in self.keyframes
        ]
        lines += [(s.start, f"seed {s.seed}") for s in self.seeds]
        return "\n".join(
            f"chunk {start} (frame {start * CHUNK_FRAMES}, {seconds(start, fps)}) {what}"
            for start, what in sorted(lines, key=lambda line: line[0])
        )


def blend_embeddings(mix: tuple[tuple[float, Tensor], ...]) -> Tensor:
    """Weighted sum of text embeddings (B, T, D); shorter ones are padded with zeros, as the text encoder pads."""
    length = max(e.shape[1] for _, e in mix)
    padded = [(w, torch.nn.functional.pad(e, (0, 0, 0, length - e.shape[1]))) for w, e in mix]
    return padded[0][1] if len(padded) == 1 else sum(w * e for w, e in padded)


def seconds(chunk: int, fps: float) -> str:
    """When a chunk begins."""
    return f"{chunk * CHUNK_FRAMES / fps:.2f} s"


def quote(text: str) -> str:
    """Its beginning in quotation marks."""
    return f"“{shorten(ANY_INVISIBLE.sub('', text[:100]), 40)}”"


def shorten(text: str, width: int) -> str:
    """Its beginning in one line, up to the end of a word where that is near."""
    start = " ".join(text[: 2 * width].split())
    if len(start) <= width and len(text) <= 2 * width:
        return start
    start = start[: width - 3]
    space = start.rfind(" ")
    return start[: space if space > width // 2 else None].rstrip() + "..."


def _join(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
