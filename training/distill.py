"""Few steps: the network learns the ends that its own many-step sampling, guided after stage 0 where something new is
said, reaches from the same beginnings.

A pair of a stage's beginning and end belongs together, so that the flow between them is all but straight and two steps
follow it (rectified flow, arXiv 2209.03003). The reference's distillation begins with a regression towards its
teacher's ODE too; the distribution matching and the adversarial loss that come after it there are not done here. The
histories are in part what the few steps themselves have made: that is what a long film goes on from.

In stage 0, where something new is said, or a picture begins, a thing may be in many places, and two steps would choose
all: they learn one from the pairs. What goes on as it was is learned from films there, since what was before says where
a thing will be, and pairs would teach the teacher's errors about that. Behind stage 0 it is learned from pairs too, and
from where the few steps come to with a film's end, so that a stage mends what those before it got wrong.

Then `guide`: what few steps have learned is not yet all that guidance does for them, in shapes above all.
"""

import copy
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helios_core import RECIPES, HistoryMemory, PromptSchedule, Recipe, ScheduleDirector, Segment, Step, film_records
from helios_core.diffusion.guidance import cfg
from helios_core.diffusion.sigmas import STAGES

from .flow import BASE, TURNS, Batch, Films, end_from, flow_loss, said_of
from .transformer import Learner, Student, compile_blocks, half_precision, loss_weights, rate_at
from .world import random_scene

TEACHER = replace(RECIPES["mid"], solver="euler", steps=(12, 5, 5), cfg=2.5, cfg_zero_star=False)
BATCH, POOL = 12, 40  # chunks sampled at a time; so many batches are learned from
CHOICES = 24  # chunks with something new that are sampled in stage 0 alone
LEARN, PICKS = 8, 3  # steps of learning for each batch sampled, and how many batches each looks at
SIZES = {0: 12, 1: 4, 2: 2}  # chunks of each of these, by stage
FILMED = {BASE: 2, 0: 24}  # chunks of films in a step: many steps at full size are not forgotten
OUTSTANDING = 0.4  # of the most that a chunk's latents differ from their frame's usual ones: there a thing is
PLAIN = 1.8  # a ground alone differs less, a thing more
RATE = 0.2  # of the highest rates of training
GUIDANCE = 1.7  # of what has learned few steps: more makes things larger
GUIDED = {BASE: 2, 0: 16, 1: 6, 2: 4}  # chunks in a step of learning that
GUIDED_RATE = 0.1  # of the highest rates, too


@torch.no_grad()
def sample(student: Student, batch: Batch, recipe: Recipe, seed: int, last=STAGES - 1) -> tuple[dict, torch.Tensor]:
    """Sample a batch up to a stage: {stage: (beginning, end)}, and the latents it ends with (B, 16, 9, h, w)."""
    flow = student.predictor(batch)
    guided = guided_by(student, flow, batch, guidance(batch, recipe.cfg)) if recipe.guided else flow
    starts, ends = {}, {}

    def denoise(x, step):
        if step.index == 0:
            starts[step.stage] = x
        t = torch.full((len(x),), step.timestep, device=x.device)
        with half_precision(x.device):
            return (guided if step.stage else flow)(x, t).float()

    # Chunk 1: only a film's first one has more steps, and what does with fewer does with more.
    memory = HistoryMemory(batch.frames, batch.anchor, chunk=1)
    director = ScheduleDirector(PromptSchedule((Segment(0, ""),)), seed, end=2)
    for record in film_records(lambda start: denoise, memory, director, recipe):
        if isinstance(record, Step):
            ends[record.stage] = record.x0
            if (record.stage, record.index + 1) == (last, recipe.steps[last]):
                return {stage: (starts[stage], ends[stage]) for stage in starts}, record.x0


def guided_by(student: Student, said, batch: Batch, scale: torch.Tensor | float):
    """`said`, this batch's predictor, with guidance; `scale` may be each chunk's own (B, 1, 1, 1, 1)."""
    none = ("",) * len(batch.x0)
    free = student.predictor(replace(batch, before=none, after=none))
    return lambda x, t: cfg(said(x, t).float(), free(x, t).float(), scale)


def guidance(batch: Batch, scale: float) -> torch.Tensor:
    """Each chunk's own scale after stage 0, (B, 1, 1, 1, 1): `scale` where something new is said; 1, which is none,
    where the same goes on, because guidance would move things from where they were, and after a picture.

    In stage 0 guidance would make things larger than was asked (at some noise levels only: arXiv 2404.07724).
    """
    new = torch.tensor([a != b for a, b in zip(batch.before, batch.after)], device=batch.anchor.device)
    return torch.where(new | ~begun(batch), scale, 1.0).view(-1, 1, 1, 1, 1)


def begun(batch: Batch) -> torch.Tensor:
    """Which chunks (B,) have something before them."""
    return batch.anchor.flatten(1).any(dim=1)


def next_batch(batch: Batch, latents: torch.Tensor, rng: np.random.Generator) -> Batch:
    """The chunk after these, which were sampled: the same prompt goes on, or another comes."""
    frames = torch.cat([batch.frames, latents], dim=2)[:, :, latents.shape[2] :]
    anchor = torch.where(begun(batch).view(-1, 1, 1, 1, 1), batch.anchor, latents[:, :, :1])
    after = tuple(said_of([random_scene(rng)] * 2, rng)[0] if rng.random() < TURNS else text for text in batch.after)
    said = {"before": batch.after, "after": after, "weight": torch.ones_like(batch.weight)}
    return replace(batch, frames=frames, anchor=anchor, **said)


def pairs(teacher: Student, batch: Batch, seed: int, last=STAGES - 1) -> tuple[Batch, dict]:
    """The teacher's beginnings and ends for these chunks up to a stage; where things are is known at the last one."""
    ends, latents = sample(teacher, batch, TEACHER, seed, last)
    return replace(batch, cover=cover_of(latents) if last == STAGES - 1 else torch.zeros_like(batch.cover)), ends


def cover_of(latents: torch.Tensor) -> torch.Tensor:
    """Where something is, (B, 1, 9, h, w): what is not like most of its frame. Without it the ground, which is most of
    a frame, would be most of what is learned, and small stars lose their points."""
    usual = latents.flatten(3).median(dim=3).values[..., None, None]
    away = (latents - usual).square().sum(dim=1, keepdim=True).sqrt()
    most = away.amax(dim=(2, 3, 4), keepdim=True)
    return ((away > OUTSTANDING * most) & (most > PLAIN)).float()


def wished(ends: dict, shown: Batch) -> dict:
    """From where the few steps begin, what the film shows: so a stage learns to mend what those before it got wrong."""
    return {stage: (start, end_from(start, shown.x0, stage)) for stage, (start, _) in ends.items()}


def pairs_loss(student: Student, pool: deque, stage: int, rng: np.random.Generator) -> torch.Tensor:
    """`flow_loss` between a stage's beginnings and ends, of a few chunks of a few batches that were sampled."""
    losses = []
    for pick in rng.integers(len(pool), size=PICKS):
        batch, ends = pool[pick]
        part, between = some(batch, ends[stage], SIZES[stage], rng)
        losses.append(flow_loss(student.predictor(part), part, stage, between))
    return sum(losses) / PICKS


def some(batch: Batch, ends: tuple, size: int, rng: np.random.Generator) -> tuple[Batch, list[torch.Tensor]]:
    """`size` random chunks of a batch, with where their paths begin and end."""
    rows = rng.permutation(len(batch.x0))[:size].tolist()
    return batch.part(rows), [end[rows] for end in ends]


def learner_from(teacher: Student, path: Path, device, compiled: bool) -> Learner:
    """Of a copy of the teacher; goes on with what `path` holds, with other random numbers."""
    learner = Learner(copy.deepcopy(teacher), path, device, decay=0.99)
    teacher.to(device)
    if compiled:
        compile_blocks(teacher)
        compile_blocks(learner.student)
    torch.manual_seed(learner.done // LEARN)
    return learner


def train(films: Films, teacher: Student, path: Path, rounds: int, device="cpu", compiled=False, log=print) -> Student:
    """Sample `rounds` batches and learn from each several times; goes on with what `path` holds, and with
    batches sampled anew."""
    learner = learner_from(teacher, path, device, compiled)
    student, done = learner.student, learner.done // LEARN
    rng, start, seen = np.random.default_rng(10_000 + done), time.time(), []
    choices, pool = deque(maxlen=POOL), deque(maxlen=2 * POOL)
    weights = loss_weights(
        {("films", k): size for k, size in FILMED.items()} | {("pairs", k): PICKS * size for k, size in SIZES.items()}
    )
    batch = None
    for number in range(done, rounds):
        seed = 10_000 + number  # none of the evaluation's
        if batch is None or number % 3 == 0:  # three chunks in a row, the later ones after its own work
            batch = films.batch(BATCH, rng, drop_text=0.0).to(device)
        pool.append(pairs(teacher, batch, seed))
        many = films.batch(CHOICES, rng, drop_text=0.0, new=True).to(device)
        choices.append(pairs(teacher, many, seed, last=0))
        batch = next_batch(batch, sample(student, batch, RECIPES["distilled"], seed)[1], rng)
        shown = films.batch(BATCH, rng, drop_text=0.0, new=False).to(device)
        pool.append((shown, wished(sample(student, shown, RECIPES["distilled"], seed)[0], shown)))
        for _ in range(LEARN):
            filmed = {k: films.batch(size, rng, new=False if k == 0 else None).to(device) for k, size in FILMED.items()}
            with half_precision(device):
                losses = {("films", k): flow_loss(student.predictor(real), real, k) for k, real in filmed.items()}
                losses |= {("pairs", k): pairs_loss(student, pool if k else choices, k, rng) for k in SIZES}
            sum(weights[which] * loss for which, loss in losses.items()).backward()
            learner.step(RATE * min(1, len(pool) / 20) * rate_at(number, rounds, warm_up=1, decline=0.7))
            seen.append([loss.item() for loss in losses.values()])
        if (number + 1) % 10 == 0 or number + 1 == rounds:
            told = ", ".join(f"{value:.4f}" for value in np.mean(seen, axis=0))
            log(f"distill {number + 1}/{rounds}: films, pairs by stage: {told}, {time.time() - start:.0f} s")
            seen.clear()
            learner.save()
    return learner.average


def guide(films: Films, teacher: Student, path: Path, rounds: int, device="cpu", compiled=False, log=print) -> Student:
    """Learn to do without guidance what it does (arXiv 2210.03142): along its own few steps, the teacher's flow, guided
    after stage 0; what goes on too, whose shapes it keeps. At full size that flow as it is: nothing is to change
    there."""
    learner = learner_from(teacher, path, device, compiled)
    student, done = learner.student, learner.done // LEARN
    rng, start, seen = np.random.default_rng(20_000 + done), time.time(), []
    weights, batch = loss_weights(GUIDED), None
    for number in range(done, rounds):
        if batch is None or number % 6 == 0:  # six chunks in a row
            batch = films.batch(2 * BATCH, rng, drop_text=0.0).to(device)
        ends, latents = sample(student, batch, RECIPES["distilled"], 20_000 + number)  # none of the evaluation's seeds
        own = replace(batch, cover=cover_of(latents))
        for _ in range(LEARN):
            losses = []
            for stage, size in GUIDED.items():
                if stage == BASE:
                    part, between = films.batch(size, rng, drop_text=0.3).to(device), None
                else:
                    part, between = some(own, ends[stage], size, rng)
                with torch.no_grad():
                    teach = teacher.predictor(part)
                    if stage > 0:
                        teach = guided_by(teacher, teach, part, GUIDANCE)
                with half_precision(device):
                    losses.append(flow_loss(student.predictor(part), part, stage, between, teach))
                (weights[stage] * losses[-1]).backward()
            rate = rate_at(number, rounds, warm_up=1, decline=0.7)
            learner.step(GUIDED_RATE * min(1, (learner.done + 1) / 20) * rate)
            seen.append([loss.item() for loss in losses])
        batch = next_batch(batch, latents, rng)
        if (number + 1) % 5 == 0 or number + 1 == rounds:
            told = ", ".join(f"{value:.5f}" for value in np.mean(seen, axis=0))
            log(f"guide {number + 1}/{rounds}: full size, own by stage: {told}, {time.time() - start:.0f} s")
            seen.clear()
            learner.save()
    return learner.average
