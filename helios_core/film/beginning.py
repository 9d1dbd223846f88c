"""How a film begins from a picture or a video: the latents that it remembers.

`encode` turns frames (T, H, W, 3) in 0..1, 1 or 33 of them, into latents (1, C, 1 or 9, H/8, W/8) in model space.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..network.config import CHUNK_FRAMES

Encode = Callable[[Tensor], Tensor]


def encode_image(encode: Encode, frame: Tensor) -> tuple[Tensor, Tensor]:
    """A picture (1, H, W, 3) -> its latent, and the last latent of a 33-frame clip that repeats it.

    For `HistoryMemory.from_image`, each (1, C, 1, H/8, W/8).
    """
    clip = frame.expand(CHUNK_FRAMES, -1, -1, -1)
    return encode(frame), encode(clip)[:, :, -1:]


def encode_video(encode: Encode, first: Tensor, windows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A video's first frame (1, H, W, 3) and its last whole windows (33, H, W, 3) -> the latents of both.

    For `HistoryMemory.from_video`, (1, C, 1, H/8, W/8) and (1, C, 9n, H/8, W/8); each window is encoded alone. Raises
    ValueError where there is no window.
    """
    if not windows:
        raise ValueError(f"video: it has fewer than {CHUNK_FRAMES} frames, which are needed to continue it")
    return encode(first), torch.cat([encode(window) for window in windows], dim=2)
