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
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .files import write_whole
from .memory import HistoryMemory
from .recipe import Recipe
from .sampler import Chunk, Start, begin_chunk, end_chunk

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


def fingerprint(*parts) -> str:
    """32 hex digits that are the same, on every machine and day, for the same content.

    Of tensors, texts, bytes, numbers, None, and of tuples, lists, dicts and dataclasses of these; TypeError for others.
    """
    digest = blake2b(digest_size=16)

    def add(part):
        kind = type(part).__name__
        if isinstance(part, Tensor):
            data = part.detach().cpu().contiguous().reshape(-1)
            digest.update(f"tensor {part.dtype} {tuple(part.shape)} ".encode())
            digest.update(data.view(torch.uint8).numpy())
        elif part is None or isinstance(part, str | bytes | bool | int | float):
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(f"{kind} {len(content)} ".encode() + content)
        elif is_dataclass(part) and not isinstance(part, type):
            add({field.name: getattr(part, field.name) for field in fields(part)} | {"": kind})
        elif isinstance(part, tuple | list):
            digest.update(f"{kind} {len(part)} ".encode())
            for item in part:
                add(item)
        elif isinstance(part, dict):
            digest.update(f"dict {len(part)} ".encode())
            for key in sorted(part, key=repr):
                add(key)
                add(part[key])
        else:
            raise TypeError(f"a {kind} has no fingerprint")

    add(parts)
    return digest.hexdigest()
