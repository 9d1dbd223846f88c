"""Pictures of any size and videos of any length, as frames (T, H, W, 3) in 0..1."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.video.reformatter import Colorspace
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS

TAIL = 3 * CHUNK_FRAMES  # as much of a video as a film remembers
RESIZE = ("crop", "pad", "stretch")
LONGEST = 60.0  # seconds that a frame is held for when a video is resampled: a clock that jumps further is damaged


def rgb(frames: Tensor) -> Tensor:
    """Frames (..., C) -> (..., 3): one channel is grey, two are grey and alpha, of more the first three count."""
    return frames[..., :1].expand(*frames.shape[:-1], 3) if frames.shape[-1] < 3 else frames[..., :3]


def fit_frames(frames: Tensor, width: int, height: int, mode: str) -> Tensor:
    """Frames (T, H, W, C) brought to (T, height, width, 3).

    "crop" fills the frame and cuts what sticks out, "pad" keeps all of it between black borders, "stretch" changes its
    shape; "fit" is an older name of "stretch".
    """
    mode = "stretch" if mode == "fit" else mode
    if mode not in RESIZE:
        raise ValueError(f"resize={mode!r}: use 'crop', 'pad' or 'stretch'")
    frames = rgb(frames)
    h, w = frames.shape[1:3]
    if (h, w) == (height, width):
        return frames
    if mode == "stretch":
        inner_h, inner_w = height, width
    else:
        scale = (max if mode == "crop" else min)(height / h, width / w)
        inner_h, inner_w = max(1, round(h * scale)), max(1, round(w * scale))
    x = frames.float().movedim(-1, 1)
    x = F.interpolate(x, size=(inner_h, inner_w), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2  # negative where it sticks out
    x = F.pad(x, (left, width - inner_w - left, top, height - inner_h - top))
    return x.movedim(1, -1).contiguous()


@dataclass(frozen=True)
class VideoEnds:
    """A video's first frame (1, H, W, 3) and its last 99 (T, H, W, 3), fewer if it is shorter.

    `count` is how many frames it has at the rate asked for, `frames` how many the file has, and `fps` at which rate,
    None where that is not known.
    """

    first: Tensor
    last: Tensor
    count: int
    frames: int
    fps: float | None

    @property
    def windows(self) -> tuple[Tensor, ...]:
        """Whole windows of 33 frames, three at the most, counted from the end."""
        return self.last[len(self.last) % CHUNK_FRAMES :].split(CHUNK_FRAMES) if self.count >= CHUNK_FRAMES else ()

    def describe(self) -> str:
        """For people: "50 frames at 30 FPS; the last 33 are used (1.4 s)"."""
        text = f"{self.frames} frames" + (f" at {self.fps:.4g} FPS" if self.fps else "")
        if self.count != self.frames:
            text += f", {self.count} at {FPS}"
        used = len(self.windows) * CHUNK_FRAMES
        return f"{text}; {'all' if used == self.count else f'the last {used}'} are used ({used / FPS:.1f} s)"

    @property
    def speed(self) -> float:
        """How many times as fast it plays in a film as it was recorded."""
        return FPS / self.fps if self.fps and self.count == self.frames else 1.0


def read_ends(
    source: str | Path | BytesIO,
    *,
    start: float = 0,
    duration: float = 0,
    fps: float | None = None,
    fit: Callable[[Tensor], Tensor] | None = None,
    check: Callable[[], None] = lambda: None,
) -> VideoEnds:
    """Both ends of a video, in memory for 100 frames of it.

    `start` and `duration` in seconds choose a part, 0 the whole. `fps` resamples it: each moment shows the frame that
    was on the screen then; None takes every frame once, whatever the rate. `fit`, called with frames (1, H, W, 3),
    brings each to the size that is wanted; without it all have the first one's. `check` is called for each frame, what
    it raises ends the reading. Raises ValueError for what is no video.
    """
    first, tail, count, read = None, deque(maxlen=TAIL), 0, 0
    with _Video(source) as video:
        for frame, times in video.counted_frames(start, duration, fps):
            check()
            first = first or frame
            tail.extend(repeat(frame, min(times, TAIL)))
            count, read = count + times, read + 1
    if first is None:
        part = f"between {start:g} s and {start + duration:g} s" if duration else f"after {start:g} s"
        raise ValueError(f"{name_of(source)}: no frames {part}")
    fit = fit or _to_size_of(first)
    first, tail = (torch.cat([fit(_pixels(frame)[None]) for frame in frames]) for frames in ([first], tail))
    return VideoEnds(first, tail, count, read, video.fps)


def moments(count: int, source_fps: float, fps: float) -> Tensor:
    """Which of `count` frames at `source_fps` is on the screen at each moment, `fps` a second."""
    shown = torch.arange(max(1, round(count * fps / source_fps))) * source_fps / fps
    return (shown + 1e-3 * source_fps).long().clamp(max=count - 1)


def _resampled(frames, fps: float, source_fps: float) -> Iterator[tuple[av.VideoFrame, int]]:
    """Each frame with the number of moments, `fps` a second, at which it is the one on the screen."""
    shown, last, now, moments = None, 0.0, 0.0, 0
    for seconds, frame in frames:
        if shown is not None:
            now += min(max(seconds - last, 0), LONGEST)
            # A millisecond early: times are rounded to the stream's own clock.
            times = max(0, math.ceil((now - 1e-3) * fps) - moments)
            yield shown, times
            moments += times
        shown, last = frame, seconds
    if shown is not None:
        end = now + min(1 / source_fps, LONGEST)
        yield shown, max(0 if moments else 1, round(end * fps) - moments)


def read_image(path: str | Path) -> Tensor:
    """A picture (1, H, W, 3) in 0..1, turned as its EXIF says. Raises OSError or ValueError for what is none."""
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode[0] in "IF"  # which convert() would cut off
            pixels = np.array(upright if deep else upright.convert("RGB"), np.float32)
    except UnidentifiedImageError as error:
        raise OSError(f"{name_of(path)}: cannot be read as a picture (its format is not known)") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's: not all of them name the file
        raise OSError(f"{name_of(path)}: cannot be read as a picture ({error})") from error
    if not deep:
        return torch.from_numpy(pixels / 255)[None]
    if upright.mode == "F" or not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError(f"{name_of(path)}: a picture of more than 16 bits; save it with 8 or 16")
    return torch.from_numpy(pixels / 65535)[None, :, :, None].repeat(1, 1, 1, 3)


def read_chunks(
    source: str | Path | BytesIO,
    size: int = CHUNK_FRAMES,
    *,
    start: float = 0,
    duration: float = 0,
    fps: float | None = None,
    fit: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """A video's frames, `size` at a time, the last ones fewer; else as `read_ends`."""
    group = []
    with _Video(source) as video:
        for frame, times in video.counted_frames(start, duration, fps):
            fit = fit or _to_size_of(frame)
            pixels = fit(_pixels(frame)[None]) if times else None
            for _ in range(times):
                group.append(pixels)
                if len(group) == size:
                    yield torch.cat(group)
                    group = []
    if group:
        yield torch.cat(group)


class _Video:
    """A file that is being read: its pictures, not a cover that music players show."""

    def __init__(self, source: str | Path | BytesIO):
        self.source, self.fps = source, None

    def __enter__(self) -> "_Video":
        self.container = open_video(self.source)
        self.stream = self.container.streams.best("video")  # as players choose: a cover may come first
        if self.stream is None or self.stream.disposition & av.stream.Disposition.attached_pic:
            self.container.close()
            raise ValueError(f"{name_of(self.source)}: there is no video in it")
        self.stream.thread_type = "AUTO"
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.fps = float(rate) if rate else None
        return self

    def __exit__(self, *error) -> None:
        self.container.close()

    def frames(self, start: float, duration: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """(seconds from the beginning, frame) of a part."""
        begin = (self.stream.start_time or 0) * self.stream.time_base
        with _readable(self.source):
            for number, frame in enumerate(self.container.decode(self.stream)):
                # Raw streams have no times. Half a millisecond: others are rounded to the stream's own clock.
                known = frame.pts is not None
                seconds = float(frame.pts * frame.time_base - begin) + 5e-4 if known else number / (self.fps or FPS)
                if duration and seconds >= start + duration:
                    return
                if seconds >= start:
                    yield seconds, frame

    def counted_frames(self, start: float, duration: float, fps: float | None) -> Iterator[tuple[av.VideoFrame, int]]:
        """Frames of a part, each with how many times it is taken: once, or as often as it is seen at `fps`."""
        frames = self.frames(start, duration)
        if fps is None:
            return ((frame, 1) for _, frame in frames)
        return _resampled(frames, fps, self.fps or fps)


def _pixels(frame: av.VideoFrame) -> Tensor:
    """(H, W, 3) in 0..1, turned upright: phones write pictures as the sensor lay, and a note how to turn them."""
    # By the video's own matrix. PyAV before 17 takes each for BT.601 unless source and target differ; RGB has none.
    matrix = {"src_colorspace": frame.colorspace, "dst_colorspace": Colorspace.ITU601}
    pixels = np.rot90(frame.to_ndarray(format="rgb24", **matrix), round(getattr(frame, "rotation", 0) / 90))
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def _to_size_of(frame: av.VideoFrame) -> Callable[[Tensor], Tensor]:
    """For streams that change their size: all of a later frame within the first one's."""
    height, width = _pixels(frame).shape[:2]
    return lambda frames: fit_frames(frames, width, height, "pad")


def open_video(source: str | Path | BytesIO) -> av.container.InputContainer:
    """A file's streams, from the beginning. Raises ValueError for what is no video."""
    if isinstance(source, BytesIO):
        source.seek(0)
    with _readable(source):
        # absolute: FFmpeg takes what is before a colon for a protocol
        return av.open(source if isinstance(source, BytesIO) else os.path.abspath(source))


@contextmanager
def _readable(source: str | Path | BytesIO):
    try:
        yield
    except av.FFmpegError as error:
        raise ValueError(f"{name_of(source)}: cannot be read as a video ({error})") from error


def name_of(source: str | Path | BytesIO) -> str:
    """What to call a file in a message."""
    return "video" if isinstance(source, BytesIO) else Path(source).name
