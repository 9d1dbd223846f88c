"""Frames to a file as they come."""

from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.reformatter import Colorspace
from torch import Tensor

from .config import CHUNK_FRAMES, FPS


class VideoWriter:
    """An H.264 mp4 that takes chunks of frames one after the other and holds none of them.

    The file is fragmented while it is written, so that what is there plays even if the program dies, and becomes an
    ordinary mp4 with the right frame count when it is closed. yuv420p, which every browser plays.
    """

    def __init__(self, path: str | Path, fps: float = FPS, crf: int = 18, metadata: dict[str, str] | None = None):
        self.path, self.fps, self.crf = Path(path), Fraction(fps).limit_denominator(1001), crf
        self.metadata = metadata or {}
        self.frames = 0
        self._container = self._stream = None

    def write(self, frames: Tensor) -> None:
        """Append frames (T, H, W, 3), floats in 0..1; height and width must be even."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
            raise ValueError(f"frames of shape {tuple(frames.shape)}: (T, H, W, 3) with even H and W are needed")
        if self._container is None:
            self._open(width=frames.shape[2], height=frames.shape[1])
        for frame in frames:
            pixels = (frame.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            picture.pts = self.frames
            self._container.mux(self._stream.encode(picture))
            self.frames += 1

    def close(self) -> None:
        """Finish the file; without a frame there is none."""
        if self._container is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
            self._container = None

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def _open(self, width: int, height: int) -> None:
        options = {"movflags": "hybrid_fragmented+use_metadata_tags", "flush_packets": "1"}
        self._container = av.open(str(self.path), "w", format="mp4", options=options)
        self._container.metadata.update(self.metadata)
        self._stream = self._container.add_stream("libx264", rate=self.fps)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        # A key frame for each chunk: that is where fragments end, and what a player can seek to.
        gop = {"g": str(CHUNK_FRAMES), "tune": "zerolatency"}
        self._stream.options = {"crf": str(self.crf), "preset": "fast", **gop}
        # Say which matrix turned RGB into YUV (BT.709), or players guess by the size and shift the colours.
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = Colorspace.ITU709.value
