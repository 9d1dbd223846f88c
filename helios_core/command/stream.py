"""A film to standard output while it is made, for a player."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from torch import Tensor

from ..media.video import VideoWriter
from .terminal import say

PATIENCE = 2.0  # seconds that a film which was stopped waits for its player


@contextlib.contextmanager
def player(wanted: bool) -> Iterator[Callable[[Tensor], None]]:
    """Yields a function that sends frames (T, H, W, 3) to standard output, if `wanted`, for as long as somebody reads:
    a player that is closed must not stop the film."""
    stream, patience = VideoWriter(StandardOutput()) if wanted else None, PATIENCE

    def play(frames: Tensor) -> None:
        nonlocal stream
        try:
            if stream is not None:
                stream.write(frames)
        except OSError:
            stream = None
            say("the player was closed; the film is still being made")

    def close() -> None:
        with contextlib.suppress(OSError):
            stream.close()

    try:
        yield play
        patience = None
    finally:
        if stream is not None:
            closing = threading.Thread(target=close, daemon=True)
            closing.start()
            closing.join(patience)


def check_stream(wanted: bool) -> None:
    """Raise ValueError where the film would be written to a terminal."""
    if wanted and sys.stdout.isatty():
        raise ValueError("--stream: standard output is a terminal; send it to a player or a file: ... --stream | mpv -")


class StandardOutput:
    """Without Python's buffer, which would keep the end of a chunk, and which a paused player would keep locked."""

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
        return len(data)
