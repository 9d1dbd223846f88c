"""The demo in a real ComfyUI, judged by what is seen in its films: prompts, memory and pictures really steer them."""

import io

import numpy as np
import pytest
from PIL import Image

from comfy_server import ExecutionFailed
from helios_core.media.codecs import cpu_dtype
from models import DEMO_SIZE, NEGATIVE, DemoGraph
from seen import Sight, distance, drawn, seen
from training.world import Thing

STAR = "A large red star moves right on a navy background."
A_STAR = Sight("navy", (("red", "star", "right"),))


@pytest.mark.parametrize(
    ("prompt", "sight"),
    [
        (STAR, A_STAR),
        ("A small red square rests, over a white ground.", Sight("white", (("red", "square", "still"),))),
        ("On brown, a big pink triangle sinks", Sight("brown", (("pink", "triangle", "down"),))),
    ],
)
def test_a_prompt_is_seen(any_server, prompt, sight):
    graph = DemoGraph(any_server)
    (frames,) = graph.frames(graph.film(prompt, length=33))
    assert seen(frames) == sight


def test_two_things_are_seen(server):
    graph = DemoGraph(server)
    prompt = "A medium green star stays still and a medium orange square stays still on a black background."
    (frames,) = graph.frames(graph.film(prompt, length=33))
    sight = seen(frames)
    assert sight.ground == "black"
    assert set(sight.things) == {("green", "star", "still"), ("orange", "square", "still")}


def test_the_vae_is_in_what_is_fastest_here(any_server):
    graph, before = DemoGraph(any_server, "base"), len(any_server.log())  # the first of this module to load Base
    graph.frames(graph.film(STAR, length=33, steps="1", cfg=1.0))
    assert f"dtype: {cpu_dtype()}" in any_server.log()[before:]


def test_many_steps_with_guidance(server):
    graph = DemoGraph(server, "base")
    (frames,) = graph.frames(graph.film(STAR, negative=graph.prompt(""), length=33, steps="20"))
    assert seen(frames) == A_STAR


def test_a_schedule_is_seen(server):
    """A cut shows in its own chunk; a blend of the grounds passes through what is between."""
    graph = DemoGraph(server)
    schedule = graph.schedule(
        "0: A large red star bounces from side to side on a black background.\n"
        "2 cut: A large blue square bounces from side to side on a black background.\n"
        "3 blend 3: A large blue square bounces from side to side on a white background."
    )
    (frames,) = graph.frames(graph.film(schedule=schedule, length=33 * 7))
    chunks = np.split(frames, 7)
    assert seen(chunks[1]).still == ("black", "red", "star")
    assert seen(chunks[2]).still == ("black", "blue", "square")
    light = [float(np.median(chunk[16])) for chunk in chunks]
    assert max(light[:4]) < 0.15 and 0.3 < light[4] < 0.8 and light[6] > 0.85


def test_a_film_goes_on_from_a_picture(server):
    """The thing is where the picture has it, which the prompt does not say, and keeps its colour."""
    picture = drawn(Thing("square", "red", "medium", "left"), "white", right=45)[:1]
    graph = DemoGraph(server)
    prompt = "A medium red square moves left on a white background."
    memory = graph.begin(image=graph.images(picture))
    told, untold = graph.frames(
        graph.film(prompt, memory=memory, length=99), graph.film(prompt, memory=graph.begin(), length=33)
    )
    assert distance(told[0], picture[0].numpy(), "red") < 8 < distance(untold[0], picture[0].numpy(), "red")
    assert seen(told[66:]).still == ("white", "red", "square")


def test_a_film_goes_on_from_a_video(server):
    """At the same pace: where the thing would have been."""
    wanted = drawn(Thing("star", "yellow", "small", "right"), "navy", chunks=2)
    graph = DemoGraph(server)
    prompt = "A small yellow star moves right on a navy background."
    memory = graph.begin(video=graph.images(wanted[:33]))
    (frames,) = graph.frames(graph.film(prompt, memory=memory, length=33))
    assert seen(frames) == Sight("navy", (("yellow", "star", "right"),))
    assert max(distance(frames[i], wanted[33 + i].numpy(), "yellow") for i in (0, 16, 32)) < 10


def test_a_film_turns_to_a_keyframe(server):
    """At its chunk, and not before: the words are the same all along, the place is the picture's."""
    words = "A medium cyan triangle stays still on a brown background."
    picture = drawn(Thing("triangle", "cyan", "medium", "still"), "brown", right=65)[:1]
    graph = DemoGraph(server)
    key = dict(start=2, transition="cut", blend_chunks=3, vae=graph.vae(), image=graph.images(picture))
    keyed = graph.add("HeliosKeyframe", schedule=graph.schedule(f"0: {words}"), **key)
    turned, plain = graph.frames(graph.film(schedule=keyed, length=99), graph.film(words, length=99))
    assert np.array_equal(turned[:66], plain[:66])
    assert distance(turned[66], picture[0].numpy(), "cyan") < 10
    assert distance(plain[66], picture[0].numpy(), "cyan") > 25
    assert seen(turned[66:]).still == ("brown", "cyan", "triangle")


def test_all_that_a_text_can_say_is_seen(server):
    """The style in each chunk, the picture from its chunk on; what is off is not there."""
    picture = drawn(Thing("triangle", "cyan", "medium", "still"), "brown", right=65)[0].numpy()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(server.input_dir / "triangle.png")
    words = "A medium cyan triangle stays still"
    text = f"style: on a brown background.\n0: {words}\n1 seed 8\n1 image: triangle.png\noff 1: {STAR}\noff 0 seed 9"
    graph = DemoGraph(server)
    schedule = graph.add("HeliosPromptSchedule", clip=[graph.demo, 1], schedule=text, fps=24.0, vae=graph.vae())
    (frames,) = graph.frames(graph.film(schedule=schedule, length=66))
    assert distance(frames[33], picture, "cyan") < 10 < 25 < distance(frames[32], picture, "cyan")
    assert all(seen(chunk).still == ("brown", "cyan", "triangle") for chunk in np.split(frames, 2))


def test_a_saved_film_is_extended(any_server):
    """In another run, from a file, by other words: what was moves on from where it was."""
    graph = DemoGraph(any_server)
    first = graph.film(STAR, length=33)
    graph.add("HeliosSaveMemory", memory=[first[0], 1], filename_prefix="helios/extended")
    (begun,) = graph.frames(first)
    graph = DemoGraph(any_server)
    memory = graph.add("HeliosLoadMemory", memory_file="helios/extended_00001_.safetensors [output]")
    (rest,) = graph.frames(graph.film(STAR.replace("right", "left"), memory=memory, length=33))
    assert seen(begun) == A_STAR and seen(rest) == Sight("navy", (("red", "star", "left"),))
    assert distance(begun[-1], rest[0], "red") < 8


def test_a_longer_film_begins_with_the_shorter_one(server):
    """Its chunks are found again, and the film goes on from them without a jump."""
    films, before = [], len(server.log())
    for length in (33, 99):
        graph = DemoGraph(server)
        films += graph.frames(
            graph.film(STAR.replace("moves right", "bounces left and right"), length=length, autosave=True)
        )
    short, long = films
    assert "Chunk 0 was on disk. Continuing at chunk 1." in server.log()[before:]
    assert np.array_equal(short, long[:33])
    assert max(distance(long[k - 1], long[k], "red") for k in (33, 66)) < 8
    assert seen(long[66:]).still == ("navy", "red", "star")


def test_the_model_stays_the_demo_when_it_is_loaded_again(any_server):
    """With the steps and the short prompts that it was trained for."""
    graph = DemoGraph(any_server)
    again = graph.add("TestLoadAgain", model=[graph.demo, 0])
    film = dict(positive=graph.prompt(STAR), size=DEMO_SIZE, length=33)
    first, second = graph.frames(graph.sample([graph.demo, 0], **film), graph.sample(again, **film))
    assert np.array_equal(first, second)


def test_previews_have_the_films_colours(any_server):
    """The nearest picture of the sampling against the last frame, at the size of the latents."""
    graph = DemoGraph(any_server)
    path = graph.save_images(graph.decode(graph.film(STAR, length=33, seed=4)))  # nobody else's, so that it is sampled
    with any_server.events() as events:
        extra = {"preview_method": "latent2rgb"}
        events.wait_done(any_server.queue(graph, client_id=events.client_id, extra_data=extra))
        previews = [Image.open(io.BytesIO(event["image"])) for event in events.of("preview")]
    frame = Image.fromarray((np.load(path)[-1] * 255).round().astype(np.uint8))
    *small, wanted = (
        np.array(p.convert("RGB").resize((24, 16), Image.Resampling.BOX)) / 255 for p in (*previews, frame)
    )
    # The host may leave out the last ones where the machine is busy.
    assert min(np.abs(picture - wanted).mean() for picture in small) < 0.05  # Wan's colours: 0.4


def test_another_text_encoder_is_refused(any_server):
    """In a sentence that says which one fits."""
    graph = DemoGraph(any_server)
    graph.save(graph.film(positive=NEGATIVE, length=33))
    with pytest.raises(ExecutionFailed, match="encode the prompt with the CLIP of Helios Demo Loader"):
        graph.run()
