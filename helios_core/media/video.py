"""Frames to a file as they come, encoded beside whoever makes them."""

import contextlib
import errno
import math
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import torch
from av.video.reformatter import Colorspace
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS
from .growing import GrowingFile
from .sound import samples, usable_audio

WAITING = 2  # chunks: more would only fill the memory
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas


class VideoWriter:
    """An H.264 mp4 that takes chunks of frames one after the other and holds no more than four of them.

    To a file, or to a stream that cannot go back, such as standard output.

    The file is fragmented while it is written, so that what is there plays even if the program dies, and becomes an
    ordinary mp4 with the right frame count when it is closed. yuv420p, which every browser plays. `audio` is sound as
    `usable_audio` takes it, written beside the pictures as AAC and cut where they end. Where it cannot be encoded the
    film is silent, and `note` says so.

    Encoding runs in a thread of its own. What fails there is raised by the next `write`, and by every one after it, or
    by `close`. Even then what was written plays, and an OSError says how much that is and to run it again; with
    `chunks_are_kept`, also that finished chunks are not made anew.
    """

    def __init__(
        self,
        path: str | Path | BinaryIO,
        fps: float = FPS,
        crf: int = 18,
        metadata: dict[str, str] | None = None,
        audio: Any = None,
        chunks_are_kept: bool = False,
    ):
        if not (math.isfinite(fps) and 1 / 1001 <= fps <= 1000):
            raise ValueError(f"fps={fps}: use a number of frames a second, 24 for example")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf={crf}: use 0 to 51; 18 looks lossless")
        self.path = Path(path) if isinstance(path, str | Path) else path
        self.fps, self.crf = Fraction(fps).limit_denominator(1001), crf
        self.metadata, self.chunks_are_kept = metadata or {}, chunks_are_kept
        self.audio, self.note = usable_audio(audio)
        self.frames = 0
        self._size: tuple[int, int] | None = None
        self._queue: queue.Queue[tuple[Tensor, Callable[[], None]] | None] = queue.Queue(WAITING)
        self._thread = self._error = None
        self._raised = self._closed = False
        self._over = threading.Event()  # after an interrupt, the thread itself may seem to be at its end

    def write(self, frames: Tensor, done: Callable[[], None] = lambda: None) -> None:
        """Append frames (T, H, W, 3), floats in 0..1; height and width must be even, and stay as they are.

        `done` is called, in the thread that encodes, when chunks of 33 frames cannot be lost any more even if the
        program dies: after the first frame of the next ones, or at the end. Raises ValueError once the film is closed.
        """
        if self._closed:
            raise ValueError(f"{self._name}: it is closed, and takes no more frames")
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
            raise ValueError(f"frames of shape {tuple(frames.shape)}: (T, H, W, 3) with even H and W are needed")
        size = self._size = self._size or tuple(frames.shape[1:3])
        if frames.shape[1:3] != size:
            raise ValueError(f"frames of {frames.shape[2]}x{frames.shape[1]}: this film is of {size[1]}x{size[0]}")
        if not len(frames):
            return done()
        if self._thread is None:
            self._thread = threading.Thread(target=self._encode_all, name="encode", daemon=True)
            self._thread.start()
        self.frames += len(frames)
        self._put(((frames.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu(), done))

    def close(self) -> None:
        """Finish the file; without a frame there is none. A first Ctrl-C comes through when that is done."""
        self._closed = True
        if self._thread is not None:
            try:
                self._finish()
            except KeyboardInterrupt:
                self._finish()
                raise
            if not self._raised:
                self._raise()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # else the first one tells what happened
                raise

    def _finish(self) -> None:
        with contextlib.suppress(Exception):  # close() raises it
            self._put(None)  # once more does no harm
        self._over.wait()
        self._thread.join()

    def _put(self, item: tuple | None) -> None:
        while not self._over.is_set():
            try:
                return self._queue.put(item, timeout=0.1)
            except queue.Full:  # or the thread has failed meanwhile
                continue
        if item is not None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            self._raised = True
            raise self._error

    @property
    def _name(self) -> str:
        return self.path.name if isinstance(self.path, Path) else "video"

    def _encode_all(self) -> None:
        encoder = None
        try:
            before = lambda: None  # noqa: E731
            while (item := self._queue.get()) is not None:
                frames, done = item
                if encoder is None:
                    encoder = _Encoder(self, width=frames.shape[2], height=frames.shape[1])
                encoder.write(frames[:1])  # a key frame: what is before it goes to the disk
                before()
                encoder.write(frames[1:])
                before = done
            if encoder is not None:
                encoder.close()
                before()
        except Exception as error:
            if isinstance(error, av.FFmpegError) and not isinstance(error, OSError):
                error = OSError(f"{self._name}: {error}")
            self._error = error
            if encoder is not None:
                kept = encoder.abandon()
                if isinstance(error, OSError) and kept is not None:
                    self._error = self._cut_off(error, kept)
        finally:
            self._over.set()

    def _cut_off(self, error: OSError, kept: int) -> OSError:
        full = error.errno in FULL
        why = "the disk is full" if full else f"it could not be written ({error.strerror or error})"
        plays = " What is there plays." if kept else ""
        text = f"{kept} of {self.frames} frames are in {self._name}, {why}.{plays} "
        text += f"{'Make room' if full else 'Correct that'} and run it again"
        text += ": finished chunks are not made anew." if self.chunks_are_kept else "."
        told = OSError(text)
        told.errno = error.errno
        told.__cause__ = error
        return told


def add_h264(container, fps: Fraction, width: int, height: int, options: dict[str, str]):
    """A stream that every browser plays, for frames as `to_yuv` makes them."""
    stream = container.add_stream("libx264", rate=fps)
    stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", options
    # Say which matrix turned RGB into YUV (BT.709), or players guess by the size and shift the colours.
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = Colorspace.ITU709.value
    return stream


def to_yuv(pixels: np.ndarray, **size) -> av.VideoFrame:
    """Of bytes (H, W, 3); `size` are a width and a height to bring it to."""
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation="AREA", **size)


class _Encoder:
    """The file itself, in the writer's thread."""

    def __init__(self, writer: VideoWriter, width: int, height: int):
        self.path = writer.path if isinstance(writer.path, Path) else None
        kind = "hybrid_fragmented" if self.path else "frag_keyframe+empty_moov+default_base_moof"
        options = {"movflags": f"{kind}+use_metadata_tags", "flush_packets": "1"}
        options["max_interleave_delta"] = "500000"  # microseconds that pictures wait for sound that may have ended
        self.file = GrowingFile(self.path) if self.path else None
        try:
            self.container = av.open(self.file or writer.path, "w", format="mp4", options=options)
            self._add_streams(writer, width, height)
        except BaseException:
            if self.file is not None:
                self.file.close()
                self.path.unlink(missing_ok=True)
            raise
        self.frames, self.seconds_per_frame = 0, 1 / writer.fps

    def _add_streams(self, writer: VideoWriter, width: int, height: int) -> None:
        self.container.metadata.update(writer.metadata)
        # A key frame for each chunk, none at a cut within: there fragments end, and there a player can seek to.
        gop = {"g": str(CHUNK_FRAMES), "sc_threshold": "0", "tune": "zerolatency"}
        options = {"crf": str(writer.crf), "preset": "fast", **gop}
        self.video = add_h264(self.container, writer.fps, width, height, options)
        self.sound = None if writer.audio is None else _Sound(self.container, *writer.audio)

    def write(self, frames: Tensor) -> None:
        for pixels in frames.numpy():
            picture = to_yuv(pixels)
            picture.pts = self.frames
            self.container.mux(self.video.encode(picture))
            self.frames += 1
            if self.sound is not None:
                self.sound.write_until(self.frames * self.seconds_per_frame)

    def close(self) -> None:
        self.container.mux(self.video.encode())
        if self.sound is not None:
            self.sound.close()
        if self.file is not None:
            self.file.finish()
        self.container.close()
        if self.file is not None:
            self.file.close()

    def abandon(self) -> int | None:
        """After an error: what can be kept, and how many frames that is; None for a stream."""
        if self.file is not None:
            self.file.finish()
        with contextlib.suppress(Exception):  # it is the first one that tells what happened
            self.container.close()
        if self.file is None:
            return None
        with contextlib.suppress(OSError):
            if self.file.error is not None:
                self.file.restore()
        self.file.close()
        return self._count()

    def _count(self) -> int:
        """Frames in the file, which is removed if it has none."""
        try:
            with av.open(str(self.path.absolute())) as container:
                count = sum(packet.size > 0 for packet in container.demux(video=0))
        except (av.FFmpegError, IndexError):
            count = 0
        if not count:
            with contextlib.suppress(OSError):
                self.path.unlink()
        return count


class _Sound:
    """A waveform that is encoded as far as the pictures have come."""

    def __init__(self, container, waveform: Tensor, rate: int):
        self.container, self.waveform, self.rate, self.done = container, waveform, rate, 0
        layout = "stereo" if len(waveform) == 2 else "mono"
        self.stream = container.add_stream("aac", rate=rate if rate in AAC_RATES else 48000, layout=layout)
        self.stream.bit_rate = 192_000
        self.layout = layout

    def write_until(self, seconds: Fraction) -> None:
        end = min(round(seconds * self.rate), self.waveform.shape[1])
        if end > self.done:
            wave = samples(self.waveform[:, self.done : end])
            wave = wave.mean(dim=0, keepdim=True) if len(wave) > 2 else wave
            frame = av.AudioFrame.from_ndarray(wave.contiguous().numpy(), format="fltp", layout=self.layout)
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self.done, Fraction(1, self.rate)
            self._mux(self.stream.encode(frame))
            self.done = end

    def close(self) -> None:
        self._mux(self.stream.encode())

    def _mux(self, packets) -> None:
        # AAC begins with a packet before time 0, which would move the pictures: a fragmented file cannot hide it.
        self.container.mux([p for p in packets if p.pts >= 0])


# What the codec knows; other rates are resampled.
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
