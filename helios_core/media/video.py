"""Frames to a file as they come, encoded beside whoever makes them."""

import os
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import torch
from av.video.reformatter import Colorspace
from torch import Tensor

from ..network.config import CHUNK_FRAMES, FPS

WAITING = 2  # chunks: more would only fill the memory


class VideoWriter:
    """An H.264 mp4 that takes chunks of frames one after the other and holds no more than four of them.

    To a file, or to a stream that cannot go back, such as standard output.

    The file is fragmented while it is written, so that what is there plays even if the program dies, and becomes an
    ordinary mp4 with the right frame count when it is closed. yuv420p, which every browser plays. `audio` is a waveform
    (C, S) in -1..1 and its rate, written beside the pictures as AAC and cut where they end.

    Encoding runs in a thread of its own; what fails there is raised by the next `write` or `close`.
    """

    def __init__(
        self,
        path: str | Path | BinaryIO,
        fps: float = FPS,
        crf: int = 18,
        metadata: dict[str, str] | None = None,
        audio: tuple[Tensor, int] | None = None,
    ):
        self.path = Path(path) if isinstance(path, str | Path) else path
        self.fps, self.crf = Fraction(fps).limit_denominator(1001), crf
        self.metadata, self.audio = metadata or {}, audio
        self.frames = 0
        self._queue: queue.Queue[tuple[Tensor, Callable[[], None]] | None] = queue.Queue(WAITING)
        self._thread = self._error = None
        self._over = threading.Event()  # after an interrupt, the thread itself may seem to be at its end

    def write(self, frames: Tensor, done: Callable[[], None] = lambda: None) -> None:
        """Append frames (T, H, W, 3), floats in 0..1; height and width must be even.

        `done` is called, in the thread that encodes, when chunks of 33 frames cannot be lost any more even if the
        program dies: after the first frame of the next ones, or at the end.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
            raise ValueError(f"frames of shape {tuple(frames.shape)}: (T, H, W, 3) with even H and W are needed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._encode_all, name="encode", daemon=True)
            self._thread.start()
        self._put(((frames.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu(), done))
        self.frames += len(frames)

    def close(self) -> None:
        """Finish the file; without a frame there is none. A first Ctrl-C comes through when that is done."""
        if self._thread is not None:
            try:
                self._finish()
            except KeyboardInterrupt:
                self._finish()
                raise
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
        self._put(None)  # once more does no harm
        self._over.wait()
        self._thread.join()

    def _put(self, item: tuple | None) -> None:
        while not self._over.is_set():
            try:
                return self._queue.put(item, timeout=0.1)
            except queue.Full:  # or the thread has failed meanwhile
                continue
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _encode_all(self) -> None:
        try:
            encoder, before = None, lambda: None
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
        except av.FFmpegError as error:
            self._error = error if isinstance(error, OSError) else OSError(f"{self.path}: {error}")
        except Exception as error:
            self._error = error
        finally:
            self._over.set()


class _Encoder:
    """The file itself, in the writer's thread."""

    def __init__(self, writer: VideoWriter, width: int, height: int):
        is_file = isinstance(writer.path, Path)
        kind = "hybrid_fragmented" if is_file else "frag_keyframe+empty_moov+default_base_moof"
        options = {"movflags": f"{kind}+use_metadata_tags", "flush_packets": "1"}
        options["max_interleave_delta"] = "500000"  # microseconds that pictures wait for sound that may have ended
        # absolute: FFmpeg takes what is before a colon for a protocol
        target = os.path.abspath(writer.path) if is_file else writer.path
        self.container = av.open(target, "w", format="mp4", options=options)
        self.container.metadata.update(writer.metadata)
        self.video = self.container.add_stream("libx264", rate=writer.fps)
        self.video.width, self.video.height, self.video.pix_fmt = width, height, "yuv420p"
        # A key frame for each chunk, none at a cut within: there fragments end, and there a player can seek to.
        gop = {"g": str(CHUNK_FRAMES), "sc_threshold": "0", "tune": "zerolatency"}
        self.video.options = {"crf": str(writer.crf), "preset": "fast", **gop}
        # Say which matrix turned RGB into YUV (BT.709), or players guess by the size and shift the colours.
        context = self.video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = Colorspace.ITU709.value
        self.sound = None if writer.audio is None else _Sound(self.container, *writer.audio)
        self.frames, self.seconds_per_frame = 0, 1 / writer.fps

    def write(self, frames: Tensor) -> None:
        for pixels in frames.numpy():
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            picture.pts = self.frames
            self.container.mux(self.video.encode(picture))
            self.frames += 1
            if self.sound is not None:
                self.sound.write_until(self.frames * self.seconds_per_frame)

    def close(self) -> None:
        self.container.mux(self.video.encode())
        if self.sound is not None:
            self.sound.close()
        self.container.close()


class _Sound:
    """A waveform that is encoded as far as the pictures have come."""

    def __init__(self, container, waveform: Tensor, rate: int):
        if waveform.ndim != 2 or rate <= 0:
            raise ValueError(f"audio of shape {tuple(waveform.shape)} at {rate} Hz: (channels, samples) are needed")
        if waveform.shape[0] > 2:
            waveform = waveform.mean(dim=0, keepdim=True)
        self.container, self.waveform, self.rate, self.done = container, waveform, rate, 0
        layout = "mono" if len(waveform) == 1 else "stereo"
        self.stream = container.add_stream("aac", rate=rate if rate in AAC_RATES else 48000, layout=layout)
        self.stream.bit_rate = 192_000
        self.layout = layout

    def write_until(self, seconds: Fraction) -> None:
        end = min(round(seconds * self.rate), self.waveform.shape[1])
        if end > self.done:
            samples = self.waveform[:, self.done : end].float().clamp(-1, 1).cpu().contiguous().numpy()
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self.layout)
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
