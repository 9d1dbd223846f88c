"""Shipped workflows run in the real ComfyUI, from checkpoint files on disk to an mp4.

They are converted by the real frontend. Replaced is only what cannot be had here: UMT5-XXL by a text encoder without
weights, and the size of the film, 640x384, by one that a CPU makes in seconds. The weights are random and small, so the
pictures are noise; what counts is that there are as many as asked, of the size asked, and that they move. Those with a
version for the demo are the same graphs, and test_demo_workflows.py runs that.
"""

import io

import av
import numpy as np
import pytest
from PIL import Image

from browser import api_prompt, load_workflow
from shipped import TEXT_WIDTH, shipped

pytestmark = pytest.mark.usefixtures("shipped_models")


def prepared(page, name, size=(64, 64), nodes=None) -> dict:
    """A workflow as the frontend would queue it, small unless `size` is None; `nodes` are inputs to change, by the
    titles of nodes.

    Nothing is kept from run to run: the tests would find each other's chunks.
    """
    load_workflow(page, shipped(name))
    prompt = api_prompt(page)
    for node in prompt.values():
        inputs, kind, title = node["inputs"], node["class_type"], node["_meta"]["title"]
        if kind == "CLIPLoader":
            node.update(class_type="TestTinyCLIPLoader", inputs={"width": TEXT_WIDTH})
        elif kind == "HeliosHistoryMemory" and size:
            inputs.update(width=size[0], height=size[1])
        elif kind in ("HeliosChunkSampler", "HeliosSampleToVideo"):
            inputs.update(autosave=False)
        inputs.update((nodes or {}).get(title, {}))
    assert not set(nodes or {}) - {node["_meta"]["title"] for node in prompt.values()}
    return prompt


def run_prompt(server, prompt) -> tuple[dict[str, np.ndarray], dict]:
    """The frames (N, H, W, 3) of the videos that a prompt saves, by the beginnings of their names; all its outputs."""
    found, outputs = {}, server.run(prompt, timeout=300)["outputs"]
    for output in outputs.values():
        for file in output.get("images", ()):
            if file["filename"].endswith(".mp4"):
                assert file["subfolder"] == "video"
                with av.open(io.BytesIO(server.view(file))) as video:
                    assert video.streams.video[0].average_rate == 24
                    frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
                found[file["filename"].rsplit("_", 2)[0]] = np.stack(frames)
    return found, outputs


def videos(server, prompt) -> dict[str, np.ndarray]:
    return run_prompt(server, prompt)[0]


def run(server, page, name, size, **sampler) -> np.ndarray:
    """The frames of the only video of a workflow with one sampler."""
    (frames,) = videos(server, prepared(page, name, size, {SAMPLER: sampler})).values()
    return frames


SAMPLER = "Helios Chunk Sampler"


def check_moves(frames):
    """Every picture has content, and is not the one before."""
    frames = frames.astype(np.float32)
    assert frames.std(axis=(1, 2, 3)).min() > 5
    assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).min() > 0.5


def alike(a, b) -> bool:
    """The same pictures but for the encoder, which looks ahead to frames that differ."""
    return np.abs(a.astype(np.float32) - b).mean() < 2


def test_distilled(server, page):
    frames = run(server, page, "Helios - Text to Video (Distilled)", (128, 64))
    assert frames.shape == (99, 64, 128, 3)
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


def picture(server, outputs, prompt, kind) -> Image.Image:
    (key,) = [key for key, node in prompt.items() if node["class_type"] == kind]
    (file,) = outputs[key]["images"]
    return Image.open(io.BytesIO(server.view(file)))
