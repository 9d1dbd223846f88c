"""What a film will take: memory from sizes, time from a step of each pyramid stage on the device itself."""

import time

import torch

from ..diffusion.recipe import Recipe
from ..film.denoise import ModelDenoiser
from ..film.loop import Step, plan_chunk
from ..film.memory import HistoryMemory
from ..network.config import CHUNK_LATENTS, SPATIAL_FACTOR
from ..network.transformer import HeliosTransformer

REPEATS = 3
SLOW = 5.0  # seconds of a step that is not repeated


@torch.inference_mode()
def seconds_per_chunk(
    model: HeliosTransformer, recipe: Recipe, tokens: int, width: int, height: int, device, dtype
) -> list[float]:
    """Measured seconds of the first chunk and of a later one, sampling alone, with a prompt of so many tokens."""
    memory = HistoryMemory.empty(width, height).to(device)
    text = torch.zeros(1, tokens, model.config.text_dim, device=device, dtype=dtype)
    denoise = ModelDenoiser(model, recipe, text if recipe.cfg > 1 else None, dtype)
    prompt, cost = ((1.0, text),), []
    for stage, plan in enumerate(plan_chunk(recipe, 1, width // SPATIAL_FACTOR, height // SPATIAL_FACTOR)):
        shrink = SPATIAL_FACTOR * 2 ** (recipe.stages - 1 - stage)
        x = torch.randn(1, model.config.in_channels, CHUNK_LATENTS, height // shrink, width // shrink, device=device)
        step = Step(1, stage, 0, plan.sigmas[0], plan.timesteps[0], prompt, memory)
        times = []
        for _ in range(REPEATS + 1):
            begun = time.perf_counter()
            denoise(x, step).sum().item()  # waits for the device
            times.append(time.perf_counter() - begun)
            if times[-1] > SLOW:
                break
        cost.append(min(times[1:] or times))  # the first one also embeds history and text
    computed = [[count_computed(recipe, stage, n) for stage, n in enumerate(recipe.steps_of(k))] for k in (0, 1)]
    return [sum(n * c for n, c in zip(counts, cost)) for counts in computed]


def count_computed(recipe: Recipe, stage: int, steps: int) -> int:
    """Steps of a stage that take time."""
    return sum(not recipe.is_zero_init(stage, step) for step in range(steps))
