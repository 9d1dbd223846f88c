"""Train the demo's transformer and text encoder together: flow matching at full size and in the pyramid at once."""

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from einops import rearrange
from torch import Tensor, nn

from helios_core import HeliosConfig, HeliosTransformer
from helios_core.network.transformer import History

from .flow import BASE, Batch, Films, flow_loss
from .state import save_state
from .text import TEXT_DIM, embed, learn_words, make_encoder, make_tokenizer, tokenize

CONFIG = HeliosConfig(
    num_attention_heads=3,
    attention_head_dim=64,
    rope_dim=(24, 20, 20),
    num_layers=6,
    ffn_dim=640,
    freq_dim=128,
    text_dim=TEXT_DIM,
)


@dataclass(frozen=True)
class Phase:
    """Until this share of all steps, so many chunks of a step at full size and at each stage of the pyramid."""

    until: float
    sizes: dict[int, int]
    alone: bool = False  # first chunks only, and no history's tokens


# What is said is learned from first chunks alone: one of stage 0 has 54 tokens, one at full size 864, a history 240.
PHASES = (
    Phase(6 / 31, {0: 64, 1: 8}, alone=True),  # what there is and where it goes
    Phase(11 / 31, {BASE: 3, 0: 16, 1: 16, 2: 3}, alone=True),  # shapes, which come after places
    Phase(21 / 31, {BASE: 2, 0: 32, 1: 12, 2: 3}),  # what was before: hardest where few tokens are a picture
    Phase(1, {BASE: 4, 0: 24, 1: 12, 2: 3}),  # shapes at full size, which come last
)


class Student(nn.Module):
    """The transformer with its text encoder."""

    def __init__(self, tokenizer: bytes):
        super().__init__()
        self.transformer, self.text = HeliosTransformer(CONFIG), make_encoder()
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tokenizer)
        initialise(self.transformer)

    def predictor(self, batch: Batch):
        """The flow of this batch's chunks as a function of (x, timesteps)."""
        weight = batch.weight.view(-1, 1, 1)
        context = self.embed(batch.after)
        if batch.before != batch.after:
            context = torch.lerp(self.embed(batch.before), context, weight)
        context = self.transformer.embed_text(context, keep_keys_values=False)
        if batch.frames is None:
            history = no_history(self.transformer, len(batch.x0))
        else:
            history = self.transformer.embed_history(batch.frames, batch.anchor)
        return lambda x, t: self.transformer(x, t, context, history, plain_attention)

    def embed(self, texts: list[str]) -> Tensor:
        return embed(self.text, tokenize(self.tokenizer, texts).to(next(self.parameters()).device))


def no_history(model: HeliosTransformer, batch: int) -> History:
    """Not even the tokens of an empty one."""
    device = model.patch_embedding.weight.device
    return History(
        torch.zeros(batch, 0, model.config.dim, device=device),
        model.rope_of_chunk((0, 1, 1), device),
        model.rope_of_chunk,
    )


def plain_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention as it is written: at this size twice as fast on a CPU, forward and backward, as the fused one."""
    q, k, v = (rearrange(t, "b l (h d) -> b h l d", h=heads) for t in (q, k, v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return rearrange(weights @ v, "b h l d -> b l (h d)")


def initialise(model: HeliosTransformer) -> None:
    """Each block begins as nothing: its modulation's gates, and the head, are 0."""
    for block in model.blocks:
        nn.init.normal_(block.modulation.weight, std=0.02)
        block.modulation.weight.data[[2, 5]] = 0
        nn.init.zeros_(block.cross_attn.o.weight)
        nn.init.zeros_(block.cross_attn.o.bias)
    nn.init.normal_(model.head.modulation.weight, std=0.02)
    nn.init.zeros_(model.head.head.weight)
    nn.init.zeros_(model.head.head.bias)
    nn.init.zeros_(model.time_projection[1].weight)
    nn.init.zeros_(model.time_projection[1].bias)


@torch.no_grad()
def open_history(model: HeliosTransformer) -> None:
    """A remembered frame begins as the tokens that it would be in a chunk; older ones, as if they were smaller.

    What the blocks know of the frames within a chunk then holds for those before it: from random patches, small stages
    are slow to learn to look back.
    """
    first, bias = model.patch_embedding.weight, model.patch_embedding.bias
    for patch in (model.patch_short, model.patch_mid, model.patch_long):
        wider = first
        for axis in (2, 3, 4):
            wider = wider.repeat_interleave(patch.weight.shape[axis] // first.shape[axis], axis)
        patch.weight.copy_(wider * (first[0].numel() / wider[0].numel()))
        patch.bias.copy_(bias)


class Learner:
    """A student, its average over the last steps, and its optimizers; all of it in a file, with the steps done."""

    def __init__(self, student: Student, path: Path, device="cpu", decay: float = 0.999):
        self.student, self.path, self.decay = student.to(device), path, decay
        self.average, self.done = copy.deepcopy(student), 0
        # Muon for the blocks' matrices, Adam for all else; each with its highest rate.
        blocks = [
            p for name, p in student.transformer.blocks.named_parameters() if p.ndim == 2 and "modulation" not in name
        ]
        inside = {id(p) for p in blocks}
        others = [p for p in student.parameters() if id(p) not in inside]
        self.optimizers = {
            torch.optim.Muon(blocks, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"): 8e-3,
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0): 2e-3,
        }
        if path.exists():
            state = torch.load(path, map_location=device)
            self.student.load_state_dict(state["student"])
            self.average.load_state_dict(state["average"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"]):
                optimizer.load_state_dict(saved)
            self.done = state["step"]

    def step(self, part: float) -> None:
        """Learn from the gradients there are, at `part` of the highest rates."""
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        for optimizer, rate in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * part
            optimizer.step()
            optimizer.zero_grad()
        self.done += 1
        decay = min(self.decay, self.done / (self.done + 9))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.student.parameters()):
                kept.lerp_(new, 1 - decay)

    def save(self) -> None:
        state = {"student": self.student.state_dict(), "average": self.average.state_dict(), "step": self.done}
        state["tokenizer"] = self.student.tokenizer.serialized_model_proto()
        state["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        save_state(state, self.path)


def half_precision(device) -> torch.autocast:
    """bfloat16, but not on CPUs that do not know it: a step would take three times as long there as in float32."""
    kind = torch.device(device).type
    known = kind != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(kind, torch.bfloat16, enabled=known)


def compile_blocks(student: Student) -> None:
    """For each size of chunk by itself, as there are few."""
    torch._dynamo.config.recompile_limit = 64
    for block in student.transformer.blocks:
        block.compile(dynamic=False)


def rate_at(step: int, steps: int, warm_up: int, decline: float) -> float:
    """Share of the highest rate: up over the first steps, down to 0 over the last part of all."""
    return min(1, (step + 1) / warm_up, (steps - step) / (decline * steps))


def loss_weights(sizes: dict) -> dict:
    """Of each loss, from its chunks in a step, 1 in all: all gradients are as noisy then."""
    total = sum(size**0.5 for size in sizes.values())
    return {which: size**0.5 / total for which, size in sizes.items()}


def phase_at(step: int, steps: int) -> Phase:
    return next(phase for phase in PHASES if step < phase.until * steps)


def train(films: Films, path: Path, steps: int, device="cpu", compiled=False, log=print) -> Student:
    """Train, or go on with what `path` holds, with other random numbers; leaves the averaged weights there too. Returns
    these.

    Compiled, a step takes two thirds of the time on a CPU, and the first of each phase two minutes more.
    """
    torch.manual_seed(0)
    student = Student(torch.load(path, map_location="cpu")["tokenizer"] if path.exists() else make_tokenizer())
    if not path.exists():
        learn_words(student.text, student.tokenizer, log=log)
    learner = Learner(student, path, device)
    if compiled:
        compile_blocks(student)
    rng, begun, seen = np.random.default_rng(learner.done), time.time(), {}
    torch.manual_seed(learner.done)
    while learner.done < steps:
        phase = phase_at(learner.done, steps)
        if learner.done and phase_at(learner.done - 1, steps).alone and not phase.alone:
            for model in (student, learner.average):
                open_history(model.transformer)
        weights = loss_weights(phase.sizes)
        for stage, size in phase.sizes.items():
            batch = films.batch(size, rng, alone=phase.alone).to(device)
            with half_precision(device):
                loss = flow_loss(student.predictor(batch), batch, stage)
            (loss * weights[stage]).backward()
            seen.setdefault(stage, []).append(loss.item())
        learner.step(rate_at(learner.done, steps, warm_up=100, decline=0.9))
        if learner.done % 50 == 0:
            told = ", ".join(f"{'base' if k == BASE else k} {np.mean(v):.4f}" for k, v in seen.items())
            log(f"transformer {learner.done}/{steps}: {told}, {time.time() - begun:.0f} s")
            seen.clear()
        if learner.done % 250 == 0 or learner.done == steps:
            learner.save()
    return learner.average
