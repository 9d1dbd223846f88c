"""Noise levels and timesteps of each pyramid stage (reference: HeliosScheduler, HeliosDMDScheduler).

All in float64 on the host: a few hundred numbers, from which the solvers take scalars.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from .recipe import Recipe

TRAIN_STEPS = 1000
GAMMA = 1 / 3  # correlation inside a 2x2 block of the noise that is added between stages
STAGES = 3


@dataclass(frozen=True)
class StageSchedule:
    """`sigmas` (n + 1,) fall from almost 1 to 0 within the stage, `timesteps` (n,) in the stage's share of 0..1000.

    `keep` and `noise` weigh the upsampled latents and the block noise where the stage begins.
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]
    keep: float = 1.0
    noise: float = 0.0


@dataclass(frozen=True)
class StageRange:
    start_sigma: float  # where on the noise-to-data path the stage begins
    first_timestep: float
    last_timestep: float


@cache
def stage_ranges() -> tuple[StageRange, ...]:
    """How the pyramid shares the path from noise to data, and the 1000 timesteps, among its stages.

    A stage after the first begins noisier than the one before ended, since upsampling must be re-noised
    (pyramidal flow matching, arXiv 2410.05954, eq. 15): its share of the timesteps grows with its distance.
    """
    sigmas = np.linspace(0, 1 - 1 / TRAIN_STEPS, TRAIN_STEPS + 1)[::-1][:TRAIN_STEPS]
    bounds = [int(i / STAGES * TRAIN_STEPS) for i in range(STAGES)]
    starts = sigmas[bounds].tolist()
    ends = [*starts[1:], 0.0]
    corrected = [starts[0]] + [1 - (1 - s) / (math.sqrt(1 + 1 / GAMMA) * s + 1 - s) for s in starts[1:]]
    shares = np.cumsum([0.0] + [c - e for c, e in zip(corrected, ends)])
    marks = [min(int(share / shares[-1] * TRAIN_STEPS), TRAIN_STEPS - 1) for share in shares]
    times = [min(t, TRAIN_STEPS - 1.0) for t in (sigmas[marks] * TRAIN_STEPS).tolist()]
    return tuple(StageRange(s, a, b) for s, a, b in zip(starts, times, times[1:]))


def time_shift(mu: float, t: np.ndarray, form: str) -> np.ndarray:
    """Move noise levels `t` towards 1, the more the larger the picture."""
    factor = math.exp(mu) if form == "exponential" else mu
    return factor * t / (1 + (factor - 1) * t)


def shift_of(tokens: int) -> float:
    """mu for a number of noisy tokens: 0.5 at 256, 1.15 at 4096, a straight line beyond both."""
    return 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)


def stage_schedule(recipe: Recipe, stage: int, steps: int, tokens: int) -> StageSchedule:
    """The schedule of one stage with `steps` steps on `tokens` noisy tokens."""
    mu = shift_of(tokens)
    if recipe.stages == 1:
        sigmas = time_shift(mu, np.linspace(0.999, 0, steps + 1), recipe.shift)
        return StageSchedule(tuple(sigmas.tolist()), tuple((sigmas[:-1] * TRAIN_STEPS).tolist()))

    bounds = stage_ranges()[stage]
    # The reference lays out 1000 levels first and picks from them, so the last one is 0.000999 and not 0. DMD takes
    # one more and leaves that last one out; the others end with it and add a 0.
    last = 0.999 / TRAIN_STEPS
    levels = np.linspace(0.999, last, steps + 1)[:-1] if recipe.solver == "dmd" else np.linspace(0.999, last, steps)
    sigmas = time_shift(mu, levels, recipe.shift)
    low = bounds.last_timestep + (bounds.first_timestep - bounds.last_timestep) / TRAIN_STEPS
    timesteps = low + sigmas * (bounds.first_timestep - low)
    keep, noise = renoise_weights(bounds.start_sigma) if stage else (1.0, 0.0)
    return StageSchedule((*sigmas.tolist(), 0.0), tuple(timesteps.tolist()), keep, noise)


def renoise_weights(start_sigma: float) -> tuple[float, float]:
    """Weights of the upsampled latents and of the block noise at the beginning of a later stage."""
    keep = 1 / (math.sqrt(1 + 1 / GAMMA) * start_sigma + 1 - start_sigma)
    return keep, keep * start_sigma / math.sqrt(GAMMA)
