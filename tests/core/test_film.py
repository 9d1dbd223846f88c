"""The film loop's records, and who directs it: one answer a chunk, holds, stops, and going back."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from films import chunks_of, steps_of, toy
from helios_core import (
    RECIPES,
    Back,
    Chunk,
    ChunkStore,
    Go,
    HistoryMemory,
    Hold,
    Keyframe,
    PromptSchedule,
    ScheduleDirector,
    SeedChange,
    Segment,
    Start,
    Step,
    Stop,
    film_records,
    step_count,
)

RECIPE = replace(RECIPES["distilled"], steps=(1, 1, 1))
EMPTY = HistoryMemory.empty(64, 64)
SHAPE = (1, 16, 1, 8, 8)
IMAGE, LAST = torch.full(SHAPE, 2.0), torch.full(SHAPE, 3.0)


@dataclass
class Told:
    """A director who says one thing after the other, and goes on with a chunk's own words where there is no more."""

    answers: dict[int, list] = field(default_factory=dict)  # by chunk: what to say before it goes on
    chunks: int = 4
    seed: int = 3
    asked: list[int] = field(default_factory=list)

    def direct(self, chunk):
        self.asked.append(chunk)
        if self.answers.get(chunk):
            return self.answers[chunk].pop(0)
        return Go(((1.0, f"chunk {chunk % 2}"),), seed=self.seed) if chunk < self.chunks else Stop()


def film(director=None, memory=EMPTY, **options):
    return list(film_records(toy, memory, director or Told(), RECIPE, **options))


def kinds(records):
    """The records as they came: "start 0 ....", with a dot for each Step, "chunk 0", "hold"."""
    found = []
    for record in records:
        if isinstance(record, Hold):
            found.append("hold")
        elif isinstance(record, Step):
            found[-1] += "."
        else:
            found.append(f"start {record.chunk} " if isinstance(record, Start) else f"chunk {record.index}")
    return found


def whole(chunk):
    """A chunk as it is seen when nothing of it is on disk: twice the steps in chunk 0."""
    return [f"start {chunk} {'.' * sum(RECIPE.steps_of(chunk))}", f"chunk {chunk}"]


def found(chunk):
    return [f"start {chunk} ", f"chunk {chunk}"]


def same(a, b):
    return len(a) == len(b) and all(
        x.index == y.index
        and torch.equal(x.latents, y.latents)
        and torch.equal(x.memory.frames, y.memory.frames)
        and torch.equal(x.memory.anchor, y.memory.anchor)
        and torch.equal(x.memory.rng_state, y.memory.rng_state)
        for x, y in zip(a, b)
    )


@pytest.fixture
def store(tmp_path):
    return ChunkStore(tmp_path, "0" * 32)


def test_start_steps_chunk_and_one_question_each(store):
    director = Told()
    records = film(director, store=store)
    assert kinds(records) == [*whole(0), *whole(1), *whole(2), *whole(3)]
    assert director.asked == [0, 1, 2, 3, 4]
    for start, chunk in zip([r for r in records if isinstance(r, Start)], chunks_of(records), strict=True):
        assert chunk.start is start and start.chunk == chunk.index and not start.stored and not chunk.reused
        assert start.record == {"chunk": chunk.index, "seed": 3, "prompt": ""}


def test_what_is_on_disk_is_yielded_without_steps(store):
    first = film(Told(chunks=2), store=store)
    director = Told()
    records = film(director, store=store)
    assert kinds(records) == [*found(0), *found(1), *whole(2), *whole(3)]
    assert director.asked == [0, 1, 2, 3, 4]
    starts, chunks = [r for r in records if isinstance(r, Start)], chunks_of(records)
    assert [s.stored for s in starts] == [c.reused for c in chunks] == [True, True, False, False]
    assert all(c.start is s for c, s in zip(chunks, starts))
    assert same(chunks[:2], chunks_of(first)) and same(chunks, chunks_of(film()))


def test_the_start_comes_before_the_network_is_asked():
    """Whoever drains the records hears of a chunk before anything of it is computed."""
    called = []
    records = film_records(lambda start: called.append(start.chunk) or toy(start), EMPTY, Told(), RECIPE)
    for record in records:
        if isinstance(record, Start):
            assert called == list(range(record.chunk))
    assert called == [0, 1, 2, 3]


@pytest.mark.parametrize("stored", [False, True])
def test_records_of_a_chunk(store, stored):
    if stored:
        film(store=store)
    schedule = PromptSchedule(
        (
            Segment(0, "chunk 0", text="calm"),
            Segment(1, "chunk 1", text="storm"),
            Segment(2, "chunk 0", text="calm again"),
            Segment(3, "chunk 1", blend=2, text="the end"),
        )
    )
    chunks = chunks_of(film(ScheduleDirector(schedule, 3, 3), store=store))
    for chunk, text, change in zip(chunks, ("calm", "storm", "calm again"), (None, "cut", "cut"), strict=True):
        record = chunk.record
        assert (record["chunk"], record["seed"], record["prompt"]) == (chunk.index, 3, text)
        assert record.get("change") == change and record["seconds"] >= 0 and record["ram"] > 10**7
        assert record.get("reused", False) is stored is chunk.reused and "vram" not in record
        assert chunk.memory.record(chunk.index) == record
    assert [entry["chunk"] for entry in chunks[-1].memory.log] == [0, 1, 2]


@pytest.mark.parametrize(
    "schedule, changes",
    [
        (PromptSchedule((Segment(0, "a"), Segment(2, "b"))), ["", "", "cut", "", "", ""]),
        (PromptSchedule((Segment(0, "a"), Segment(2, "b", 3))), ["", "", "blend", "blend", "blend", ""]),
        (
            PromptSchedule((Segment(0, "a"),), (Keyframe(0, 0), Keyframe(3, 0))),
            ["image", "", "", "image", "", ""],
        ),
        (PromptSchedule((Segment(0, "a"),), (Keyframe(2, 0, blend=2),)), ["", "", "image", "image", "", ""]),
        (PromptSchedule((Segment(0, "a"), Segment(2, "b")), (Keyframe(2, 0),)), ["", "", "image", "", "", ""]),
        (
            PromptSchedule((Segment(0, "a"), Segment(2, "b", 3)), (Keyframe(1, 0, blend=3),)),
            [""] + 3 * ["image"] + ["blend", ""],
        ),
    ],
)
def test_a_schedule_says_what_changes(schedule, changes):
    director = ScheduleDirector(schedule, 7, 6)
    assert [director.direct(k).note.get("change", "") for k in range(6)] == changes
    assert all(director.direct(k).seed == 7 and director.direct(k).prompt == schedule.at(k) for k in range(6))
    assert all(isinstance(director.direct(k), Stop) for k in (6, 7))


def test_what_is_told_now_is_noted_not_what_was_told_when_it_was_made(store):
    """The first chunk of a blend is what it would be without: it is found, and nothing is said of a blend any more."""
    plain = PromptSchedule((Segment(0, "sea", text="sea"),))
    blend = replace(plain, segments=(*plain.segments, Segment(1, "sky", 2, text="sky")))
    film(ScheduleDirector(blend, 3, 2), store=store)
    chunk = chunks_of(film(ScheduleDirector(plain, 3, 2), store=store))[1]
    assert chunk.reused and chunk.record["prompt"] == "sea" and "change" not in chunk.record


def test_a_schedule_says_what_each_chunk_is_made_of():
    segments = Segment(0, "a", text="sea"), Segment(2, "b", 3, text="sky")
    keyframes = Keyframe(1, 0, name="boat.png"), Keyframe(4, 0, blend=3, name="ship.png")
    director = ScheduleDirector(PromptSchedule(segments, keyframes, (SeedChange(3, 11), SeedChange(1, 9))), 7, 7)
    directions = [director.direct(k) for k in range(7)]
    assert [d.seed for d in directions] == [7, 9, 9, 11, 11, 11, 11]
    assert [d.note["prompt"] for d in directions] == ["sea", "sea", *5 * ["sky"]]
    assert [d.note.get("words") for d in directions] == [None] * 2 + [[[1, "sea"]], [[0.5, "sea"], [0.5, "sky"]]] + [
        None
    ] * 3
    boat, ship = {"file": "boat.png", "weight": 1.0}, {"file": "ship.png", "weight": 0.5}
    assert [d.note.get("picture") for d in directions] == [None, boat, None, None, None, ship, {**ship, "weight": 1.0}]


def test_a_seed_line_begins_another_stream():
    segments = (Segment(0, "a"),)
    plain = chunks_of(film(ScheduleDirector(PromptSchedule(segments), 3, 4)))
    other = chunks_of(film(ScheduleDirector(PromptSchedule(segments, seeds=(SeedChange(2, 8),)), 3, 4)))
    assert [torch.equal(a.latents, b.latents) for a, b in zip(plain, other)] == [True, True, False, False]
    # The same as to go on with that seed from chunk 2, where another film would begin.
    rest = chunks_of(film(ScheduleDirector(PromptSchedule(segments), 8, 4), plain[1].memory))
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(other[2:], rest))


def test_hold_asks_again_when_pulled():
    director = Told({0: [Hold()], 2: [Hold(), Hold()]})
    records = film_records(toy, EMPTY, director, RECIPE)
    assert isinstance(next(records), Hold) and director.asked == [0]
    first = next(records)
    assert isinstance(first, Start) and director.asked == [0, 0]
    rest = [first, *records]
    assert kinds(rest) == [*whole(0), *whole(1), "hold", "hold", *whole(2), *whole(3)]
    assert director.asked == [0, 0, 1, 2, 2, 2, 3, 4]
    assert same(chunks_of(rest), chunks_of(film()))


def test_stop_ends_at_once():
    director = Told({2: [Stop()]})
    assert kinds(film(director)) == [*whole(0), *whole(1)] and director.asked == [0, 1, 2]
    assert film(Told({0: [Stop()]})) == []
    held = film(Told({1: [Hold(), Stop()]}))
    assert kinds(held) == [*whole(0), "hold"]


def test_back_finds_what_is_stored_and_yields_from_there_on(store):
    director = Told({3: [Back(1)]})
    records = film(director, store=store)
    assert kinds(records) == [*whole(0), *whole(1), *whole(2), *found(1), *found(2), *whole(3)]
    assert director.asked == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    chunks = chunks_of(records)
    assert same(chunks[:1] + chunks[3:], chunks_of(film())) and same(chunks[1:3], chunks[3:5])


def test_back_without_a_store_samples_again_the_same():
    records = film(Told({3: [Back(1)]}))
    assert kinds(records) == [*whole(0), *whole(1), *whole(2), *whole(0), *whole(1), *whole(2), *whole(3)]
    chunks = chunks_of(records)
    assert same(chunks[:3], chunks[3:6]) and same(chunks[3:], chunks_of(film()))


def test_back_takes_a_chunk_again_with_another_seed_and_prompt(store):
    director = Told({2: [Back(1)]})
    records = film_records(toy, EMPTY, director, RECIPE, store=store)
    chunks = []
    for record in records:
        if isinstance(record, Chunk):
            chunks.append(record)
        if director.asked == [0, 1]:  # from here on, asked for it again, it goes on with others
            director.answers[1] = [Go(((1.0, "another"),), seed=4, note={"prompt": "another"})]
    assert [c.index for c in chunks] == [0, 1, 1, 2, 3] and not any(c.reused for c in chunks)
    taken, again = chunks[1:3]
    assert (again.record["seed"], again.record["prompt"]) == (4, "another")
    assert not torch.equal(taken.latents, again.latents)
    assert torch.equal(again.start.memory.frames, taken.start.memory.frames)


def test_a_second_back_may_come_on_the_way_of_the_first(store):
    """Asked while chunks before it are found again, as by somebody who presses twice."""
    records = film(Told({3: [Back(2)], 0: [Go(((1.0, "chunk 0"),), seed=3), Back(2)]}), store=store)
    assert kinds(records) == [*whole(0), *whole(1), *whole(2), *found(2), *whole(3)]


@pytest.mark.parametrize("asked, back", [(1, 0), (1, 2), (3, -1), (3, 0), (3, 4), (3, 100)])
def test_back_beyond_the_film_is_refused(store, asked, back):
    """Before what this run began with nothing can be made again, and what comes later was never made."""
    begun = chunks_of(film(Told(chunks=1)))[-1].memory
    done, director = [], Told({asked: [Back(back)]})
    with pytest.raises(ValueError, match=rf"^chunk {back}: this film can go back to 1 to {asked}$"):
        done.extend(film_records(toy, begun, director, RECIPE, store=store))
    assert director.asked == list(range(1, asked + 1))


def test_a_director_may_change_everything_between_chunks():
    """Prompts, keyframes and seeds that come with one chunk are those of a schedule that always said so."""
    keyframes = (Keyframe(2, IMAGE, LAST),)
    answers = {
        0: [Go(((1.0, "sea"),), seed=3)],
        1: [Go(((1.0, "sky"),), seed=3)],
        2: [Go(((0.5, "sea"), (0.5, "sky")), keyframes, seed=3)],
        3: [Go(((1.0, "sky"),), keyframes, seed=8)],
    }
    chunks = chunks_of(film(Told(answers)))
    assert [c.memory.seed for c in chunks] == [3, 3, 3, 8]
    same_words = PromptSchedule((Segment(0, "sea"), Segment(1, "sky")), keyframes)
    plain = chunks_of(film(ScheduleDirector(same_words, 3, 3)))
    assert same(chunks[:2], plain[:2])
    assert torch.equal(chunks[2].start.memory.anchor, plain[2].start.memory.anchor)  # the picture
    assert not torch.equal(chunks[2].latents, plain[2].latents)  # half of another prompt
    # Another seed is another stream, from its beginning.
    fresh = torch.Generator().manual_seed(8).get_state()
    assert torch.equal(chunks[3].start.memory.rng_state, fresh)
    other = chunks_of(film(ScheduleDirector(PromptSchedule((Segment(0, "sky"),)), 8, 4), chunks[2].memory))
    assert same(chunks[3:], other)


@pytest.mark.parametrize("step", range(sum(RECIPE.steps_of(1))))
def test_closing_in_a_chunk_keeps_the_ones_before(store, step):
    records = film_records(toy, EMPTY, Told(), RECIPE, store=store)
    for record in records:
        if isinstance(record, Step) and (record.chunk, record.stage) == (1, step):
            break
    records.close()
    assert kinds(film(store=store)) == [*found(0), *whole(1), *whole(2), *whole(3)]


def test_a_chunk_is_on_disk_when_it_is_yielded(store):
    records = film_records(toy, EMPTY, Told(), RECIPE, store=store)
    next(r for r in records if isinstance(r, Chunk))
    records.close()
    assert kinds(film(store=store))[:2] == found(0)


def test_an_error_of_the_network_keeps_the_chunks_before(store):
    def fails(start):
        if start.chunk == 2:
            raise RuntimeError("out of memory")
        return toy(start)

    done = []
    with pytest.raises(RuntimeError, match="out of memory"):
        done.extend(film_records(fails, EMPTY, Told(), RECIPE, store=store))
    assert kinds(film(store=store))[:5] == [*found(0), *found(1), whole(2)[0]]


def test_frames_move_to_the_device_for_sampling_alone(store):
    """With `device`, a chunk is sampled there, and what is found on disk stays where the memory lies."""
    film(Told(chunks=2), store=store)
    seen = []

    def denoise(start):
        seen.append(start.memory.frames.device)
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(film_records(denoise, EMPTY, Told(), RECIPE, store=store, device="meta"))
    assert [d.type for d in seen] == ["meta"]
    starts = [r for r in film_records(toy, EMPTY, Told(chunks=2), RECIPE, store=store, device="meta")]
    assert {r.memory.frames.device.type for r in starts if isinstance(r, Start)} == {"cpu"}


def test_steps_are_those_of_the_recipe(store):
    assert len(steps_of(film())) == step_count(RECIPE, 0, 4)
