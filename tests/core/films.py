"""Films by the core's loop, as most tests want them: a schedule says what is seen, and a number of chunks how long."""

from zlib import crc32

from helios_core import Chunk, HistoryMemory, PromptSchedule, Recipe, ScheduleDirector, Segment, Step, film_records

SEA = PromptSchedule((Segment(0, "sea"),))


def film_of(denoise, memory: HistoryMemory, schedule: PromptSchedule, recipe: Recipe, chunks: int, seed=3, **options):
    """The records of `chunks` more chunks, as they are pulled."""
    director = ScheduleDirector(schedule, seed, memory.chunk + chunks)
    return film_records(denoise, memory, director, recipe, **options)


def steps_of(records) -> list[Step]:
    return [r for r in records if isinstance(r, Step)]


def chunks_of(records) -> list[Chunk]:
    return [r for r in records if isinstance(r, Chunk)]


def toy(start):
    """A flow that depends on all that a chunk is made from."""
    past = start.memory.frames.mean() + 2 * start.memory.anchor_or_zeros().mean()
    words = sum(w * crc32(p.encode()) / 2**32 for w, p in start.prompt if isinstance(p, str))
    return lambda x, step: (x + past + words).tanh() * (1 + step.timestep / 1000)
