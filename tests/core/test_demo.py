"""The demo that ships: its files, and what the command line makes with them when nothing else is asked."""

import json
import re
from pathlib import Path

import av
import numpy as np
from PIL import Image

from helios_core import load_checkpoint
from helios_core.command.download import checksum
from helios_core.command.main import main
from helios_core.film.schedule_text import parse_schedule
from helios_core.network.checkpoint import read_safetensors
from seen import Sight, seen

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"


def test_the_files_are_small_and_in_the_real_layouts():
    """diffusers' folder, Wan's own VAE, a UMT5 as ComfyUI has it, with its tokenizer."""
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 12_000_000
    assert json.loads((DEMO / "transformer" / "config.json").read_text())["_class_name"] == "HeliosTransformer3DModel"
    config = load_checkpoint(DEMO).config
    text, vae = (read_safetensors(DEMO / f"{name}.safetensors")[0] for name in ("text_encoder", "vae"))
    assert text["shared.weight"].shape[1] == config.text_dim and "spiece_model" in text
    assert {"encoder.conv1.weight", "decoder.head.2.weight", "conv2.weight"} < set(vae)


def test_a_prompt_is_all_it_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "A large red star moves right on a navy background.", "--length", "1s"]) == 0
    with av.open("helios.mp4") as film:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]) / 255
    assert seen(frames) == Sight("navy", (("red", "star", "right"),))


def test_what_was_measured_ships():
    """The evaluation is of these files, its pictures are there, and its figures are as good as they have to be."""
    page = (DEMO / "EVAL.md").read_text("utf-8")
    for path in DEMO.rglob("*.safetensors"):
        assert f"{path.name} {checksum(path)[:12]}" in page
    for name in re.findall(r"\]\((.+\.png)\)", page):
        with Image.open(DEMO / name) as picture:
            picture.verify()
    found_in = tables(page)
    without = [rows.get("Distilled, without memory") for rows in found_in]
    for way in ("Base", "Distilled"):
        prompts, cuts, blends, pictures, videos, minute = (rows[way] for rows in found_in)
        assert prompts["ground"] >= 0.95 and prompts["colour"] >= 0.95
        assert prompts["shape"] >= 0.85 and prompts["motion"] >= 0.8
        assert cuts["ground and colour"] >= 0.9 and cuts["shape"] >= 0.8
        assert blends["chunk 2"] < 0.2 < blends["chunk 3"] < 0.8 < blends["chunk 4"] and blends["between"] >= 0.6
        assert pictures["PSNR, dB"] > without[3]["PSNR, dB"] + 3 and pictures["ground and colour of chunk 5"] >= 0.9
        assert videos["goes on"] >= 0.8
        for found, blind in ((pictures, without[3]), (videos, without[4])):
            assert found["begins there"] >= 0.8
            assert found["pixels off"] < min(blind["pixels off"], found["a guess"]) / 2
        assert minute["thing's drift"] < 0.05 and minute["chunks with the thing"] == 1
        assert minute["usual jump, pixels"] < 8 < without[5]["usual jump, pixels"]
    assert "](demo/eval/film.png)" in (ROOT / "README.md").read_text("utf-8")


def tables(page: str) -> list[dict[str, dict[str, float]]]:
    """{row: {column: number}} of each table in Markdown."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", page, re.M):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()]
        found.append({row[0]: dict(zip(head[1:], map(float, row[1:]))) for row in rows})
    return found


def test_the_first_film_is_the_workflows_too():
    """`make demo` and the workflow of prompts over time tell the same story."""
    workflow = json.loads((ROOT / "workflows" / "Helios Demo - Prompt Schedule Film.json").read_text("utf-8"))
    (node,) = [node for node in workflow["nodes"] if node["type"] == "HeliosPromptSchedule"]
    film = parse_schedule((DEMO / "film.txt").read_text("utf-8"))
    assert parse_schedule(node["widgets_values"][0]) == film
    assert film.segments[1].blend == 0 and film.segments[2].blend > 1  # a cut and a blend
