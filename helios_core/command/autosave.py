"""Finished chunks on disk, so that the same command continues a film that was cut off."""

import torch

from ..film.fingerprint import fingerprint
from ..film.memory import HistoryMemory
from ..film.store import ChunkStore
from ..film.tidy import describe_removed, tidy
from .model_files import ModelFiles
from .output import Output
from .terminal import say

FILMS, BYTES = 20, 20 * 10**9  # what the folder of chunks may hold, besides films of the last day


def open_store(
    output: Output, files: ModelFiles, negative: torch.Tensor | None, beginning: HistoryMemory
) -> ChunkStore:
    """The store for a film's chunks. Older films are removed to make room, which is said."""
    # Not the seed: it is in the random state of each chunk, and films of all seeds lie together.
    state = beginning.frames, beginning.anchor, beginning.chunk
    store = ChunkStore(output.chunks, fingerprint("command line", files.identity(), negative, state))
    try:
        if removed := tidy(store, FILMS, BYTES):
            say(f"{store.root}: {describe_removed(removed)}")
    except OSError as error:
        say(f"{store.root}: older films could not be removed: {error}")
    return store
