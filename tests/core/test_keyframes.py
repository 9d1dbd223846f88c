"""A picture in the middle of a film: what the chunk remembers, by cut and by blend, and that nothing else changes."""

import pytest
import torch

from films import chunks_of, film_of, toy
from helios_core import RECIPES, HistoryMemory, Keyframe, PromptSchedule, Segment, Start
from helios_core.film.keyframes import steer

RECIPE = RECIPES["distilled"]
SHAPE = (1, 16, 1, 8, 8)
IMAGE, LAST = torch.full(SHAPE, 2.0), torch.full(SHAPE, 3.0)
NAN = float("nan")
QUIET = dict(anchor_noise=None, history_noise=None)


def film(*keyframes, chunks=6, memory=None, seed=3, noise_device="cpu"):
    schedule = PromptSchedule((Segment(0, "sea"),), keyframes)
    memory = memory or HistoryMemory.empty(64, 64)
    return list(film_of(toy, memory, schedule, RECIPE, chunks, seed, noise_device=noise_device))


def remembered(records, chunk):
    """The memory that a chunk was made from."""
    (memory,) = [r.memory for r in records if isinstance(r, Start) and r.chunk == chunk]
    return memory


def test_a_cut_replaces_anchor_and_newest_frame():
    plain, cut = film(), film(Keyframe(2, IMAGE, LAST, **QUIET))
    for k in range(2):
        assert torch.equal(chunks_of(plain)[k].latents, chunks_of(cut)[k].latents)
    before, steered = chunks_of(cut)[1].memory, remembered(cut, 2)
    assert torch.equal(steered.anchor, IMAGE) and torch.equal(steered.frames[:, :, -1:], LAST)
    assert torch.equal(steered.frames[:, :, :-1], before.frames[:, :, :-1])
    assert not torch.equal(chunks_of(plain)[2].latents, chunks_of(cut)[2].latents)
    later = remembered(cut, 3)
    assert torch.equal(later.anchor, IMAGE) and torch.equal(later.frames, chunks_of(cut)[2].memory.frames)
    assert torch.equal(later.frames[:, :, -10:-9], LAST)  # in the past now


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_blend_moves_there_in_even_steps(count):
    records = film(Keyframe(1, IMAGE, LAST, blend=count, **QUIET), chunks=count + 3)
    old = chunks_of(records)[0].memory.anchor
    for k, weight in enumerate(torch.linspace(0, 1, count).tolist()):
        memory, before = remembered(records, 1 + k), chunks_of(records)[k].memory
        assert torch.allclose(memory.anchor, old.lerp(IMAGE, weight), atol=1e-6)
        assert torch.allclose(memory.frames[:, :, -1:], before.frames[:, :, -1:].lerp(LAST, weight), atol=1e-6)
    after = remembered(records, count + 1)
    assert torch.equal(after.anchor, IMAGE) and torch.equal(after.frames, chunks_of(records)[count].memory.frames)


def test_the_noise_of_the_film_is_the_same_with_and_without():
    states = [[c.memory.rng_state for c in chunks_of(film(*k))] for k in [(), (Keyframe(2, IMAGE, LAST),)]]
    assert all(torch.equal(a, b) for a, b in zip(*states))


def test_noise_on_the_picture():
    memory = HistoryMemory.empty(64, 64)
    loud = Keyframe(0, IMAGE, LAST, anchor_noise=(0.5, 0.5), history_noise=(0.25, 0.25))
    steered = steer(memory, (loud,), seed=3)
    noise, other = (steered.anchor - 0.5 * IMAGE) / 0.5, (steered.frames[:, :, -1:] - 0.75 * LAST) / 0.25
    for n in (noise, other):
        assert abs(n.mean()) < 0.15 and abs(n.std() - 1) < 0.1
    assert not torch.allclose(noise, other)
    assert torch.equal(steered.anchor, steer(memory, (loud,), seed=3).anchor)
    assert not torch.equal(steered.anchor, steer(memory, (loud,), seed=4).anchor)
    # The first numbers of the film's own stream are its latents' noise, which this must not be.
    stream = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    assert abs((noise * stream).mean()) < 0.15


def test_the_last_one_that_has_begun_counts():
    records = film(Keyframe(1, IMAGE, LAST, blend=4, **QUIET), Keyframe(2, -IMAGE, -LAST, **QUIET))
    assert torch.equal(remembered(records, 2).anchor, -IMAGE) and torch.equal(remembered(records, 3).anchor, -IMAGE)


def test_going_on_in_the_middle_of_a_blend():
    keyframes = Keyframe(1, IMAGE, LAST, blend=4), Keyframe(5, -IMAGE, -LAST)
    whole = chunks_of(film(*keyframes, chunks=7))
    for stop in range(1, 7):
        rest = chunks_of(film(*keyframes, chunks=7 - stop, memory=whole[stop - 1].memory))
        assert all(torch.equal(a.latents, b.latents) for a, b in zip(whole[stop:], rest))


def test_one_picture_for_a_batch():
    memory = HistoryMemory.empty(64, 64, batch=2)
    steered = steer(memory, (Keyframe(0, IMAGE, LAST, **QUIET),), seed=3)
    assert steered.anchor.shape == (2, *SHAPE[1:]) and steered.frames.shape == memory.frames.shape


def test_it_changes_with_the_prompt_at_one_chunk():
    schedule = PromptSchedule((Segment(0, "sea"), Segment(2, "sky")), (Keyframe(2, IMAGE, LAST, **QUIET),))
    records = film_of(toy, HistoryMemory.empty(64, 64), schedule, RECIPE, chunks=3)
    said = {r.chunk: (r.prompt, r.memory.anchor) for r in records if isinstance(r, Start)}
    assert said[1][0] == ((1.0, "sea"),) and not torch.equal(said[1][1], IMAGE)
    assert said[2][0] == ((1.0, "sky"),) and torch.equal(said[2][1], IMAGE)


def test_a_schedule_keeps_its_keyframes():
    schedule = PromptSchedule((Segment(0, "sea"),), (Keyframe(4, IMAGE, LAST), Keyframe(2, IMAGE, LAST)))
    assert [k.start for k in schedule.map(str.upper).keyframes] == [2, 4]


def test_refused():
    with pytest.raises(ValueError, match="two keyframes begin at chunk 2"):
        PromptSchedule((Segment(0, "sea"),), (Keyframe(2, IMAGE, LAST), Keyframe(2, LAST, IMAGE)))
    with pytest.raises(ValueError, match="2 chunks or more"):
        Keyframe(2, IMAGE, LAST, blend=1)
    with pytest.raises(ValueError, match="start=-1"):
        Keyframe(-1, IMAGE, LAST)
    for start, blend in ((1.5, 0), ("2", 0), (2, 2.5)):
        with pytest.raises(ValueError, match="keyframe: start=.* and blend=.* must be whole numbers of chunks"):
            Keyframe(start, IMAGE, LAST, blend=blend)
    for noise in ((-0.1, 0.1), (0.2, 0.1), (0.5, 1.5), (NAN, 0.1), (0.1, NAN)):
        with pytest.raises(ValueError, match="keyframe: anchor_noise=.*a range within 0 and 1"):
            Keyframe(2, IMAGE, LAST, anchor_noise=noise)
        with pytest.raises(ValueError, match="keyframe: history_noise=.*a range within 0 and 1"):
            Keyframe(2, IMAGE, LAST, history_noise=noise)
    for picture in ((IMAGE * NAN, LAST), (IMAGE, LAST / 0)):
        with pytest.raises(ValueError, match="keyframe at chunk 1: its latents have NaN or infinity"):
            film(Keyframe(1, *picture))
    with pytest.raises(ValueError, match=r"keyframe at chunk 1: its latents are \(1, 16, 1, 8, 16\)"):
        film(Keyframe(1, torch.zeros(1, 16, 1, 8, 16), LAST))
