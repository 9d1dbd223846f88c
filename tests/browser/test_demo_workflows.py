"""The demo's workflows as they ship, in the real ComfyUI, through the real frontend: what is asked is seen."""

import re

import av
import numpy as np
import pytest

from helios_core import HistoryMemory
from seen import distance, seen
from shipped import DEMO, WORKFLOWS
from test_run_workflow import SAMPLER, alike, picture, prepared, run_prompt
from training.world import COLOURS, GROUNDS, SHAPES

pytestmark = pytest.mark.usefixtures("shipped_models")
SMALLER = {"Text to Video (Base)": {SAMPLER: {"length": 33}}}


def asked(text: str) -> tuple[str, str, str]:
    """(ground, colour, shape) of a prompt about one thing."""
    words = re.findall("[a-z]+", text.lower())
    return tuple(next(word for word in words if word in known) for known in (GROUNDS, COLOURS, SHAPES))


def shown(frames: np.ndarray) -> tuple[str, ...]:
    return seen(frames / 255).still


def film_of(server, page, name, nodes=None) -> tuple[np.ndarray, dict, dict]:
    """`run_demo` of a workflow as it ships, shorter where it would take long."""
    return run_demo(server, prepared(page, DEMO + name, size=None, nodes=nodes or SMALLER.get(name)))


def run_demo(server, prompt) -> tuple[np.ndarray, dict, dict]:
    """The frames in the saved mp4, what was queued, and all outputs."""
    found, outputs = run_prompt(server, prompt)
    ((file, frames),) = found.items()
    assert file.startswith("Helios demo") and frames.shape[1:] == (128, 192, 3)
    return frames, prompt, outputs


def positive(prompt: dict) -> str:
    """The prompt of the last sampler."""
    sampler = [node["inputs"] for node in prompt.values() if node["class_type"] == "HeliosChunkSampler"][-1]
    return prompt[sampler["positive"][0]]["inputs"]["text"]


def lines_of(prompt: dict) -> list[str]:
    """The prompts of the schedule."""
    (text,) = [node["inputs"]["schedule"] for node in prompt.values() if node["class_type"] == "HeliosPromptSchedule"]
    return [line for line in text.splitlines() if line[:1].isdigit()]


@pytest.mark.parametrize("name", ["Text to Video", "Text to Video (Base)"])
def test_the_prompt_is_seen(server, page, name):
    """In the first chunk, and in the last."""
    frames, prompt, _ = film_of(server, page, name)
    assert shown(frames[:33]) == shown(frames[-33:]) == asked(positive(prompt))


@pytest.mark.parametrize(("kind", "file"), [("image", "helios_demo_triangle.png"), ("video", "helios_demo_bar.mp4")])
def test_the_beginning_is_seen(server, page, kind, file):
    """By the same prompt, the film goes on where the picture or the video has the thing."""
    frames, prompt, _ = film_of(server, page, f"{kind.title()} to Video", {SAMPLER: {"length": 66}})
    told = asked(positive(prompt))
    assert shown(frames[:33]) == shown(frames[-33:]) == told
    with av.open(str(server.input_dir / file)) as video:
        *_, given = (frame.to_ndarray(format="rgb24") for frame in video.decode(video=0))
    assert distance(given / 255, frames[0] / 255, told[1]) < 8


def test_prompt_schedule_film(server, page):
    frames, prompt, _ = film_of(server, page, "Prompt Schedule Film")
    lines = lines_of(prompt)
    assert len(frames) == 297
    assert [line.split(":")[0] for line in lines] == ["0", "3 cut", "5 blend 3", "8 cut"]
    for line, chunk in zip(lines, (2, 3, 7, 8)):  # each where it is said at its fullest
        assert shown(frames[33 * chunk :][:33]) == asked(line)


def test_extend_a_film(server, page):
    """After the film of Text to Video."""
    folder = server.output_dir / "helios"
    before = set(folder.glob("demo_*.safetensors"))
    film_of(server, page, "Text to Video", {SAMPLER: {"seed": 1, "length": 33}})
    (file,) = set(folder.glob("demo_*.safetensors")) - before
    nodes = {"Helios Load Memory": {"memory_file": f"helios/{file.name} [output]"}}
    frames, prompt, _ = film_of(server, page, "Extend a Film", nodes)
    assert shown(frames[-33:]) == asked(positive(prompt))
    (after,) = set(folder.glob("demo_*.safetensors")) - before - {file}
    memory, _ = HistoryMemory.load(after)
    assert memory.chunk == len(memory.log) == 3


def test_keyframes(server, page):
    frames, prompt, outputs = film_of(server, page, "Keyframes", {SAMPLER: {"length": 297}})
    for line, chunk in zip(lines_of(prompt), (2, 4, 8)):
        assert shown(frames[33 * chunk :][:33]) == asked(line)
    with picture(server, outputs, prompt, "PreviewImage") as report:
        assert report.width == 1600


def test_two_endings(server, page):
    """The same beginning, and what each ending's prompt says."""
    nodes = {"Beginning: 3 chunks": {"length": 33}}
    prompt = prepared(page, DEMO + "Two Endings", size=None, nodes=nodes)
    found, _ = run_prompt(server, prompt)
    for end, frames in found.items():
        (text,) = [
            node["inputs"]["text"]
            for node in prompt.values()
            if node["_meta"]["title"] == end[-8:].replace("ending", "Ending")
        ]
        assert len(frames) == 99 and shown(frames[-33:]) == asked(text)
    assert sorted(found) == ["Helios demo ending A", "Helios demo ending B"]
    assert alike(*(frames[:33] for frames in found.values()))


def test_reroll_a_chunk(server, page):
    """Another seed for the chunk in the middle: what is before it stays."""
    nodes = {"Chunks 3 to 5": {"length": 33}}
    frames, prompt, _ = film_of(server, page, "Re-roll a Chunk", nodes)
    assert len(frames) == 132
    for line, chunk in zip(lines_of(prompt), (2, 3)):
        assert shown(frames[33 * chunk :][:33]) == asked(line)
    other, _, _ = film_of(server, page, "Re-roll a Chunk", {**nodes, "Chunk 2: re-roll its seed": {"seed": 8}})
    assert alike(frames[:66], other[:66]) and not alike(frames[66:99], other[66:99])


def test_long_film_to_disk(server, page):
    frames, prompt, outputs = film_of(server, page, "Long Film to Disk", {"Helios Sample to Video": {"length": 66}})
    assert len(frames) == 66 and shown(frames[33:]) == asked(lines_of(prompt)[0])
    with picture(server, outputs, prompt, "SaveImage") as report:
        assert report.width == 1600


def test_all_are_tested():
    named = {"Text to Video", "Text to Video (Base)", "Image to Video", "Video to Video"}
    named |= {"Prompt Schedule Film", "Extend a Film", "Keyframes", "Two Endings", "Re-roll a Chunk"}
    named |= {"Long Film to Disk"}
    assert {name.removeprefix(DEMO) for name in WORKFLOWS if name.startswith(DEMO)} == named
