"""A film as one run of the host's sampler, its chunks kept on disk as they are done."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_management as mm
import comfy.samplers
import latent_preview
import psutil
import torch

from ...helios_core import Chunk, HistoryMemory, PromptSchedule, Recipe, sample_chunks, step_count
from ...helios_core.autosave import ChunkStore, fingerprint, stored_chunks
from ...helios_core.config import CHUNK_LATENTS
from ...helios_core.estimate import text_bytes
from ...helios_core.guidance import cfg_zero_star
from ...helios_core.prompts import blend_embeddings
from ...helios_core.sampler import plan_chunk
from .identity import Unrecognisable, name_of, name_of_model
from .model import RUN, Run, host_sigma
from .pictures import encode_keyframes
from .server import autosave_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Film:
    """What the sampler nodes are asked for; the schedule's prompts and `negative` are CONDITIONING."""

    model: Any  # ModelPatcher
    schedule: PromptSchedule
    negative: Any
    memory: HistoryMemory
    recipe: Recipe
    chunks: int
    seed: int
    noise_device: str  # "cpu" or "reference", the device of the model

    @property
    def stream(self) -> dict:
        """Where random numbers come from, as the core's loops take it."""
        device = "cpu" if self.noise_device == "cpu" else self.model.load_device.type
        return {"seed": self.seed, "noise_device": device}


@dataclass(frozen=True)
class Autosave:
    """How much the folder of finished chunks may hold, besides the film that is being made."""

    films: int
    gigabytes: float


def make_film(
    film: Film, take: Callable[[torch.Tensor], None], autosave: Autosave | None, say: Callable[[str], None]
) -> HistoryMemory:
    """Make a film, or what is missing of it on disk, and hand each chunk to `take` as it is done.

    `take` gets raw latents (B, 16, 9, H/8, W/8), where the host keeps what nodes hand on. Returns the memory to
    go on from.
    """
    check(film)
    film = replace(film, schedule=encode_keyframes(film.schedule, film.memory.width, film.memory.height))
    # Prompts go by what they contain: so do the chunks on disk.
    prompts = {}
    names = film.schedule.map(lambda prompt: keep_prompt(prompt, prompts))
    texts = {a.prompt: b.text for a, b in zip(names.segments, film.schedule.segments)}
    store = open_store(film, autosave, say)
    memory, records = replace(film.memory, variant=film.model.model.variant), list(film.memory.log)

    def finish(chunk: Chunk, notes: dict, reused: bool) -> None:
        if store is not None and not reused:
            try:
                store.save(chunk, notes)
            except OSError as error:  # a full disk must not end the film
                say(f"chunk {chunk.index} could not be kept on disk: {error}")
        text = texts.get(chunk.start.prompt[-1][1]) or ""
        changed = text != next((r["prompt"] for r in reversed(records) if "prompt" in r), "")
        records.append({**notes, **({"prompt": text} if changed else {}), **({"reused": True} if reused else {})})
        take(latent_format.process_out(chunk.latents).to(mm.intermediate_device()))

    latent_format, done = film.model.model.latent_format, 0
    film = replace(film, schedule=names)
    for chunk, notes in stored(film, store, memory, film.chunks):
        mm.throw_exception_if_processing_interrupted()
        finish(chunk, notes, reused=True)
        memory, done = chunk.memory, done + 1
    if done:
        first, last = film.memory.chunk, film.memory.chunk + done - 1
        found = f"chunk {first} was" if done == 1 else f"chunks {first} to {last} were"
        say(f"{found} on disk; " + (f"goes on at chunk {last + 1}" if done < film.chunks else "nothing to make"))
    if done < film.chunks:
        memory = sample(replace(film, memory=memory, chunks=film.chunks - done), store, prompts, finish)
    return replace(memory.to("cpu"), log=tuple(records))


def stored(film: Film, store: ChunkStore | None, memory: HistoryMemory, chunks: int) -> Iterator[tuple[Chunk, dict]]:
    """Those of the next chunks that are on disk, up to the first that is not."""
    if store is not None:
        yield from stored_chunks(store, memory, film.schedule, film.recipe, chunks=chunks, **film.stream)


def check(film: Film) -> None:
    for before, segment in zip(film.schedule.segments, film.schedule.segments[1:]):
        if segment.blend and len(before.prompt) != len(segment.prompt):
            raise ValueError(
                f"schedule: the blend at chunk {segment.start} is between conditionings of {len(before.prompt)} and "
                f"{len(segment.prompt)} parts; both need the same number of parts, or use a cut there"
            )
    for tensor_and_values in [e for s in film.schedule.segments for e in s.prompt] + list(film.negative or ()):
        unusable = {"area", "mask", "control", "concat_latent_image"} & tensor_and_values[1].keys()
        if unusable:
            raise ValueError(
                f"The conditioning has {' and '.join(sorted(unusable))}, which cannot work here: a chunk is made at "
                "several sizes. Connect it without; a picture to begin with goes into Helios History Memory."
            )
    channels = film.model.model.diffusion_model.config.in_channels
    if film.memory.frames.shape[1] != channels:
        raise ValueError(f"memory: it has {film.memory.frames.shape[1]} latent channels, this model {channels}.")


def keep_prompt(prompt, prompts: dict) -> str:
    """A prompt's fingerprint, under which it is put into `prompts`."""
    try:
        name = name_of(prompt)
    except Unrecognisable:  # it has a name for this run
        name = next((n for n, p in prompts.items() if p is prompt), uuid.uuid4().hex)
    prompts[name] = prompt
    return name


def open_store(film: Film, autosave: Autosave | None, say) -> ChunkStore | None:
    """The folder for this film's chunks; None if they are not to be kept, or could not be told from others."""
    if autosave is None:
        return None
    # The host evaluates no negative prompt where guidance is off.
    heard = film.recipe.cfg != 1 or film.model.model_options.get("disable_cfg1_optimization")
    try:
        for segment in film.schedule.segments:
            name_of(segment.prompt)
        what = name_of_model(film.model), film.recipe, name_of(film.negative if heard else None), film.stream
    except Unrecognisable as error:
        say(f"autosave is off: {error} cannot be recognised again")
        return None
    state = film.memory.frames, film.memory.anchor, film.memory.chunk, film.memory.rng_state
    store = ChunkStore(autosave_folder(), fingerprint(what, state))
    try:
        store.tidy(autosave.films, int(autosave.gigabytes * 1e9))
    except OSError as error:
        log.warning("The folder of finished chunks could not be tidied up: %s", error)
    return store


def sample(film: Film, store: ChunkStore | None, prompts: dict, finish: Callable) -> HistoryMemory:
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


def course(film: Film, memory: HistoryMemory) -> torch.Tensor:
    """The noise levels of the chunk after `memory`, for patches that look up where they are; ours asks the recipe."""
    plans = plan_chunk(film.recipe, memory.chunk, *reversed(memory.frames.shape[-2:]))
    return torch.tensor([t / 1000 for plan in plans for t in plan.timesteps] + [0.0])


class ChunkSampler(comfy.samplers.Sampler):
    """All chunks of a film as one host sampler: the guider keeps the model loaded, its patches and hooks apply."""

    def __init__(self, run: Run, film: Film, store: ChunkStore | None, finish: Callable):
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


def mix_conds(conds: list[dict], mix) -> list[dict]:
    """The conds of a chunk: those of its prompt, or in a blend the last prompt's with their embeddings mixed."""
    chosen = [(weight, [c for c in conds if c["helios_prompt"] == name]) for weight, name in mix]
    if len(chosen) == 1:
        return chosen[0][1]
    mixed = []
    for entries in zip(*(entries for _, entries in chosen)):
        weighted = [(w, c["model_conds"]["c_crossattn"].cond) for (w, _), c in zip(chosen, entries)]
        model_conds = {**entries[-1]["model_conds"], "c_crossattn": comfy.conds.CONDRegular(blend_embeddings(weighted))}
        mixed.append({**entries[-1], "model_conds": model_conds, "uuid": uuid.uuid4()})
    return mixed


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
