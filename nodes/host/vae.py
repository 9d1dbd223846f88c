"""Pictures in and latents out, and back: the host's VAE, a window of 33 frames at a time."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import comfy.latent_formats
import comfy.model_management as mm
import torch
import torch.nn.functional as F

from ...helios_core import HistoryMemory
from ...helios_core.film import beginning
from ...helios_core.media.frames import VideoEnds, fit_frames
from ...helios_core.network.config import CHUNK_FRAMES, CHUNK_LATENTS
from .video_input import ends

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tiling:
    """How a VAE decodes: "on", "off", or "auto" where a whole frame would not fit; size and overlap in pixels."""

    mode: str = "auto"
    size: int = 256
    overlap: int = 64


def decode(
    vae, latents: torch.Tensor, tiling: Tiling, show: Callable[[torch.Tensor, torch.Tensor], None] = lambda *_: None
) -> Iterator[torch.Tensor]:
    """Raw latents (B, 16, 9k, H/8, W/8) -> frames (33, H, W, 3) in 0..1 of each chunk, decoded on its own.

    `show` gets each chunk's latents (1, 16, 9, H/8, W/8) and its frames.
    """
    if latents.ndim != 5 or latents.shape[2] % CHUNK_LATENTS:
        raise ValueError(
            f"samples: latents of shape {tuple(latents.shape)} are not Helios chunks (B, 16, a multiple of 9, H, W); "
            "connect Helios Chunk Sampler, or decode them with VAE Decode."
        )
    check_vae(vae)
    for film in latents.split(1):
        for chunk in film.split(CHUNK_LATENTS, dim=2):
            mm.throw_exception_if_processing_interrupted()
            if tiling.mode == "on" or tiling.mode == "auto" and not decoding_fits(vae, chunk.shape):
                overlap = min(tiling.overlap, tiling.size // 4)
                tile = tiling.size // 8
                pixels = vae.decode_tiled(chunk, tile_x=tile, tile_y=tile, overlap=overlap // 8)
            else:
                pixels = vae.decode(chunk)
            pixels = pixels.reshape(-1, *pixels.shape[-3:])
            if len(pixels) != CHUNK_FRAMES:
                raise ValueError(f"vae: {len(pixels)} frames came of a chunk, not 33; choose the Wan 2.1 VAE.")
            show(chunk, pixels)
            yield pixels


def check_vae(vae) -> None:
    """Before it fails in torch's words."""
    channels = getattr(vae, "latent_channels", 16)
    if channels != 16:
        raise ValueError(f"vae: this VAE's latents have {channels} channels, Helios' have 16; choose the Wan 2.1 VAE.")


def decoding_fits(vae, shape) -> bool:
    return vae.memory_used_decode(shape, vae.vae_dtype) < mm.get_total_memory(vae.device)


def encode(vae, frames: torch.Tensor) -> torch.Tensor:
    """Frames (1 or 33, H, W, 3) in 0..1 -> latents (1, 16, 1 or 9, H/8, W/8) in model space."""
    mm.throw_exception_if_processing_interrupted()
    check_vae(vae)
    latents = vae.encode(frames)
    wanted = 1, 16, 1 + (len(frames) - 1) // 4, frames.shape[1] // 8, frames.shape[2] // 8
    if tuple(latents.shape) != wanted:
        raise ValueError(f"vae: latents of shape {tuple(latents.shape)}, not {wanted}; choose the Wan 2.1 VAE.")
    return comfy.latent_formats.Wan21().process_in(latents.float().cpu())


def encode_image(vae, image: torch.Tensor, width: int, height: int, resize: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture (1, H, W, C) as a film begins with it: its own latent, and the last of a clip that repeats it."""
    check_picture(image)
    frame = fit_frames(image, width, height, resize)
    return beginning.encode_image(partial(encode, vae), frame)


def check_picture(image: torch.Tensor) -> None:
    if len(image) != 1:
        raise ValueError(f"image: {len(image)} pictures came, one is needed; frames of a clip make a video.")
    check_finite("image", image)


def check_finite(name: str, frames: torch.Tensor) -> None:
    if not frames.isfinite().all():
        raise ValueError(f"{name}: there are pixels that are no numbers (NaN or infinity); look at the node before.")


def encode_video(
    vae, video, width: int, height: int, resize: str, fps: float | None = None
) -> tuple[torch.Tensor, torch.Tensor, VideoEnds]:
    """A VIDEO or a batch of pictures -> its first frame's latent, its last windows' (three at the most), and what was
    found in it. `fps` resamples it; None takes every frame once."""
    found = ends(video, lambda frames: fit_frames(frames, width, height, resize), fps)
    if not found.windows:
        raise ValueError(f"video: it has {found.count} frames, and {CHUNK_FRAMES} or more are needed to continue it.")
    for frames in (found.first, *found.windows):
        check_finite("video", frames)
    return *beginning.encode_video(partial(encode, vae), found.first, found.windows), found


def memory_picture(memory: HistoryMemory, vae=None, say: Callable[[str], None] = log.warning) -> torch.Tensor:
    """The newest frame that a memory holds (1, H, W, 3): decoded, or a rough one without a VAE.

    Where the VAE fails it is rough too, and `say` is told why: no film is lost for its thumbnail.
    """
    newest, latest = memory.frames[:1], memory.anchor

    def rough() -> torch.Tensor:
        return latent_pictures(newest[:, :, -1:], comfy.latent_formats.Wan21(), 8)  # another VAE's colours are false

    if vae is None or latest is None:
        return rough()
    if newest[:, :, -CHUNK_LATENTS].any():  # a whole chunk; after a picture only the last latent is filled
        latest = newest[:, :, -CHUNK_LATENTS:]
    try:
        check_vae(vae)
        pixels = vae.decode(comfy.latent_formats.Wan21().process_out(latest[:1].float().cpu()))
    except mm.InterruptProcessingException:
        raise
    except Exception as error:
        say(f"The thumbnail is rough, since the VAE could not decode it ({error}).")
        return rough()
    return pixels.reshape(-1, *pixels.shape[-3:])[-1:]


def latent_pictures(latents: torch.Tensor, latent_format, scale: int) -> torch.Tensor | None:
    """Latents (B, 16, T, h, w) in model space -> rough pictures (T, h * scale, w * scale, 3) in 0..1 of the first film.

    In the colours that the host previews a model's latents in, another VAE's come out false; None where it has none.
    """
    if getattr(latent_format, "latent_rgb_factors", None) is None:
        return None
    factors, bias = torch.tensor(latent_format.latent_rgb_factors), latent_format.latent_rgb_factors_bias
    rgb = latents[0].float().cpu().movedim(0, -1) @ factors + (0 if bias is None else torch.tensor(bias))
    rgb = F.interpolate(rgb.movedim(-1, 1), scale_factor=scale, mode="bilinear").movedim(1, -1)
    return ((rgb + 1) / 2).clamp(0, 1)
