"""What a chunk looks like: a still and a clip, small files beside it."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import write_whole
from ..film.store import CHUNK, CLIP, STILL
from ..network.config import CHUNK_FRAMES, FPS
from .video import add_h264, to_yuv

STILL_SIZE, CLIP_WIDTH = 160, 320  # pixels: the still's longer side
ROUGH = b"rough colours"  # a comment in stills of what was not decoded
PATIENCE = 10.0  # seconds that a film waits for clips, if a disk hangs

log = logging.getLogger(__name__)


class Thumbnails:
    """Writes them into folders of films: stills at once, clips in a thread of its own. To be closed.

    What fails is told once in the log, and raises nothing: no film ends for its thumbnails.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._queue: queue.Queue[tuple[str, Tensor] | None] = queue.Queue(1)  # more would only fill the memory
        self._thread: threading.Thread | None = None
        self._failed = False

    def show(self, name: str, frames: Tensor | Callable[[], Tensor | None], rough: bool = False) -> None:
        """What chunk `name` shows, "FILM/CHUNK", if it is on disk: frames (T, H, W, 3) in 0..1 that nobody changes any
        more, or a function that gives them, called if they are wanted.

        `rough` frames, which no VAE decoded, take nobody's place; others take that of rough ones.
        """
        try:
            if not self._wants(name, rough) or (frames := frames() if callable(frames) else frames) is None:
                return
            with contextlib.suppress(OSError):  # where a kill comes before the new clip, none is better than an old one
                (self.root / f"{name}{CLIP}").unlink()
            shown = still(frames[len(frames) // 2], STILL_SIZE, ROUGH if rough else b"")
            write_whole(self.root / f"{name}{STILL}", shown)
            self._put((name, frames.cpu()))
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Wait for the clips."""
        if self._thread is not None:
            self._put(None)
            self._thread.join(PATIENCE)

    def __enter__(self) -> "Thumbnails":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _wants(self, name: str, rough: bool) -> bool:
        """Whether a chunk is on disk and has no thumbnails that are as good."""
        paths = {kind: self.root / f"{name}{kind}" for kind in (CHUNK, STILL, CLIP)}
        if not paths[CHUNK].exists() or not paths[STILL].exists():
            return paths[CHUNK].exists()
        poor, missing = _is_rough(paths[STILL]), not paths[CLIP].exists()
        return poor and missing if rough else poor or missing

    def _put(self, item: tuple[str, Tensor] | None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_clips, name="thumbnails", daemon=True)
            self._thread.start()
        try:
            self._queue.put(item, timeout=PATIENCE)
        except queue.Full:
            self._fail(OSError("the disk does not answer"))

    def _write_clips(self) -> None:
        while (item := self._queue.get()) is not None:
            name, frames = item
            try:
                write_whole(self.root / f"{name}{CLIP}", clip(frames))
            except Exception as error:
                self._fail(error)
            del item, frames  # not while it waits for the next

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            log.warning("%s: a chunk's thumbnail could not be written: %s", self.root, error)


def still(frame: Tensor, size: int, comment: bytes = b"") -> bytes:
    """A JPEG of a frame (H, W, 3) in 0..1, at most `size` pixels wide and high."""
    image = Image.fromarray(_pixels(frame))
    image.thumbnail((size, size))
    file = BytesIO()
    image.save(file, "JPEG", quality=85, comment=comment)
    return file.getvalue()


def clip(frames: Tensor) -> bytes:
    """An mp4 of frames (T, H, W, 3) in 0..1, at most 320 pixels wide and less than 100 KB; a chunk's time long."""
    height, width = frames.shape[1:3]
    shrink = min(1.0, CLIP_WIDTH / width)
    width, height = (max(2, round(side * shrink / 2) * 2) for side in (width, height))
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"preset": "veryfast", "crf": "28", "maxrate": "450k", "bufsize": "225k", "threads": "1"}
        stream = add_h264(container, Fraction(FPS * len(frames), CHUNK_FRAMES), width, height, options)
        for k, frame in enumerate(frames):
            picture = to_yuv(_pixels(frame), width=width, height=height)
            picture.pts = k
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def _pixels(frame: Tensor) -> np.ndarray:
    return frame.float().mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8).cpu().numpy()


def _is_rough(path: Path) -> bool:
    """Or damaged."""
    try:
        with Image.open(path) as image:
            return image.info.get("comment") == ROUGH
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return True
