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

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import write_whole
from .fingerprint import fingerprint
from .record import Chunk, Start

FILE_FORMAT = "helios-chunk-2"
RESULTS = 1  # to be raised whenever this code makes other latents of the same: chunks of before are not mixed in
NAME = re.compile(r"[0-9a-f]{32}(\.safetensors)?")
RECENT = 24 * 3600  # seconds: a film used since then is never removed to make room
HALF_WRITTEN = 3600  # seconds after which a half-written file is nobody's any more

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemovedFilm:
    """A film that `tidy` removed: the name of its folder, its chunks and bytes, and when it was last used."""

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
        whole = metadata.get("format") == FILE_FORMAT and metadata.get("digest") == _digest(
            name, latents, rng_state, text
        )
        if not whole or latents.shape[:2] + latents.shape[3:] != _frame_shape(start.memory.frames):
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
            with contextlib.suppress(SafetensorError, OSError, ValueError, TypeError):
                with safe_open(path, framework="pt") as file:
                    record = json.loads((file.metadata() or {})["record"])
                found += [record] if isinstance(record, dict) else []
        return found

    def tidy(self, max_films: int, max_bytes: int, keep=lambda folder: False) -> list[RemovedFilm]:
        """Remove the films used longest ago until as many and as large as allowed are left; returns those.

        Never this film, nor the one used last besides, nor one used within a day, nor one whose folder `keep` wants
        kept: all may stay larger than allowed. Files that are not a store's stay, and their folders with them.
        """
        films = [p for p in self.root.iterdir() if NAME.fullmatch(p.name) and p.is_dir()] if self.root.is_dir() else []
        used = {film: film.stat().st_mtime for film in films}
        sizes = {film: sum(file.stat().st_size for file in film.iterdir()) for film in films}
        for film in films:
            for file in film.glob(".*"):  # what a kill left half written
                if time.time() - file.stat().st_mtime > HALF_WRITTEN:
                    file.unlink(missing_ok=True)
        others = sorted((film for film in films if film != self.folder), key=used.get)
        removed = []
        for film in others[:-1]:
            if len(sizes) <= max_films and sum(sizes.values()) <= max_bytes:
                break
            if time.time() - used[film] < RECENT or keep(film):
                continue
            chunks = [file for file in film.glob("*.safetensors") if NAME.fullmatch(file.name)]
            for file in chunks:
                file.unlink(missing_ok=True)
            for name in FILM_FILES:
                (film / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                film.rmdir()
            removed.append(RemovedFilm(film.name, len(chunks), sizes.pop(film), used[film]))
        return removed

    def _name(self, start: Start) -> str:
        memory = start.memory
        state = memory.frames, memory.anchor, memory.chunk, memory.noise_device, memory.rng_state
        return fingerprint(RESULTS, self.film, state, start.prompt)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


FILM_FILES = ("film.json",)  # what else lies in a film's folder (index.py)


def _digest(name: str, latents: Tensor, rng_state: Tensor, record: str | None) -> str:
    return fingerprint(name, latents, rng_state, record)


def _frame_shape(frames: Tensor) -> torch.Size:
    return frames.shape[:2] + frames.shape[3:]
