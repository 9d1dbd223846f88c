"""What is said at which chunk: the prompt schedule and its text form.

    # one line a segment:  start [transition]: prompt
    0: a lighthouse at dawn, calm sea
    4 blend 3: the same lighthouse in a storm,
        waves breaking over the rocks
    12s cut: inside, the keeper climbs the stairs

A start is a chunk (`4`), seconds (`12s`) or frames (`264f`), rounded up to the next chunk. A transition is `cut` (the
default) or `blend N`: over N chunks (3 where N is left out) the text embeddings move from the old prompt to the new
one, with weights linspace(0, 1, N), so that the first of them still has the old one (as in the reference's interactive
mode).
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS
from .keyframes import Keyframe, check_keyframes

TRANSITIONS = "cut", "blend"
BLEND_CHUNKS = 3  # where a blend does not say

# What nobody sees in pasted text: byte order marks, zero widths, directions of writing, controls. They stay inside a
# prompt, where some join letters and emoji, and count for nothing around it.
_INVISIBLE = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_ANY_INVISIBLE = re.compile(f"[{_INVISIBLE}]")
_BLANK = "".join(c for c in map(chr, (*range(0x3001), 0xFEFF)) if c.isspace() or _ANY_INVISIBLE.match(c))
_SURROGATE = re.compile("[\ud800-\udfff]")

# Digits are those of any script, full-width ones among them. A gap is only ever followed by what is no gap, and no two
# gaps are neighbours: matching takes time in proportion to the text.
_GAP = rf"[\s{_INVISIBLE}]"
_SEGMENT = re.compile(
    rf"(?P<start>(?P<number>\d{{1,9}}(?:[.\uff0e]\d{{1,9}})?)(?:{_GAP}*(?P<unit>[sSfF]))?)"
    rf"(?:{_GAP}+(?P<transition>[A-Za-z]\w*)(?:{_GAP}+(?P<count>[-+]?\d{{1,9}}(?:\.\d+)?))?)?"
    rf"{_GAP}*[:\uff1a](?P<prompt>.*)",
    re.S,
)
_STARTS_WITH_NUMBER = re.compile(r"[.\uff0e]?\d")
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,2})(?::(\d{1,2}))?\s{0,9}(?:cut|blend\s{0,9}\d{0,9})?\s{0,9}[:\uff1a]")


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

    def unreached(self, end: int) -> tuple[tuple[Segment, ...], tuple[Keyframe, ...]]:
        """The segments and keyframes that begin at chunk `end` or later, where a film that ends there shows none."""
        segments, keyframes = (tuple(x for x in xs if x.start >= end) for xs in (self.segments, self.keyframes))
        return segments, keyframes

    def describe_unreached(self, end: int, fps: float = FPS) -> str:
        """`unreached` as a sentence that names the first of them; empty where there is nothing to say."""
        segments, keyframes = self.unreached(end)
        counts = [
            f"{len(xs)} {name}{'s' * (len(xs) != 1)}"
            for xs, name in ((segments, "prompt"), (keyframes, "picture"))
            if xs
        ]
        if not counts:
            return ""
        named = [f"{_quote(s.words) if s.words else 'the prompt'} at chunk {s.start}" for s in segments[:3]]
        named += [f"the picture at chunk {k.start}" for k in keyframes[:3]]
        left = len(segments) + len(keyframes) - len(named)
        many = len(segments) + len(keyframes) > 1
        return (
            f"The film ends before chunk {end} ({_seconds(end, fps)}). {' and '.join(counts)} "
            f"begin{'' if many else 's'} later: {', '.join(named)}{f' and {left} more' if left else ''}."
        )

    def describe(self, fps: float = FPS) -> str:
        """One line a segment: where it begins, how, and the beginning of its prompt."""
        return "\n".join(
            f"chunk {s.start} (frame {s.start * CHUNK_FRAMES}, {_seconds(s.start, fps)}) "
            f"{f'blend {s.blend}' if s.blend else 'cut'}: {_shorten(s.words, 100) or '(conditioning)'}"
            for s in self.segments
        )


class Written(NamedTuple):
    """A segment as a line of text has it; at which chunk it begins hangs on the frame rate."""

    line: int
    start: str
    number: str
    unit: str | None
    blend: int
    prompt: str


def parse_start(number: str, unit: str | None, fps: float) -> int:
    """A start in chunks, seconds ("s") or frames ("f") -> its chunk, rounded up."""
    return math.ceil(_chunks(number, unit, fps) - 1e-6)


def parse_schedule(text: str, fps: float = FPS) -> PromptSchedule:
    """Read a schedule's text; its prompts are strings. Raises ValueError naming the line and what to write."""
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < fps < 1e6:
        raise ValueError(f"fps={fps!r}: a number above 0 is needed")
    segments, lines = [], {}
    for written in read_segments(text):
        start = parse_start(written.number, written.unit, fps)
        if start in lines:
            raise ValueError(_two_at_once(lines[start], written, start, fps))
        if start == 0 and written.blend:
            raise ValueError(f"{_where(written.line)}: the first prompt has nothing to blend from; write “0: ...”")
        lines[start] = written
        segments.append(Segment(start, written.prompt, written.blend, text=written.prompt))
    if 0 not in lines:
        start = min(lines)
        raise ValueError(
            f"{_where(lines[start].line)}: the first prompt begins at chunk {start}; one at chunk 0 is needed "
            "(“0: ...”)"
        )
    return PromptSchedule(tuple(segments))


def read_segments(text: str) -> Iterator[Written]:
    """A schedule's segments in the order of its lines, before a frame rate says where they begin.

    Raises ValueError naming the line and what to write.
    """
    if not isinstance(text, str):
        raise ValueError(f"schedule: {_kind(text)} came where text is needed; write for instance “0: a calm sea”")
    if broken := _SURROGATE.search(text):
        line = len(text[: broken.end()].splitlines())
        raise ValueError(f"{_where(line)}: half of a character, perhaps of an emoji; type it again or remove it")
    line = 0
    for line, entry in read_entries(text):
        yield _read_segment(line, entry)
    if not line:
        raise ValueError("schedule is empty: write for instance “0: a lighthouse at dawn”")


def read_entries(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, text) of each entry: a line with those that continue it, without comments.

    Lines continue an entry that are indented more than the least indented one. So do lines after a word processor's
    line breaks (vertical tab, form feed, next line, line and paragraph separator), if no number begins them.
    """
    blank = _BLANK if _ANY_INVISIBLE.search(text) else None  # None strips white space alone, and faster
    lines: list[tuple[int, str, int, bool]] = []  # number, text, indentation, whether a soft break is before it
    soft = False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if content := line.strip(blank):
            indent = len(line) - len(line.lstrip(blank))
            if blank:
                indent -= len(_ANY_INVISIBLE.findall(line, 0, indent))
            lines.append((number, content, indent, soft))
        soft = line[-1] not in "\r\n"
    margin = min((indent for _, content, indent, soft in lines if content[0] != "#" and not soft), default=0)

    first, parts, comment = 0, [], False
    for number, content, indent, soft in lines:
        goes_on = soft and content[0] != "#" and not _STARTS_WITH_NUMBER.match(content)
        if goes_on and comment:
            continue
        comment = content[0] == "#"
        if comment:
            continue
        if parts and not soft and indent > margin:
            segment = _STARTS_WITH_NUMBER.match(content) and _SEGMENT.match(content)
            if segment and (segment["transition"] or "cut").lower() in TRANSITIONS:
                raise ValueError(
                    f"{_where(number)}: {_quote(content)} looks like a prompt of its own but is indented, which "
                    "continues the prompt above; begin it at the line’s start"
                )
            goes_on = True
        if parts and goes_on:
            parts.append(content)
            continue
        if parts:
            yield first, " ".join(parts)
        first, parts = number, [content]
    if parts:
        yield first, " ".join(parts)


def _read_segment(line: int, entry: str) -> Written:
    match = _SEGMENT.match(entry)
    if not match and _STARTS_WITH_NUMBER.match(entry):
        raise ValueError(
            f"{_where(line)}: {_quote(entry)} is not “start: prompt”, “start cut: prompt” or “start blend 3: prompt”; "
            "a start is a chunk (4), seconds (5.5s) or frames (132f)"
        )
    if not match:
        raise ValueError(
            f"{_where(line)}: no start found in {_quote(entry)}; write “0: your prompt”, with the chunk, seconds "
            "(5.5s) or frames (132f) it begins at, and indent the lines that continue a prompt"
        )
    if match["prompt"][:1].isdigit() and (clock := _CLOCK.match(entry)):
        first, *rest = (int(part) for part in clock.groups() if part)
        seconds = first
        for part in rest:
            seconds = seconds * 60 + part
        raise ValueError(
            f"{_where(line)}: {_quote(entry)} looks like minutes and seconds; write seconds, “{seconds}s: ...”"
        )
    start, number, unit, transition, count, prompt = match.groups()
    number, unit = number.replace("\uff0e", "."), unit and unit.lower()
    if unit is None and "." in number:
        raise ValueError(
            f"{_where(line)}: chunk {number} is not a whole number; write “{math.ceil(float(number))}” or “{number}s”"
        )
    blend = 0 if transition is None else _read_transition(line, transition.lower(), count)
    prompt = prompt.strip(None if entry.isprintable() else _BLANK)
    if not prompt:
        raise ValueError(f"{_where(line)}: the prompt is empty; write it after the colon")
    return Written(line, start, number, unit, blend, prompt)


def _read_transition(line: int, name: str, count: str | None) -> int:
    """The chunks of a blend, 0 for a cut."""
    if name == "cut" and count is None:
        return 0
    if name == "blend" and count is None:
        return BLEND_CHUNKS
    if name == "blend" and count.isdecimal() and int(count) >= 2:
        return int(count)
    written = f"{name} {count}" if count else name
    raise ValueError(
        f"{_where(line)}: {_quote(written)} is no transition; write “cut”, or “blend 3” with the number of chunks, "
        "2 or more"
    )


def _two_at_once(first: Written, second: Written, chunk: int, fps: float) -> str:
    rounded = any(abs(_chunks(w.number, w.unit, fps) - chunk) > 1e-6 for w in (first, second))
    if not rounded:
        return f"{_where(second.line)}: line {first.line} has a prompt at chunk {chunk} too; move or remove one of them"
    return (
        f"{_where(second.line)}: “{second.start}” begins at chunk {chunk} ({_seconds(chunk, fps)}), and so does "
        f"“{first.start}” in line {first.line}: starts are rounded up to whole chunks of {CHUNK_FRAMES} frames; "
        "move or remove one of them"
    )


def blend_embeddings(mix: tuple[tuple[float, Tensor], ...]) -> Tensor:
    """Weighted sum of text embeddings (B, T, D); shorter ones are padded with zeros, as the text encoder pads."""
    length = max(e.shape[1] for _, e in mix)
    padded = [(w, torch.nn.functional.pad(e, (0, 0, 0, length - e.shape[1]))) for w, e in mix]
    return padded[0][1] if len(padded) == 1 else sum(w * e for w, e in padded)


def _chunks(number: str, unit: str | None, fps: float) -> float:
    count = float(number)
    if unit is None:
        return count
    return count * (fps if unit == "s" else 1) / CHUNK_FRAMES


def _seconds(chunk: int, fps: float) -> str:
    return f"{chunk * CHUNK_FRAMES / fps:.2f} s"


def _where(line: int) -> str:
    return f"schedule, line {line}"


def _quote(text: str) -> str:
    """Its beginning in quotation marks."""
    return f"“{_shorten(_ANY_INVISIBLE.sub('', text[:100]), 40)}”"


def _shorten(text: str, width: int) -> str:
    """Its beginning in one line, up to the end of a word where that is near."""
    start = " ".join(text[: 2 * width].split())
    if len(start) <= width and len(text) <= 2 * width:
        return start
    start = start[: width - 3]
    space = start.rfind(" ")
    return start[: space if space > width // 2 else None].rstrip() + "..."


def _kind(value: Any) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"the number {value}"
    return {"NoneType": "nothing", "list": "a list", "dict": "a dictionary"}.get(
        type(value).__name__, f"a value of type {type(value).__name__}"
    )
