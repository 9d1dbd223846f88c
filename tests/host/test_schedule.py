"""Prompts over time inside ComfyUI: one error at its widget, and only what changed is encoded again."""

import pytest
import torch

from comfy_server import PromptRejected
from models import Graph

ENCODED = "a text was encoded"


def refused(server, schedule, fps=24.0):
    """The errors that the server answers with, each node's."""
    graph = Graph(server)
    clip = graph.add("TestTinyCLIPLoader", width=32)
    fps = graph.add("PrimitiveFloat", value=30.0) if fps == "linked" else fps
    text = graph.add("HeliosPromptSchedule", clip=clip, schedule=schedule, fps=fps)
    graph.save(graph.sample(graph.load(), schedule=text))
    with pytest.raises(PromptRejected) as rejected:
        server.queue(graph)
    return {node: entry["errors"] for node, entry in rejected.value.node_errors.items()}


@pytest.mark.parametrize(
    "schedule, fps, input_name, details",
    [
        ("0: a\n2 fade 3: b", 24.0, "schedule", "line 2: “fade 3” is no transition"),
        ("0: a\n1.5s: b\n2: c", 24.0, "schedule", "line 3: “2” begins at chunk 2 (2.75 s)"),
        ("0: a\n1.5s: b\n2: c", 30.0, "schedule", "line 3: “2” begins at chunk 2 (2.20 s)"),
        ("0: a\n4 fade: b", "linked", "schedule", "line 2: “fade” is no transition"),
        (7, 24.0, "schedule", "line 1: “7” is not “start: prompt”"),
        (None, 24.0, "schedule", "line 1: no start found in “None”"),
        ({"0": "a"}, 24.0, "schedule", "line 1: no start found in “{'0': 'a'}”"),
        ("0: half an emoji \ud83d", 24.0, "schedule", "line 1: half of a character"),
        ("0: a", 0.5, "fps", "fps"),
        ("0: a", 121.0, "fps", "fps"),
        ("0: a", "fast", "fps", "could not convert string to float"),
    ],
)
def test_one_error_at_its_widget(any_server, schedule, fps, input_name, details):
    ((node, (error,)),) = refused(any_server, schedule, fps).items()
    assert node.endswith("HeliosPromptSchedule")
    assert error["extra_info"]["input_name"] == input_name and details in error["details"]


def test_what_hangs_on_a_linked_rate_is_not_refused_before_it_is_known(server):
    graph = Graph(server)
    clip, rate = graph.add("TestTinyCLIPLoader", width=32), graph.add("PrimitiveFloat", value=60.0)
    schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule="0: a\n1.5s: b\n2: c", fps=rate)  # 1.5s is chunk 3
    graph.save(graph.sample(graph.load(), schedule=schedule))
    graph.run()


def test_only_changed_prompts_are_encoded(any_server):
    def run(*prompts, layer=None):
        graph = Graph(any_server)
        clip = graph.add("TestTinyCLIPLoader", width=32)
        if layer:
            clip = graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=layer)
        text = "\n".join(f"{i}: {prompt}" for i, prompt in enumerate(prompts))
        schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule=text, fps=24.0)
        saved = graph.save(graph.sample(graph.load(), schedule=schedule, length=99))
        seen = any_server.log().count(ENCODED)
        graph.run()
        return any_server.log().count(ENCODED) - seen, saved.raw

    count, first = run("a sea", "a storm", "a sea")
    assert count == 2  # the same text once
    assert run("a sea", "a storm", "a calm")[0] == 1
    count, again = run("a sea", "a storm", "a sea ")
    assert count == 0 and torch.equal(first, again)
    assert run("a sea", "a (storm:1.5)", "a calm")[0] == 1
    assert run("a sea", "a storm", layer=-2)[0] == 2  # another CLIP


def test_a_picture_is_encoded_once(server):
    frames = torch.rand(1, 64, 128, 3, generator=torch.Generator().manual_seed(7))

    def run(prompt, start, picture=frames, resize="crop"):
        graph = Graph(server)
        clip = graph.add("TestTinyCLIPLoader", width=32)
        schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule=f"0: {prompt}", fps=24.0)
        vae = graph.add("TestCountingVAE", vae=graph.vae())
        settings = dict(start=start, transition="cut", blend_chunks=3, resize=resize)
        image = graph.images(picture)
        schedule = graph.add("HeliosKeyframe", schedule=schedule, vae=vae, image=image, **settings)
        graph.save(graph.sample(graph.load(), schedule=schedule))
        seen = server.log().count("a picture was encoded")
        graph.run()
        return server.log().count("a picture was encoded") > seen

    assert run("a sea", 1)
    assert not run("a storm", 1) and not run("a storm", 0)
    assert run("a storm", 0, picture=1 - frames)
    assert run("a storm", 0, resize="pad")
