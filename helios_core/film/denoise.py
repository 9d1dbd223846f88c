"""The network as the film loop's `denoise`, for whoever has no host to do it: command line, tests, training."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..diffusion.guidance import cfg, cfg_zero_star
from ..diffusion.recipe import Recipe
from ..network.transformer import HeliosTransformer
from .prompts import blend_embeddings
from .record import Mix, Start, Step


class ModelDenoiser:
    """`denoise(start)` -> (x, step) -> flow, for schedules whose prompts are text embeddings (B, T, text_dim).

    The history is embedded once for each chunk and a text for as long as it lasts; `dtype` is the network's (latents
    stay float32).
    """

    def __init__(self, model: HeliosTransformer, recipe: Recipe, negative: Tensor | None = None, dtype=torch.float32):
        if recipe.guided and negative is None:
            raise ValueError(f"cfg={recipe.cfg}: a negative prompt's embedding is needed, or cfg=1")
        self.model, self.recipe, self.dtype = model, recipe, dtype
        self.negative = None if negative is None else model.embed_text(negative.to(dtype))
        self._mix, self._text = (), None

    def __call__(self, start: Start) -> Callable[[Tensor, Step], Tensor]:
        memory, text = start.memory, self._embed(start.prompt)
        history = self.model.embed_history(memory.frames, memory.anchor_or_zeros(), self.dtype)

        def predict(x: Tensor, step: Step, text) -> Tensor:
            timestep = torch.full((x.shape[0],), step.timestep, device=x.device)
            return self.model(x.to(self.dtype), timestep, text, history).float()

        def flow(x: Tensor, step: Step) -> Tensor:
            if not self.recipe.guided:
                return predict(x, step, text)
            guide = cfg_zero_star if self.recipe.cfg_zero_star else cfg
            return guide(predict(x, step, text), predict(x, step, self.negative), self.recipe.cfg)

        return flow

    def _embed(self, mix: Mix):
        if not _same(mix, self._mix):
            self._mix, self._text = mix, self.model.embed_text(blend_embeddings(mix).to(self.dtype))
        return self._text


def _same(a: Mix, b: Mix) -> bool:
    return len(a) == len(b) and all(v == w and p is q for (v, p), (w, q) in zip(a, b))
