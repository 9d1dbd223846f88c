"""Prompts to embeddings, for whoever has no ComfyUI: UMT5 from transformers."""

from pathlib import Path

import torch
from torch import Tensor

from ..network.checkpoint import read_tensors
from ..network.config import TEXT_TOKENS
from .codecs import fill, weight_files


class TextEncoder:
    """Prompts to embeddings (1, 512, width), zero after the last token; the demo's are shorter."""

    def __init__(self, path: str | Path, device="cpu", dtype=torch.float32):
        encoder, self._tokenize, self.tokens = _text_encoder(Path(path), dtype)
        self.encoder = encoder.to(device).eval().requires_grad_(False)
        self.device = device

    @torch.inference_mode()
    def __call__(self, text: str) -> Tensor:
        ids = self._tokenize(text)[: TEXT_TOKENS - 1] + [1]
        row = torch.zeros(1, max(self.tokens, len(ids)), dtype=torch.long, device=self.device)
        row[0, : len(ids)] = torch.tensor(ids)
        mask = (row > 0).to(self.encoder.dtype)
        return self.encoder(input_ids=row, attention_mask=mask).last_hidden_state * mask[..., None]


def text_tokens(metadata: dict[str, str]) -> int:
    """How many tokens a text encoder's prompts are filled up to, by its files' metadata."""
    return int(metadata.get("tokens", TEXT_TOKENS))


def _text_encoder(path: Path, dtype):
    """The encoder, its tokenizer, how many tokens it takes. All sizes are read from the weights."""
    from transformers import UMT5Config, UMT5EncoderModel

    tensors, metadata = read_tensors(weight_files(path))
    tokenize = (_folders_tokenizer if path.is_dir() else _files_tokenizer)(path, tensors)
    for key in [key for key in tensors if key.endswith(".scale_weight")]:  # fp8 as ComfyUI packs it
        weight = key.removesuffix("scale_weight") + "weight"
        tensors[weight] = (tensors[weight].float() * tensors.pop(key).float()).to(dtype)
    for key in [key for key in tensors if key == "scaled_fp8" or key.endswith(".scale_input")]:
        del tensors[key]  # for products in fp8, which are not done here
    try:
        sizes = umt5_sizes(tensors)
    except KeyError as error:
        raise ValueError(f"{path.name}: not a UMT5 text encoder: {error} is missing") from error
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**sizes))
    for key in tensors:  # one by one: a second copy of all would be 11 GB
        tensors[key] = tensors[key].to(dtype)
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"]
    fill(encoder, tensors, path)
    encoder.shared = encoder.encoder.embed_tokens  # one module again, or a GPU gets the table twice: 2 GB
    return encoder, tokenize, text_tokens(metadata)


def _folders_tokenizer(path: Path, tensors):
    """The folder tokenizer/ beside text_encoder/."""
    from transformers import AutoTokenizer

    folder = path.absolute().parent / "tokenizer"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: a text encoder's folder needs its tokenizer's beside it")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # of many kinds
        raise ValueError(f"{folder}: no tokenizer that can be read ({type(error).__name__}: {error})") from error
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


def _files_tokenizer(path: Path, tensors):
    """In the file itself, as in ComfyUI's and the demo's."""
    import sentencepiece

    pieces = tensors.pop("spiece_model", None)
    if pieces is None:
        raise ValueError(f"{path.name}: not a UMT5 text encoder with its tokenizer (spiece_model) in it")
    return sentencepiece.SentencePieceProcessor(model_proto=pieces.numpy().tobytes()).encode


def umt5_sizes(tensors: dict[str, Tensor]) -> dict[str, int]:
    """The sizes of a UMT5 encoder, by the names that its config.json has for them."""
    first = "encoder.block.0.layer.0.SelfAttention"
    heads = tensors[f"{first}.relative_attention_bias.weight"].shape[1]
    return {
        "vocab_size": tensors["shared.weight"].shape[0],
        "d_model": tensors["shared.weight"].shape[1],
        "d_kv": tensors[f"{first}.q.weight"].shape[0] // heads,
        "d_ff": tensors["encoder.block.0.layer.1.DenseReluDense.wo.weight"].shape[1],
        "num_heads": heads,
        "num_layers": 1 + max(int(key.split(".")[2]) for key in tensors if key.startswith("encoder.block.")),
    }
