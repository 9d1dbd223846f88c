"""Who says what each chunk shows: asked once when a chunk begins, so that everything in one answer holds together."""

from dataclasses import dataclass
from typing import Protocol

from .keyframes import Keyframe
from .prompts import PromptSchedule
from .record import Mix


@dataclass(frozen=True, eq=False)
class Go:
    """Make the chunk, with these prompts, pictures and seed. `text` and `change` are noted in its record."""

    prompt: Mix
    keyframes: tuple[Keyframe, ...] = ()
    seed: int = 0
    text: str = ""
    change: str = ""  # "cut", "blend" or "image" where the film is told to change


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
        segments = [s for s in self.schedule.segments if s.start <= chunk]
        keyframes = [k for k in self.schedule.keyframes if k.start <= chunk]
        text = segments[-1].text
        change = ""
        if keyframes and chunk < keyframes[-1].start + max(1, keyframes[-1].blend):
            change = "image"
        elif chunk and chunk < segments[-1].start + max(1, segments[-1].blend):
            change = "blend" if segments[-1].blend else "cut"
        return Go(self.schedule.at(chunk), self.schedule.keyframes, self.seed, text, change)
