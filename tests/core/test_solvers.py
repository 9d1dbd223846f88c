"""Solvers against diffusers' schedulers, and against a flow whose solution is known."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers import HeliosDMDScheduler, HeliosScheduler
from diffusers.pipelines.helios.pipeline_helios_pyramid import calculate_shift

from helios_core import RECIPES
from helios_core.diffusion.sigmas import stage_schedule
from helios_core.diffusion.solvers import DMD, SOLVERS, Euler, UniPC
from oracle import relative_error

STEPS = [1, 2, 3, 5, 20, 50]
TOKENS = 540


def noise(seed=0):
    return torch.randn(2, 4, 9, 4, 6, generator=torch.Generator().manual_seed(seed))


def flow(x, sigma):
    """A toy network: nonlinear in the latents and in the noise level."""
    return torch.tanh(1.7 * x.roll(1, -1) + 2 * sigma) * (1.2 - sigma) + 0.3 * x


def same_path(solver, plan, scheduler, **of_step):
    """Walk both from the same noise; compare what each step gives, and the estimate of the end."""
    ours = theirs = noise()
    solver = solver(plan.sigmas, ours)
    for i, t in enumerate(scheduler.timesteps):
        estimate = ours - plan.sigmas[i] * flow(ours, plan.sigmas[i])
        extra = {k: v(i) for k, v in of_step.items()}
        theirs = scheduler.step(flow(theirs, plan.sigmas[i]), t, theirs, return_dict=False, **extra)[0]
        ours, x0 = solver.step(i, ours, flow(ours, plan.sigmas[i]))
        assert ours.dtype == x0.dtype == torch.float32
        assert relative_error(x0, estimate) < 1e-6
        assert relative_error(ours, theirs) < 1e-5
    assert relative_error(ours, x0) < 1e-6  # the last level is 0: the latents are the estimate


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("stage", range(3))
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_pyramid(solver, stage, steps):
    recipe = replace(RECIPES["mid"], solver=solver)
    scheduler = HeliosScheduler(use_dynamic_shifting=True, scheduler_type=solver)
    scheduler.set_timesteps(steps, stage, mu=calculate_shift(TOKENS))
    same_path(SOLVERS[solver], stage_schedule(recipe, stage, steps, TOKENS), scheduler)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_base(solver, steps):
    recipe = replace(RECIPES["base"], solver=solver)
    scheduler = HeliosScheduler(stages=1, stage_range=[0, 1], use_dynamic_shifting=True, scheduler_type=solver)
    sigmas = torch.linspace(0.999, 0, steps + 1, dtype=torch.float64)[:-1].numpy()
    scheduler.set_timesteps(steps, sigmas=sigmas, mu=calculate_shift(TOKENS))
    same_path(SOLVERS[solver], stage_schedule(recipe, 0, steps, TOKENS), scheduler)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("stage", range(3))
def test_dmd(stage, steps):
    scheduler = HeliosDMDScheduler(use_dynamic_shifting=True, time_shift_type="linear")
    scheduler.set_timesteps(steps, stage, mu=calculate_shift(TOKENS))
    same_path(
        DMD,
        stage_schedule(RECIPES["distilled"], stage, steps, TOKENS),
        scheduler,
        cur_sampling_step=lambda i: i,
        dmd_noisy_tensor=lambda i: noise(),
        dmd_sigmas=lambda i: scheduler.sigmas,
        dmd_timesteps=lambda i: scheduler.timesteps,
        all_timesteps=lambda i: scheduler.timesteps,
    )


@pytest.mark.parametrize("solver", [Euler, UniPC, DMD])
def test_inputs_are_left_alone(solver):
    plan = stage_schedule(RECIPES["mid"], 0, 4, TOKENS)
    x = start = noise()
    copy = start.clone()
    walker = solver(plan.sigmas, start)
    for i in range(4):
        before, v = x.clone(), noise(seed=i + 1)
        kept = v.clone()
        following, _ = walker.step(i, x, v)
        assert torch.equal(x, before) and torch.equal(v, kept) and following is not x
        x = following
    assert torch.equal(start, copy)


def test_dmd_returns_to_its_own_start():
    start = noise()
    x, x0 = DMD((0.9, 0.4, 0.0), start).step(0, noise(1), noise(2))
    assert relative_error(x0, noise(1) - 0.9 * noise(2)) < 1e-6
    assert relative_error(x, 0.6 * x0 + 0.4 * start) < 1e-6


MEAN, SPREAD = 0.7, 0.35


def spread_at(sigma):
    return math.hypot((1 - sigma) * SPREAD, sigma)


def gaussian_flow(x, sigma):
    """The exact flow v = E[noise - data | x] towards data of a normal distribution."""
    slope = (sigma - (1 - sigma) * SPREAD**2) / spread_at(sigma) ** 2
    return -MEAN + slope * (x - (1 - sigma) * MEAN)


def gaussian_error(solver, steps, last=0.05):
    sigmas = torch.linspace(0.95, last, steps + 1, dtype=torch.float64).tolist()
    x = start = noise().double()
    walker = solver(tuple(sigmas), start)
    for i in range(steps):
        x, _ = walker.step(i, x, gaussian_flow(x, sigmas[i]))
    deviation = (start - (1 - sigmas[0]) * MEAN) / spread_at(sigmas[0])
    return relative_error(x, (1 - last) * MEAN + spread_at(last) * deviation)


def test_order_of_convergence():
    """Twice the steps: Euler's error halves, that of UniPC falls to less than a third."""
    euler, unipc = ([gaussian_error(s, n) for n in (10, 20, 40, 80)] for s in (Euler, UniPC))
    for coarse, fine in zip(euler, euler[1:]):
        assert 1.7 < coarse / fine < 2.3
    for coarse, fine in zip(unipc, unipc[1:]):
        assert coarse / fine > 3
    assert all(u < e / 3 for u, e in zip(unipc, euler))


def test_unipc_is_better_down_to_the_data():
    for steps in (10, 20, 50):
        assert gaussian_error(UniPC, steps, last=0.0) < 0.6 * gaussian_error(Euler, steps, last=0.0)
