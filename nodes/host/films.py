"""What the page may know of films: which run is newest, which chunk is being made, and that something has changed."""

import contextlib
import json
import platform
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from comfy.cli_args import args

from ...helios_core.film.fingerprint import fingerprint
from ...helios_core.film.index import FilmContents, FilmIndex, Run, noted_lately
from ...helios_core.film.store import NAME
from ...helios_core.media.thumbnails import Thumbnails
from .folders import autosave_folder
from .server import running_server, running_workflow

# Who notes a run. On one port of one machine is one server at a time, so that after a crash the next one knows of the
# last one's runs that they are over.
MACHINE, PROCESS = f"{platform.node()}:{args.port}", uuid.uuid4().hex
SERVER = f"{MACHINE} {PROCESS}"

CHUNKS = "helios_chunks"  # in a LATENT: its sampler's "node", and "names" of its chunks on disk by their `mark`
ON_DISK = re.compile(rf"({NAME.pattern})/{NAME.pattern}")


@dataclass
class Live:
    """The run that goes on in this process, for the page alone: its film, and the chunk that is sampled now."""

    film: str
    asked_for: tuple[int, str, str, str]
    chunk: int | None = None


live: Live | None = None


@lru_cache(maxsize=128)
def index_of(folder: Path) -> FilmIndex:
    """Kept: what has not changed is not parsed again."""
    return FilmIndex(folder)


def is_running(film: str, run: Run) -> bool:
    """Whether a run that says so may be believed."""
    machine, _, process = run.server.rpartition(" ")
    if process == PROCESS:
        return live is not None and (live.film, live.asked_for) == (film, run.asked_for)
    return machine != MACHINE and noted_lately(run)


def describe_film(workflow: str, node: str) -> dict:
    """The film of a node's newest run, as the page gets it; its values are None or empty where there is none.

    Seeds are texts, since the page's numbers end at 2**53; the run's `end` is the chunk that it ends before.
    """
    found = {"film": None, "run": None, "chunks": {}, "now": None}
    newest = {folder: _newest(index_of(folder).runs(), workflow, node) for folder in _film_folders()}
    folder = max((f for f, run in newest.items() if run), key=lambda f: newest[f].used, default=None)
    if folder is not None:
        contents = index_of(folder).read(partial(is_running, folder.name))
        if run := _newest(contents.runs, workflow, node):
            here = live is not None and (live.film, live.asked_for) == (folder.name, run.asked_for)
            shown = asdict(run) | {"seed": str(run.seed), "end": run.first + run.end}
            del shown["server"]
            chunks = {name: _shown(entry, name, contents) for name, entry in contents.chunks.items()}
            found = {"film": folder.name, "run": shown, "chunks": chunks, "now": live.chunk if here else None}
    return found | {"revision": fingerprint(json.dumps(found))}


def _newest(runs: tuple[Run, ...], workflow: str, node: str) -> Run | None:
    return next((run for run in runs if (run.graph, run.node) == (workflow, node)), None)


def _shown(entry: dict, name: str, contents: FilmContents) -> dict:
    """A chunk's entry, with what there is besides. A thumbnail may be replaced by a better one, later."""
    still = contents.stills.get(name)
    seen = {"thumbnail": still is not None, "thumbnail_time": still, "clip": name in contents.clips}
    return entry | {"seed": str(entry["seed"]), "starred": name in contents.stars, **seen}


def _film_folders() -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in autosave_folder().iterdir() if NAME.fullmatch(path.name)]
    return []


def tell_page(workflow: str, node: str, film: str, chunk: int | None, state: str) -> None:
    """That what `describe_film` says has changed: at a chunk's beginning and end, and at the end of a run."""
    if node and (server := running_server()) is not None:
        message = {"workflow": workflow, "node": node, "film": film, "chunk": chunk, "state": state}
        server.send_sync("helios.film", message)


def mark(latents: torch.Tensor) -> str:
    """By which a chunk's raw latents (B, 16, 9, H/8, W/8) are known again if nobody changes them: their first film's
    content."""
    return fingerprint(latents[:1])


@contextlib.contextmanager
def decoded_thumbnails(samples: dict) -> Iterator[Callable[[torch.Tensor, torch.Tensor], None]]:
    """A function that is told what frames came of which raw latents (1, 16, 9, H/8, W/8), and puts thumbnails of them
    beside those chunks of a LATENT that are on disk; of chunks that were changed since, none."""
    kept = samples.get(CHUNKS, {})
    names, films = kept.get("names"), set()
    with Thumbnails(autosave_folder()) as thumbnails:

        def show(latents: torch.Tensor, frames: torch.Tensor) -> None:
            if names and (on_disk := ON_DISK.fullmatch(names.get(mark(latents), ""))):
                thumbnails.show(on_disk[0], frames)
                films.add(on_disk[1])

        yield show
    for film in films:
        tell_page(running_workflow() or "", kept["node"], film, None, "end")
