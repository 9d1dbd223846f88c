"""Finished chunks on disk, each under the fingerprint of all that decided it.

A chunk is a function of the network, the recipe, what is remembered when it begins (random state included) and the
prompt at that moment. So it is filed under a hash of these, and a film that is run again, whether it was killed,
cancelled, made longer or told otherwise from some chunk on, finds every chunk that would come out the same.
"""

import contextlib
import json
import logging
import math
import os
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import write_whole
from ..network.config import CHUNK_LATENTS
from .fingerprint import fingerprint
from .record import Chunk, Start

FILE_FORMAT = "helios-chunk-2"
RESULTS = 1  # to be raised whenever this code makes other latents of the same: chunks of before are not mixed in
NAME = re.compile(r"[0-9a-f]{32}")  # of a film, and of a chunk
CHUNK, STILL, CLIP = ".safetensors", ".jpg", ".mp4"  # what there is of a chunk, under its name

log = logging.getLogger(__name__)


class ChunkStore:
    """The chunks of one film in a folder of its own, named by `film`, the fingerprint of what all chunks share."""

    def __init__(self, root: str | Path, film: str):
        self.root, self.film = Path(root), film
        self.folder = self.root / film

    def load(self, start: Start) -> tuple[Tensor, Tensor, dict] | None:
        """(latents, random state after them, record) of the chunk that `start` leads to; None where there is none.

        A file that is damaged, or is another chunk's under this one's name, counts as none.
        """
        name = start.name or self.name(start)
        path = self.path(name)
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
        name, text = chunk.name or self.name(chunk.start), json.dumps(chunk.record)
        tensors = {"latents": chunk.latents.cpu().contiguous(), "rng_state": chunk.memory.rng_state.cpu()}
        digest = _digest(name, tensors["latents"], tensors["rng_state"], text)
        header = {"format": FILE_FORMAT, "digest": digest, "record": text, "parent": chunk.start.parent}
        write_whole(self.path(name), save(tensors, header))
        with contextlib.suppress(OSError):
            os.utime(self.folder)

    def name(self, start: Start) -> str:
        """The fingerprint that the chunk which `start` leads to is filed under: 32 hex digits."""
        memory = start.memory
        state = memory.frames, memory.anchor, memory.chunk, memory.noise_device, memory.rng_state
        return fingerprint(RESULTS, self.film, state, start.prompt)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}{CHUNK}"


def read_record(path: Path) -> tuple[dict, str | None] | None:
    """(record, parent) of a chunk's file, by its header alone; None where it has none. See `Start` for the parent,
    which is None in files of before: not known."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        record = strict_json(metadata.get("record", "")) if metadata.get("format") == FILE_FORMAT else None
    except (SafetensorError, OSError, ValueError, RecursionError):
        return None
    parent = metadata.get("parent")
    known = parent is not None and (not parent or NAME.fullmatch(parent))
    return (record, parent if known else None) if isinstance(record, dict) else None


def strict_json(text: str | bytes):
    """JSON as browsers take it: ValueError for NaN and infinity."""
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value


def _digest(name: str, latents: Tensor, rng_state: Tensor, record: str | None) -> str:
    return fingerprint(name, latents, rng_state, record)
