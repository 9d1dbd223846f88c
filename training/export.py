"""The trained parts as the files that ship, in the layouts of the real ones."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan, HeliosTransformer3DModel
from safetensors.torch import save
from torch import Tensor

from helios_core import HeliosTransformer
from helios_core.files import write_whole
from helios_core.network.checkpoint import rename_key

from .vae import NOISE, encode, to_video
from .world import make_film, random_scene

NAMES = {  # diffusers' names of a Wan VAE's parts, and Wan's own
    r"\.norm1\.": ".residual.0.",
    r"\.conv1\.": ".residual.2.",
    r"\.norm2\.": ".residual.3.",
    r"\.conv2\.": ".residual.6.",
    r"\.conv_shortcut\.": ".shortcut.",
    r"\.mid_block\.resnets\.0\.": ".middle.0.",
    r"\.mid_block\.attentions\.0\.": ".middle.1.",
    r"\.mid_block\.resnets\.1\.": ".middle.2.",
    r"\.down_blocks\.": ".downsamples.",
    r"\.norm_out\.": ".head.0.",
    r"\.conv_out\.": ".head.2.",
    r"\.conv_in\.": ".conv1.",
    r"^quant_conv\.": "conv1.",
    r"^post_quant_conv\.": "conv2.",
}


def wan_key(key: str) -> str:
    """Wan 2.1's own name of a tensor of diffusers' AutoencoderKLWan."""
    for pattern, name in NAMES.items():
        key = re.sub(pattern, name, key)
    # Three residual blocks and an upsampler make four modules in a row.
    key = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"upsamples.{4 * int(m[1]) + int(m[2])}", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"upsamples.{4 * int(m[1]) + 3}", key)


def as_wan_latents(vae: AutoencoderKLWan, mean: Tensor, std: Tensor) -> None:
    """Give the VAE's latents, of this mean and std (16,), those that every Helios expects of a Wan VAE, in place.

    The last layer of the encoder and the first of the decoder work on each latent alone, so that this is exact.
    """
    wan_mean, wan_std = (torch.tensor(v) for v in (vae.config.latents_mean, vae.config.latents_std))
    scale, channels = wan_std / std, len(mean)
    out, back = vae.quant_conv, vae.post_quant_conv
    out.weight.data[:channels] *= scale.view(-1, 1, 1, 1, 1)
    out.bias.data[:channels] = (out.bias.data[:channels] - mean) * scale + wan_mean
    out.weight.data[channels:] = 0  # the log of the variance, which was fixed
    out.bias.data[channels:] = 2 * torch.log(NOISE * scale)
    back.bias.data += back.weight.data.flatten(1) @ (mean - wan_mean / scale)
    back.weight.data /= scale.view(1, -1, 1, 1, 1)


def save_vae(vae: AutoencoderKLWan, path: Path) -> None:
    """Wan's layout, its latents those of a Wan VAE; changes `vae`."""
    rng, latents = np.random.default_rng(0), []
    for _ in range(30):
        scene = random_scene(rng)
        with torch.inference_mode():
            latents.append(encode(vae, to_video(make_film([scene], [1.0], rng)).to(vae.device)))
    mean, std = (f(torch.cat(latents), dim=(0, 2, 3, 4)).cpu() for f in (torch.mean, torch.std))
    as_wan_latents(vae.cpu().float(), mean, std)
    tensors = {wan_key(key): tensor.half().contiguous() for key, tensor in vae.state_dict().items()}
    write(tensors, path, {"format": "pt"})


def write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """A file that all may read, there whole or not at all."""
    write_whole(path, save(tensors, metadata))
    path.chmod(0o644)


def save_text(encoder, tokenizer: bytes, tokens: int, path: Path) -> None:
    """A UMT5 as ComfyUI has it: its tokenizer inside, and how many tokens a prompt is filled up to."""
    tensors = {key: tensor.half().contiguous() for key, tensor in encoder.state_dict().items()}
    tensors.pop("encoder.embed_tokens.weight", None)  # the same as shared.weight
    tensors["spiece_model"] = torch.frombuffer(bytearray(tokenizer), dtype=torch.uint8)
    write(tensors, path, {"format": "pt", "tokens": str(tokens)})


def save_transformer(model: HeliosTransformer, folder: Path) -> None:
    """A folder as on Hugging Face, written by diffusers."""
    theirs = HeliosTransformer3DModel(**asdict(model.config))
    ours = model.state_dict()
    tensors = {key: ours[rename_key(key)].reshape(tensor.shape) for key, tensor in theirs.state_dict().items()}
    theirs.load_state_dict(tensors)
    theirs.to(torch.bfloat16).save_pretrained(folder)
