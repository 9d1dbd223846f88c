"""Where chunks meet: how much the picture jumps there, and a way to make brightness and colour jump less.

Chunks are sampled and decoded on their own, so that exposure, tint or an object's place may change between the last
frame of one and the first of the next. Neither the paper nor the reference measures it; this does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 8  # changes between frames on either side that a seam is compared with
WIDTH = 96  # pixels; frames are compared at this width, so that grain and noise count little
FLOOR = 1 / 255  # a change that an 8-bit video hardly holds; in a still picture everything else would be infinite
VISIBLE = 2.0  # a score from which a seam is likely seen


def changes(frames: Tensor) -> Tensor:
    """Mean absolute change of RGB between successive frames (T, H, W, 3) in 0..1 -> (T - 1,)."""
    return _small(frames).diff(dim=0).abs().mean(dim=(1, 2, 3))


def _small(frames: Tensor) -> Tensor:
    """(T, H, W, 3) -> (T, 3, h, w) at most 96 wide."""
    height, width = frames.shape[1:3]
    small = frames.float().movedim(-1, 1)
    if width <= WIDTH:
        return small
    return F.interpolate(small, size=(max(1, round(height * WIDTH / width)), WIDTH), mode="area")


def seam_score(before: Tensor, after: Tensor) -> float:
    """How the change across a seam compares with those around it; frames (T, H, W, 3) before and after it.

    The change from the last frame before to the first one after, divided by the median of up to 8 changes on either
    side: 1 is a seam like any other moment, 2 a jump that is likely seen, whatever the pace of the film.
    """
    before, after = before[-NEIGHBOURS - 1 :], after[: NEIGHBOURS + 1]
    all_changes = changes(torch.cat([before, after.to(before)]))
    at = len(before) - 1
    around = torch.cat([all_changes[:at], all_changes[at + 1 :]])
    usual = around.median().item() if len(around) else 0.0
    return (max(all_changes[at].item(), FLOOR)) / max(usual, FLOOR)


class SeamSmoother:
    """Lessens jumps of brightness and colour, chunk by chunk, in frames that are not written yet.

    What most pixels change by at a seam, beyond what they changed by around it, is an offset of each colour: it is
    taken back from the first `frames` frames, less from each; all later frames stay as they are. Most pixels, not
    all, since what moves must not count. A change above `cut` of the range is taken for a cut, which is meant, and one
    below a level of 8 bits for none.
    """

    def __init__(self, frames: int = 8, cut: float = 0.15):
        self.frames, self.cut = frames, cut
        self._last: Tensor | None = None  # the last three frames, small

    def smooth(self, frames: Tensor) -> Tensor:
        """The next chunk's frames (T, H, W, 3) in 0..1, corrected; the same object where nothing changes."""
        if len(frames) < 3:
            raise ValueError(f"{len(frames)} frames: 3 or more are needed to tell a jump from motion")
        if self._last is not None:
            frames = self._corrected(frames, _small(frames[:3]))
        self._last = _small(frames[-3:])
        return frames

    def _corrected(self, frames: Tensor, small: Tensor) -> Tensor:
        steps = torch.cat([self._last.to(small), small]).diff(dim=0)  # two before the seam, the seam, two after
        seam, around = steps[2], steps[[0, 1, 3, 4]].median(dim=0).values
        offset = (seam - around).flatten(1).median(dim=1).values  # of each colour
        offset = torch.where(offset.abs() > FLOOR / 2, offset, 0)
        better = (seam - offset[:, None, None]).abs().mean() < seam.abs().mean()
        if not offset.any() or seam.abs().mean() > self.cut or not better:
            return frames
        count = min(self.frames, len(frames))
        fade = torch.linspace(1, 0, count + 1, device=frames.device)[:-1].view(-1, 1, 1, 1)
        first = (frames[:count].float() - fade * offset).clamp(0, 1).to(frames.dtype)
        return torch.cat([first, frames[count:]])
