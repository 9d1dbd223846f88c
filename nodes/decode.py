"""Latents to pictures."""

from comfy_api.latest import io

from . import host
from .types import ADVANCED, CATEGORY


class HeliosVAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosVAEDecode",
            display_name="Helios VAE Decode",
            category=CATEGORY,
            description="Decodes a film chunk by chunk, 9 latents to 33 frames. The stock VAE Decode takes it for one "
            "clip and gets the frames around every chunk wrong.",
            inputs=[
                io.Latent.Input("samples", tooltip="From Helios Chunk Sampler."),
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, from VAELoader."),
                io.Combo.Input(
                    "tiling",
                    options=["auto", "on", "off"],
                    default="auto",
                    tooltip="Decode in tiles: slower, with less memory. auto tiles where a whole frame would not fit.",
                ),
                io.Int.Input(
                    "tile_size",
                    default=256,
                    min=64,
                    max=4096,
                    step=32,
                    tooltip="Pixels of a tile's edge.",
                    extra_dict=ADVANCED,
                ),
                io.Int.Input(
                    "overlap",
                    default=64,
                    min=0,
                    max=4096,
                    step=32,
                    tooltip="Pixels that neighbouring tiles share, to hide the borders; at most a quarter of a tile.",
                    extra_dict=ADVANCED,
                ),
            ],
            outputs=[io.Image.Output(tooltip="All frames of the film: 33 for each chunk.")],
        )

    @classmethod
    def execute(cls, samples, vae, tiling, tile_size, overlap) -> io.NodeOutput:
        return io.NodeOutput(host.decode(vae, samples["samples"], tiling, tile_size, overlap))
