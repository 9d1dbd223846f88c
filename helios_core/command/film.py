"""Makes a film: samples its chunks or finds them on disk, decodes them, and writes them to the file."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch

from ..film.director import ScheduleDirector
from ..film.loop import film_length, film_records
from ..film.memory import HistoryMemory
from ..film.prompts import PromptSchedule
from ..film.record import Chunk
from ..media.video import VideoWriter
from ..network.config import CHUNK_FRAMES
from .autosave import note_run, open_store
from .model_files import ModelFiles
from .output import Output, unfinished_notes
from .progress import Progress
from .recall import options_text
from .requests import FilmRequest
from .stream import player
from .terminal import say


@dataclass(frozen=True)
class Film:
    """What is to be made: chunks `first` to `end`, the last not included, of a schedule of texts.

    `request_id` is the fingerprint of all that was asked for, but for the seed and the length.
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

    A film that is stopped can so be continued without a gap: by the same command where its chunks are kept, by `extend`
    in any case.
    """
    files, recipe = film.files, film.files.recipe
    if files.is_demo and (beginning.width, beginning.height) != files.size:
        say(f"the demo can only draw at {files.size[0]}x{files.size[1]}; expect nonsense at this size")
    if text := film.schedule.describe_unreached(film.end):
        say(text)
    device = torch.device(files.device).type
    noise_device = beginning.noise_device if beginning.noise_device == device else "cpu"
    if noise_device != beginning.noise_device:
        say(f"the film's random numbers came from {beginning.noise_device}; here its seed starts over on the CPU")
    schedule, negative = files.encode_prompts(film.schedule)
    store = open_store(output, files, negative, beginning) if request.autosave else None
    notes = {"model": files.name, "options": options_text(files.options)}
    if store is not None:
        notes |= unfinished_notes(film.request_id, store.film, film.end)
    length, size = film_length(film.end - film.first), f"{beginning.width}x{beginning.height}"
    say(f"{output.film}: {length}, {size}, seed {film.seed}, {files.variant} of {files.name}")
    # Not before it is needed: all chunks may be on disk.
    denoiser = cache(lambda: files.load_denoiser(negative))
    records = film_records(
        lambda start: denoiser()(start),
        replace(beginning, variant=files.variant),
        ScheduleDirector(schedule, film.seed, film.end),
        recipe,
        store=store,
        device=files.device,
        noise_device=noise_device,
    )
    begun, writer = time.monotonic(), VideoWriter(output.film)
    try:
        # The file is the first to be closed: a player that is paused would keep it waiting.
        with player(request.stream) as play, writer, Progress(recipe, film.first, film.end) as progress:
            with torch.inference_mode():
                for record in records:
                    progress.note(record)
                    if isinstance(record, Chunk):
                        frames = codec.decode(record.latents)
                        said = {"prompt": record.record["prompt"], **notes}
                        if not writer.frames:
                            begin_memory(output, record.start.memory, said, request.autosave)
                        writer.write(frames, partial(record.memory.save, output.memory, said))
                        play(frames)
                        if store is not None:
                            note_run(store, output, film.seed, film.end - film.first, record.index + 1 - film.first)
        seconds = time.monotonic() - begun
        say(f"{output.film}: {film.frames} frames in {seconds:.1f} s, {film.frames / seconds:.1f} a second")
    except KeyboardInterrupt:  # any other end may have lost some frames
        say(f"{output.film}: {writer.frames} of {film.frames} frames")
        raise
    finally:
        if writer.frames and output.memory.exists():
            tell_how_to_continue(request, output, film.frames - writer.frames)


def begin_memory(output: Output, beginning: HistoryMemory, notes: dict[str, str], autosave: bool) -> None:
    """Before the first frames are written: no memory of another film may lie beside them, and with autosave the film
    must be known as unfinished from then on."""
    if autosave:
        beginning.save(output.memory, notes)
    else:
        output.memory.unlink(missing_ok=True)


def tell_how_to_continue(request: FilmRequest, output: Output, missing: int) -> None:
    """`missing` frames are not in the file."""
    as_module = Path(sys.argv[0]).parent.name == "helios_core"
    words = [sys.executable, "-m", "helios_core"] if as_module else ["helios"]
    words += ["extend", str(output.memory.absolute())]
    if missing:
        words += ["--schedule", str(request.schedule.absolute())] if request.schedule else []
        words += ["--length", str(missing)]
        if request.autosave:
            say("to finish this film, run the same command again")
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    say(f"to continue in a new film: {join(words)}")
