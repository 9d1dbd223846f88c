"""Pictures of any size and videos of any length, as frames (T, H, W, 3) in 0..1."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from ..network.config import CHUNK_FRAMES

TAIL = 3 * CHUNK_FRAMES  # as much of a video as a film remembers


def fit_frames(frames: Tensor, width: int, height: int, mode: str) -> Tensor:
    """Frames (T, H, W, C) brought to (T, height, width, 3).

    "crop" fills the frame and cuts what sticks out, "fit" stretches, "pad" keeps all between black borders. Of more
    than three channels the first three count, a single one is grey.
    """
    if mode not in ("crop", "fit", "pad"):
        raise ValueError(f"resize={mode!r}: use 'crop', 'fit' or 'pad'")
    frames = frames.expand(-1, -1, -1, 3) if frames.shape[-1] == 1 else frames[..., :3]
    h, w = frames.shape[1:3]
    if (h, w) == (height, width):
        return frames
    scale = {"crop": max, "pad": min}.get(mode, lambda *_: None)(height / h, width / w)
    inner_h, inner_w = (height, width) if scale is None else (max(1, round(h * scale)), max(1, round(w * scale)))
    x = frames.float().movedim(-1, 1)
    x = F.interpolate(x, size=(inner_h, inner_w), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2  # negative where it sticks out
    x = F.pad(x, (left, width - inner_w - left, top, height - inner_h - top))
    return x.movedim(1, -1).contiguous()


def read_ends(
    source: str | Path | BytesIO,
    *,
    start: float = 0,
    duration: float = 0,
    fit: Callable[[Tensor], Tensor] = lambda frames: frames,
    check: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor, int]:
    """A video's first frame, its last 99 (fewer if it is shorter) and how many it has, in memory for 100 of them.

    `start` and `duration` in seconds choose a part, 0 the whole; `fit`, called with frames (1, H, W, 3), brings each to
    the size that is wanted before they are put together; `check` is called for each frame, what it raises ends the
    reading. Raises ValueError for what is no video.
    """
    first, tail, count = None, deque(maxlen=TAIL), 0
    for frame in _decode(source, start, duration):
        check()
        first = first or frame
        tail.append(frame)
        count += 1
    if first is None:
        raise ValueError(f"{_name(source)}: no frames between {start:g} s and {start + duration:g} s")
    first, tail = (torch.cat([fit(_pixels([frame])) for frame in frames]) for frames in ([first], tail))
    return first, tail, count


def read_image(path: str | Path) -> Tensor:
    """A picture (1, H, W, 3) in 0..1, turned as its EXIF says. Raises OSError or ValueError for what is none."""
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode[0] in "IF"  # which convert() would cut off
            pixels = np.array(upright if deep else upright.convert("RGB"), np.float32)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's: not all of them name the file
        raise OSError(f"{_name(path)}: cannot be read as a picture ({error})") from error
    if not deep:
        return torch.from_numpy(pixels / 255)[None]
    if upright.mode == "F" or not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError(f"{_name(path)}: a picture of more than 16 bits; save it with 8 or 16")
    return torch.from_numpy(pixels / 65535)[None, :, :, None].repeat(1, 1, 1, 3)


def read_chunks(
    source: str | Path | BytesIO, size: int = CHUNK_FRAMES, *, start: float = 0, duration: float = 0
) -> Iterator[Tensor]:
    """A video's frames, `size` at a time, the last ones fewer; else as `read_ends`."""
    group = []
    for frame in _decode(source, start, duration):
        group.append(frame)
        if len(group) == size:
            yield _pixels(group)
            group = []
    if group:
        yield _pixels(group)


def _decode(source, start: float, duration: float) -> Iterator[av.VideoFrame]:
    if isinstance(source, BytesIO):
        source.seek(0)
    try:
        # absolute: FFmpeg takes what is before a colon for a protocol
        with av.open(source if isinstance(source, BytesIO) else os.path.abspath(source)) as container:
            if not container.streams.video:
                raise ValueError(f"{_name(source)}: there is no video in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            begin = (stream.start_time or 0) * stream.time_base
            for frame in container.decode(stream):
                # Half a millisecond: times are rounded to the stream's own clock.
                seconds = 0.0 if frame.pts is None else float(frame.pts * frame.time_base - begin) + 5e-4
                if duration and seconds >= start + duration:
                    return
                if seconds >= start:
                    yield frame
    except av.FFmpegError as error:
        raise ValueError(f"{_name(source)}: cannot be read as a video ({error})") from error


def _pixels(frames) -> Tensor:
    """(T, H, W, 3), turned upright: phones write pictures as the sensor lay, and a note how to turn them."""
    pictures = []
    for frame in frames:
        pixels = frame.to_ndarray(format="rgb24")
        pictures.append(np.rot90(pixels, round(getattr(frame, "rotation", 0) / 90)))
    return torch.from_numpy(np.stack(pictures)).float() / 255


def _name(source) -> str:
    return "video" if isinstance(source, BytesIO) else Path(source).name
