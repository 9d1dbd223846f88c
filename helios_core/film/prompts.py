"""What is said at which chunk: the prompt schedule and its text form.

    # one line a segment:  start [transition]: prompt
    0: a lighthouse at dawn, calm sea
    4 blend 3: the same lighthouse in a storm,
        waves breaking over the rocks
    12s cut: inside, the keeper climbs the stairs

A start is a chunk (`4`), seconds (`12s`) or frames (`264f`), rounded up to the next chunk. A transition is `cut` (the
default) or `blend N`: over N chunks the text embeddings move from the old prompt to the new one, with weights
linspace(0, 1, N), so that the first of them still has the old one (as in the reference's interactive mode).
"""

import math
import re
import textwrap
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS
from .keyframes import Keyframe, check_keyframes

_START = r"(?P<start>\d{1,9}(?:\.\d{1,9})?)\s*(?P<unit>s|f)?"
_TRANSITION = r"(?:\s+(?P<transition>[A-Za-z]\w*)(?:\s+(?P<count>[-+]?\d{1,9}(?:\.\d+)?))?)?"
_SEGMENT = re.compile(rf"^{_START}{_TRANSITION}\s*[:\uff1a](?P<prompt>.*)$", re.S | re.A)


@dataclass(frozen=True)
class Segment:
    """From chunk `start` on `prompt` holds, as text or as what an encoder made of `text`; blend 0 is a cut."""

    start: int
    prompt: Any
    blend: int = 0
    text: str = ""


@dataclass(frozen=True)
class PromptSchedule:
    """Segments in order of their starts, the first at chunk 0, and the pictures that the film turns to."""

    segments: tuple[Segment, ...]
    keyframes: tuple[Keyframe, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "segments", tuple(sorted(self.segments, key=lambda s: s.start)))
        object.__setattr__(self, "keyframes", check_keyframes(self.keyframes))
        starts = [s.start for s in self.segments]
        if not starts or starts[0] != 0:
            first = f"the first begins at chunk {starts[0]}" if starts else "there is none"
            raise ValueError(f"schedule: a prompt at chunk 0 is needed ({first})")
        doubled = [a for a, b in zip(starts, starts[1:]) if a == b]
        if doubled:
            raise ValueError(f"schedule: two prompts begin at chunk {doubled[0]}; move or remove one of them")
        if self.segments[0].blend:
            raise ValueError("schedule: the first prompt has nothing to blend from; make it a cut")
        if any(s.blend < 0 or s.blend == 1 for s in self.segments):
            raise ValueError("schedule: a blend takes 2 chunks or more; for a change at once use cut")

    def at(self, chunk: int) -> tuple[tuple[float, Any], ...]:
        """(weight, prompt) pairs of a chunk, weights above 0 and adding up to 1; more than one in a blend."""
        mix: list[tuple[float, Any]] = []
        for segment in self.segments:
            if segment.start > chunk:
                break
            new = min(1.0, (chunk - segment.start) / (segment.blend - 1)) if segment.blend else 1.0
            mix = [(w * (1 - new), p) for w, p in mix] + [(new, segment.prompt)]
        return tuple((w, p) for w, p in mix if w > 0)

    def map(self, encode) -> "PromptSchedule":
        """The same with `encode(prompt)` in place of each prompt."""
        return replace(self, segments=tuple(replace(s, prompt=encode(s.prompt)) for s in self.segments))

    def describe(self, fps: float = FPS) -> str:
        """One line a segment: where it begins, how, and the beginning of its prompt."""
        return "\n".join(
            f"chunk {s.start} (frame {s.start * CHUNK_FRAMES}, {s.start * CHUNK_FRAMES / fps:.2f} s) "
            f"{f'blend {s.blend}' if s.blend else 'cut'}: "
            f"{textwrap.shorten(s.text or s.prompt, 100, placeholder=' ...')}"
            for s in self.segments
        )


def parse_start(number: str, unit: str | None, fps: float) -> int:
    """A start in chunks, seconds ("s") or frames ("f") -> its chunk, rounded up."""
    frames = float(number) * {"s": fps, "f": 1, None: CHUNK_FRAMES}[unit]
    return math.ceil(frames / CHUNK_FRAMES - 1e-6)


def parse_schedule(text: str, fps: float = FPS) -> PromptSchedule:
    """Read a schedule's text; its prompts are strings. Raises ValueError naming the line and what to write."""
    if not 0 < fps < math.inf:
        raise ValueError(f"fps={fps}: a number above 0 is needed")
    entries: list[tuple[int, str]] = []  # (line number, text with its continuation lines)
    for number, line in enumerate(textwrap.dedent(text.lstrip("\ufeff")).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and entries:
            if _SEGMENT.match(line.strip()):
                raise ValueError(
                    f"schedule, line {number}: {_short(line.strip())!r} looks like a segment but is indented, which "
                    "continues the prompt above; begin it at the line's start"
                )
            first, so_far = entries[-1]
            entries[-1] = first, f"{so_far} {line.strip()}"
        else:
            entries.append((number, line.strip()))
    if not entries:
        raise ValueError("schedule is empty: write for instance '0: a lighthouse at dawn'")

    segments, lines = [], {}
    for number, entry in entries:
        segment = _parse_segment(entry, f"schedule, line {number}", fps)
        if segment.start in lines:
            raise ValueError(
                f"schedule, line {number}: line {lines[segment.start]} has a prompt at chunk {segment.start} too; "
                "move or remove one of them"
            )
        if segment.start == 0 and segment.blend:
            raise ValueError(f"schedule, line {number}: the first prompt has nothing to blend from; write '0: ...'")
        lines[segment.start] = number
        segments.append(segment)
    if 0 not in lines:
        start = min(lines)
        raise ValueError(
            f"schedule, line {lines[start]}: the first prompt begins at chunk {start}; "
            "one at chunk 0 is needed ('0: ...')"
        )
    return PromptSchedule(tuple(segments))


def _parse_segment(entry: str, where: str, fps: float) -> Segment:
    match = _SEGMENT.match(entry)
    if not match and re.match(r"\.?\d", entry):
        raise ValueError(
            f"{where}: {_short(entry)!r} is not 'start: prompt', 'start cut: prompt' or 'start blend 3: prompt'; "
            "a start is a chunk (4), seconds (5.5s) or frames (132f)"
        )
    if not match:
        raise ValueError(
            f"{where}: no start found in {_short(entry)!r}; write '0: your prompt', with the chunk, seconds (5.5s) or "
            "frames (132f) it begins at, and indent the lines that continue a prompt"
        )
    start, unit, transition, count, prompt = match.group("start", "unit", "transition", "count", "prompt")
    if unit is None and "." in start:
        raise ValueError(
            f"{where}: chunk {start} is not a whole number; write '{math.ceil(float(start))}' or '{start}s'"
        )
    transition = (transition or "cut").lower()
    if transition == "cut" and count is None:
        blend = 0
    elif transition == "blend" and count is not None and re.fullmatch(r"\d+", count) and int(count) >= 2:
        blend = int(count)
    else:
        written = f"{transition} {count}" if count else transition
        raise ValueError(
            f"{where}: {written!r} is no transition; write 'cut', or 'blend 3' with the number of chunks, 2 or more"
        )
    if re.match(r"\d+\s*:", prompt):
        raise ValueError(f"{where}: {_short(entry)!r} looks like minutes and seconds; write seconds, '90s: ...'")
    if not prompt.strip():
        raise ValueError(f"{where}: the prompt is empty; write it after the colon")
    return Segment(parse_start(start, unit, fps), prompt.strip(), blend, text=prompt.strip())


def blend_embeddings(mix: tuple[tuple[float, Tensor], ...]) -> Tensor:
    """Weighted sum of text embeddings (B, T, D); shorter ones are padded with zeros, as the text encoder pads."""
    length = max(e.shape[1] for _, e in mix)
    padded = [(w, torch.nn.functional.pad(e, (0, 0, 0, length - e.shape[1]))) for w, e in mix]
    return padded[0][1] if len(padded) == 1 else sum(w * e for w, e in padded)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
