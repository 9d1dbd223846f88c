"""The score of a seam on films whose jumps are known, and what smoothing does to them and to films without."""

import math

import pytest
import torch

from helios_core.media.seams import VISIBLE, SeamSmoother, changes, seam_score

CHUNKS = 4


def film(speed=1.0, step=0.0, tint=(0.0, 0.0, 0.0), move=0.0, noise=0.0, width=96, height=64):
    """A ball circles over a gradient; from chunk to chunk brightness and tint go to and fro, the ball is moved on."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    ground = torch.stack([0.3 + 0.3 * x, 0.3 + 0.3 * y, 0.5 - 0.2 * x], dim=-1)
    frames = []
    for t in range(33 * CHUNKS):
        k = t // 33
        cx = 0.5 + 0.35 * math.sin(0.05 * speed * t) + 0.1 * move * k
        cy = 0.5 + 0.2 * math.cos(0.04 * speed * t)
        ball = ((x - cx) ** 2 + (y - cy) ** 2 < 0.02).float()[..., None]
        frame = ground * (1 - ball) + ball * torch.tensor([0.9, 0.8, 0.2]) + (k % 2) * (step + torch.tensor(tint))
        frames.append(frame + noise * torch.randn(frame.shape, generator=generator))
    return torch.stack(frames).clamp(0, 1).split(33)


def scores(chunks):
    return [seam_score(a, b) for a, b in zip(chunks, chunks[1:])]


def smoothed(chunks, **options):
    smoother = SeamSmoother(**options)
    return [smoother.smooth(chunk) for chunk in chunks]


@pytest.mark.parametrize("options", [{}, {"speed": 0}, {"speed": 4}, {"noise": 0.05}], ids=str)
def test_a_film_without_jumps(options):
    """Still, slow, fast or grainy: nothing is seen, and nothing smoothed."""
    chunks = film(**options)
    assert max(scores(chunks)) < VISIBLE and min(scores(chunks)) > 0.5
    assert all(a is b for a, b in zip(chunks, smoothed(chunks)))


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0.02},
        {"step": 0.05},
        {"step": -0.05},
        {"tint": (0.04, 0.0, -0.04)},
        {"speed": 0, "step": 0.02},
        {"speed": 4, "step": 0.04},
    ],
    ids=str,
)
def test_jumps_of_brightness_and_tint_are_seen_and_lessened(options):
    chunks = film(**options)
    again = smoothed(chunks)
    assert min(scores(chunks)) > VISIBLE
    assert max(scores(again)) < 1.3
    for before, after in zip(chunks, again):
        assert torch.equal(before[8:], after[8:]) and 0 <= after.min() and after.max() <= 1
        by = (before - after).abs().mean(dim=(1, 2, 3))
        assert (by.diff() <= 1e-6).all()  # less from frame to frame
    assert again[0] is chunks[0]


def test_a_greater_jump_scores_more():
    heights = [min(scores(film(step=s))) for s in (0.01, 0.02, 0.04, 0.08)]
    assert heights == sorted(heights) and heights[-1] > 4 * heights[0]


def test_an_object_that_jumps_is_seen_and_left():
    chunks = film(move=1)
    assert min(scores(chunks)) > VISIBLE
    assert all(a is b for a, b in zip(chunks, smoothed(chunks)))


def test_cuts_are_left():
    chunks = film(step=0.5)
    assert min(scores(chunks)) > 50
    assert all(a is b for a, b in zip(chunks, smoothed(chunks)))


@pytest.mark.parametrize("frames", [1, 4, 33])
def test_how_many_frames(frames):
    for before, after in list(zip(film(step=0.05), smoothed(film(step=0.05), frames=frames)))[1:]:
        assert torch.equal(before[frames:], after[frames:])
        assert ((before - after)[:frames].abs().mean(dim=(1, 2, 3)) > 0).all()


def test_the_score_is_of_the_film_not_of_its_size():
    small, large = film(step=0.03), film(step=0.03, width=384, height=256)
    for a, b in zip(scores(small), scores(large)):
        assert a == pytest.approx(b, rel=0.15)


def test_a_still_film_is_not_divided_by_nothing():
    frames = torch.full((33, 8, 8, 3), 0.5)
    assert seam_score(frames, frames) == 1
    assert math.isfinite(seam_score(frames, frames + 0.5))
    assert seam_score(frames[:1], frames[:1]) == 1


def test_changes():
    frames = torch.stack([torch.full((4, 4, 3), v) for v in (0.0, 0.25, 0.25, 1.0)])
    assert torch.allclose(changes(frames), torch.tensor([0.25, 0, 0.75]))


def test_too_few_frames():
    with pytest.raises(ValueError, match="3 or more"):
        SeamSmoother().smooth(torch.zeros(2, 8, 8, 3))
