"""A VIDEO or a batch of IMAGEs as frames, a file a frame at a time."""

from collections.abc import Iterator

import comfy.model_management as mm
import torch
from comfy_api.latest import InputImpl

from ...helios_core.media.frames import TAIL, VideoEnds, moments, read_chunks, read_ends
from ...helios_core.network.config import CHUNK_FRAMES


def ends(video, fit, fps: float | None = None) -> VideoEnds:
    """Both ends of a video, fitted; a file is read frame by frame. `fps` resamples it, where its rate is known."""
    frames = in_memory(video)
    if frames is None:
        start, duration = trim(video)
        check = mm.throw_exception_if_processing_interrupted
        return read_ends(video.get_stream_source(), start=start, duration=duration, fps=fps, fit=fit, check=check)
    rate = rate_of(video)
    chosen = moments(len(frames), rate, fps) if fps and rate else torch.arange(len(frames))
    return VideoEnds(fit(frames[:1]), fit(frames[chosen[-TAIL:]]), len(chosen), len(frames), rate)


def chunks(video, fps: float | None = None, fit=None) -> Iterator[torch.Tensor]:
    """The frames of a VIDEO or a batch of pictures, 33 at a time, as `ends` takes them."""
    frames = in_memory(video)
    if frames is None:
        start, duration = trim(video)
        groups = read_chunks(video.get_stream_source(), start=start, duration=duration, fps=fps, fit=fit)
    else:
        rate = rate_of(video)
        chosen = moments(len(frames), rate, fps) if fps and rate else torch.arange(len(frames))
        groups = ((fit or (lambda x: x))(frames[part]) for part in chosen.split(CHUNK_FRAMES))
    for group in groups:
        mm.throw_exception_if_processing_interrupted()
        yield group


def rate_of(video) -> float | None:
    """Frames a second; None for pictures."""
    return None if isinstance(video, torch.Tensor) else float(video.get_frame_rate())


def in_memory(video) -> torch.Tensor | None:
    if isinstance(video, torch.Tensor):
        return video
    return video.get_components().images if isinstance(video, InputImpl.VideoFromComponents) else None


def trim(video) -> tuple[float, float]:
    """Start and duration in seconds, 0 for all."""
    if hasattr(video, "get_active_trim_window"):
        return video.get_active_trim_window()
    # Hosts before 0.23 keep them to themselves; before 0.14 there are none.
    start, duration = (getattr(video, f"_VideoFromFile__{name}", 0.0) or 0.0 for name in ("start_time", "duration"))
    return (start if start >= 0 else max(0.0, video.get_duration() + start)), duration
