"""The film loop inside one run of the host's guider: the model is loaded once, its patches and hooks apply."""

import contextlib
from collections.abc import Callable, Iterator

import comfy.model_management as mm
import comfy.samplers
import latent_preview
import torch

from ...helios_core import Chunk, HistoryMemory, Recipe, Start, Step, step_count
from ...helios_core.diffusion.guidance import cfg_zero_star
from ...helios_core.film.loop import plan_chunk
from ...helios_core.network.config import CHUNK_LATENTS
from ...helios_core.network.sizes import text_bytes
from .conds import Prompts, mix_conds
from .patches import begin_stage, named_errors
from .run import RUN, RunCache, host_sigma

Record = Start | Step | Chunk


class GuidedDenoiser:
    """The film loop's `denoise` by a guider, for as long as `sampling` lasts."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._start_chunk = None

    @contextlib.contextmanager
    def sampling(self, guider, extra_args: dict, shape: torch.Size):
        """`guider` and `extra_args` as the host hands them to a sampler, `shape` that of a chunk's latents."""
        conds, groups = guider.conds["positive"], guider.conds
        hooked = any("hooks" in c for group in groups.values() for c in group)
        cache = RunCache(keep_keys_values=keys_values_fit(guider, shape), reuse=not hooked)
        options = extra_args["model_options"]["transformer_options"]
        options[RUN] = cache

        def start_chunk(start: Start) -> Callable[[torch.Tensor, Step], torch.Tensor]:
            guider.inner_model.check_files()
            reload(guider, shape)
            guider.conds["positive"] = positive = mix_conds(conds, start.prompt)
            cache.start_chunk(start.memory, {c["uuid"] for c in [*positive, *groups.get("negative", ())]})
            options["sample_sigmas"] = chunk_sigmas(self.recipe, start.memory).to(start.memory.frames.device)
            restart_hooks(guider)
            stage = None

            def flow(x: torch.Tensor, step: Step) -> torch.Tensor:
                nonlocal stage
                if step.stage != stage:
                    begin_stage(extra_args["model_options"], guider.inner_model.model_sampling)
                    stage = step.stage
                cache.start_step(step)
                sigma = torch.full((x.shape[0],), host_sigma(step), device=x.device)
                with named_errors():
                    return (x - guider(x, sigma, **extra_args)) / step.sigma

            return flow

        self._start_chunk = start_chunk
        try:
            yield
        finally:
            self._start_chunk = None
            guider.conds["positive"] = conds
            cache.clear()

    def __call__(self, start: Start) -> Callable[[torch.Tensor, Step], torch.Tensor]:
        return self._start_chunk(start)


class ChunkSampler(comfy.samplers.Sampler):
    """All chunks of a film as one host sampler: it pulls the film loop's records, of which `first` is the first."""

    def __init__(self, denoiser: GuidedDenoiser, first: Start, records: Iterator[Record], chunks: int):
        self.denoiser, self.records = denoiser, records
        self.total = step_count(denoiser.recipe, first.chunk, chunks)

    def sample(
        self, guider, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, *args, **kwargs
    ):
        done = 0
        with self.denoiser.sampling(guider, extra_args, noise.shape):
            for record in self.records:
                if isinstance(record, Step):
                    if callback is not None:
                        callback(done, record.x0, record.x0, self.total)
                    done += 1
                elif isinstance(record, Chunk):
                    latents = record.latents
                    if record.reused:  # behind a gap, which a damaged file or a full disk leaves
                        done += sum(self.denoiser.recipe.steps_of(record.index))
        return latents.to(noise.device)


def sample(
    model, prompts: Prompts, negative, denoiser: GuidedDenoiser, first: Start, records: Iterator[Record], chunks: int
) -> None:
    """Pull `records`, which `first` has begun, to their end in one run of a guider; `chunks` are left at `first`."""
    patcher, recipe, memory = model.clone(), denoiser.recipe, first.memory
    if recipe.guided and recipe.cfg_zero_star and "sampler_cfg_function" not in patcher.model_options:
        patcher.set_model_sampler_cfg_function(
            lambda args: cfg_zero_star(args["cond"], args["uncond"], args["cond_scale"])
        )
    guider = comfy.samplers.CFGGuider(patcher)
    guider.inner_set_conds({"positive": prompts.conditioning(), **({} if negative is None else {"negative": negative})})
    guider.set_cfg(recipe.cfg)
    sampler = ChunkSampler(denoiser, first, records, chunks)
    # One chunk tells the host how much memory a step takes; the film is longer.
    batch, channels, _, height, width = memory.frames.shape
    chunk = torch.zeros(batch, channels, CHUNK_LATENTS, height, width)
    callback = latent_preview.prepare_callback(patcher, sampler.total)
    guider.sample(chunk, chunk, sampler, chunk_sigmas(recipe, memory), callback=callback, seed=memory.seed)


def chunk_sigmas(recipe: Recipe, memory: HistoryMemory) -> torch.Tensor:
    """The noise levels of the chunk after `memory`, for patches that look up where they are; ours asks the recipe."""
    height, width = memory.frames.shape[-2:]
    plans = plan_chunk(recipe, memory.chunk, width, height)
    return torch.tensor([t / 1000 for plan in plans for t in plan.timesteps] + [0.0])


def reload(guider, shape) -> None:
    """Bring the model's weights back, if a decoder took their place meanwhile."""
    needed = guider.inner_model.memory_required(list(shape))
    mm.load_models_gpu([guider.model_patcher, *guider.loaded_models], memory_required=needed)


def restart_hooks(guider) -> None:
    """Hooks that go by how far a run has come find each chunk at its beginning, as if made alone."""
    groups = [c["hooks"] for conds in guider.conds.values() for c in conds if "hooks" in c]
    keyframes = [h.hook_keyframe for group in groups for h in group.hooks if not h.hook_keyframe.is_empty()]
    for group in keyframes:
        group.reset()
        group._curr_t = -1.0  # the host's reset() means this one
    if keyframes:
        guider.model_patcher.patch_hooks(None)
        guider.model_patcher.clear_cached_hook_weights()


def keys_values_fit(guider, shape) -> bool:
    """Whether keeping every prompt's keys and values leaves room for the activations."""
    model = guider.inner_model
    config, device = model.diffusion_model.config, guider.model_patcher.load_device
    prompts = 1 if guider.cfg == 1 else 2
    size = mm.dtype_size(model.get_dtype_inference())
    keys_values = shape[0] * prompts * text_bytes(config, model.text_tokens, size)
    # The patcher counts what could be evicted too, where weights come and go.
    free = getattr(guider.model_patcher, "get_free_memory", mm.get_free_memory)(device)
    return free > keys_values + 1.5 * model.memory_required(list(shape))
