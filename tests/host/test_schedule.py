"""Prompts, pictures and seeds over time in ComfyUI: one error at its widget, and only what changed is made again."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from comfy_server import ExecutionFailed, PromptRejected
from models import Graph

ENCODED = "a text was encoded"


def paint(path, seed, height=64, width=128, alpha=False):
    """A picture of smooth random colours, or with noise in its transparency too."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 6, 4 if alpha else 3), np.uint8))
    path.parent.mkdir(exist_ok=True)
    coarse.resize((width, height), Image.Resampling.BILINEAR).save(path)


def add_schedule(graph, text, vae=True, fps=24.0):
    """A Helios Prompt Schedule with the tiny text encoder."""
    inputs = {"vae": graph.vae()} if vae else {}
    return graph.add(
        "HeliosPromptSchedule", clip=graph.add("TestTinyCLIPLoader", width=32), schedule=text, fps=fps, **inputs
    )


def refused(server, schedule, fps=24.0, vae=False):
    """The errors that the server answers with, each node's."""
    graph = Graph(server)
    fps = graph.add("PrimitiveFloat", value=30.0) if fps == "linked" else fps
    text = add_schedule(graph, schedule, vae, fps)
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


def test_what_a_text_has_and_what_nodes_have(server):
    """Pictures, seeds and prompts make the same film from one text, and from nodes after a part of it."""
    paint(server.input_dir / "sub" / "tall.png", 1, 90, 50)
    paint(server.output_dir / "clear.png", 2, alpha=True)

    def film(schedule):
        graph = Graph(server)
        schedule = add_schedule(graph, schedule) if isinstance(schedule, str) else schedule(graph)
        saved = graph.save(graph.sample(graph.load(), schedule=schedule, length=132))
        graph.run()
        return saved.raw

    begin = "0: a sea\n1 seed 5\n1 image blend 2: sub/tall.png\n"

    def of_nodes(graph):
        words = graph.add("CLIPTextEncode", clip=graph.add("TestTinyCLIPLoader", width=32), text="a storm")
        added = dict(start=2, transition="cut", blend_chunks=3, schedule=add_schedule(graph, begin))
        schedule = graph.add("HeliosPromptSegment", conditioning=words, **added)
        picture = dict(vae=graph.vae(), image=graph.add("LoadImage", image="clear.png [output]"))
        return graph.add("HeliosKeyframe", **{**added, "schedule": schedule, "start": 3}, **picture)

    whole = film(begin + "2: a storm\n3 image: clear.png [output]")
    assert torch.equal(whole, film(of_nodes))
    plain, seeded = film("0: a sea"), film("0: a sea\n1 seed 5")
    for a, b, same in ((plain, seeded, 1), (seeded, whole, 2)):  # a blend's first chunk does not know the picture
        assert torch.equal(a[:, :, : 9 * same], b[:, :, : 9 * same])
        assert not any(torch.equal(x, y) for x, y in list(zip(a.split(9, 2), b.split(9, 2)))[same:])


def test_a_film_in_two_parts(server):
    """By two samplers with one schedule: the seed and the picture from before the second one's chunks count there."""
    paint(server.input_dir / "half.png", 3)
    graph = Graph(server)
    film = dict(schedule=add_schedule(graph, "0: a sea\n1 seed 5\n1 image blend 4: half.png\n3: a storm"))
    model = graph.load()
    whole = graph.save(graph.sample(model, **film, length=132))
    parts = graph.sample(model, **film, length=66), graph.sample_to_video(model, graph.vae(), **film, length=66)
    rests = [graph.save(graph.sample(model, **film, length=66, memory=[part[0], 1])) for part in parts]
    graph.run()
    assert all(torch.equal(whole.raw[:, :, 18:], rest.raw) for rest in rests)


@pytest.mark.parametrize("linked", [False, True])
def test_a_picture_that_is_replaced(server, linked):
    """Under its old name, with as many bytes and the time of the old one: it is read anew, and else it is not."""
    path = server.input_dir / f"replaced {linked}.png"

    def run():
        graph = Graph(server)
        text = f"0: a sea\n0 image: {path.name}\n"
        text = graph.add("PrimitiveStringMultiline", value=text) if linked else text
        schedule = add_schedule(graph, text)
        saved = graph.save(graph.sample(graph.load(), schedule=schedule, length=33))
        messages = dict(graph.run()["status"]["messages"])
        return saved.raw, schedule[0] in messages["execution_cached"]["nodes"]

    def paint_grey(value):
        Image.new("L", (128, 64), value).save(path.with_suffix(".bmp"))
        os.replace(path.with_suffix(".bmp"), path)
        os.utime(path, (1e9, 1e9))

    paint_grey(10)
    dark, cached = run()
    assert not cached and run()[1]
    paint_grey(200)
    light, cached = run()
    assert not cached and not torch.equal(dark, light)
    assert run()[1]
    paint_grey(10)
    assert torch.equal(run()[0], dark)


NO_FILE = "there is no “{}” in ComfyUI's {} folder"


@pytest.mark.parametrize(
    "name, said",
    [
        ("boot.png", f"{NO_FILE.format('boot.png', 'input')}; did you mean “boat.png” or “harbour/boat.png”?"),
        ("Boat.PNG", f"{NO_FILE.format('Boat.PNG', 'input')}; did you mean “boat.png”"),
        (
            "rivers.jpg [output]",
            f"{NO_FILE.format('rivers.jpg [output]', 'output')}; did you mean “river.png [output]”?",
        ),
        ("harbour", NO_FILE.format("harbour", "input")),
        ("../models/vae/tiny_wan_vae.safetensors", "leads out of ComfyUI's input folder; put the picture in it"),
        ("../output/x.png [temp]", "leads out of ComfyUI's temp folder"),
        ("{input}/boat.png", "leads out of ComfyUI's input folder"),
        ("a\0b.png", "ComfyUI's input folder"),
    ],
)
def test_names_that_lead_to_no_picture(any_server, name, said):
    """The same sentence before the run, and in it where the text is linked. What is off may be missing."""
    paint(any_server.output_dir / "river.png", 4)
    for path in ("boat.png", "harbour/boat.png"):
        paint(any_server.input_dir / path, 4)
    name = name.format(input=any_server.input_dir)
    text = f"off 1 image: nowhere.png\n0: a sea\n2 image blend 2: {name}"
    ((node, (error,)),) = refused(any_server, text, vae=True).items()
    assert node.endswith("HeliosPromptSchedule") and error["extra_info"]["input_name"] == "schedule"
    assert "schedule, line 3: " in error["details"] and said in error["details"]
    assert said in failing(any_server, text)


def failing(server, text, vae=True):
    """What the run of a linked text ends with."""
    graph = Graph(server)
    linked = graph.add("PrimitiveStringMultiline", value=text)
    graph.save(graph.sample(graph.load(), schedule=add_schedule(graph, linked, vae)))
    with pytest.raises(ExecutionFailed) as failed:
        graph.run()
    return failed.value.error["exception_message"].strip()


def test_pictures_that_cannot_be_used(any_server):
    """No file, no picture, no VAE, and two at one chunk."""
    (any_server.input_dir / "notes.png").write_text("no picture")
    paint(any_server.input_dir / "boat.png", 4)
    said = failing(any_server, "0: a sea\n\n1 image: notes.png")
    assert said == "schedule, line 3: notes.png: cannot be read as a picture (its format is not known)"
    assert failing(any_server, "0: a sea\n1 image: goat.png").startswith("schedule, line 2: there is no “goat.png”")
    no_vae = "schedule, line 2: the picture “boat.png” needs a VAE; connect the Wan 2.1 VAE (Load VAE) to vae"
    assert failing(any_server, "0: a sea\n1 image: boat.png", vae=False) == no_vae
    ((node, (error,)),) = refused(any_server, "0: a sea\n1 image: boat.png").items()
    assert node.endswith("HeliosPromptSchedule") and no_vae in error["details"]
    graph = Graph(any_server)
    key = dict(start=1, transition="cut", blend_chunks=3, vae=graph.vae(), image=graph.images(torch.rand(1, 64, 96, 3)))
    schedule = graph.add("HeliosKeyframe", schedule=add_schedule(graph, "0: a sea\n1 image: boat.png"), **key)
    graph.save(graph.sample(graph.load(), schedule=schedule))
    with pytest.raises(ExecutionFailed, match="two keyframes begin at chunk 1; move or remove one of them"):
        graph.run()
