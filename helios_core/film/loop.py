"""The loop: a film is chunks, a chunk is pyramid stages, a stage is steps (arXiv 2603.04379, algorithm 1)."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.noise import block_noise, coarsest, draw
from ..diffusion.recipe import Recipe
from ..diffusion.sigmas import StageSchedule, stage_schedule
from ..diffusion.solvers import SOLVERS
from ..network.config import CHUNK_FRAMES, CHUNK_LATENTS, FPS
from .director import Back, Director, Go, Hold, Stop
from .keyframes import steer
from .memory import HistoryMemory
from .record import TOLD, Chunk, Meter, Start, Step
from .store import ChunkStore

Flow = Callable[[Tensor, Step], Tensor]
Denoise = Callable[[Start], Flow]


def film_records(
    denoise: Denoise,
    memory: HistoryMemory,
    director: Director,
    recipe: Recipe,
    *,
    store: ChunkStore | None = None,
    device=None,
    noise_device="cpu",
) -> Iterator[Start | Step | Chunk | Hold]:
    """Continue the film that `memory` remembers, and yield a Start, the Steps and a Chunk for each chunk of it.

    `director.direct(k)` is asked once when chunk k begins; where it says Hold, that is yielded, and it is asked again.
    A chunk that is in `store` is yielded without Steps; any other is sampled on `device` (default: where `memory` lies)
    and saved there. `denoise(start)` is called once for each sampled chunk and returns the function (x, step) -> flow
    of x (B, C, 9, h, w) at `step.timestep`, guidance included. Pausing is not pulling, stopping is closing; what was
    yielded is never lost by either.

    Random numbers come from a generator on `noise_device`: with a CPU's, a seed means the same film on every machine.
    Raises ValueError for a size that does not divide, FloatingPointError where latents are no longer finite.
    """
    recipe.check_size(memory.width, memory.height)
    device = memory.frames.device if device is None else device
    begin, yielded, meter, parent = memory, memory.chunk, Meter(device), ""
    while not isinstance(direction := director.direct(memory.chunk), Stop):
        if isinstance(direction, Hold):
            yield direction
            meter.restart()
            continue
        if isinstance(direction, Back):
            last = max(memory.chunk, yielded)  # also while an earlier Back is on its way
            if not begin.chunk <= direction.chunk <= last:
                raise ValueError(f"chunk {direction.chunk}: this film can go back to {begin.chunk} to {last}")
            memory, yielded, parent = begin, direction.chunk, ""
            continue
        start = _start_chunk(memory, direction, noise_device)
        if store is not None:
            start = replace(start, name=store.name(start), parent=parent)
        found = None if store is None else store.load(start)
        if found is None:
            start = replace(start, memory=start.memory.to(device))
            yield start
            chunk = yield from _make_chunk(denoise, start, recipe, noise_device, meter, store)
            yield chunk
        else:
            start = replace(start, stored=True)
            latents, rng_state, record = found
            told = {key: value for key, value in record.items() if key not in TOLD}  # what is told now counts
            record = {**told, **start.record, "reused": True}
            chunk = _end_chunk(start, recipe, latents.to(memory.frames.device), rng_state, record)
            meter.restart()
            if chunk.index >= yielded:  # or it was, before the film went back
                yield start
                yield chunk
        memory, parent = chunk.memory, chunk.name


def _start_chunk(memory: HistoryMemory, direction: Go, noise_device) -> Start:
    """All that the chunk after `memory` is made from."""
    seed = direction.seed
    memory = steer(memory, direction.keyframes, seed)
    generator = memory.generator(seed, noise_device)
    memory = replace(memory, seed=seed, noise_device=generator.device.type, rng_state=generator.get_state())
    return Start(memory, direction.prompt, {"chunk": memory.chunk, "seed": seed, "prompt": "", **direction.note})


def _make_chunk(
    denoise: Denoise, start: Start, recipe: Recipe, noise_device, meter: Meter, store: ChunkStore | None
) -> Generator[Step, None, Chunk]:
    generator = start.memory.generator(start.memory.seed, noise_device)
    latents = yield from _sample_chunk(denoise(start), start, recipe, generator)
    chunk = _end_chunk(start, recipe, latents, generator.get_state(), start.record | meter.read())
    if store is not None:
        try:
            store.save(chunk)
        except OSError as error:  # a full disk must not end the film
            chunk = replace(chunk, not_saved=error.strerror or str(error))
    return chunk


def _end_chunk(start: Start, recipe: Recipe, latents: Tensor, rng_state: Tensor, record: dict) -> Chunk:
    """The chunk that came of `start` and left its generator in `rng_state`."""
    renew_anchor = recipe.skip_first_chunk and start.chunk == 1
    memory = start.memory.append(latents, rng_state, record, renew_anchor=renew_anchor)
    return Chunk(start.chunk, latents, memory, start, record, reused=start.stored)


def plan_chunk(recipe: Recipe, index: int, width: int, height: int) -> list[StageSchedule]:
    """The noise levels of a chunk's stages; width and height are the full size in latents."""
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


def _sample_chunk(flow: Flow, start: Start, recipe: Recipe, generator) -> Generator[Step, None, Tensor]:
    b, c, _, h, w = start.memory.frames.shape
    device = start.memory.frames.device
    x = coarsest(draw((b, c, CHUNK_LATENTS, h, w), generator, device), recipe.stages)
    for stage, plan in enumerate(plan_chunk(recipe, start.chunk, w, h)):
        if stage:
            x = F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
            x = plan.keep * x + plan.noise * block_noise(tuple(x.shape), generator, device)
        x = yield from _sample_stage(flow, x, plan, recipe, start.chunk, stage)
    return x


def _sample_stage(
    flow: Flow, x: Tensor, plan: StageSchedule, recipe: Recipe, chunk: int, stage: int
) -> Generator[Step, None, Tensor]:
    solver = SOLVERS[recipe.solver](plan.sigmas, x)
    for i, timestep in enumerate(plan.timesteps):
        step = Step(chunk, stage, i, plan.sigmas[i], timestep)
        v = torch.zeros_like(x) if recipe.is_zero_init(stage, i) else flow(x, step)
        x, x0 = solver.step(i, x, v.to(x.dtype))
        if not torch.isfinite(x).all():
            raise FloatingPointError(
                f"NaN or infinity in the latents of chunk {chunk}, stage {stage}, step {i}: try a weight dtype of "
                "higher precision, a lower cfg, or remove the LoRA or patch that was added last"
            )
        yield replace(step, x0=x0)
    return x


def chunk_count(frames: int) -> int:
    """Chunks that hold a number of pixel frames: length is made in steps of 33."""
    return max(1, -(-frames // CHUNK_FRAMES))


def step_count(recipe: Recipe, first: int, chunks: int) -> int:
    """Steps that `chunks` chunks take, beginning with chunk `first`."""
    return sum(sum(recipe.steps_of(k)) for k in range(first, first + chunks))


def film_length(chunks: int) -> str:
    """Readable length: '3 chunks, 99 frames, 4.1 s'."""
    frames = chunks * CHUNK_FRAMES
    return f"{chunks} chunk{'s' * (chunks != 1)}, {frames} frames, {frames / FPS:.1f} s"
