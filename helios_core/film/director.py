"""Who says what each chunk shows: asked once when a chunk begins, so that everything in one answer holds together."""

from dataclasses import dataclass, field
from typing import Protocol

from .keyframes import Keyframe
from .prompts import PromptSchedule
from .record import Mix


@dataclass(frozen=True, eq=False)
class Go:
    """Make the chunk, with these prompts, pictures and seed. `note` goes into its record, see `Chunk`."""

    prompt: Mix
    keyframes: tuple[Keyframe, ...] = ()
    seed: int = 0
    note: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """Not yet: the loop yields this, and asks again when it is pulled again."""


@dataclass(frozen=True)
class Stop:
    """The film ends here."""


@dataclass(frozen=True)
class Back:
    """Make the film again from `chunk` on. Chunks before it come from the store, where there is one.

    They are asked for again, and are not yielded again; one that is not in the store is sampled and yielded.
    """

    chunk: int


class Director(Protocol):
    def direct(self, chunk: int) -> Go | Hold | Stop | Back:
        """What to do with chunk `chunk`, which is about to begin."""


@dataclass(frozen=True, eq=False)
class ScheduleDirector:
    """Follows a schedule with one seed, up to chunk `end`, which is not made any more."""

    schedule: PromptSchedule
    seed: int
    end: int

    def direct(self, chunk: int) -> Go | Stop:
        if chunk >= self.end:
            return Stop()
        schedule = self.schedule
        return Go(schedule.at(chunk), schedule.keyframes, schedule.seed_at(chunk, self.seed), note_of(schedule, chunk))


def note_of(schedule: PromptSchedule, chunk: int) -> dict:
    """What a schedule tells a chunk, as its record has it."""
    segment = [s for s in schedule.segments if s.start <= chunk][-1]
    begun = [k for k in schedule.keyframes if k.start <= chunk]
    note = {"prompt": segment.text}
    words = schedule.words_at(chunk)
    if words != ((1.0, segment.text),):  # in a blend, whose first chunk still has the words before
        note["words"] = [[round(weight, 6), text] for weight, text in words]
    if picture := schedule.picture_at(chunk):
        note["picture"] = {"file": picture.name, "weight": round(picture.weight(chunk), 6)}
    if begun and chunk < begun[-1].start + max(1, begun[-1].blend):
        note["change"] = "image"
    elif chunk and chunk < segment.start + max(1, segment.blend):
        note["change"] = "blend" if segment.blend else "cut"
    return note
