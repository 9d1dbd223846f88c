"""Whole films against diffusers' pipelines, float32, the same generator stream."""

from dataclasses import replace

import pytest
import torch

from films import chunks_of, film_of
from helios_core import RECIPES, HistoryMemory, PromptSchedule, Segment
from helios_core.film.denoise import ModelDenoiser
from oracle import embeddings, models, reference_film, relative_error

FILMS = {
    "base": replace(RECIPES["base"], steps=(6,)),
    "base_1_step": replace(RECIPES["base"], steps=(1,)),
    "base_without_cfg": replace(RECIPES["base"], steps=(4,), cfg=1.0),
    "mid": replace(RECIPES["mid"], steps=(4, 3, 3)),
    "mid_zero_steps_0": replace(RECIPES["mid"], steps=(3, 2, 2), zero_steps=0),
    "distilled": RECIPES["distilled"],
    "distilled_not_amplified": replace(RECIPES["distilled"], amplify_first_chunk=False),
    "distilled_1_step": replace(RECIPES["distilled"], steps=(1, 1, 1)),
    "distilled_skip_first_chunk": replace(RECIPES["distilled"], skip_first_chunk=True),
    "base_skip_first_chunk": replace(RECIPES["base"], steps=(3,), skip_first_chunk=True),
}


def our_film(model, recipe, *, width, height, chunks, seed, positive, negative=None, batch=1, memory=None):
    memory = memory or HistoryMemory.empty(width, height, batch=batch)
    schedule = PromptSchedule((Segment(0, positive),))
    records = film_of(ModelDenoiser(model, recipe, negative), memory, schedule, recipe, chunks, seed)
    return torch.cat([c.latents for c in chunks_of(records)], dim=2)


@torch.no_grad()
def compare(variant, recipe, settings=None, batch=1, **film):
    theirs, ours = models(**(settings or {}))
    film = dict(seed=3, positive=embeddings(1, batch=batch), negative=embeddings(2, tokens=7, batch=batch), **film)
    want = reference_film(theirs, variant, recipe, **film)
    got = our_film(ours, recipe, batch=batch, **film)
    assert got.shape == want.shape
    return relative_error(got, want)


@pytest.mark.parametrize("name", FILMS)
def test_film_equals_diffusers(name):
    """The variants as they are, larger."""
    recipe, (width, height) = FILMS[name], (192, 128) if name in RECIPES else (128, 64)
    assert compare(name.split("_")[0], recipe, width=width, height=height, chunks=4) < 1e-5


@pytest.mark.parametrize("size", [(128, 192), (128, 64), (320, 64)], ids=str)
@pytest.mark.parametrize("variant", ["base", "mid", "distilled"])
def test_sizes(variant, size):
    recipe = replace(RECIPES[variant], steps=(2,) * RECIPES[variant].stages)
    assert compare(variant, recipe, width=size[0], height=size[1], chunks=2) < 1e-5


def test_size_that_only_base_can_make():
    """80 x 48: history grids that do not divide by their patches."""
    assert compare("base", replace(RECIPES["base"], steps=(2,)), width=80, height=48, chunks=4) < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        dict(is_amplify_history=True, history_scale_mode="per_head"),
        dict(is_amplify_history=True, history_scale_mode="scalar"),
        dict(guidance_cross_attn=False),
        dict(zero_history_timestep=False),
        dict(cross_attn_norm=False),
    ],
    ids=str,
)
def test_architectures(settings):
    assert compare("distilled", RECIPES["distilled"], settings, width=128, height=64, chunks=4) < 1e-5


def test_batch_of_two():
    assert compare("distilled", RECIPES["distilled"], width=64, height=64, chunks=2, batch=2) < 1e-5


def encoded(frames, seed):
    """What a VAE might have made: latents of 64 x 96 pixels."""
    return torch.randn(1, 16, frames, 8, 16, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def compare_begun(variant, memory, options, kept):
    """`kept` latents of the reference's output are the conditioning, not the film."""
    recipe = replace(RECIPES[variant], steps=(2,) * RECIPES[variant].stages)
    theirs, ours = models()
    film = dict(width=128, height=64, chunks=3, seed=3, positive=embeddings(1), negative=embeddings(2, tokens=7))
    want = reference_film(theirs, variant, recipe, **film, **options)
    return relative_error(our_film(ours, recipe, **film, memory=memory), want[:, :, kept:])


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("variant", RECIPES)
def test_image_to_video(variant, noise):
    image, last = encoded(1, 1), encoded(1, 2)
    ranges = dict(anchor_noise=(0.111, 0.135), history_noise=(0.2, 0.3)) if noise else dict.fromkeys(RANGES)
    memory = HistoryMemory.from_image(image, last, seed=3, **ranges)
    options = dict(image_latents=image, fake_image_latents=last, add_noise_to_image_latents=noise)
    strengths = dict(video_noise_sigma_min=0.2, video_noise_sigma_max=0.3)
    assert compare_begun(variant, memory, options | strengths, kept=1) < 1e-5


RANGES = ("anchor_noise", "history_noise")


@pytest.mark.parametrize("frames, noise", [(33, True), (99, True), (99, False), (200, True)])
@pytest.mark.parametrize("variant", RECIPES)
def test_video_to_video(variant, frames, noise):
    first, windows = encoded(1, 1), encoded(frames // 33 * 9, 2)
    memory = HistoryMemory.from_video(
        first, windows[:, :, -27:], count=frames // 33, seed=3, **({} if noise else dict.fromkeys(RANGES))
    )
    options = dict(image_latents=first, video_latents=windows, add_noise_to_video_latents=noise)
    options["add_noise_to_image_latents"] = False  # or the pipeline takes the first frame for image-to-video's
    assert compare_begun(variant, memory, options, kept=windows.shape[2]) < 1e-5
