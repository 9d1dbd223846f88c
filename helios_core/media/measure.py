"""What is seen in a chunk of frames, in numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .frames import rgb
from .seams import NEIGHBOURS, changes, seam_score
from .thumbnails import still

LUMA = torch.tensor([0.2126, 0.7152, 0.0722])  # BT.709


@dataclass(frozen=True)
class ChunkMeasure:
    """What is seen in a chunk: its middle frame as a small JPEG, its seam to the last one, and means over its frames.

    `brightness` is luma, `saturation` the distance between a pixel's largest and smallest channel, both in 0..1;
    `sharpness` is the standard deviation of luma's Laplacian, `motion` the mean change from frame to frame.
    """

    thumbnail: bytes
    seam: float | None
    brightness: float
    saturation: float
    sharpness: float
    motion: float


def measure_chunks(chunks: Iterable[Tensor]) -> Iterator[ChunkMeasure]:
    """Measure chunks of frames (T, H, W, 3) in 0..1, one after the other; keeps only a chunk's last frames."""
    last = None
    for frames in chunks:
        frames = rgb(frames).float().nan_to_num()
        luma = frames @ LUMA.to(frames)
        laplacian = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3).to(frames)
        edges = F.conv2d(luma.unsqueeze(1), laplacian) if min(luma.shape[1:]) > 2 else torch.zeros(1)
        yield ChunkMeasure(
            thumbnail=still(frames[len(frames) // 2], 320),
            seam=None if last is None else seam_score(last, frames),
            brightness=luma.mean().item(),
            saturation=(frames.amax(dim=-1) - frames.amin(dim=-1)).mean().item(),
            sharpness=edges.std(correction=0).item(),
            motion=changes(frames).mean().item() if len(frames) > 1 else 0.0,
        )
        last = frames[-NEIGHBOURS - 1 :].clone()
