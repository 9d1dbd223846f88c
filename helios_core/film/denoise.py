"""The network as the sampler's `denoise`, for whoever has no host to do it: command line, tests, training."""

import torch
from torch import Tensor

from ..diffusion.guidance import cfg, cfg_zero_star
from ..diffusion.recipe import Recipe
from ..network.transformer import HeliosTransformer
from .loop import Step
from .prompts import blend_embeddings


class ModelDenoiser:
    """denoise(x, step) -> flow, for schedules whose prompts are text embeddings (B, T, text_dim).

    The history is embedded once per chunk and each text once; `dtype` is the network's (latents stay float32).
    """

    def __init__(self, model: HeliosTransformer, recipe: Recipe, negative: Tensor | None = None, dtype=torch.float32):
        if recipe.cfg > 1 and negative is None:
            raise ValueError(f"cfg={recipe.cfg}: a negative prompt's embedding is needed, or cfg=1")
        self.model, self.recipe, self.dtype = model, recipe, dtype
        self.negative = None if negative is None else model.embed_text(negative.to(dtype))
        self._memory = self._history = self._text = None
        self._mix = ()

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        if step.memory is not self._memory:
            self._memory = step.memory
            self._history = self.model.embed_history(step.memory.frames, step.memory.anchor_or_zeros(), self.dtype)
        if not _same(step.prompt, self._mix):
            self._mix = step.prompt
            self._text = self.model.embed_text(blend_embeddings(step.prompt).to(self.dtype))
        timestep = torch.full((x.shape[0],), step.timestep, device=x.device)

        def flow(text):
            return self.model(x.to(self.dtype), timestep, text, self._history).float()

        if self.recipe.cfg <= 1:
            return flow(self._text)
        guide = cfg_zero_star if self.recipe.cfg_zero_star else cfg
        return guide(flow(self._text), flow(self.negative), self.recipe.cfg)


def _same(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(v == w and p is q for (v, p), (w, q) in zip(a, b))
