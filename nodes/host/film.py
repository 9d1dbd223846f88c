"""A film as one run of the host's sampler, its chunks kept on disk as they are done."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management as mm
import torch

from ...helios_core import Chunk, HistoryMemory, PromptSchedule, Recipe
from ...helios_core.film.fingerprint import fingerprint
from ...helios_core.film.store import ChunkStore
from .conds import check, keep_prompt
from .guider import sample, stored
from .identity import Unrecognisable, name_of, name_of_model
from .keyframes import encode_keyframes
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
