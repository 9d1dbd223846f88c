"""The loop: a film is chunks, a chunk is pyramid stages, a stage is steps (arXiv 2603.04379, algorithm 1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.noise import block_noise, coarsest, draw
from ..diffusion.recipe import Recipe
from ..diffusion.sigmas import StageSchedule, stage_schedule
from ..diffusion.solvers import SOLVERS
from ..network.config import CHUNK_FRAMES, CHUNK_LATENTS, FPS
from .keyframes import steer
from .memory import HistoryMemory


@dataclass(frozen=True)
class Step:
    """One call of the network. `prompt` is what the schedule said when the chunk began.

    `denoise` gets it without `x0`; it is yielded with x0 (B, C, 9, h, w), the estimate of the stage's end.
    """

    chunk: int
    stage: int
    index: int
    sigma: float
    timestep: float
    prompt: Any
    memory: HistoryMemory
    x0: Tensor | None = None


@dataclass(frozen=True)
class Start:
    """All that a chunk is made from, besides network and recipe: what it remembers, random state included, and says."""

    memory: HistoryMemory
    prompt: Any


@dataclass(frozen=True)
class Chunk:
    """A finished chunk: latents (B, C, 9, H/8, W/8) in model space, the memory to go on from, and where it began."""

    index: int
    latents: Tensor
    memory: HistoryMemory
    start: Start


Denoise = Callable[[Tensor, Step], Tensor]


def chunk_count(frames: int) -> int:
    """Chunks that hold a number of pixel frames: length is made in steps of 33."""
    return max(1, -(-frames // CHUNK_FRAMES))


def step_count(recipe: Recipe, first: int, chunks: int) -> int:
    """Steps that `chunks` chunks take, beginning with chunk `first`."""
    return sum(sum(recipe.steps_of(k)) for k in range(first, first + chunks))


def sample_chunks(
    denoise: Denoise, memory: HistoryMemory, schedule, recipe: Recipe, *, chunks: int, seed: int, noise_device="cpu"
) -> Iterator[Step | Chunk]:
    """Sample `chunks` chunks after `memory`, yielding each Step and each Chunk as they are done.

    `denoise(x, step)` returns the flow of x (B, C, 9, h, w) at `step.timestep`, guidance included. `schedule.at(k)`
    and `schedule.keyframes` are asked when chunk k begins, so they may change meanwhile. Tensors live where
    `memory.frames` does; the random numbers come from a generator on `noise_device`: with a CPU's, a seed means the
    same film on every machine. Raises ValueError for a size that does not divide, FloatingPointError where latents are
    no longer finite.
    """
    recipe.check_size(memory.width, memory.height)
    for _ in range(chunks):
        start = begin_chunk(memory, schedule, seed, noise_device)
        generator = start.memory.generator(seed, noise_device)
        latents = yield from _sample_chunk(denoise, start, recipe, generator)
        chunk = end_chunk(start, recipe, latents, generator.get_state())
        memory = chunk.memory
        yield chunk


def begin_chunk(memory: HistoryMemory, schedule, seed: int, noise_device="cpu") -> Start:
    """What the chunk after `memory` is made from."""
    prompt = schedule.at(memory.chunk)
    memory = steer(memory, schedule.keyframes, seed)
    generator = memory.generator(seed, noise_device)
    memory = replace(memory, seed=seed, noise_device=generator.device.type, rng_state=generator.get_state())
    return Start(memory, prompt)


def end_chunk(start: Start, recipe: Recipe, latents: Tensor, rng_state: Tensor) -> Chunk:
    """The record of a chunk that came of `start` and left its generator in `rng_state`."""
    index = start.memory.chunk
    memory = start.memory.append(latents, rng_state, renew_anchor=recipe.skip_first_chunk and index == 1)
    return Chunk(index, latents, memory, start)


def plan_chunk(recipe: Recipe, index: int, width: int, height: int) -> list[StageSchedule]:
    """The schedules of a chunk's stages; width and height are the full size in latents."""
    plans = []
    for stage, steps in enumerate(recipe.steps_of(index)):
        # The released pipelines take the time shift from the size that a stage begins with, before it is enlarged.
        shrink = 2 ** (recipe.stages - max(stage, 1)) if recipe.stages > 1 else 1
        tokens = CHUNK_LATENTS * (height // shrink) * (width // shrink) // 4
        plan = stage_schedule(recipe, stage, steps, tokens)
        if recipe.stages > 1:  # the pyramid's networks were only ever told whole timesteps
            plan = replace(plan, timesteps=tuple(float(int(t)) for t in plan.timesteps))
        plans.append(plan)
    return plans


def _sample_chunk(denoise, start: Start, recipe: Recipe, generator):
    index, memory = start.memory.chunk, start.memory
    b, c, _, h, w = memory.frames.shape
    device = memory.frames.device
    x = coarsest(draw((b, c, CHUNK_LATENTS, h, w), generator, device), recipe.stages)
    for stage, plan in enumerate(plan_chunk(recipe, index, w, h)):
        if stage:
            x = F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
            x = plan.keep * x + plan.noise * block_noise(tuple(x.shape), generator, device)
        step = Step(index, stage, 0, plan.sigmas[0], plan.timesteps[0], start.prompt, memory)
        x = yield from _sample_stage(denoise, x, plan, recipe, step)
    return x


def _sample_stage(denoise, x: Tensor, plan: StageSchedule, recipe: Recipe, first: Step):
    solver = SOLVERS[recipe.solver](plan.sigmas, x)
    for i, timestep in enumerate(plan.timesteps):
        step = replace(first, index=i, sigma=plan.sigmas[i], timestep=timestep)
        flow = torch.zeros_like(x) if recipe.is_zero_init(step.stage, i) else denoise(x, step)
        x, x0 = solver.step(i, x, flow.to(x.dtype))
        if not torch.isfinite(x).all():
            raise FloatingPointError(
                f"NaN or infinity in the latents of chunk {step.chunk}, stage {step.stage}, step {i}: try a weight "
                "dtype of higher precision, a lower cfg, or remove the LoRA or patch that was added last"
            )
        yield replace(step, x0=x0)
    return x


def film_length(chunks: int) -> str:
    """Readable length: '3 chunks, 99 frames, 4.1 s'."""
    frames = chunks * CHUNK_FRAMES
    return f"{chunks} chunk{'s' * (chunks != 1)}, {frames} frames, {frames / FPS:.1f} s"
