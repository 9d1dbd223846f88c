"""Latents to pictures."""

import logging

import torch
from comfy_api.latest import io

from ..helios_core.media.seams import SeamSmoother
from ..helios_core.network.config import CHUNK_FRAMES, CHUNK_LATENTS
from . import host
from .limits import within_limits
from .types import CATEGORY, smooth_input, tiling_inputs

log = logging.getLogger(__name__)


@within_limits
class HeliosVAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosVAEDecode",
            display_name="Helios VAE Decode",
            category=CATEGORY,
            search_aliases=["decode video", "latent to frames", "wan vae decode"],
            description="Decodes a film chunk by chunk: 9 latents become 33 frames. ComfyUI's VAE Decode takes the "
            "film for one clip, and its frames are wrong around every seam.",
            inputs=[
                io.Latent.Input("samples", tooltip="From Helios Chunk Sampler."),
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, from Load VAE."),
                *tiling_inputs(),
                smooth_input(),
            ],
            outputs=[io.Image.Output(tooltip="All frames of the film, 33 for each chunk.")],
        )

    @classmethod
    def execute(cls, samples, vae, tiling, tile_size, overlap, smooth_seams=False) -> io.NodeOutput:
        latents, frames = samples["samples"], None
        if latents.shape[2] > CHUNK_LATENTS and "helios_chunk_frames" not in samples:
            log.warning("samples: these may be no Helios chunks. For one clip of another model use VAE Decode.")
        with host.decoded_thumbnails(samples) as show:
            for k, pixels in enumerate(host.decode(vae, latents, host.Tiling(tiling, tile_size, overlap), show)):
                if frames is None:
                    per_film = latents.shape[2] // CHUNK_LATENTS
                    frames = torch.empty(len(latents) * per_film * CHUNK_FRAMES, *pixels.shape[1:], dtype=pixels.dtype)
                if k % per_film == 0:
                    smoother = SeamSmoother()
                frames[k * CHUNK_FRAMES :][:CHUNK_FRAMES] = smoother.smooth(pixels) if smooth_seams else pixels
        return io.NodeOutput(frames)
