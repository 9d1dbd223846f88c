"""Few steps: the network learns the ends that its own many-step, guided sampling reaches from the same beginnings.

A pair of a stage's beginning and end belongs together, so that the flow between them is all but straight and two steps
follow it (rectified flow, arXiv 2209.03003; the reference begins its distillation with such a regression too). Part of
the histories are the network's own work: that is what a long film goes on from.
"""

import copy
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helios_core import RECIPES, Chunk, HistoryMemory, PromptSchedule, Segment, sample_chunks
from helios_core.guidance import cfg

from .flow import BASE, Batch, Films, flow_loss
from .transformer import Learner, Student, compile_blocks, rate_at

TEACHER = replace(RECIPES["mid"], solver="euler", steps=(12, 8, 8), cfg=2.5, cfg_zero_star=False)
BATCH, POOL = 8, 60  # chunks sampled at a time; so many batches are learned from
LEARN = 6  # steps of learning for each batch sampled
RATE = 0.2  # of the highest rates of training
STAGES = (0, 1, 2)


@torch.no_grad()
def follow(teacher: Student, batch: Batch, seed: int) -> tuple[list[tuple], torch.Tensor]:
    """Sample a batch: (beginning, end) of each stage, and the chunk's latents (B, 16, 9, h, w)."""
    size = len(batch.x0)
    guided = teacher.predictor(batch)
    free = teacher.predictor(replace(batch, before=[""] * size, after=[""] * size))
    starts, ends, scale = {}, {}, TEACHER.cfg

    def denoise(x, step):
        if step.index == 0:
            starts[step.stage] = x
        t = torch.full((size,), step.timestep, device=x.device)
        with torch.autocast(x.device.type, torch.bfloat16):
            return cfg(guided(x, t).float(), free(x, t).float(), scale)

    memory = HistoryMemory(batch.frames, batch.anchor, chunk=1)
    schedule = PromptSchedule((Segment(0, ""),))
    for record in sample_chunks(denoise, memory, schedule, TEACHER, chunks=1, seed=seed):
        if isinstance(record, Chunk):
            latents = record.latents
        else:
            ends[record.stage] = record.x0
    return [(starts[stage], ends[stage]) for stage in STAGES], latents


def next_batch(batch: Batch, latents: torch.Tensor) -> Batch:
    """The chunk after these, which were sampled: the same prompt goes on."""
    frames = torch.cat([batch.frames, latents], dim=2)[:, :, latents.shape[2] :]
    begun = batch.anchor.flatten(1).any(dim=1).view(-1, 1, 1, 1, 1)
    anchor = torch.where(begun, batch.anchor, latents[:, :, :1])
    return replace(batch, frames=frames, anchor=anchor, before=batch.after, weight=torch.ones_like(batch.weight))


def train(films: Films, teacher: Student, path: Path, rounds: int, device="cpu", compiled=False, log=print) -> Student:
    """Sample `rounds` batches and learn from each several times; goes on with what `path` holds."""
    student = copy.deepcopy(teacher)
    learner = Learner(student, path, device, decay=0.995)
    if compiled:
        compile_blocks(teacher)
        compile_blocks(student)
    done = learner.done // LEARN
    rng, begun, pool, seen = np.random.default_rng(10_000 + done), time.time(), deque(maxlen=POOL), []
    torch.manual_seed(done)
    batch = None
    for number in range(done, rounds):
        if batch is None or number % 3 == 0:  # three chunks in a row, the later ones behind its own work
            batch = films.batch(BATCH, rng, drop_text=0.0)
        ends, latents = follow(teacher, batch, seed=number)
        pool.append((replace(batch, cover=torch.zeros_like(batch.cover)), ends))
        batch = next_batch(batch, latents)
        for _ in range(LEARN):
            chosen, ends = pool[int(rng.integers(len(pool)))]
            real = films.batch(2, rng)  # many steps are not forgotten
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                predict = student.predictor(chosen)
                losses = [flow_loss(predict, chosen, stage, ends[stage]) for stage in STAGES]
                losses.append(flow_loss(student.predictor(real), real, BASE))
            sum(losses).backward()
            learner.step(RATE * min(1, len(pool) / 10) * rate_at(number, rounds, warm_up=1, decline=0.5))
            seen.append([loss.item() for loss in losses])
        if (number + 1) % 20 == 0 or number + 1 == rounds:
            told = ", ".join(f"{value:.4f}" for value in np.mean(seen, axis=0))
            log(f"distill {number + 1}/{rounds}: stages and base {told}, {time.time() - begun:.0f} s")
            seen.clear()
            learner.save()
    return learner.average
