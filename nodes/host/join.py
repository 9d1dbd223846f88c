"""Two VIDEOs as one file."""

from pathlib import Path

import comfy.model_management as mm
import torch

from ...helios_core.media.frames import fit_frames
from ...helios_core.media.join import copy_joined, joined_sound, read_sound, seconds_of_pictures
from ...helios_core.media.sound import samples, usable_audio
from ...helios_core.media.video import VideoWriter
from .video_input import chunks, in_memory, rate_of, trim

RATE = 48000  # of sound that is encoded anew


def join_videos(first, second, path: Path, metadata: dict[str, str], crf: int) -> str:
    """Write both into an mp4; what was done, in words. Encoded anew, the second gets the first one's size and rate."""
    why = why_not_copied(first, second)
    if not why:
        sources = first.get_stream_source(), second.get_stream_source()
        why = copy_joined(*sources, path, metadata, mm.throw_exception_if_processing_interrupted)
    if not why:
        return "joined without encoding anything anew"
    encode_joined(first, second, path, metadata, crf)
    return f"encoded anew: {why}"


def why_not_copied(*videos) -> str:
    if any(in_memory(video) is not None for video in videos):
        return "one is not a file"
    return "one is a part of a file" if any(any(trim(video)) for video in videos) else ""


def encode_joined(first, second, path: Path, metadata: dict[str, str], crf: int) -> None:
    fps, size = rate_of(first), None
    lengths = [round(seconds_of(video) * RATE) for video in (first, second)]
    sound = joined_sound([sound_of(first), sound_of(second)], lengths)
    audio = None if sound is None else (sound, RATE)

    def fit(frames):
        nonlocal size  # of the first frame, even: H.264's colours are at half size
        size = size or (frames.shape[2] // 2 * 2, frames.shape[1] // 2 * 2)
        return fit_frames(frames, *size, "pad")

    with VideoWriter(path, fps=fps, crf=crf, metadata=metadata, audio=audio) as writer:
        for video in (first, second):
            for frames in chunks(video, fps=fps, fit=fit):
                writer.write(frames)


def seconds_of(video) -> float:
    frames = in_memory(video)
    if frames is not None:
        return len(frames) / rate_of(video)
    start, duration = trim(video)
    left = seconds_of_pictures(video.get_stream_source()) - start
    return max(0.0, min(left, duration) if duration else left)


def sound_of(video) -> torch.Tensor | None:
    """As int16 (2, S)."""
    if in_memory(video) is None:
        start, duration = trim(video)
        return read_sound(video.get_stream_source(), RATE, start, duration)
    audio, _ = usable_audio(video.get_components().audio)
    if audio is None:
        return None
    waveform, rate = audio
    wave = samples(waveform)
    wave = wave.mean(dim=0, keepdim=True) if len(wave) > 2 else wave
    if rate != RATE:
        wave = torch.nn.functional.interpolate(wave[None], size=round(wave.shape[1] * RATE / rate), mode="linear")[0]
    return (wave.expand(2, -1) * 32767).round().to(torch.int16)
