"""A VIDEO or a batch of IMAGEs as frames, a file a frame at a time."""

from collections.abc import Iterator

import comfy.model_management as mm
import torch
from comfy_api.latest import InputImpl

from ...helios_core.media.frames import read_chunks, read_ends
from ...helios_core.network.config import CHUNK_FRAMES


def ends(video, fit) -> tuple[torch.Tensor, torch.Tensor, int]:
    """A video's first frame, its last 99, both fitted, and how many it has; a file is read frame by frame."""
    frames = in_memory(video)
    if frames is not None:
        return fit(frames[:1]), fit(frames[-3 * CHUNK_FRAMES :]), len(frames)
    start, duration = trim(video)
    check = mm.throw_exception_if_processing_interrupted
    return read_ends(video.get_stream_source(), start=start, duration=duration, fit=fit, check=check)


def chunks(video) -> Iterator[torch.Tensor]:
    """The frames of a VIDEO or a batch of pictures, 33 at a time."""
    frames = in_memory(video)
    if frames is None:
        start, duration = trim(video)
        groups = read_chunks(video.get_stream_source(), start=start, duration=duration)
    else:
        groups = frames.split(CHUNK_FRAMES)
    for group in groups:
        mm.throw_exception_if_processing_interrupted()
        yield group


def in_memory(video) -> torch.Tensor | None:
    if isinstance(video, torch.Tensor):
        return video
    return video.get_components().images if isinstance(video, InputImpl.VideoFromComponents) else None


def trim(video) -> tuple[float, float]:
    """Start and duration in seconds, 0 for all; ComfyUI 0.8.0 cannot trim."""
    return video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
