"""A tiny UMT5 encoder and its sentencepiece tokenizer, in the layout of the file that real Helios is used with."""

import io

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from .world import COLOURS, GROUNDS, MOTIONS, SHAPES, SIZES, Scene, caption, changed, random_scene

TOKENS = 64  # of a prompt, filled up with zeros; in training what follows is cut off
TEXT_DIM = 64
PIECES = 640


def make_tokenizer(captions: int = 20_000) -> bytes:
    """A sentencepiece model of the captions' words; other text falls back to bytes."""
    rng = np.random.default_rng(0)
    texts = (caption(changed(random_scene(rng), rng), rng) for _ in range(captions))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts,
        model_writer=model,
        vocab_size=PIECES,
        model_type="bpe",
        normalization_rule_name="identity",
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def make_encoder() -> UMT5EncoderModel:
    """Of 123,456 parameters, not yet trained."""
    config = UMT5Config(
        vocab_size=PIECES,
        d_model=TEXT_DIM,
        d_kv=16,
        num_heads=4,
        num_layers=2,
        d_ff=128,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )
    return UMT5EncoderModel(config)


def tokenize(tokenizer: sentencepiece.SentencePieceProcessor, texts: list[str]) -> Tensor:
    """Ids (B, 64), each text ended by 1 and filled up with 0."""
    ids = torch.zeros(len(texts), TOKENS, dtype=torch.long)
    for row, text in zip(ids, texts):
        pieces = [*tokenizer.encode(text)[: TOKENS - 1], tokenizer.eos_id()]
        row[: len(pieces)] = torch.tensor(pieces)
    return ids


def embed(encoder: UMT5EncoderModel, ids: Tensor) -> Tensor:
    """(B, 64) -> (B, 64, TEXT_DIM), zeros after the last token."""
    mask = (ids > 0).to(encoder.dtype)
    return encoder(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]


# --- what a caption says ---

THING = (SHAPES, tuple(COLOURS), tuple(SIZES), MOTIONS)
QUESTIONS = (tuple(GROUNDS), *THING, *THING)  # the ground; of the first thing and of the second, each or 0 for none


def answers(scene: Scene) -> list[int]:
    """To QUESTIONS, counted from 1; 0 where there is no such thing."""
    said = [scene.ground]
    for thing in scene.things:
        said += [thing.shape, thing.colour, thing.size, thing.motion]
    return [1 + options.index(word) for options, word in zip(QUESTIONS, said)] + [0] * (len(QUESTIONS) - len(said))


class Reader(nn.Module):
    """Answers questions about a text from its embedding, each by looking at it once."""

    def __init__(self):
        super().__init__()
        self.looks = nn.Parameter(torch.randn(len(QUESTIONS), TEXT_DIM))
        self.answers = nn.ModuleList(nn.Linear(TEXT_DIM, 1 + len(options)) for options in QUESTIONS)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """(B, 64, TEXT_DIM) -> for each question (B, 1 + answers)."""
        weights = (embedding @ self.looks.T * TEXT_DIM**-0.5).softmax(dim=1)  # (B, 64, questions)
        found = torch.einsum("btq,btd->qbd", weights, embedding)
        return [answer(x) for answer, x in zip(self.answers, found)]


def learn_words(encoder, tokenizer, steps: int = 800, batch: int = 64, log=print) -> float:
    """Teach the encoder what captions say, as a large one knows before a video model is trained with it.

    Returns the share of questions that are answered right in the last hundred steps.
    """
    torch.manual_seed(0)
    rng, reader, right = np.random.default_rng(1), Reader(), []
    optimizer = torch.optim.AdamW([*encoder.parameters(), *reader.parameters()], lr=0.0, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 100, 2 * (steps - step) / steps)
        scenes = [random_scene(rng) for _ in range(batch)]
        texts = [caption(scene, rng) for scene in scenes]
        texts = [text.lower() if rng.random() < 0.3 else text for text in texts]
        wanted = torch.tensor([answers(scene) for scene in scenes])
        given = reader(embed(encoder, tokenize(tokenizer, texts)))
        optimizer.zero_grad()
        sum(F.cross_entropy(x, y) for x, y in zip(given, wanted.T)).backward()
        optimizer.step()
        right.append(np.mean([(x.argmax(1) == y).float().mean() for x, y in zip(given, wanted.T)]))
        if (step + 1) % 200 == 0:
            log(f"words {step + 1}/{steps}: {100 * np.mean(right[-100:]):.1f} % right")
    return float(np.mean(right[-100:]))
