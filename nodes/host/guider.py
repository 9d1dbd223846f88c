"""All chunks of a film in one run of the host's guider."""

import time
from collections.abc import Callable, Iterator

import comfy.model_management as mm
import comfy.samplers
import latent_preview
import psutil
import torch

from ...helios_core import Chunk, HistoryMemory, sample_chunks, step_count
from ...helios_core.diffusion.guidance import cfg_zero_star
from ...helios_core.film.loop import plan_chunk
from ...helios_core.film.store import ChunkStore, stored_chunks
from ...helios_core.network.config import CHUNK_LATENTS
from ...helios_core.network.sizes import text_bytes
from .conds import mix_conds
from .run import RUN, Run, host_sigma


def sample(film, store: ChunkStore | None, prompts: dict, finish: Callable) -> HistoryMemory:
    """Sample all of a film in one run of a guider; its schedule speaks of `prompts` by name."""
    patcher, run, memory = film.model.clone(), Run(), film.memory
    patcher.model_options.setdefault("transformer_options", {})[RUN] = run
    guided = film.recipe.cfg_zero_star and film.recipe.cfg > 1
    if guided and "sampler_cfg_function" not in patcher.model_options:
        patcher.set_model_sampler_cfg_function(
            lambda args: cfg_zero_star(args["cond"], args["uncond"], args["cond_scale"])
        )
    guider = comfy.samplers.CFGGuider(patcher)
    positive = [
        [tensor, {**values, "helios_prompt": name}] for name, prompt in prompts.items() for tensor, values in prompt
    ]
    guider.inner_set_conds({"positive": positive, **({} if film.negative is None else {"negative": film.negative})})
    guider.set_cfg(film.recipe.cfg)

    sampler = ChunkSampler(run, film, store, finish)
    # One chunk tells the host how much memory a step takes; the film is longer.
    chunk = torch.zeros(memory.frames.shape[0], memory.frames.shape[1], CHUNK_LATENTS, *memory.frames.shape[-2:])
    callback = latent_preview.prepare_callback(patcher, step_count(film.recipe, memory.chunk, film.chunks))
    guider.sample(chunk, chunk, sampler, course(film, memory), callback=callback, seed=film.seed)
    return sampler.memory


def course(film, memory: HistoryMemory) -> torch.Tensor:
    """The noise levels of the chunk after `memory`, for patches that look up where they are; ours asks the recipe."""
    plans = plan_chunk(film.recipe, memory.chunk, *reversed(memory.frames.shape[-2:]))
    return torch.tensor([t / 1000 for plan in plans for t in plan.timesteps] + [0.0])


class ChunkSampler(comfy.samplers.Sampler):
    """All chunks of a film as one host sampler: the guider keeps the model loaded, its patches and hooks apply."""

    def __init__(self, run: Run, film, store: ChunkStore | None, finish: Callable):
        self.run, self.film, self.store, self.finish, self.memory = run, film, store, finish, film.memory

    def sample(
        self, guider, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, *args, **kwargs
    ):
        film, conds = self.film, guider.conds["positive"]
        total = step_count(film.recipe, self.memory.chunk, film.chunks)
        self.run.keep_keys_values = keys_values_fit(guider, noise.shape)
        self.run.cache = not any("hooks" in c for group in guider.conds.values() for c in group)

        def denoise(x, step):
            if self.run.step is None or step.chunk != self.run.step.chunk:
                guider.conds["positive"] = positive = mix_conds(conds, step.prompt)
                self.run.keep_texts({c["uuid"] for c in [*positive, *guider.conds.get("negative", ())]})
                begin_course(guider, extra_args["model_options"], course(film, step.memory).to(x.device))
            self.run.begin(step)
            sigma = torch.full((x.shape[0],), host_sigma(step), device=x.device)
            x0 = guider(x, sigma, **extra_args)
            return (x - x0) / step.sigma

        last, done, meter = film.memory.chunk + film.chunks, 0, Meter(noise.device, film.seed)
        self.memory = self.memory.to(noise.device)
        try:
            while self.memory.chunk < last:
                reload(guider, noise.shape)
                memory = self.memory
                for record in sample_chunks(denoise, memory, film.schedule, film.recipe, chunks=1, **film.stream):
                    if isinstance(record, Chunk):
                        self.memory = record.memory
                        notes, meter = meter.read(), Meter(noise.device, film.seed)
                        self.finish(record, notes, reused=False)
                    elif callback is not None:
                        callback(done, record.x0, record.x0, total)
                        done += 1
                    mm.throw_exception_if_processing_interrupted()  # last, so that a chunk that is done is kept
                # Behind a gap, which a damaged file or a full disk leaves, the chunks are there again.
                for record, notes in stored(film, self.store, self.memory, last - self.memory.chunk):
                    self.memory = record.memory
                    self.finish(record, notes, reused=True)
                    done += sum(film.recipe.steps_of(record.index))
                    mm.throw_exception_if_processing_interrupted()
        finally:
            guider.conds["positive"] = conds
            self.run.clear()
        return record.latents.to(noise.device)


class Meter:
    """What a chunk takes: seconds since the one before it was sampled, its decoding included, and bytes of memory."""

    def __init__(self, device, seed: int):
        self.device, self.seed, self.start = device, seed, time.monotonic()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict:
        notes = {"seed": self.seed, "ram": psutil.Process().memory_info().rss}
        if self.device.type == "cuda":
            notes["vram"] = torch.cuda.max_memory_reserved(self.device)
        return {**notes, "seconds": round(time.monotonic() - self.start, 3)}


def reload(guider, shape) -> None:
    """Bring the model's weights back, if a decoder took their place meanwhile."""
    needed = guider.inner_model.memory_required(list(shape))
    mm.load_models_gpu([guider.model_patcher, *guider.loaded_models], memory_required=needed)


def begin_course(guider, model_options: dict, sigmas: torch.Tensor) -> None:
    """Patches and hooks that go by how far a run has come find each chunk at its beginning, as if made alone."""
    model_options["transformer_options"]["sample_sigmas"] = sigmas
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


def stored(film, store: ChunkStore | None, memory: HistoryMemory, chunks: int) -> Iterator[tuple[Chunk, dict]]:
    """Those of the next chunks that are on disk, up to the first that is not."""
    if store is not None:
        yield from stored_chunks(store, memory, film.schedule, film.recipe, chunks=chunks, **film.stream)
