"""A film as the sampler nodes make it: from disk as far as it is there, the rest by the host's sampler."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management as mm
import torch

from ...helios_core import (
    Chunk,
    ChunkStore,
    HistoryMemory,
    PromptSchedule,
    Recipe,
    ScheduleDirector,
    Start,
    Step,
    film_records,
)
from ...helios_core.film.fingerprint import fingerprint
from ...helios_core.film.index import FilmIndex, Run
from ...helios_core.film.store import describe_removed
from .conds import Prompts, check_conditioning
from .folders import autosave_folder
from .guider import GuidedDenoiser, sample
from .identity import Unrecognisable, name_of, name_of_model
from .keyframes import encode_keyframes
from .patches import fit_patches
from .server import NodeText

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
    def end(self) -> int:
        """The chunk that the film ends before."""
        return self.memory.chunk + self.chunks


@dataclass(frozen=True)
class Autosave:
    """How much the folder of finished chunks may hold, besides films in use."""

    films: int
    gigabytes: float


def make_film(
    film: Film, write: Callable[[torch.Tensor], None], autosave: Autosave | None, text: NodeText
) -> HistoryMemory:
    """Make a film, or what is missing of it on disk, and hand each chunk to `write` as it is done.

    `write` gets raw latents (B, 16, 9, H/8, W/8), where the host keeps what nodes hand on. Returns the memory to
    continue with.
    """
    film = replace(film, model=fit_patches(film.model, text.say))
    model = film.model.model
    model.check_files()
    check_conditioning(film.schedule, film.negative, film.memory, model.diffusion_model.config.in_channels)
    schedule = encode_keyframes(film.schedule, film.memory.width, film.memory.height)
    prompts = Prompts()
    named = schedule.map(prompts.name)
    store = None if autosave is None else open_store(film, autosave, text)
    progress = Progress(film, store, text)
    memory = replace(film.memory, variant=model.variant)
    denoiser = GuidedDenoiser(film.recipe)
    records = film_records(
        denoiser,
        memory,
        ScheduleDirector(named, film.seed, film.end),
        film.recipe,
        store=store,
        device=film.model.load_device,
        noise_device="cpu" if film.noise_device == "cpu" else film.model.load_device.type,
    )

    def noted() -> Iterator[Start | Step | Chunk]:
        nonlocal memory
        for record in records:
            progress.note(record)
            if isinstance(record, Chunk):
                memory = record.memory
                write(model.latent_format.process_out(record.latents).to(mm.intermediate_device()))
            mm.throw_exception_if_processing_interrupted()  # last, so that a chunk that is done is kept
            yield record

    for record in (pulled := noted()):
        if isinstance(record, Start) and not record.stored:
            sample(film.model, prompts, film.negative, denoiser, record, pulled, film.end - record.chunk)
    return memory.to("cpu")


def open_store(film: Film, autosave: Autosave, text: NodeText) -> ChunkStore | None:
    """The folder for this film's chunks; None if they could not be told from others."""
    # The host evaluates no negative prompt where guidance is off.
    negative_counts = film.recipe.guided or film.model.model_options.get("disable_cfg1_optimization")
    try:
        for segment in film.schedule.segments:
            name_of(segment.prompt)
        what = name_of_model(film.model), film.recipe, name_of(film.negative if negative_counts else None)
    except Unrecognisable as error:
        text.say(f"Autosave is off: {error} cannot be recognised again.")
        return None
    # Not the seed: it is in the random state of each chunk, and films of all seeds lie together.
    state = film.memory.frames, film.memory.anchor, film.memory.chunk
    store = ChunkStore(autosave_folder(), fingerprint(what, state))

    def in_this_graph(folder) -> bool:
        return bool(text.graph) and any(run.graph == text.graph for run in FilmIndex(folder).runs())

    try:
        if removed := store.tidy(autosave.films, int(autosave.gigabytes * 1e9), keep=in_this_graph):
            text.say(f"Autosave: {describe_removed(removed)}")
    except OSError as error:
        log.warning("The folder of finished chunks could not be tidied up: %s", error)
    return store


class Progress:
    """Says what was found on disk, and notes there how far the run has come."""

    def __init__(self, film: Film, store: ChunkStore | None, text: NodeText):
        self.film, self.text = film, text
        self.index = None if store is None else FilmIndex(store.folder)
        self.run = Run(film.seed, film.end - film.memory.chunk, 0, text.graph, text.node)
        self.found: int | None = 0  # how many chunks were on disk; None once that was said

    def note(self, record: Start | Step | Chunk) -> None:
        if isinstance(record, Start) and not record.stored:
            self._tell(record.chunk)
        if isinstance(record, Chunk):
            done = record.index + 1 - self.film.memory.chunk
            self.run = replace(self.run, done=done)
            if record.reused and self.found is not None:
                self.found += 1
            if done == self.film.chunks:
                self._tell(self.film.end)
            if record.not_saved:
                self.text.say(f"Chunk {record.index} could not be kept on disk: {record.not_saved}")
            if self.index is not None and (not record.reused or done == self.film.chunks):
                try:
                    self.index.note(self.run)
                except OSError as error:
                    log.warning("%s could not be written: %s", self.index.path, error)

    def _tell(self, next_chunk: int) -> None:
        """Once, before the first chunk that is not there: what is, or what else could be continued."""
        first, found, self.found = self.film.memory.chunk, self.found, None
        if found:
            were = f"Chunk {first} was" if found == 1 else f"Chunks {first} to {first + found - 1} were"
            rest = f"Continuing at chunk {next_chunk}." if next_chunk < self.film.end else "Nothing was left to make."
            self.text.say(f"{were} on disk. {rest}")
        elif found == 0 and (other := self._unfinished()):
            self.text.say(
                f"This is a new film. An unfinished one with seed {other.seed} has {other.done} of {other.end} chunks "
                f"on disk: set the seed to {other.seed} to continue that one."
            )

    def _unfinished(self) -> Run | None:
        """This node's newest film of another seed that nobody finished."""
        return self.index and self.index.unfinished(self.run.graph, self.run.node, self.run.seed)
