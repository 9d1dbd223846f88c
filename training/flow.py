"""What Helios learns: the flow of a noisy chunk after a history that is seldom quite clean (arXiv 2603.04379).

A sample is a chunk of a film, the 19 latent frames before it, the anchor, and what was said. It is noised either at
full size (Base) or as one stage of the pyramid (Mid and Distilled); one network learns both.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helios_core.diffusion.noise import coarsest
from helios_core.diffusion.sigmas import STAGES, TRAIN_STEPS, renoise_weights, stage_ranges
from helios_core.film.memory import NOISE, add_noise
from helios_core.network.config import CHUNK_LATENTS, HISTORY_LATENTS

from .data import CHUNKS, Encoded
from .vae import halved
from .world import Scene, caption

BASE = -1  # the "stage" of training at full size
BEGINNINGS, PICTURES = 0.25, 0.3  # first chunks: what is said is learned there, the rest can be seen; with a picture
TURNS = 0.4  # how often what goes on is something else: a cut or a blend
# Noise alone, as the released Base and Mid were trained; the paper's blur and saturation are not here.
CORRUPTION = 1 / 3  # the most noise on a remembered frame ...
CLEAN = 0.1  # ... and how often there is none (both as in the reference's training configs)
SHIFTS = {BASE: 6.0, 0: 3.0}  # of noise levels towards noise, where it is decided where things are
COVERED = 6.0  # how much more a clean latent counts where a thing is
LITTLE = 0.01  # of a chunk; small things have 0.02, large ones 0.08


@dataclass
class Batch:
    """Chunks (B, 16, 9, 16, 24) in model space, their past, and one or two captions with the second's weight."""

    x0: Tensor
    frames: Tensor | None  # (B, 16, 19, 16, 24); None: not even an empty past
    anchor: Tensor | None  # (B, 16, 1, 16, 24)
    cover: Tensor  # (B, 1, 9, 16, 24)
    before: tuple[str, ...]
    after: tuple[str, ...]
    weight: Tensor  # (B,)

    def part(self, rows: list[int]) -> "Batch":
        def chosen(value):
            return value[rows] if isinstance(value, Tensor) else tuple(value[row] for row in rows)

        return replace(self, **{name: chosen(value) for name, value in vars(self).items()})

    def to(self, device) -> "Batch":
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


class Films:
    """Random chunks with a history, or after a picture, from encoded films; clips, of one chunk, are first ones."""

    def __init__(self, films: Encoded, clips: Encoded):
        (self.tensors, self.stories), (self.clips, self.clip_stories) = films, clips
        self.later = {True: [], False: []}  # (film, chunk) after another, by whether its scene is another too
        for film, story in enumerate(self.stories):
            for k, (before, scene) in enumerate(itertools.pairwise(story["scenes"]), 1):
                self.later[before != scene].append((film, k))

    def batch(self, size: int, rng: np.random.Generator, drop_text=0.1, alone=False, new: bool | None = None) -> Batch:
        """`size` chunks; `alone`, first ones without even an empty history; `new`, whether something begins in them."""
        rows, turns = [], TURNS if new is None else float(new)
        for _ in range(size):
            begins = alone or new is not False and rng.random() < BEGINNINGS
            *chunk, scenes = self._beginning(rng, alone) if begins else self._continuation(rng, turns)
            rows.append((*chunk, *(said_of(scenes, rng) if rng.random() >= drop_text else ("", ""))))
        x0, cover, frames, anchor, weight, before, after = zip(*rows)
        past = (None, None) if alone else (torch.stack(frames), torch.stack(anchor))
        return Batch(torch.stack(x0).float(), *past, torch.stack(cover).float(), before, after, torch.tensor(weight))

    def _beginning(self, rng, alone):
        pictured = not alone and rng.random() < PICTURES
        tensors, stories = (self.tensors, self.stories) if pictured else (self.clips, self.clip_stories)
        film = int(rng.integers(len(stories)))
        chunk, cover = tensors["latents"][film, 0], tensors["cover"][film, 0][None]
        past, anchor = chunk[:, :0].float(), torch.zeros_like(chunk[:, :1]).float()
        if pictured:
            past, anchor = given(self.tensors["still"][film]), given(chunk[:, :1])
            if rng.random() < 0.5:  # in the middle of another film
                other, at = int(rng.integers(len(self.stories))), int(rng.integers(1, CHUNKS))
                before = joined(self.tensors["latents"][other, at - 1 : at + 1])
                past = torch.cat([corrupted(before), past], dim=1)
        scene = stories[film]["scenes"][0]
        return chunk, cover, remembered(past), anchor, 1.0, (scene, scene)

    def _continuation(self, rng, turns):
        chosen = self.later[rng.random() < turns]
        film, k = chosen[int(rng.integers(len(chosen)))]
        story, chunks = self.stories[film], self.tensors["latents"][film]  # (4, 16, 9, h, w)
        past = joined(chunks[:k])
        anchor, kind = past[:, :1], rng.random()
        if rng.random() < 0.5:  # began with a picture, which is remembered before it
            past = torch.cat([self.tensors["still"][film].float(), past], dim=1)
        if kind < 0.15:  # goes on from a video of one chunk
            past = past[:, -CHUNK_LATENTS:]
            anchor = past[:, :1]
        elif kind < 0.4:  # began with something else long ago
            other, at = int(rng.integers(len(self.stories))), int(rng.integers(CHUNKS))
            anchor = self.tensors["latents"][other, at][:, :1].float()
        past = past[:, -HISTORY_LATENTS:]
        if rng.random() >= CLEAN:
            past, anchor = corrupted(past), corrupted(anchor)
        cover = self.tensors["cover"][film][k][None]
        return chunks[k], cover, remembered(past), anchor, float(story["blends"][k]), story["scenes"][k - 1 : k + 1]


def said_of(scenes: list[Scene], rng: np.random.Generator) -> tuple[str, str]:
    """Two scenes' captions, one and the same for the same scene."""
    before, after = (caption(scene, rng) for scene in scenes)
    if scenes[0] == scenes[1]:
        before = after
    return (before.lower(), after.lower()) if rng.random() < 0.3 else (before, after)


def joined(chunks: Tensor) -> Tensor:
    """(N, 16, 9, h, w) one after another, (16, 9 * N, h, w)."""
    return chunks.float().movedim(0, 1).flatten(1, 2)


def remembered(past: Tensor) -> Tensor:
    """The last latents (16, T, h, w) after as many zeros as make them 19."""
    return F.pad(past, (0, 0, 0, 0, HISTORY_LATENTS - past.shape[1], 0))


def corrupted(frames: Tensor) -> Tensor:
    """Noise of its own strength on each frame (16, T, h, w): what a chunk goes on from is later its own work."""
    return add_noise(frames[None], (0, CORRUPTION), frames.shape[1], torch.default_generator)[0]


def given(frames: Tensor) -> Tensor:
    """Noise of one strength on frames (16, T, h, w) that a film did not make, as on the pipelines' images."""
    return add_noise(frames[None], NOISE, 1, torch.default_generator)[0]


def ends_of(x0: Tensor, noise: Tensor, stage: int) -> tuple[Tensor, Tensor]:
    """Where a stage's path begins and ends, for chunks and noise (B, 16, 9, H, W) at full size.

    A later stage begins with what the one before ended with, enlarged and noised anew (arXiv 2410.05954, eq. 10-15):
    the mean of that is the enlarged chunk of half the size, the noise is white again.
    """
    start, end = noise_levels(stage)
    if stage == BASE:
        return noise, x0
    x = halved(x0, STAGES - 1 - stage)
    noise = coarsest(noise, STAGES - stage)
    return (1 - start) * begun_with(x, stage) + start * noise, (1 - end) * x + end * noise


def end_from(start: Tensor, x0: Tensor, stage: int) -> Tensor:
    """Where a stage that sampling began at `start` should end, for this chunk: what is wrong there counts as noise."""
    first, last = noise_levels(stage)
    x = halved(x0, STAGES - 1 - stage)
    noise = (start - (1 - first) * begun_with(x, stage)) / first
    return (1 - last) * x + last * noise


def begun_with(x: Tensor, stage: int) -> Tensor:
    """What a stage knows of its chunk x at first: as much as half the size shows, after stage 0."""
    return F.interpolate(halved(x, 1), scale_factor=(1, 2, 2), mode="nearest") if stage else x


def noise_levels(stage: int) -> tuple[float, float]:
    """The share of noise at the beginning and at the end of a stage."""
    if stage == BASE:
        return 1.0, 0.0
    ranges = stage_ranges()
    start = ranges[stage].start_sigma
    if stage:
        keep, _ = renoise_weights(start)
        start = 1 - keep * (1 - start)
    return start, ranges[stage + 1].start_sigma if stage + 1 < STAGES else 0.0


def timesteps_of(sigma: Tensor, stage: int) -> Tensor:
    """What the network is told: whole numbers in the pyramid, as when sampling."""
    if stage == BASE:
        return sigma * TRAIN_STEPS
    bounds = stage_ranges()[stage]
    return (bounds.last_timestep + sigma * (bounds.first_timestep - bounds.last_timestep)).floor()


def flow_loss(predict, batch: Batch, stage: int, ends: tuple[Tensor, Tensor] | None = None, teach=None) -> Tensor:
    """Squared error of the flow at a random place on the path between `ends` (of this batch's noise by default), which
    is from one to the other, or what `teach` says there.

    `predict(x, timesteps)` is the network with this batch's history and text; so is `teach`.
    """
    start, end = ends or ends_of(batch.x0, torch.randn_like(batch.x0), stage)
    sigma, shift = torch.rand(len(batch.x0)), SHIFTS.get(stage, 1.0)
    sigma = (shift * sigma / (1 + (shift - 1) * sigma)).clamp(0.001, 0.999).to(start.device)
    s = sigma.view(-1, 1, 1, 1, 1)
    first, last = noise_levels(stage)
    x, timesteps = s * start + (1 - s) * end, timesteps_of(sigma, stage)
    if teach:
        with torch.no_grad():
            flow = teach(x, timesteps).float()
    else:
        flow = start - end
    error = (predict(x, timesteps) - flow).square()
    # Only where noise hides little: elsewhere a weight that knows where things are would make more and larger ones.
    clear = (1 - s * first - (1 - s) * last).square()
    weight = 1 + COVERED * clear * halved(batch.cover, 0 if stage == BASE else STAGES - 1 - stage)
    # To be wrong about a small thing is as bad as to be wrong about a large one; the prompt says which, not the place.
    area = batch.cover.mean((1, 2, 3, 4), keepdim=True)
    weight = weight * (area.mean() + LITTLE) / (area + LITTLE)
    # A short path has a small flow: without this, full size, with its few samples, would drown the stages.
    return (weight * error).mean() / (first - last) ** 2
