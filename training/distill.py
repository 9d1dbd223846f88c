"""Few steps: the network learns the ends that its own many-step sampling, guided behind stage 0, reaches from the
same beginnings.

A pair of a stage's beginning and end belongs together, so that the flow between them is all but straight and two steps
follow it (rectified flow, arXiv 2209.03003). The reference's distillation begins with a regression towards its
teacher's ODE too; the distribution matching and the adversarial loss that come after it there are not done here. The
histories are in part what the few steps themselves have made: that is what a long film goes on from.
"""

import copy
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helios_core import RECIPES, Chunk, HistoryMemory, PromptSchedule, Recipe, Segment, sample_chunks
from helios_core.guidance import cfg

from .flow import BASE, Batch, Films, flow_loss
from .transformer import Learner, Student, compile_blocks, rate_at

TEACHER = replace(RECIPES["mid"], solver="euler", steps=(12, 5, 5), cfg=2.5, cfg_zero_star=False)
BATCH, POOL = 12, 40  # chunks sampled at a time; so many batches are learned from
LEARN = 4  # steps of learning for each batch sampled
SIZES = {0: 12, 1: 8, 2: 4}  # chunks of a step, by stage
RATE = 0.2  # of the highest rates of training


@torch.no_grad()
def follow(student: Student, batch: Batch, recipe: Recipe, seed: int) -> tuple[dict, torch.Tensor]:
    """Sample a batch: {stage: (beginning, end)}, and the chunk's latents (B, 16, 9, h, w).

    Guided behind stage 0, where shapes are decided; in it guidance would make things larger than was asked (guidance at
    some noise levels only: arXiv 2404.07724).
    """
    size = len(batch.x0)
    guided = student.predictor(batch)
    free = student.predictor(replace(batch, before=[""] * size, after=[""] * size)) if recipe.cfg > 1 else None
    starts, ends = {}, {}

    def denoise(x, step):
        if step.index == 0:
            starts[step.stage] = x
        t = torch.full((size,), step.timestep, device=x.device)
        with torch.autocast(x.device.type, torch.bfloat16):
            flow = guided(x, t).float()
            return cfg(flow, free(x, t).float(), recipe.cfg) if free and step.stage else flow

    # Chunk 1: only a film's first one has more steps, and what does with fewer does with more.
    memory = HistoryMemory(batch.frames, batch.anchor, chunk=1)
    for record in sample_chunks(denoise, memory, PromptSchedule((Segment(0, ""),)), recipe, chunks=1, seed=seed):
        if isinstance(record, Chunk):
            latents = record.latents
        else:
            ends[record.stage] = record.x0
    return {stage: (starts[stage], ends[stage]) for stage in starts}, latents


def next_batch(batch: Batch, latents: torch.Tensor) -> Batch:
    """The chunk after these, which were sampled: the same prompt goes on."""
    frames = torch.cat([batch.frames, latents], dim=2)[:, :, latents.shape[2] :]
    begun = batch.anchor.flatten(1).any(dim=1).view(-1, 1, 1, 1, 1)
    anchor = torch.where(begun, batch.anchor, latents[:, :, :1])
    return replace(batch, frames=frames, anchor=anchor, before=batch.after, weight=torch.ones_like(batch.weight))


def train(films: Films, teacher: Student, path: Path, rounds: int, device="cpu", compiled=False, log=print) -> Student:
    """Sample `rounds` batches and learn from each several times; goes on with what `path` holds."""
    student = copy.deepcopy(teacher)
    learner = Learner(student, path, device, decay=0.99)
    teacher.to(device)
    if compiled:
        compile_blocks(teacher)
        compile_blocks(student)
    done = learner.done // LEARN
    rng, begun, pool, seen = np.random.default_rng(10_000 + done), time.time(), deque(maxlen=POOL), []
    torch.manual_seed(done)
    batch = None
    for number in range(done, rounds):
        seed = 10_000 + number  # none of the evaluation's
        if batch is None or number % 3 == 0:  # three chunks in a row, the later ones behind its own work
            batch = films.batch(BATCH, rng, drop_text=0.0).to(device)
        ends, _ = follow(teacher, batch, TEACHER, seed)
        pool.append((replace(batch, cover=torch.zeros_like(batch.cover)), ends))
        batch = next_batch(batch, follow(student, batch, RECIPES["distilled"], seed)[1])
        for _ in range(LEARN):
            chosen, ends = pool[int(rng.integers(len(pool)))]
            real = films.batch(2, rng).to(device)  # many steps at full size are not forgotten
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                losses = [flow_loss(student.predictor(real), real, BASE)]
                for stage, size in SIZES.items():
                    rows = slice(size) if rng.random() < 0.5 else slice(-size, None)
                    part = chosen.part(rows)
                    losses.append(flow_loss(student.predictor(part), part, stage, [end[rows] for end in ends[stage]]))
            sum(losses).backward()
            learner.step(RATE * min(1, len(pool) / 10) * rate_at(number, rounds, warm_up=1, decline=0.7))
            seen.append([loss.item() for loss in losses])
        if (number + 1) % 10 == 0 or number + 1 == rounds:
            told = ", ".join(f"{value:.4f}" for value in np.mean(seen, axis=0))
            log(f"distill {number + 1}/{rounds}: base and stages {told}, {time.time() - begun:.0f} s")
            seen.clear()
            learner.save()
    return learner.average
