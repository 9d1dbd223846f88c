"""Shipped workflows run in the real ComfyUI, from checkpoint files on disk to an mp4.

They are converted by the real frontend. Replaced is only what cannot be had here: UMT5-XXL by a text encoder without
weights, and the size of the film, 640x384, by one that a CPU makes in seconds. The weights are random and small, so the
pictures are noise; what counts is that there are as many as asked, of the size asked, and that they move.
"""

import io

import av
import numpy as np
import pytest

from browser import api_prompt, load_workflow
from shipped import TEXT_WIDTH, install_models, shipped


@pytest.fixture(autouse=True)
def _models(server):
    """There before a page asks what models there are."""
    install_models(server)


def of_type(prompt, node_type):
    return next(node for node in prompt.values() if node["class_type"] == node_type)


def run(server, page, name, size, **sampler) -> np.ndarray:
    """The frames (N, H, W, 3) of the video that a workflow saves."""
    load_workflow(page, shipped(name))
    prompt = api_prompt(page)
    of_type(prompt, "CLIPLoader").update(class_type="TestTinyCLIPLoader", inputs={"width": TEXT_WIDTH})
    of_type(prompt, "HeliosHistoryMemory")["inputs"].update(width=size[0], height=size[1])
    of_type(prompt, "HeliosChunkSampler")["inputs"].update(sampler)
    outputs = server.run(prompt, timeout=300)["outputs"].values()
    (file,) = [file for output in outputs for file in output.get("images", ())]
    assert file["filename"].endswith(".mp4") and file["subfolder"] == "video"
    with av.open(io.BytesIO(server.view(file))) as video:
        assert video.streams.video[0].average_rate == 24
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def check_moves(frames):
    """Every picture has content, and is not the one before."""
    frames = frames.astype(np.float32)
    assert frames.std(axis=(1, 2, 3)).min() > 5
    assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).min() > 0.5


def test_distilled(server, page):
    frames = run(server, page, "Helios - Text to Video (Distilled)", (128, 64))
    assert frames.shape == (99, 64, 128, 3)
    check_moves(frames)


def test_prompt_schedule_film(server, page):
    """All 15 chunks."""
    frames = run(server, page, "Helios - Prompt Schedule Film", (64, 64))
    assert frames.shape == (495, 64, 64, 3)
    check_moves(frames)


def test_8_gb(server, page):
    """fp8 weights, and a picture of more than one tile."""
    frames = run(server, page, "Helios - Text to Video (8 GB)", (320, 64), length=66)
    assert frames.shape == (66, 64, 320, 3)
    check_moves(frames)


@pytest.mark.parametrize(("variant", "steps"), [("Base", "2"), ("Mid", "2,2,2")])
def test_with_guidance(server, page, variant, steps):
    """The workflows with a negative prompt, with fewer steps and chunks."""
    frames = run(server, page, f"Helios - Text to Video ({variant})", (128, 64), length=33, steps=steps)
    assert frames.shape == (33, 64, 128, 3)
    check_moves(frames)
