"""A Wan 2.1 VAE of width 8 for the world of the demo, trained on crops and saved in Wan's own key layout.

The reconstruction is of latents with noise of a fixed strength, which is a VAE whose posterior variance is not
learned: the decoder forgives what a sampler gets slightly wrong. Latents of half and of a quarter of the size have to
show the video at that size (EQ-VAE, arXiv 2502.09509): they are what the smaller stages of the pyramid see, and without
it things all but vanish there.
"""

import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock, WanResample, WanResidualBlock
from einops import rearrange
from torch import Tensor

from helios_core.diffusion.sigmas import STAGES
from helios_core.media.codecs import channels_last
from helios_core.network.config import CHUNK_FRAMES

from .state import save_state
from .world import HEIGHT, WIDTH, changed, draw, plan_film, random_scene

WIDTH_OF_VAE = 8
NOISE = 0.1
SMALLER = 0.5  # what smaller latents weigh
CROP = 64  # pixels


class Phase(NamedTuple):
    """Steps of training on so many crops of so many frames."""

    steps: int
    batch: int
    frames: int


# Pictures are cheap to learn colours and shapes from; without whole chunks in the end colours drift in later frames.
PHASES = Phase(2000, 16, 1), Phase(2000, 4, 9), Phase(700, 2, CHUNK_FRAMES)


def make_vae(width: int = WIDTH_OF_VAE) -> AutoencoderKLWan:
    """Begins almost linear: orthogonal convolutions, of which only the newest frame's slice is not 0, and residual
    branches that are nearly closed. So narrow a net learns colours many times sooner from there.

    On a CPU, channels last and bfloat16 autocast make its small convolutions several times as fast.
    """
    vae = AutoencoderKLWan(base_dim=width)
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            newest = module.weight.data if module.weight.ndim == 4 else module.weight.data[:, :, -1]
            start = torch.nn.init.orthogonal_(torch.empty(newest.shape))
            module.weight.data.zero_()
            newest.copy_(start)
            module.bias.data.zero_()
    for module in vae.modules():
        if isinstance(module, WanResidualBlock):
            module.conv2.weight.data.mul_(0.1)
        elif isinstance(module, WanAttentionBlock):
            module.proj.weight.data.zero_()
    channels_last(vae)
    return vae


def to_video(frames: np.ndarray) -> Tensor:
    """Frames (T, H, W, 3) in 0..1 -> (1, 3, T, H, W) in -1..1."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() * 2 - 1


def encode(vae, video: Tensor) -> Tensor:
    """(B, 3, 4n + 1, H, W) in -1..1 -> means of the latents (B, 16, n + 1, H/8, W/8), float32.

    All frames at once: what diffusers' own computes four by four, in two thirds of the time.
    """
    net = vae.encoder
    with torch.autocast(video.device.type, torch.bfloat16):
        x = through(net.down_blocks, net.conv_in(video.to(memory_format=torch.channels_last_3d)))
        x = net.conv_out(net.nonlinearity(net.norm_out(net.mid_block(x))))
        return vae.quant_conv(x).chunk(2, dim=1)[0].float()


def decode(vae, latents: Tensor) -> Tensor:
    """The other way."""
    net = vae.decoder
    with torch.autocast(latents.device.type, torch.bfloat16):
        x = vae.post_quant_conv(latents.to(memory_format=torch.channels_last_3d))
        x = net.mid_block(net.conv_in(x))
        for block in net.up_blocks:
            x = through([*block.resnets, *(block.upsamplers or ())], x)
        return net.conv_out(net.nonlinearity(net.norm_out(x))).float()


def through(layers, x: Tensor) -> Tensor:
    """x (B, C, T, H, W) through residual blocks and changes of size; in time, the first frame stays alone."""
    for layer in layers:
        if not isinstance(layer, WanResample):
            x = layer(x)
            continue
        first, rest = x[:, :, :1], x[:, :, 1:]
        if layer.mode == "upsample3d" and rest.shape[2]:
            rest = rearrange(layer.time_conv(rest), "b (n c) t h w -> b c (t n) h w", n=2)
            x = torch.cat([first, rest], dim=2)
        frames = layer.resample(rearrange(x, "b c t h w -> (b t) c h w"))
        x = rearrange(frames, "(b t) c h w -> b c t h w", b=len(x))
        if layer.mode == "downsample3d" and rest.shape[2]:
            x = torch.cat([x[:, :, :1], layer.time_conv(x)], dim=2)
    return x


def halved(x: Tensor, times: int) -> Tensor:
    """(B, C, T, H, W) with half the height and width, `times` times."""
    for _ in range(times):
        x = F.avg_pool3d(x, (1, 2, 2))
    return x


def things(video: Tensor) -> Tensor:
    """Where the ground is not seen, (B, 1, T, H, W) of 0 and 1: a ground's colour depends on the height alone."""
    ground = video[..., [0, video.shape[-1] // 2, -1]].median(-1, keepdim=True).values
    return ((video - ground).abs().amax(1, keepdim=True) > 0.1).float()


def crops(rng: np.random.Generator, batch: int, size: int = CROP, *, frames: int) -> tuple[Tensor, Tensor]:
    """Small pieces of films, mostly around a thing: (B, 3, frames, size, size) and their `things`."""
    videos, masks = [], []
    while len(videos) < batch:
        scene = random_scene(rng)
        weight = 1.0 if rng.random() < 0.8 else float(rng.random())
        plan = plan_film([scene, changed(scene, rng)], [1.0, weight], rng)[CHUNK_FRAMES:]
        t = int(rng.integers(0, CHUNK_FRAMES - frames + 1))
        video = to_video(np.stack([draw(*frame) for frame in plan[t : t + frames]]))
        mask = things(video)
        for _ in range(2):
            y, x = int(rng.integers(0, HEIGHT - size + 1)), int(rng.integers(0, WIDTH - size + 1))
            where = mask[0, 0, 0].nonzero()
            if len(where) and rng.random() < 0.85:
                y, x = (where[int(rng.integers(len(where)))] - size // 2).tolist()
                y, x = min(max(y, 0), HEIGHT - size), min(max(x, 0), WIDTH - size)
            part = (..., slice(y, y + size), slice(x, x + size))
            videos.append(video[part])
            masks.append(mask[part])
    return torch.cat(videos[:batch]), torch.cat(masks[:batch])


def difference(out: Tensor, video: Tensor, mask: Tensor) -> Tensor:
    """Of two videos; things weigh more than ground."""
    return ((1 + 3 * mask) * ((out - video).abs() + 2 * (out - video).square())).mean()


def rate_at(step: int, ends: np.ndarray) -> float:
    """Share of the highest rate: a cosine over the first phases, and a small one that falls to 0 over the last."""
    if step >= ends[-2]:
        return 0.2 * float((ends[-1] - step) / (ends[-1] - ends[-2]))
    return min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / ends[-2]))


def train(path: Path, rate=3e-3, device="cpu", log=print) -> AutoencoderKLWan:
    """Train through the phases; goes on with what `path` holds, and leaves the state there."""
    ends = np.cumsum([phase.steps for phase in PHASES])
    steps = int(ends[-1])
    torch.manual_seed(0)
    vae = make_vae().to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    done = 0
    if path.exists():
        state = torch.load(path, map_location=device)
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
    rng, begun, seen = np.random.default_rng(done), time.time(), []
    for step in range(done, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_at(step, ends)  # a plain number: it is saved
        phase = PHASES[int(np.searchsorted(ends, step, side="right"))]
        video, mask = (x.to(device) for x in crops(rng, phase.batch, frames=phase.frames))
        latents = encode(vae, video)
        noisy = latents + NOISE * torch.randn_like(latents)
        out, smaller = decode(vae, noisy), 1 + step % (STAGES - 1)
        loss = difference(out, video, mask) + 1e-3 * latents.square().mean()
        shown = difference(decode(vae, halved(noisy, smaller)), halved(video, smaller), halved(mask, smaller))
        loss += SMALLER * shown
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        seen.append(F.mse_loss(out, video).item() / 4)
        if (step + 1) % 100 == 0:
            psnr = -10 * math.log10(np.mean(seen))
            log(f"vae {step + 1}/{steps}: PSNR {psnr:.1f} dB, latents {latents.std():.2f}, {time.time() - begun:.0f} s")
            seen.clear()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            save_state({"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, path)
    return vae
