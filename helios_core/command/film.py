"""Makes a film: samples its chunks or finds them on disk, decodes them, and writes them to the file."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch

from ..film.beginning import encode_image
from ..film.denoise import ModelDenoiser
from ..film.director import ScheduleDirector
from ..film.index import FilmIndex, Run
from ..film.keyframes import Keyframe
from ..film.loop import film_length, film_records
from ..film.memory import HistoryMemory
from ..film.notes import RunNotes
from ..film.prompts import PromptSchedule
from ..film.record import Chunk
from ..film.store import ChunkStore
from ..media.video import VideoWriter
from ..network.config import CHUNK_FRAMES
from .autosave import open_store
from .model_files import ModelFiles
from .output import Output, unfinished_notes
from .progress import Progress
from .recall import options_text
from .requests import FilmRequest
from .stream import player
from .terminal import say


@dataclass(frozen=True)
class Film:
    """What is to be made: chunks `first` to `end`, the last not included, by a schedule whose prompts are texts and
    whose pictures are frames.

    `request_id` is the fingerprint of all that was asked for except seed and length.
    """

    files: ModelFiles
    schedule: PromptSchedule
    seed: int
    first: int
    end: int
    request_id: str

    @property
    def frames(self) -> int:
        return (self.end - self.first) * CHUNK_FRAMES


def make_film(film: Film, request: FilmRequest, output: Output, codec, beginning: HistoryMemory) -> None:
    """Write the film and, whenever a chunk is safe in the file, its memory.

    If it is stopped, it can be continued without a gap: by the same command if its chunks are kept, and by `extend`.
    """
    files = film.files
    warn(film, beginning)
    schedule, negative = files.encode_prompts(film.schedule)
    schedule = encode_pictures(schedule, codec, film.first, film.end)
    store = open_store(output, files, negative, beginning) if request.autosave else None
    length, size = film_length(film.end - film.first), f"{beginning.width}x{beginning.height}"
    say(f"{output.film}: {length}, {size}, seed {film.seed}, {files.variant} of {files.name}")
    progress = Progress(files.recipe, film.first, film.end)

    @cache
    def denoiser() -> ModelDenoiser:  # loaded when it is needed: all chunks may be on disk
        progress.say("loading the transformer")
        return files.load_denoiser(negative)

    records = film_records(
        lambda start: denoiser()(start),
        replace(beginning, variant=files.variant),
        ScheduleDirector(schedule, film.seed, film.end),
        files.recipe,
        store=store,
        device=files.device,
        noise_device=noise_device(files, beginning),
    )
    begun, safe = time.monotonic(), film.first
    writer = VideoWriter(output.film, chunks_are_kept=request.autosave)

    def keep(memory: HistoryMemory, notes: dict[str, str]) -> None:
        nonlocal safe
        memory.save(output.memory, notes)
        safe = memory.chunk

    try:
        # The file is the first to be closed: a player that is paused would keep it waiting.
        notes_of_run = take_notes(film, output, store)
        with notes_of_run as run, player(request.stream) as play, writer, progress, torch.inference_mode():
            for chunk in progress.chunks(records):
                frames = codec.decode(chunk.latents)
                notes = make_notes(film, chunk, store)
                if not writer.frames:
                    begin_memory(output, chunk.start.memory, notes, request.autosave)
                writer.write(frames, partial(keep, chunk.memory, notes))
                play(frames)
                if run is not None:
                    run.note(chunk)
        seconds = time.monotonic() - begun
        say(f"{output.film}: {film.frames} frames in {seconds:.1f} s, {film.frames / seconds:.1f} a second")
    except KeyboardInterrupt:  # any other end may have lost some frames
        say(f"{output.film}: {writer.frames} of {film.frames} frames")
        raise
    finally:
        if writer.frames and output.memory.exists():
            tell_how_to_continue(request, output, (film.end - safe) * CHUNK_FRAMES)


def encode_pictures(schedule: PromptSchedule, codec, first: int, end: int) -> PromptSchedule:
    """The schedule with latents for those of its pictures that chunks `first` to `end` turn to."""
    latents = {}

    def encode(keyframe: Keyframe) -> Keyframe:
        if keyframe.start >= end or keyframe.start + max(1, keyframe.blend) <= first:
            return keyframe
        if keyframe.name not in latents:
            latents[keyframe.name] = encode_image(codec.encode, keyframe.image)
        image, last = latents[keyframe.name]
        return replace(keyframe, image=image, last=last)

    return replace(schedule, keyframes=tuple(map(encode, schedule.keyframes)))


def warn(film: Film, beginning: HistoryMemory) -> None:
    """Say what is not as one may expect."""
    files = film.files
    if files.is_demo and (beginning.width, beginning.height) != files.size:
        say(f"the demo can only draw at {files.size[0]}x{files.size[1]}; expect nonsense at this size")
    if text := film.schedule.describe_unreached(film.end):
        say(text)
    if noise_device(files, beginning) != beginning.noise_device:
        say(f"the film's random numbers came from {beginning.noise_device}; here its seed starts over on the CPU")


def noise_device(files: ModelFiles, beginning: HistoryMemory) -> str:
    """The film's own, if it is there; else the CPU, where a seed means the same film on every machine."""
    own = beginning.noise_device
    return own if own == torch.device(files.device).type else "cpu"


def make_notes(film: Film, chunk: Chunk, store: ChunkStore | None) -> dict[str, str]:
    """What the memory after a chunk says of how it was made."""
    files = film.files
    notes = {"prompt": chunk.record["prompt"], "model": files.name, "options": options_text(files.options)}
    return notes if store is None else notes | unfinished_notes(film.request_id, store.film, film.end, film.seed)


def take_notes(film: Film, output: Output, store: ChunkStore | None):
    """For people who look into the folder: what film its chunks belong to. A context, of None without a store."""
    if store is None:
        return contextlib.nullcontext()
    told = {"text": film.schedule.source, "settings": {"options": options_text(film.files.options)}}
    run = Run(film.seed, film.end - film.first, node=str(output.film.absolute()), first=film.first, **told)
    return RunNotes(FilmIndex(store.folder), run, tell=say)


def begin_memory(output: Output, beginning: HistoryMemory, notes: dict[str, str], autosave: bool) -> None:
    """Before the first frames are written: no memory of another film may lie beside them, and with autosave one must
    say from then on that this film is unfinished."""
    if autosave:
        beginning.save(output.memory, notes)
    else:
        output.memory.unlink(missing_ok=True)


def tell_how_to_continue(request: FilmRequest, output: Output, missing: int) -> None:
    """`missing` frames come after the memory."""
    as_module = Path(sys.argv[0]).parent.name == "helios_core"
    words = [sys.executable, "-m", "helios_core"] if as_module else ["helios"]
    words += ["extend", str(output.memory.absolute())]
    if missing:
        words += ["--schedule", str(request.schedule.absolute())] if request.schedule else []
        words += ["--resize", request.resize] if request.schedule and request.resize != "crop" else []
        words += ["--length", str(missing)]
        if request.autosave:
            say("to finish this film, run the same command again")
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    say(f"to continue in a new film: {join(words)}")
