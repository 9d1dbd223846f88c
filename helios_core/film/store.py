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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..diffusion.recipe import Recipe
from ..files import write_whole
from .fingerprint import fingerprint
from .loop import Chunk, Start, begin_chunk, end_chunk
from .memory import HistoryMemory

FILE_FORMAT = "helios-chunk-1"
RESULTS = 1  # to be raised whenever this code makes other latents of the same: chunks of before are not mixed in
NAME = re.compile(r"[0-9a-f]{32}(\.safetensors)?")

log = logging.getLogger(__name__)


class ChunkStore:
    """The chunks of one film in a folder of its own, named by `film`, the fingerprint of what all chunks share."""

    def __init__(self, root: str | Path, film: str):
        self.root, self.film = Path(root), film
        self.folder = self.root / film

    def load(self, start: Start) -> tuple[Tensor, Tensor, dict] | None:
        """(latents, random state after them, notes) of the chunk that `start` leads to; None where there is none."""
        path = self._path(start)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                content = *(file.get_tensor(name).clone() for name in ("latents", "rng_state")), metadata.get("notes")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be read and is made anew (%s)", path, error)
            return None
        if metadata.get("format") != FILE_FORMAT or metadata.get("digest") != fingerprint(*content):
            log.warning("%s is damaged and is made anew", path)
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)  # its age is what `tidy` goes by
        latents, rng_state, notes = content
        return latents, rng_state, json.loads(notes)

    def save(self, chunk: Chunk, notes: dict[str, Any] | None = None) -> None:
        """Keep a chunk; `notes` (numbers and texts) come back with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {"latents": chunk.latents.cpu().contiguous(), "rng_state": chunk.memory.rng_state.cpu()}
        text = json.dumps(notes or {})
        metadata = {"format": FILE_FORMAT, "digest": fingerprint(*tensors.values(), text), "notes": text}
        write_whole(self._path(chunk.start), save(tensors, metadata))
        os.utime(self.folder)

    def tidy(self, max_films: int, max_bytes: int) -> int:
        """Remove the films used longest ago until as many and as large as allowed are left, never this one.

        Returns how many. Files that are not a store's stay, and their folders with them.
        """
        films = [p for p in self.root.iterdir() if NAME.fullmatch(p.name) and p.is_dir()] if self.root.is_dir() else []
        films.sort(key=lambda p: (p == self.folder, p.stat().st_mtime))
        sizes = {film: sum(file.stat().st_size for file in film.iterdir()) for film in films}
        removed = 0
        for film in films:
            for file in film.glob(".*"):  # what a kill left half written
                if time.time() - file.stat().st_mtime > 3600:
                    file.unlink()
            if film != self.folder and (len(sizes) > max_films or sum(sizes.values()) > max_bytes):
                for file in film.glob("*.safetensors"):
                    if NAME.fullmatch(file.name):
                        file.unlink()
                sizes.pop(film)
                try:
                    film.rmdir()
                except OSError:
                    continue
                removed += 1
        return removed

    def _path(self, start: Start) -> Path:
        memory = start.memory
        state = memory.frames, memory.anchor, memory.chunk, memory.noise_device, memory.rng_state
        return self.folder / f"{fingerprint(RESULTS, self.film, state, start.prompt)}.safetensors"


def stored_chunks(
    store: ChunkStore, memory: HistoryMemory, schedule, recipe: Recipe, *, chunks: int, seed: int, noise_device="cpu"
) -> Iterator[tuple[Chunk, dict]]:
    """The first of a film's chunks, up to the one that is not on disk, with their notes; else as `sample_chunks`."""
    for _ in range(chunks):
        start = begin_chunk(memory, schedule, seed, noise_device)
        found = store.load(start)
        if found is None:
            return
        latents, rng_state, notes = found
        chunk = end_chunk(start, recipe, latents.to(memory.frames.device), rng_state)
        memory = chunk.memory
        yield chunk, notes
