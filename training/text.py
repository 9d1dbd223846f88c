"""A tiny UMT5 encoder and its sentencepiece tokenizer, in the layout of the file that real Helios is used with."""

import io

import numpy as np
import sentencepiece
import torch
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from .world import caption, changed, random_scene

TOKENS = 64  # of a prompt; what follows is cut off
WIDTH = 64
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
    config = UMT5Config(
        vocab_size=PIECES,
        d_model=WIDTH,
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
    """(B, 64) -> (B, 64, WIDTH), zeros behind the last token."""
    mask = (ids > 0).to(encoder.dtype)
    return encoder(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
