"""What the film loop yields, and what is noted of each chunk."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .memory import HistoryMemory

# Of a chunk's record, what the director said: "prompt", in a blend "words" ([weight, text] pairs), "picture" (its
# "file" and "weight"), and "change" ("cut", "blend" or "image") where the film was told to change.
TOLD = "prompt", "words", "picture", "change"

Mix = tuple[tuple[float, Any], ...]  # (weight, prompt) pairs, weights above 0 and adding up to 1


@dataclass(frozen=True, eq=False)
class Start:
    """A chunk begins. `memory` and `prompt` are all it is made from, besides network and recipe.

    `memory` is what the chunk remembers, with the keyframes in it and the random state it begins with. `record` is what
    is noted of the chunk so far. `stored` says that the chunk is on disk: nothing will be sampled. `name` is what the
    store calls the chunk, `parent` the one that it follows ("" at the film's beginning); without a store both are "".
    """

    memory: HistoryMemory
    prompt: Mix
    record: dict
    stored: bool = False
    name: str = ""
    parent: str = ""

    @property
    def chunk(self) -> int:
        return self.memory.chunk


@dataclass(frozen=True, eq=False)
class Step:
    """One call of the network: where it stands, and x0 (B, C, 9, h, w), the estimate of the stage's end.

    The function that predicts the flow gets it without `x0`.
    """

    chunk: int
    stage: int
    index: int
    sigma: float
    timestep: float
    x0: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Chunk:
    """A finished chunk: latents (B, C, 9, H/8, W/8) in model space, and the memory to continue with.

    `record` holds "chunk", "seed", what was told (`TOLD`), "seconds", when it was "made" (in seconds since 1970),
    "vram" and "ram" (bytes). `reused` chunks were on disk; `not_saved` says why one could not be kept there.
    """

    index: int
    latents: Tensor
    memory: HistoryMemory
    start: Start
    record: dict
    reused: bool = False
    not_saved: str = ""

    @property
    def name(self) -> str:
        """The chunk's in its store, "" without one."""
        return self.start.name


class Meter:
    """Seconds since the last reading, the peak of GPU memory since then, and main memory now."""

    def __init__(self, device):
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.init()  # there are no numbers to reset before
        self.restart()

    def restart(self) -> None:
        self.since = time.monotonic()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def read(self) -> dict:
        """What is noted of a chunk; the next reading starts here."""
        found = {"seconds": round(time.monotonic() - self.since, 3), "made": round(time.time(), 3)}
        if self.device.type == "cuda":
            found["vram"] = torch.cuda.max_memory_reserved(self.device)
        if (ram := resident_bytes()) is not None:
            found["ram"] = ram
        self.restart()
        return found


def resident_bytes() -> int | None:
    """Main memory of this process; None where psutil is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.Process().memory_info().rss
