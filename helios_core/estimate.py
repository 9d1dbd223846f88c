"""What a film will take: memory from sizes, time from a step of each pyramid stage on the device itself."""

import time

import torch

from .config import CHUNK_LATENTS, SPATIAL_FACTOR, HeliosConfig
from .denoise import ModelDenoiser
from .memory import HistoryMemory
from .model import HeliosTransformer
from .recipe import Recipe
from .sampler import Step, plan_chunk

REPEATS = 3
SLOW = 5.0  # seconds of a step that is not repeated


def activation_bytes(config: HeliosConfig, height: int, width: int, size: int) -> int:
    """Peak bytes of activations of one film's step at full size, the history's tokens counted.

    height and width in latents, `size` the bytes of a number.
    """
    noisy = CHUNK_LATENTS * height * width // 4
    # Two full frames (anchor, short); two frames as one at a quarter (mid), sixteen as four at a sixteenth (long).
    history = height * width // 4 * 2 + -(-height // 4) * -(-width // 4) + 4 * -(-height // 8) * -(-width // 8)
    return (noisy + history) * token_bytes(config, size)


def token_bytes(config: HeliosConfig, size: int) -> int:
    """Peak bytes a token takes inside a block: residual, attention's inputs with a float32 copy, or the MLP's."""
    attention = 5 * config.dim * size + 2 * config.dim * 4
    mlp = 3 * config.dim * size + 2 * config.ffn_dim * size
    return max(attention, mlp)


def text_bytes(config: HeliosConfig, tokens: int, size: int) -> int:
    """Bytes of all blocks' keys and values of one prompt."""
    return 2 * config.num_layers * tokens * config.dim * size


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
