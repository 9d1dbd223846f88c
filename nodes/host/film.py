"""A film as the sampler nodes make it: from disk as far as it is there, the rest by the host's sampler."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
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
from ...helios_core.film.index import Run
from ...helios_core.film.notes import RunNotes
from ...helios_core.film.tidy import describe_removed, tidy
from ...helios_core.media.thumbnails import Thumbnails
from . import films
from .conds import Prompts, check_conditioning
from .folders import autosave_folder
from .guider import GuidedDenoiser, sample
from .identity import Unrecognisable, name_of, name_of_model
from .keyframes import encode_keyframes
from .patches import fit_patches
from .server import NodeText, prompts_are_kept
from .vae import latent_pictures

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
    settings: dict = field(default_factory=dict)  # of the node, for people to read

    @property
    def end(self) -> int:
        """The chunk that the film ends before."""
        return self.memory.chunk + self.chunks


@dataclass(frozen=True)
class Autosave:
    """How much the folder of finished chunks may hold, besides films in use."""

    films: int
    gigabytes: float


# What to do with a chunk: it gets raw latents (B, 16, 9, H/8, W/8), where the host keeps what nodes hand on, and the
# chunk's name on disk, "FILM/CHUNK" or "", and returns the frames (33, H, W, 3) in 0..1 if it decoded them.
Write = Callable[[torch.Tensor, str], torch.Tensor | None]


def make_film(film: Film, write: Write, autosave: Autosave | None, text: NodeText) -> HistoryMemory:
    """Make a film, or what is missing of it on disk, and hand each chunk to `write` as it is done.

    Returns the memory to continue with.
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
                raw = model.latent_format.process_out(record.latents).to(mm.intermediate_device())
                progress.show(record, write(raw, progress.name_of(record)))
            mm.throw_exception_if_processing_interrupted()  # last, so that a chunk that is done is kept
            yield record

    with progress:
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
        return bool(text.graph) and any(run.graph == text.graph for run in films.index_of(folder).runs())

    try:
        if removed := tidy(store, autosave.films, int(autosave.gigabytes * 1e9), keep=in_this_graph):
            text.say(f"Autosave: {describe_removed(removed)}")
    except OSError as error:
        log.warning("The folder of finished chunks could not be tidied up: %s", error)
    return store


class Progress:
    """Says what was found on disk, notes there how far the run has come, and shows it to the page. To be entered."""

    def __init__(self, film: Film, store: ChunkStore | None, text: NodeText):
        self.film, self.store, self.text = film, store, text
        self.found: int | None = 0  # how many chunks were on disk; None once that was said
        self.reused: int | None = None  # the last chunk from disk, while the page does not know of it
        self.notes = self.thumbnails = None
        if store is not None:
            told = {"text": film.schedule.source if prompts_are_kept() else "", "settings": film.settings}
            asked = {"graph": text.graph, "node": text.node, "server": films.SERVER}
            run = Run(film.seed, film.chunks, first=film.memory.chunk, **told, **asked)
            self.notes = RunNotes(films.index_of(store.folder), run, (mm.InterruptProcessingException,))
            self.thumbnails = Thumbnails(store.root)

    def __enter__(self) -> "Progress":
        if self.notes is not None:
            films.live = films.Live(self.store.film, self.notes.run.asked_for)
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self.notes is not None:
            self.thumbnails.close()
            self.notes.__exit__(kind, error, trace)
            films.live = None
            state = self.notes.run.state
            self._tell_page(None, "end" if state == "done" else state)

    def note(self, record: Start | Step | Chunk) -> None:
        if isinstance(record, Start) and not record.stored:
            self._tell(record.chunk)
        if isinstance(record, Chunk):
            if record.reused and self.found is not None:
                self.found += 1
            if record.index + 1 == self.film.end:
                self._tell(self.film.end)
            if record.not_saved:
                self.text.say(f"Chunk {record.index} could not be kept on disk: {record.not_saved}")
        if self.notes is not None:
            self.notes.note(record)
            if isinstance(record, Start) and not record.stored:
                self._begin(record.chunk)

    def name_of(self, chunk: Chunk) -> str:
        """Where it is on disk, "FILM/CHUNK"; "" where it is not."""
        return "" if self.store is None or chunk.not_saved else f"{self.store.film}/{chunk.name}"

    def show(self, chunk: Chunk, frames: torch.Tensor | None) -> None:
        """A chunk that is done: its frames (33, H, W, 3) in 0..1, or rough ones where nobody decoded it."""
        if self.notes is None:
            return
        if name := self.name_of(chunk):
            # The first latent is of one frame alone, and has other colours.
            colours = partial(latent_pictures, chunk.latents[:, :, 1:], self.film.model.model.latent_format, scale=2)
            self.thumbnails.show(name, colours if frames is None else frames, rough=frames is None)
        if chunk.reused:
            self.reused = chunk.index
        else:
            films.live.chunk = None
            self._tell_page(chunk.index, "done")

    def _begin(self, chunk: int) -> None:
        if self.reused is not None:  # chunks from disk are told together, as they are noted
            self._tell_page(self.reused, "reused")
            self.reused = None
        films.live.chunk = chunk
        self._tell_page(chunk, "running")

    def _tell_page(self, chunk: int | None, state: str) -> None:
        films.tell_page(self.text.graph, self.text.node, self.store.film, chunk, state)

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
        run = self.notes and self.notes.run
        return run and self.notes.index.unfinished(run.graph, run.node, run.seed)
