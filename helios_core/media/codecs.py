"""Pictures in and out, for whoever has no ComfyUI: the Wan 2.1 VAE from diffusers.

Read from what people have: ComfyUI's single files (Wan's own keys), the demo's, or the folders of a diffusers pipeline.
"""

from pathlib import Path

import torch
from torch import Tensor

from ..network.checkpoint import read_tensors
from ..network.config import CHUNK_LATENTS


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


def weight_files(path: Path) -> list[Path]:
    """Of a text encoder or a VAE: the file itself, or what is in a folder of a diffusers pipeline."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: there is no .safetensors file in it")
    return files


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
    fill(vae, {key: tensor.float() for key, tensor in tensors.items()}, path)
    return vae


def fill(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    missing, unknown = module.load_state_dict(tensors, strict=False, assign=True)
    if missing or unknown:
        raise ValueError(f"{path.name}: tensors are missing or not known here, {[*missing, *unknown][0]} for one")
