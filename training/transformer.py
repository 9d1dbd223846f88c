"""Train the demo's transformer and text encoder together: flow matching at full size and in the pyramid at once."""

import copy
import time
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from einops import rearrange
from torch import Tensor, nn

from helios_core import HeliosConfig, HeliosTransformer

from .flow import BASE, Batch, Films, flow_loss
from .text import WIDTH, embed, make_encoder, make_tokenizer, tokenize

CONFIG = HeliosConfig(
    num_attention_heads=3,
    attention_head_dim=64,
    rope_dim=(24, 20, 20),
    num_layers=6,
    ffn_dim=640,
    freq_dim=128,
    text_dim=WIDTH,
)
# Chunks of a step at full size and at each stage.
SIZES = {BASE: 3, 0: 8, 1: 5, 2: 3}


class Student(nn.Module):
    """The transformer with its text encoder."""

    def __init__(self, tokenizer: bytes):
        super().__init__()
        self.transformer, self.text = HeliosTransformer(CONFIG), make_encoder()
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tokenizer)
        initialise(self.transformer)

    def predictor(self, batch: Batch):
        """The flow of this batch's chunks as a function of (x, timesteps)."""
        weight = batch.weight.to(batch.x0.device).view(-1, 1, 1)
        before, after = (self.embed(texts) for texts in (batch.before, batch.after))
        context = self.transformer.embed_text((1 - weight) * before + weight * after, keep_keys_values=False)
        history = self.transformer.embed_history(batch.frames, batch.anchor)
        return lambda x, t: self.transformer(x, t, context, history, plain_attention)

    def embed(self, texts: list[str]) -> Tensor:
        return embed(self.text, tokenize(self.tokenizer, texts).to(next(self.parameters()).device))


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


def optimizers(student: Student) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the blocks' matrices, Adam for all else; each with its highest rate."""
    blocks = [
        p for name, p in student.transformer.blocks.named_parameters() if p.ndim == 2 and "modulation" not in name
    ]
    inside = {id(p) for p in blocks}
    others = [p for p in student.parameters() if id(p) not in inside]
    muon = torch.optim.Muon(blocks, lr=1e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [(muon, 1.6e-2), (torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0), 2e-3)]


def train(films: Films, path: Path, steps: int, device="cpu", compiled=False, log=print) -> Student:
    """Train, or go on with what `path` holds; leaves the averaged weights there too. Returns these.

    Compiled, a step takes two thirds of the time on a CPU, and the first one two minutes more.
    """
    torch.manual_seed(0)
    student = Student(make_tokenizer()).to(device)
    average, done, pairs = copy.deepcopy(student), 0, optimizers(student)
    if path.exists():
        state = torch.load(path, map_location=device)
        student.load_state_dict(state["student"])
        average.load_state_dict(state["average"])
        for (optimizer, _), saved in zip(pairs, state["optimizers"]):
            optimizer.load_state_dict(saved)
        done = state["step"]
    for block in student.transformer.blocks if compiled else ():
        block.compile(dynamic=False)
    rng, begun, seen = np.random.default_rng(done), time.time(), {stage: [] for stage in SIZES}
    torch.manual_seed(done)
    for step in range(done, steps):
        part = min(1, (step + 1) / 200) * min(1, max(0.02, (steps - step) / (0.3 * steps)))
        for optimizer, rate in pairs:
            for group in optimizer.param_groups:
                group["lr"] = rate * part
            optimizer.zero_grad()
        for stage, size in SIZES.items():
            batch = films.batch(size, rng)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                loss = flow_loss(student.predictor(batch), batch, stage)
            (loss / len(SIZES)).backward()
            seen[stage].append(loss.item())
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for optimizer, _ in pairs:
            optimizer.step()
        with torch.no_grad():
            decay = min(0.999, (step + 1) / (step + 10))
            for kept, new in zip(average.parameters(), student.parameters()):
                kept.lerp_(new, 1 - decay)
        if (step + 1) % 50 == 0:
            told = ", ".join(f"{'base' if k == BASE else k} {np.mean(v):.4f}" for k, v in seen.items())
            log(f"transformer {step + 1}/{steps}: {told}, {time.time() - begun:.0f} s")
            seen = {stage: [] for stage in SIZES}
        if (step + 1) % 250 == 0 or step + 1 == steps:
            state = {"student": student.state_dict(), "average": average.state_dict(), "step": step + 1}
            torch.save({**state, "optimizers": [o.state_dict() for o, _ in pairs]}, path.with_suffix(".half"))
            path.with_suffix(".half").rename(path)
    return average
