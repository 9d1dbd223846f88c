"""How long a film's chunks take: measured by a step of each pyramid stage on the device itself."""

import time
from dataclasses import replace

import torch

from ..diffusion.recipe import Recipe
from ..film.denoise import ModelDenoiser
from ..film.loop import plan_chunk
from ..film.memory import HistoryMemory
from ..film.record import Start, Step
from ..network.config import CHUNK_LATENTS, SPATIAL_FACTOR
from ..network.transformer import HeliosTransformer

REPEATS = 3
SLOW = 5.0  # seconds: a step that takes longer is not repeated


@torch.inference_mode()
def seconds_per_chunk(
    model: HeliosTransformer, recipe: Recipe, tokens: int, width: int, height: int, device, dtype
) -> tuple[float, float]:
    """Seconds of the first chunk and of a later one, for sampling alone, with a prompt of `tokens` tokens."""
    text = torch.zeros(1, tokens, model.config.text_dim, device=device, dtype=dtype)
    memory = replace(HistoryMemory.empty(width, height).to(device), chunk=1)
    denoise = ModelDenoiser(model, recipe, text if recipe.guided else None, dtype)(Start(memory, ((1.0, text),), {}))
    cost = []
    for stage, plan in enumerate(plan_chunk(recipe, 1, width // SPATIAL_FACTOR, height // SPATIAL_FACTOR)):
        shrink = SPATIAL_FACTOR * 2 ** (recipe.stages - 1 - stage)
        x = torch.randn(1, model.config.in_channels, CHUNK_LATENTS, height // shrink, width // shrink, device=device)
        step = Step(1, stage, 0, plan.sigmas[0], plan.timesteps[0])
        cost.append(_seconds(lambda: denoise(x, step)))  # noqa: B023
    first, later = ([_computed(recipe, stage, n) for stage, n in enumerate(recipe.steps_of(k))] for k in (0, 1))
    return sum(n * c for n, c in zip(first, cost)), sum(n * c for n, c in zip(later, cost))


@torch.inference_mode()
def decode_seconds(codec, latents: torch.Tensor) -> float:
    """Seconds to decode a chunk; the first time is not counted, it also looks for the fastest convolutions."""
    codec.decode(latents)
    begun = time.perf_counter()
    codec.decode(latents)
    return time.perf_counter() - begun


def _seconds(call) -> float:
    times = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        call().sum().item()  # waits for the device
        times.append(time.perf_counter() - begun)
        if times[-1] > SLOW:
            break
    return min(times[1:] or times)  # the first one also prepares what later ones reuse


def _computed(recipe: Recipe, stage: int, steps: int) -> int:
    """Steps of a stage that take time."""
    return sum(not recipe.is_zero_init(stage, step) for step in range(steps))
