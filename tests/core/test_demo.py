"""The demo that ships: its files, and what the command line makes with them when nothing else is asked."""

import json
from pathlib import Path

import av
import numpy as np

from helios_core import load_checkpoint
from helios_core.checkpoint import read_safetensors
from helios_core.cli import main
from helios_core.prompts import parse_schedule
from seen import Sight, seen, trained

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"


@trained
def test_the_files_are_small_and_in_the_real_layouts():
    """diffusers' folder, Wan's own VAE, a UMT5 as ComfyUI has it, with its tokenizer."""
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 12_000_000
    assert json.loads((DEMO / "transformer" / "config.json").read_text())["_class_name"] == "HeliosTransformer3DModel"
    config = load_checkpoint(DEMO).config
    text, vae = (read_safetensors(DEMO / f"{name}.safetensors")[0] for name in ("text_encoder", "vae"))
    assert text["shared.weight"].shape[1] == config.text_dim and "spiece_model" in text
    assert {"encoder.conv1.weight", "decoder.head.2.weight", "conv2.weight"} < set(vae)


@trained
def test_a_prompt_is_all_it_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "A large red star moves right on a navy background.", "--length", "1s"]) == 0
    with av.open("helios.mp4") as film:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]) / 255
    assert seen(frames) == Sight("navy", (("red", "star", "right"),))


def test_the_first_film_is_the_workflows_too():
    """`make demo` and the workflow of prompts over time tell the same story."""
    workflow = json.loads((ROOT / "workflows" / "Helios Demo - Prompt Schedule Film.json").read_text("utf-8"))
    (node,) = [node for node in workflow["nodes"] if node["type"] == "HeliosPromptSchedule"]
    film = parse_schedule((DEMO / "film.txt").read_text("utf-8"))
    assert parse_schedule(node["widgets_values"][0]) == film
    assert film.segments[1].blend == 0 and film.segments[2].blend > 1  # a cut and a blend
