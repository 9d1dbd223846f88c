"""Shipped workflows run in the real ComfyUI, from checkpoint files on disk to an mp4.

They are converted by the real frontend. Replaced is only what cannot be had here: UMT5-XXL by a text encoder without
weights, and the size of the film, 640x384, by one that a CPU makes in seconds. The weights are random and small, so the
pictures are noise; what counts is that there are as many as asked, of the size asked, and that they move.
"""

import io

import av
import numpy as np
import pytest
from PIL import Image

from browser import api_prompt, load_workflow
from helios_core import HistoryMemory
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


def test_image_to_video(server, page):
    """Another picture makes another film."""
    films = []
    for colour in ("#5a7a9a", "#d02010"):
        Image.new("RGB", (320, 200), colour).save(server.input_dir / "example.png")
        films.append(run(server, page, "Helios - Image to Video", (128, 64), length=66))
        check_moves(films[-1])
    assert films[0].shape == films[1].shape == (66, 64, 128, 3) and not alike(*films)
    Image.new("RGB", (320, 200), "#5a7a9a").save(server.input_dir / "example.png")


def test_video_to_video(server, page):
    frames = run(server, page, "Helios - Video to Video", (128, 64), length=33)
    assert frames.shape == (33, 64, 128, 3)
    check_moves(frames)


def test_extend_a_film(server, page):
    """Chunks 3 and 4 of a film of three; the memory after them counts five."""
    before = set((server.output_dir / "helios").glob("film_*.safetensors"))
    nodes = {"Helios Load Memory": {"memory_file": "helios/film_00001_.safetensors [output]"}}
    (frames,) = videos(server, prepared(page, "Helios - Extend a Film", None, nodes)).values()
    assert frames.shape == (66, 64, 64, 3)
    check_moves(frames)
    (file,) = set((server.output_dir / "helios").glob("film_*.safetensors")) - before
    memory, notes = HistoryMemory.load(file)
    assert memory.chunk == 5 and memory.log[0]["prompt"] == "the fox" and len(memory.log) == 3


def test_two_endings(server, page):
    """The same beginning, and then not."""
    nodes = {
        "Beginning: 3 chunks": {"length": 66},
        "Ending A: 2 chunks": {"length": 33},
        "Ending B: 2 chunks": {"length": 33},
    }
    found = videos(server, prepared(page, "Helios - Two Endings", nodes=nodes))
    a, b = found["Helios ending A"], found["Helios ending B"]
    assert a.shape == b.shape == (99, 64, 64, 3)
    check_moves(a)
    assert alike(a[:66], b[:66]) and not alike(a[66:], b[66:])


def test_reroll_a_chunk(server, page):
    """Another seed for the chunk in the middle: what is before it stays, it and what follows changes."""
    films = []
    for seed, last in ((7, 43), (8, 43), (42, 42)):
        nodes = {"Chunk 2: re-roll its seed": {"seed": seed}, "Chunks 3 to 5": {"length": 33, "seed": last}}
        (frames,) = videos(server, prepared(page, "Helios - Re-roll a Chunk", nodes=nodes)).values()
        films.append(frames)
    one, other, own = films
    assert one.shape == (132, 64, 64, 3)
    check_moves(one)
    assert alike(one[:66], other[:66]) and not alike(one[66:99], other[66:99]) and not alike(one[99:], other[99:])
    whole = prepared(page, "Helios - Prompt Schedule Film", nodes={SAMPLER: {"length": 132}})
    (whole,) = videos(server, whole).values()
    assert alike(own, whole)  # with one seed the chain is the film in one run


def picture(server, outputs, prompt, kind) -> Image.Image:
    (key,) = [key for key, node in prompt.items() if node["class_type"] == kind]
    (file,) = outputs[key]["images"]
    return Image.open(io.BytesIO(server.view(file)))


def test_keyframes(server, page):
    """Up to the first picture it is the film without pictures; the report is drawn."""
    prompt, plain = (prepared(page, "Helios - Keyframes", nodes={SAMPLER: {"length": 33 * 8}}) for _ in range(2))
    (sampler,) = [node for node in plain.values() if node["class_type"] == "HeliosChunkSampler"]
    (schedule,) = [key for key, node in plain.items() if node["class_type"] == "HeliosPromptSchedule"]
    sampler["inputs"]["schedule"] = [schedule, 0]
    films = [run_prompt(server, p) for p in (prompt, plain)]
    (frames,), (without,) = (found.values() for found, _ in films)
    assert frames.shape == without.shape == (264, 64, 64, 3)
    check_moves(frames)
    assert alike(frames[:99], without[:99]) and not alike(frames[99:132], without[99:132])
    with picture(server, films[0][1], prompt, "PreviewImage") as report:
        assert report.width == 1600 and report.height > 1000


def test_long_film_to_disk(server, page):
    nodes = {"Helios Sample to Video": {"length": 33 * 12, "steps": "1"}}
    prompt = prepared(page, "Helios - Long Film to Disk", nodes=nodes)
    found, outputs = run_prompt(server, prompt)
    assert found["Helios film"].shape == (396, 64, 64, 3)
    check_moves(found["Helios film"])
    with picture(server, outputs, prompt, "SaveImage") as report:
        assert report.width == 1600 and report.height > 1200
