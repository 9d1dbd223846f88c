"""Text and pictures in and out, for whoever has no ComfyUI: UMT5 from transformers, the Wan 2.1 VAE from diffusers.

Read from what people have: ComfyUI's single files (Wan's own keys), the demo's, or the folders of a diffusers pipeline.
"""

from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import read_tensors
from .config import CHUNK_FRAMES, CHUNK_LATENTS, TEXT_TOKENS


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


def cpu_dtype() -> torch.dtype:
    """What a VAE is fastest in on this CPU: bfloat16 where convolutions take it, up to ten times as fast as float32."""
    known = torch.backends.mkldnn.is_available()  # without it, as on Apple's, there is not even the question
    return torch.bfloat16 if known and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def channels_last(vae: torch.nn.Module) -> None:
    """Lays out a VAE's weights, and by them what it computes, channels last: norms take a tenth as long on a CPU."""
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)


class VideoCodec:
    """Frames to latents in model space and back, a window of 33 frames at a time.

    `dtype` of None is float32, on a CPU what is fastest there.
    """

    def __init__(self, path: str | Path, device="cpu", dtype: torch.dtype | None = None):
        on_cpu = torch.device(device).type == "cpu"
        dtype = dtype or (cpu_dtype() if on_cpu else torch.float32)
        # torch's own to(): diffusers' warns of a cast that is meant.
        self.vae = torch.nn.Module.to(_vae(Path(path)), device=device, dtype=dtype).eval().requires_grad_(False)
        if on_cpu:
            channels_last(self.vae)
        shape = 1, -1, 1, 1, 1
        self.mean = torch.tensor(self.vae.config.latents_mean, device=device).view(shape)
        self.std = torch.tensor(self.vae.config.latents_std, device=device).view(shape)

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Frames (T, H, W, 3) in 0..1 of one window, 4n + 1 of them -> latents (1, 16, n + 1, H/8, W/8), float32."""
        video = (frames.movedim(-1, 0)[None] * 2 - 1).to(self.mean.device, self.vae.dtype)
        video = video.contiguous(memory_format=torch.channels_last_3d)
        return (self.vae.encode(video).latent_dist.mean.float() - self.mean) / self.std

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """A chunk's latents (1, 16, 9, H/8, W/8) -> frames (33, H, W, 3) in 0..1, float32, on the CPU."""
        if latents.shape[2] != CHUNK_LATENTS:
            raise ValueError(f"{latents.shape[2]} latent frames: chunks of {CHUNK_LATENTS} are decoded one by one")
        raw = (latents.to(self.mean.device) * self.std + self.mean).to(self.vae.dtype)
        video = self.vae.decode(raw.contiguous(memory_format=torch.channels_last_3d)).sample
        return (video[0].float().movedim(0, -1) / 2 + 0.5).clamp(0, 1).cpu()

    def encode_image(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """A picture (1, H, W, 3) -> its latent, and the last of a clip that repeats it: what a film begins with."""
        clip = picture.expand(CHUNK_FRAMES, -1, -1, -1)
        return self.encode(picture), self.encode(clip)[:, :, -1:]


def weight_files(path: Path) -> list[Path]:
    """Of a text encoder or a VAE: the file itself, or what is in a folder of a diffusers pipeline."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: there is no .safetensors file in it")
    return files


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
    _fill(encoder, tensors, path)
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


def _vae(path: Path):
    """From Wan's own keys or diffusers'; the width is read from the weights."""
    from diffusers import AutoencoderKLWan
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    tensors, _ = read_tensors(weight_files(path))
    try:
        if "decoder.head.0.gamma" in tensors:
            tensors = convert_wan_vae_to_diffusers(tensors)
        width, channels = tensors["decoder.norm_out.gamma"].shape[0], tensors["decoder.conv_in.weight"].shape[1]
    except KeyError as error:
        raise ValueError(f"{path.name}: not a Wan 2.1 VAE: {error} is missing") from error
    if channels != 16:
        raise ValueError(f"{path.name}: not a Wan 2.1 VAE: its latents have {channels} channels, not 16")
    with torch.device("meta"):
        vae = AutoencoderKLWan(base_dim=width)
    _fill(vae, {key: tensor.float() for key, tensor in tensors.items()}, path)
    return vae


def _fill(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    missing, unknown = module.load_state_dict(tensors, strict=False, assign=True)
    if missing or unknown:
        raise ValueError(f"{path.name}: tensors are missing or not known here, {[*missing, *unknown][0]} for one")
