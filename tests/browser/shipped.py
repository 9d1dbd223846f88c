"""The workflows that come with the pack, and tiny models under the names that they ask for."""

import json
import shutil
import time
from functools import cache

import torch
from PIL import Image

from checkpoints import write_tiny_wan_vae
from comfy_server import PACK, ComfyServer
from helios_core import HistoryMemory
from helios_core.media.video import VideoWriter
from oracle import SMALL, models

ALL_WORKFLOWS = {path.stem: path for path in sorted((PACK / "workflows").glob("*.json"))}
NEWER = {"Helios - Upscale a Film"}  # of nodes that only newer hosts have
WORKFLOWS = {name: path for name, path in ALL_WORKFLOWS.items() if name not in NEWER}
DEMO = "Helios Demo - "  # how their names begin
DEMO_INPUTS = sorted((PACK / "web" / "demo").iterdir())
TEXT_WIDTH = SMALL["text_dim"]


def shipped(name: str) -> dict:
    return json.loads(ALL_WORKFLOWS[name].read_text(encoding="utf-8"))


@cache
def install_models(server: ComfyServer) -> None:
    """Small random transformers in sharded diffusers folders, a small VAE, and a text encoder that is only a name; a
    picture, a video, those of the demo, and the memory of a film of three chunks; other models are only names.

    Sizes are fixed in ComfyUI's UMT5, so that it cannot be had small. Waits until the server has seen them all.
    """
    for variant in ("Base", "Mid", "Distilled"):
        folder = server.models_dir / "diffusion_models" / f"Helios-{variant}" / "transformer"
        models()[0].save_pretrained(folder, max_shard_size="100KB")
        assert len(list(folder.glob("*-of-*.safetensors"))) > 1 and len(list(folder.glob("*.index.json"))) == 1
    write_tiny_wan_vae(server.models_dir / "vae" / "wan_2.1_vae.safetensors")
    Image.new("RGB", (320, 200), "#5a7a9a").save(server.input_dir / "example.png")
    for file in DEMO_INPUTS:
        shutil.copy(file, server.input_dir)
    with VideoWriter(server.input_dir / "your_video.mp4") as video:
        video.write(torch.rand(45, 64, 96, 3, generator=torch.Generator().manual_seed(0)))
    folder = server.output_dir / "helios"
    folder.mkdir(exist_ok=True)
    for name, height, width in (("film", 8, 8), ("demo", 16, 24)):
        frames = torch.randn(1, 16, 19, height, width, generator=torch.Generator().manual_seed(0))
        memory = HistoryMemory(
            frames, frames[:, :, :1], chunk=3, seed=42, variant="distilled", log=({"prompt": "the fox"},)
        )
        memory.save(folder / f"{name}_00001_.safetensors")
    text_encoder = server.models_dir / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
    others = "diffusion_models/seedvr2_3b_int8_convrot", "vae/seedvr2_ema_vae_fp16", "frame_interpolation/film_net_fp16"
    for file in (text_encoder, *(server.models_dir / f"{other}.safetensors" for other in others)):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    end = time.monotonic() + 10
    while {text_encoder.name, "wan_2.1_vae.safetensors"} - {
        *server.get("/models/text_encoders").json(),
        *server.get("/models/vae").json(),
    }:
        assert time.monotonic() < end, "the server does not list the models"
        time.sleep(0.1)
