"""Sound for a film: whether it can be encoded, found out before anything is sampled."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RATES = 1000, 768_000  # samples a second that can be resampled


def usable_audio(audio: Any) -> tuple[tuple[Tensor, int] | None, str]:
    """((waveform (C, S), rate) or None for silence, a sentence for people or "").

    `audio` is ComfyUI's, a mapping of "waveform" (B, C, S) and "sample_rate", or (waveform (C, S), rate), or None. What
    is in it may be of any kind, and looking at it may fail: clips without sound give a mapping that raises.
    """
    if audio is None:
        return None, ""
    try:
        if isinstance(audio, Mapping) or not isinstance(audio, tuple):
            audio = audio["waveform"], audio["sample_rate"]
        waveform, rate = audio
    except Exception as error:
        return None, _silent(f"it has no sound that can be read ({str(error) or type(error).__name__})")
    numbers = isinstance(waveform, Tensor) and not waveform.is_complex() and waveform.dtype != torch.bool
    if not numbers or waveform.ndim not in (1, 2, 3):
        shape = tuple(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
        return None, _silent(f"{shape} is no waveform (clips, channels, samples)")
    if not waveform.numel():
        return None, _silent("it is empty")
    try:
        hertz = round(float(rate))
    except (TypeError, ValueError, OverflowError):
        hertz = 0
    if not RATES[0] <= hertz <= RATES[1]:
        return None, _silent(f"its sample rate is {rate!r}, not a number from {RATES[0]} to {RATES[1]}")
    note = f"audio: {len(waveform)} clips came; the first is used." if waveform.ndim == 3 and len(waveform) > 1 else ""
    waveform = waveform[0] if waveform.ndim == 3 else waveform[None] if waveform.ndim == 1 else waveform
    if not waveform.isfinite().all():
        note = f"{note} audio: it holds NaN or infinity; these samples are silent.".strip()
    return (waveform.detach(), hertz), note


def samples(waveform: Tensor) -> Tensor:
    """A piece of a usable waveform as float32 in -1..1 on the CPU; whole numbers are taken by their type's range."""
    if not waveform.is_floating_point():
        kind = torch.iinfo(waveform.dtype)  # of unsigned types the middle is silence
        middle = (kind.max + kind.min + 1) / 2
        return ((waveform.double().cpu() - middle) / (kind.max - middle)).clamp(-1, 1).float()
    return waveform.float().cpu().nan_to_num(0.0, 0.0, 0.0).clamp(-1, 1)


def _silent(why: str) -> str:
    return f"audio: {why}; the film is silent."
