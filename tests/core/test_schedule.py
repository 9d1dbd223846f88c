"""Noise levels, timesteps and noise against diffusers' schedulers."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import HeliosDMDScheduler, HeliosScheduler
from diffusers.pipelines.helios.pipeline_helios_pyramid import calculate_shift

from films import SEA, film_of, steps_of
from helios_core import RECIPES, HistoryMemory
from helios_core.diffusion.noise import block_noise, coarsest, draw
from helios_core.diffusion.sigmas import GAMMA, renoise_weights, shift_of, stage_ranges, stage_schedule, time_shift

TOKENS = [36, 540, 2160, 8640]  # of 9 latent frames: 64 x 64 pixels, then the three stages of 384 x 640
MID, DISTILLED, BASE = RECIPES["mid"], RECIPES["distilled"], RECIPES["base"]


def scheduler_of(recipe):
    if recipe.solver == "dmd":
        return HeliosDMDScheduler(use_dynamic_shifting=True, time_shift_type=recipe.shift)
    return HeliosScheduler(use_dynamic_shifting=True, time_shift_type=recipe.shift, scheduler_type=recipe.solver)


def assert_equal(plan, scheduler):
    assert plan.sigmas == pytest.approx(scheduler.sigmas.tolist(), abs=1e-12)
    assert plan.timesteps == pytest.approx(scheduler.timesteps.tolist(), abs=1e-9)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("stage", range(3))
@pytest.mark.parametrize("shift", ["exponential", "linear"])
@pytest.mark.parametrize("solver", ["unipc", "euler", "dmd"])
def test_pyramid_equals_diffusers(solver, shift, stage, tokens):
    recipe = replace(DISTILLED, solver=solver, shift=shift)
    scheduler = scheduler_of(recipe)
    for steps in range(1, 51):
        scheduler.set_timesteps(steps, stage, mu=calculate_shift(tokens))
        assert_equal(stage_schedule(recipe, stage, steps, tokens), scheduler)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("stage", range(3))
def test_amplified_first_chunk_equals_diffusers(stage, tokens):
    scheduler = scheduler_of(DISTILLED)
    for steps in range(1, 26):
        scheduler.set_timesteps(steps, stage, mu=calculate_shift(tokens), is_amplify_first_chunk=True)
        assert_equal(stage_schedule(DISTILLED, stage, 2 * steps, tokens), scheduler)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("shift", ["exponential", "linear"])
def test_base_equals_diffusers(shift, tokens):
    scheduler = HeliosScheduler(stages=1, stage_range=[0, 1], use_dynamic_shifting=True, time_shift_type=shift)
    for steps in range(1, 51):
        sigmas = torch.linspace(0.999, 0, steps + 1, dtype=torch.float64)[:-1].numpy()
        scheduler.set_timesteps(steps, sigmas=sigmas, mu=calculate_shift(tokens))
        assert_equal(stage_schedule(replace(BASE, shift=shift), 0, steps, tokens), scheduler)


@pytest.mark.parametrize(
    "stage,steps,tokens,sigmas,timesteps",
    [
        (0, 2, 540, [0.99818, 0.35404, 0], [998.534, 833.964]),
        (1, 2, 2160, [0.99878, 0.45124, 0], [742.822, 547.193]),
        (2, 2, 8640, [0.99948, 0.65744, 0], [385.414, 253.991]),
        (2, 4, 8640, [0.99948, 0.85168, 0.65744, 0.39077, 0], None),
    ],
)
def test_known_values_of_distilled(stage, steps, tokens, sigmas, timesteps):
    plan = stage_schedule(DISTILLED, stage, steps, tokens)
    assert plan.sigmas == pytest.approx(sigmas, abs=1e-5)
    if timesteps:
        assert plan.timesteps == pytest.approx(timesteps, abs=1e-3)


def test_known_shift():
    assert [shift_of(n) for n in (256, 4096)] == pytest.approx([0.5, 1.15])
    assert shift_of(8640) == pytest.approx(1.9192, abs=1e-4)


@pytest.mark.parametrize("form,factor", [("exponential", math.exp(0.7)), ("linear", 0.7)])
def test_time_shift_is_the_papers_expression(form, factor):
    t = torch.linspace(0.01, 0.999, 100, dtype=torch.float64).numpy()
    assert time_shift(0.7, t, form) == pytest.approx(factor / (factor + 1 / t - 1))


def test_stage_ranges_equal_diffusers():
    scheduler = HeliosScheduler()
    for stage, bounds in enumerate(stage_ranges()):
        assert bounds.start_sigma == pytest.approx(scheduler.ori_start_sigmas[stage], abs=1e-12)
        assert bounds.first_timestep == pytest.approx(scheduler.timesteps_per_stage[stage].max().item(), abs=1e-12)
    assert [b.start_sigma for b in stage_ranges()] == pytest.approx([0.999, 0.666333, 0.333666], abs=1e-6)


@pytest.mark.parametrize("recipe", [MID, DISTILLED], ids=["mid", "distilled"])
def test_renoise_weights_equal_diffusers(recipe):
    scheduler = scheduler_of(recipe)
    assert scheduler.config.gamma == GAMMA
    for stage in (1, 2):
        signal = 1 - scheduler.ori_start_sigmas[stage]
        alpha = 1 / (math.sqrt(1 + (1 / scheduler.config.gamma)) * (1 - signal) + signal)
        beta = alpha * (1 - signal) / math.sqrt(scheduler.config.gamma)
        assert renoise_weights(1 - signal) == pytest.approx((alpha, beta), abs=1e-12)
        plan = stage_schedule(recipe, stage, 2, 540)
        assert (plan.keep, plan.noise) == pytest.approx((alpha, beta), abs=1e-12)
    first = stage_schedule(recipe, 0, 2, 540)
    assert (first.keep, first.noise) == (1, 0)


@pytest.mark.parametrize("stage", [1, 2])
def test_renoised_latents_have_the_statistics_of_their_level(stage):
    """keep * upsampled + noise * blocks is white noise of the corrected start, where the data are flat."""
    s = stage_ranges()[stage].start_sigma
    keep, noise = renoise_weights(s)
    covariance = (keep * s) ** 2 * torch.ones(4, 4) + noise**2 * ((1 + GAMMA) * torch.eye(4) - GAMMA)
    corrected = 1 - (1 - s) * keep
    assert torch.allclose(covariance, corrected**2 * torch.eye(4), atol=1e-6)


def blocks_of(noise):
    return noise.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).transpose(-3, -2).reshape(-1, 4)


def test_block_noise_covariance():
    blocks = blocks_of(block_noise((2, 16, 9, 64, 64), torch.Generator().manual_seed(0), "cpu")).double()
    wanted = (1 + GAMMA) * torch.eye(4) - GAMMA
    assert len(blocks) == 2 * 16 * 9 * 32 * 32
    assert torch.allclose(torch.cov(blocks.T), wanted.double(), atol=0.015)  # 5 standard errors and more
    assert blocks.mean(0).abs().max() < 0.012
    assert blocks.sum(1).abs().max() < 1e-2  # the matrix is singular
    neighbours = torch.corrcoef(torch.cat([blocks[:-1], blocks[1:]], dim=1).T)[:4, 4:]
    assert neighbours.abs().max() < 0.015


@pytest.mark.parametrize("shape", [(1, 16, 9, 8, 12), (2, 3, 4, 2, 6)], ids=str)
def test_block_noise_is_drawn_block_after_block(shape):
    noise = block_noise(shape, torch.Generator().manual_seed(7), "cpu")
    z = torch.randn(math.prod(shape) // 4, 4, generator=torch.Generator().manual_seed(7))
    covariance = (1 + GAMMA) * torch.eye(4, dtype=torch.float64) - GAMMA
    factor = torch.linalg.cholesky(covariance + 1e-8 * torch.eye(4, dtype=torch.float64))
    assert torch.allclose(blocks_of(noise).double(), z.double() @ factor.T, atol=1e-5)


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("size", [(16, 24), (8, 8)], ids=str)
def test_coarsest_is_repeated_bilinear_halving(stages, size):
    noise = draw((2, 16, 9, *size), torch.Generator().manual_seed(0), "cpu")
    wanted = noise.transpose(1, 2).flatten(0, 1)
    for _ in range(stages - 1):
        wanted = 2 * F.interpolate(wanted, scale_factor=0.5, mode="bilinear")
    wanted = wanted.unflatten(0, (2, 9)).transpose(1, 2)
    assert coarsest(noise, stages).shape == (2, 16, 9, *(n // 2 ** (stages - 1) for n in size))
    assert torch.allclose(coarsest(noise, stages), wanted, atol=1e-6)


def run(recipe, width, height, chunks, seed=11):
    """The records of a film, and what the network was given, with a flow that is easy to follow."""
    given = []

    def flow(x, step):
        given.append((step, x.clone()))
        return 0.1 * x

    records = list(film_of(lambda start: flow, HistoryMemory.empty(width, height), SEA, recipe, chunks, seed))
    return records, given


def test_order_of_random_numbers():
    """From one generator: a chunk's full-size noise, the blocks of stage 1, of stage 2, then the next chunk's."""
    recipe = replace(DISTILLED, steps=(1, 1, 1))
    records, given = run(recipe, 128, 64, chunks=2)
    ends = {(r.chunk, r.stage): r.x0 for r in steps_of(records)}
    starts = {(step.chunk, step.stage): x for step, x in given if step.index == 0}
    generator = torch.Generator().manual_seed(11)
    for chunk in range(2):
        full = torch.randn(1, 16, 9, 8, 16, generator=generator)
        assert torch.equal(starts[chunk, 0], coarsest(full, 3))
        for stage in (1, 2):
            larger = ends[chunk, stage - 1].repeat_interleave(2, -1).repeat_interleave(2, -2)
            keep, noise = renoise_weights(stage_ranges()[stage].start_sigma)
            blocks = block_noise(tuple(larger.shape), generator, "cpu")
            assert torch.allclose(starts[chunk, stage], keep * larger + noise * blocks, atol=1e-6)


def test_order_of_random_numbers_without_pyramid():
    _, given = run(replace(BASE, steps=(2,), cfg=1.0), 48, 32, chunks=2)
    generator = torch.Generator().manual_seed(11)
    for chunk in range(2):
        full = torch.randn(1, 16, 9, 4, 6, generator=generator)
        assert torch.equal(next(x for step, x in given if step.chunk == chunk), full)


def test_shift_is_that_of_the_size_before_enlarging():
    """As in the pipelines: stage 1 begins with stage 0's 540 tokens, stage 2 with stage 1's 2160."""
    _, given = run(replace(DISTILLED, amplify_first_chunk=False), 640, 384, chunks=1)
    scheduler = scheduler_of(DISTILLED)
    for stage, tokens in enumerate([540, 540, 2160]):
        scheduler.set_timesteps(2, stage, mu=calculate_shift(tokens))
        steps = [step for step, _ in given if step.stage == stage]
        assert [s.sigma for s in steps] == pytest.approx(scheduler.sigmas[:-1].tolist())
        assert [s.timestep for s in steps] == [math.floor(t) for t in scheduler.timesteps.tolist()]


def test_timesteps_are_whole_in_the_pyramid_alone():
    _, pyramid = run(replace(MID, steps=(3, 3, 3), cfg=1.0), 64, 64, chunks=1)
    _, base = run(replace(BASE, steps=(3,), cfg=1.0), 64, 64, chunks=1)
    assert all(step.timestep == int(step.timestep) for step, _ in pyramid)
    assert any(step.timestep != int(step.timestep) for step, _ in base)
