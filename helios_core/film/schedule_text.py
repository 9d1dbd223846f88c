"""The schedule as text: made to be typed, drawn, compared and shared.

    # one line for each change:  start [cut | blend N]: prompt
    style: soft evening light, film grain
    0: a lighthouse at dawn, calm sea
    4 blend 3: the same lighthouse in a storm,
        waves breaking over the rocks
    12s cut: inside, the keeper climbs the stairs
    14 image blend 3: keeper.png
    16 seed 1234
    off 20: the lamp goes out

A start is a chunk (`4`), seconds (`12s`) or frames (`264f`), rounded up to the next chunk. A transition is `cut` (the
default) or `blend N`: over N chunks (3 where N is left out) the text embeddings move from the old prompt to the new
one, with weights linspace(0, 1, N), so that the first of them still has the old one (as in the reference's interactive
mode). The film turns to a picture in the same way. From a `seed` on, noise comes from another stream. `style` is added
to every prompt. What is `off` is kept and not used.

web/timeline/schedule.js reads the same text, and gives the same messages (tests/schedule_cases.json).
"""

import math
import re
from numbers import Real
from typing import Any, NamedTuple

from ..network.config import CHUNK_FRAMES, FPS
from .keyframes import Keyframe
from .prompts import ANY_INVISIBLE, INVISIBLE, PromptSchedule, SeedChange, Segment, quote, seconds

TRANSITIONS = "cut", "blend"
BLEND_CHUNKS = 3  # where a blend does not say
MOST_SEED = 2**64 - 1

# Invisible characters stay inside a prompt, where some join letters and emoji, and count for nothing around it.
_BLANK = "".join(c for c in map(chr, (*range(0x3001), 0xFEFF)) if c.isspace() or ANY_INVISIBLE.match(c))
_SURROGATE = re.compile("[\ud800-\udfff]")

# Digits are those of any script, full-width ones among them. A gap is only ever followed by what is no gap, and no two
# gaps are neighbours: matching takes time in proportion to the text.
_GAP = rf"[\s{INVISIBLE}]"
_START = rf"(?P<start>(?P<number>\d{{1,9}}(?:[.\uff0e]\d{{1,9}})?)(?:{_GAP}*(?P<unit>[sSfF]))?)"
_TIMED = re.compile(
    rf"{_START}(?:{_GAP}+(?P<word>[A-Za-z]\w*)(?:{_GAP}+(?P<second>[A-Za-z]\w*))?"
    rf"(?:{_GAP}+(?P<count>[-+]?\d{{1,9}}(?:\.\d+)?))?)?{_GAP}*[:\uff1a](?P<value>.*)",
    re.S,
)
_SEED = re.compile(rf"{_START}{_GAP}+[sS][eE][eE][dD](?!\w)(?P<value>.*)", re.S)
_STYLE = re.compile(rf"[sS][tT][yY][lL][eE]{_GAP}*[:\uff1a](?P<value>.*)", re.S)
_OFF = re.compile(rf"[oO][fF][fF]{_GAP}+")
_STARTS_WITH_NUMBER = re.compile(r"[.\uff0e]?\d")
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,2})(?::(\d{1,2}))?\s{0,9}(?:cut|blend\s{0,9}\d{0,9})?\s{0,9}[:\uff1a]")
_ENDS_SENTENCE = ".,;:!?\u2026\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001"

KINDS = {"prompt": "prompt", "image": "picture", "seed": "seed"}  # of entries that begin somewhere, as messages say


class Entry(NamedTuple):
    """An entry as the text has it; at which chunk it begins hangs on the frame rate.

    `kind` is "prompt", "image", "seed" or "style"; `value` the prompt, the file's name, the seed's digits or the style.
    """

    line: int
    kind: str
    value: str
    start: str = ""
    number: str = ""
    unit: str | None = None
    blend: int = 0
    off: bool = False


def parse_start(number: str, unit: str | None, fps: float) -> int:
    """A start in chunks, seconds ("s") or frames ("f") -> its chunk, rounded up."""
    return math.ceil(_chunks(number, unit, fps) - 1e-6)


def parse_schedule(text: str, fps: float = FPS) -> PromptSchedule:
    """Read a schedule's text; its prompts are strings. Raises ValueError naming the line and what to write.

    A picture's `image` and `name` are what the text has after the colon.
    """
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < fps < 1e6:
        raise ValueError(f"fps={fps!r}: a number above 0 is needed")
    style, found = None, {kind: {} for kind in KINDS}
    for entry in read_entries(text):
        if entry.off:
            continue
        if entry.kind == "style":
            if style:
                raise ValueError(f"{_where(entry.line)}: line {style.line} has a style too; keep one of them")
            style = entry
            continue
        start, others = parse_start(entry.number, entry.unit, fps), found[entry.kind]
        if start in others:
            raise ValueError(_two_at_once(others[start], entry, start, fps))
        if start == 0 and entry.blend and entry.kind == "prompt":
            raise ValueError(f"{_where(entry.line)}: the first prompt has nothing to blend from; write “0: ...”")
        others[start] = entry
    prompts = found["prompt"]
    if not prompts:
        raise ValueError("schedule has no prompt that is used: write for instance “0: a lighthouse at dawn”")
    if 0 not in prompts:
        start = min(prompts)
        raise ValueError(
            f"{_where(prompts[start].line)}: the first prompt begins at chunk {start}; one at chunk 0 is needed "
            "(“0: ...”)"
        )
    words = {start: add_style(entry.value, style.value if style else "") for start, entry in prompts.items()}
    return PromptSchedule(
        tuple(Segment(start, words[start], entry.blend, text=words[start]) for start, entry in prompts.items()),
        tuple(Keyframe(start, e.value, blend=e.blend, name=e.value) for start, e in found["image"].items()),
        tuple(SeedChange(start, int(entry.value)) for start, entry in found["seed"].items()),
        source=text,
    )


def add_style(prompt: str, style: str) -> str:
    """A prompt and the style of the film in one."""
    return f"{prompt}{' ' if prompt[-1] in _ENDS_SENTENCE else ', '}{style}" if style else prompt


def read_entries(text: str) -> list[Entry]:
    """A schedule's entries in the order of its lines, before a frame rate says where they begin.

    Raises ValueError naming the line and what to write.
    """
    if not isinstance(text, str):
        raise ValueError(f"schedule: {_kind(text)} came where text is needed; write for instance “0: a calm sea”")
    if broken := _SURROGATE.search(text):
        line = len(text[: broken.end()].splitlines())
        raise ValueError(f"{_where(line)}: half of a character, perhaps of an emoji; type it again or remove it")
    entries = [_read_entry(lines) for lines in _split(text)]
    if not entries:
        raise ValueError("schedule is empty: write for instance “0: a lighthouse at dawn”")
    return entries


def pictures_in(text: str) -> dict[str, int]:
    """The names of the files that a schedule's text uses as pictures, each with the line that has it first."""
    lines: dict[str, int] = {}
    for entry in read_entries(text):
        if entry.kind == "image" and not entry.off:
            lines.setdefault(entry.value, entry.line)
    return lines


def _split(text: str) -> list[list[tuple[int, str, bool]]]:
    """The lines of each entry, without comments: (number, text, whether it is indented), blanks around it taken away.

    Lines continue an entry that are indented more than the least indented one. So do lines after a word processor's
    line breaks (vertical tab, form feed, next line, line and paragraph separator), if no number begins them.
    """
    blank = _BLANK if ANY_INVISIBLE.search(text) else None  # None strips white space alone, and faster
    lines: list[tuple[int, str, int, bool]] = []  # number, text, indentation, whether a soft break is before it
    soft = False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if content := line.strip(blank):
            indent = len(line) - len(line.lstrip(blank))
            if blank:
                indent -= len(ANY_INVISIBLE.findall(line, 0, indent))
            lines.append((number, content, indent, soft))
        soft = line[-1] not in "\r\n"
    margin = min((indent for _, content, indent, soft in lines if content[0] != "#" and not soft), default=0)

    entries, comment = [], False
    for number, content, indent, soft in lines:
        goes_on = soft and content[0] != "#" and not _STARTS_WITH_NUMBER.match(content)
        if goes_on and comment:
            continue
        comment = content[0] == "#"
        if comment:
            continue
        indented = not soft and indent > margin
        if entries and (goes_on or indented):
            entries[-1].append((number, content, indented))
        else:
            entries.append([(number, content, False)])
    return entries


def _read_entry(lines: list[tuple[int, str, bool]]) -> Entry:
    for number, content, indented in lines:
        if indented and _STARTS_WITH_NUMBER.match(content) and (timed := _TIMED.match(content)):
            if (timed["word"] or "cut").lower() in TRANSITIONS and not timed["second"]:
                raise ValueError(
                    f"{_where(number)}: {quote(content)} looks like a prompt of its own but is indented, which "
                    "continues the prompt above; begin it at the line’s start"
                )
    line, text = lines[0][0], " ".join(content for _, content, _ in lines)
    off = _OFF.match(text)
    entry = text[off.end() :] if off else text
    if style := _STYLE.match(entry):
        value = style["value"].strip(_BLANK)
        if not value:
            raise ValueError(f"{_where(line)}: the style is empty; write it after the colon")
        return Entry(line, "style", value, off=bool(off))
    seed = _SEED.match(entry)
    timed = seed or _TIMED.match(entry)
    if not timed and _STARTS_WITH_NUMBER.match(entry):
        raise ValueError(
            f"{_where(line)}: {quote(text)} is not “start: prompt”, “start cut: prompt” or “start blend 3: prompt”; "
            "a start is a chunk (4), seconds (5.5s) or frames (132f)"
        )
    if not timed:
        raise ValueError(
            f"{_where(line)}: no start found in {quote(text)}; write “0: your prompt”, with the chunk, seconds "
            "(5.5s) or frames (132f) it begins at, and indent the lines that continue a prompt"
        )
    if clock := _CLOCK.match(entry):
        total = 0
        for part in clock.groups():
            total = total * 60 + int(part) if part else total
        raise ValueError(
            f"{_where(line)}: {quote(text)} looks like minutes and seconds; write seconds, “{total}s: ...”"
        )
    number, unit = timed["number"].replace("\uff0e", "."), timed["unit"] and timed["unit"].lower()
    if unit is None and "." in number:
        raise ValueError(
            f"{_where(line)}: chunk {number} is not a whole number; write “{math.ceil(float(number))}” or “{number}s”"
        )
    value = timed["value"].strip(_BLANK)
    at = timed["start"], number, unit
    if seed:
        if not (value.isdecimal() and len(value) <= 20 and int(value) <= MOST_SEED):
            raise ValueError(
                f"{_where(line)}: {quote(text)} is no seed; write “{timed['start']} seed 1234”, with a whole number "
                f"from 0 to {MOST_SEED}"
            )
        return Entry(line, "seed", value, *at, off=bool(off))
    words = [timed["word"], timed["second"]]
    is_image = (words[0] or "").lower() == "image" and (words[1] or not timed["count"])
    if is_image:
        del words[0]
    blend = _read_transition(line, " ".join(word for word in words if word).lower(), timed["count"])
    if not value:
        missing = "the name of the picture’s file is missing" if is_image else "the prompt is empty"
        raise ValueError(f"{_where(line)}: {missing}; write it after the colon")
    return Entry(line, "image" if is_image else "prompt", value, *at, blend, bool(off))


def _read_transition(line: int, name: str, count: str | None) -> int:
    """The chunks of a blend, 0 for a cut."""
    if name in ("", "cut") and count is None:
        return 0
    if name == "blend" and count is None:
        return BLEND_CHUNKS
    if name == "blend" and count.isdecimal() and int(count) >= 2:
        return int(count)
    written = f"{name} {count}" if count else name
    raise ValueError(
        f"{_where(line)}: {quote(written)} is no transition; write “cut”, or “blend 3” with the number of chunks, "
        "2 or more"
    )


def _two_at_once(first: Entry, second: Entry, chunk: int, fps: float) -> str:
    rounded = any(abs(_chunks(e.number, e.unit, fps) - chunk) > 1e-6 for e in (first, second))
    if not rounded:
        return (
            f"{_where(second.line)}: line {first.line} has a {KINDS[first.kind]} at chunk {chunk} too; move or remove "
            "one of them"
        )
    return (
        f"{_where(second.line)}: “{second.start}” begins at chunk {chunk} ({seconds(chunk, fps)}), and so does "
        f"“{first.start}” in line {first.line}: starts are rounded up to whole chunks of {CHUNK_FRAMES} frames; "
        "move or remove one of them"
    )


def _chunks(number: str, unit: str | None, fps: float) -> float:
    count = float(number)
    if unit is None:
        return count
    return count * (fps if unit == "s" else 1) / CHUNK_FRAMES


def _where(line: int) -> str:
    return f"schedule, line {line}"


def _kind(value: Any) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"the number {value}"
    return {"NoneType": "nothing", "list": "a list", "dict": "a dictionary"}.get(
        type(value).__name__, f"a value of type {type(value).__name__}"
    )
