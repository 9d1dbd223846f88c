"""Finished chunks on disk, each under the fingerprint of all that decided it.

A chunk is a function of the network, the recipe, what is remembered when it begins (random state included) and the
prompt at that moment. So it is filed under a hash of these, and a film that is run again, whether it was killed,
cancelled, made longer or told otherwise from some chunk on, finds every chunk that would come out the same.
"""

import contextlib
import json
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import write_whole
from ..network.config import CHUNK_LATENTS
from .fingerprint import fingerprint
from .index import INDEX
from .record import Chunk, Start

FILE_FORMAT = "helios-chunk-2"
RESULTS = 1  # to be raised whenever this code makes other latents of the same: chunks of before are not mixed in
FILM_NAME = re.compile(r"[0-9a-f]{32}")
CHUNK_NAME = re.compile(r"[0-9a-f]{32}\.safetensors")
RECENT = 24 * 3600  # seconds: a film used since then is never removed to make room
HALF_WRITTEN = 3600  # seconds after which a half-written file is nobody's any more

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemovedFilm:
    """A film that `tidy` removed: the name of its folder, its chunks and their bytes, and when it was last used."""

    name: str
    chunks: int
    size: int
    used: float


class ChunkStore:
    """The chunks of one film in a folder of its own, named by `film`, the fingerprint of what all chunks share."""

    def __init__(self, root: str | Path, film: str):
        self.root, self.film = Path(root), film
        self.folder = self.root / film

    def load(self, start: Start) -> tuple[Tensor, Tensor, dict] | None:
        """(latents, random state after them, record) of the chunk that `start` leads to; None where there is none.

        A file that is damaged, or is another chunk's under this one's name, counts as none.
        """
        name = self._name(start)
        path = self._path(name)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                latents, rng_state = (file.get_tensor(key).clone() for key in ("latents", "rng_state"))
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be read and is made anew (%s)", path, error)
            return None
        text = metadata.get("record")
        whole = (metadata.get("format"), metadata.get("digest")) == (
            FILE_FORMAT,
            _digest(name, latents, rng_state, text),
        )
        b, c, _, h, w = start.memory.frames.shape
        if not whole or latents.shape != (b, c, CHUNK_LATENTS, h, w):
            log.warning("%s is damaged and is made anew", path)
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)  # its age is what `tidy` goes by
        return latents, rng_state, json.loads(text)

    def save(self, chunk: Chunk) -> None:
        """Keep a chunk with its record. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name, text = self._name(chunk.start), json.dumps(chunk.record)
        tensors = {"latents": chunk.latents.cpu().contiguous(), "rng_state": chunk.memory.rng_state.cpu()}
        digest = _digest(name, tensors["latents"], tensors["rng_state"], text)
        write_whole(self._path(name), save(tensors, {"format": FILE_FORMAT, "digest": digest, "record": text}))
        with contextlib.suppress(OSError):
            os.utime(self.folder)

    def records(self) -> list[dict]:
        """The records of all chunks in the folder, in no order; those of damaged files are left out."""
        found = []
        for path in self.folder.glob("*.safetensors"):
            with contextlib.suppress(SafetensorError, OSError, ValueError):
                with safe_open(path, framework="pt") as file:
                    metadata = file.metadata() or {}
                if metadata.get("format") == FILE_FORMAT:
                    found.append(json.loads(metadata.get("record", "")))
        return [record for record in found if isinstance(record, dict)]

    def tidy(self, max_films: int, max_bytes: int, keep=lambda folder: False) -> list[RemovedFilm]:
        """Remove the films used longest ago until as many and as large as allowed are left; returns those.

        Never this film, nor the one used last besides, nor one used within a day, nor one whose folder `keep` wants
        kept: all may stay larger than allowed. Files that are not a store's stay, and their folders with them. What
        another server takes away meanwhile, or holds open, is passed over.
        """
        found = {name: status for name, status in _entries(self.root).items() if FILM_NAME.fullmatch(name)}
        films = {name: _Film.read(self.root / name, status.st_mtime) for name, status in found.items()}
        films = {name: film for name, film in films.items() if film.files}
        others = sorted((name for name in films if name != self.film), key=lambda name: films[name].used)
        removed = []
        for name in others[:-1]:
            if len(films) <= max_films and sum(film.size for film in films.values()) <= max_bytes:
                break
            if time.time() - films[name].used < RECENT or keep(self.root / name):
                continue
            film = films.pop(name)
            film.remove()
            removed.append(RemovedFilm(name, sum(file != INDEX for file in film.files), film.size, film.used))
        return removed

    def _name(self, start: Start) -> str:
        memory = start.memory
        state = memory.frames, memory.anchor, memory.chunk, memory.noise_device, memory.rng_state
        return fingerprint(RESULTS, self.film, state, start.prompt)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def describe_removed(removed: list[RemovedFilm]) -> str:
    """A sentence for people on what `tidy` removed."""
    films, chunks = len(removed), sum(film.chunks for film in removed)
    megabytes = sum(film.size for film in removed) / 1e6
    day = time.strftime("%Y-%m-%d", time.localtime(max(film.used for film in removed)))
    counts = f"{films} old film{'s' * (films != 1)} ({chunks} chunk{'s' * (chunks != 1)}, {megabytes:,.0f} MB)"
    return f"removed {counts}, last used {day}, to make room."


@dataclass(frozen=True)
class _Film:
    """What a store has in a film's folder: the sizes of its files in bytes, by name, and when it was last used."""

    folder: Path
    files: dict[str, int]
    used: float

    @classmethod
    def read(cls, folder: Path, used: float) -> "_Film":
        """Look into a folder, and clear away what a kill left half written."""
        entries = _entries(folder)
        half = [name for name, e in entries.items() if name[0] == "." and time.time() - e.st_mtime > HALF_WRITTEN]
        for name in half:
            _unlink(folder / name)
        if half:
            with contextlib.suppress(OSError):
                os.utime(folder, (used, used))  # to clear away is no use of the film
        files = {name: e.st_size for name, e in entries.items() if CHUNK_NAME.fullmatch(name) or name == INDEX}
        return cls(folder, files, used)

    @property
    def size(self) -> int:
        return sum(self.files.values())

    def remove(self) -> None:
        for name in self.files:
            _unlink(self.folder / name)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """What lies in a folder, by name: nothing in one that is not there, and nothing that vanishes meanwhile."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found[name] = os.stat(folder / name)
    return found


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # away already, open on Windows, or a folder
        path.unlink()


def _digest(name: str, latents: Tensor, rng_state: Tensor, record: str | None) -> str:
    return fingerprint(name, latents, rng_state, record)
