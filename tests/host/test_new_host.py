"""The newest ComfyUI, in an environment of its own: what is told of the others holds there too."""

import re
import time

import numpy as np
import pytest

from comfy_server import Interrupted
from helios_core import RECIPES
from models import POSITIVE, Graph, core_film, film, relative_error
from seen import Sight, seen
from test_films import check_takes
from test_lora import lora_film, merged_film
from test_neighbours import REFUSED, check_cached_steps, check_refused, check_renorm_cfg
from test_pack import PINNED, describe, helios_nodes


def test_all_nodes_are_there(new_server):
    nodes = helios_nodes(new_server)
    assert list(nodes) == list(PINNED)
    for name, pinned in PINNED.items():
        want = [line.strip() for line in pinned["inputs"].strip().splitlines()]
        assert describe(nodes[name]) == {"inputs": want, "outputs": pinned["outputs"]}, name
        assert nodes[name]["search_aliases"]


def test_a_film_is_the_cores(new_server):
    assert relative_error(film(new_server), core_film(RECIPES["distilled"])) < 1e-5


def test_the_demo(new_server):
    graph = Graph(new_server)
    demo, *_ = graph.add("HeliosDemoLoader", variant="distilled")
    text = graph.add("CLIPTextEncode", clip=[demo, 1], text="A large red star moves right on a navy background.")
    samples = graph.sample([demo, 0], size=(192, 128), positive=text, length=33)
    path = graph.save_images(graph.decode(samples, [demo, 2]))
    graph.run()
    assert seen(np.load(path)) == Sight("navy", (("red", "star", "right"),))


def test_cancelled_and_run_again(new_server):
    """What was finished is found, and the film is the one that was never stopped."""

    def make(autosave):
        graph = Graph(new_server)
        film = dict(positive=POSITIVE, steps="40", amplify_first_chunk="off", length=99)  # 120 steps to cancel in
        return graph, graph.save(graph.sample(graph.load(), autosave=autosave, **film))

    def chunks():
        return len(list((new_server.output_dir / "helios" / "autosave").rglob("[0-9a-f]*.safetensors")))

    graph, saved = make(autosave=True)
    before, end = chunks(), time.monotonic() + 120
    prompt_id = new_server.queue(graph)
    while chunks() == before:
        assert time.monotonic() < end, "no chunk was finished"
        time.sleep(0.02)
    new_server.interrupt(prompt_id)
    with pytest.raises(Interrupted):
        new_server.wait(prompt_id, timeout=30)
    said = len(new_server.log())
    graph.run()
    assert re.search("on disk. Continuing at chunk [12]", new_server.log()[said:])
    plain, whole = make(autosave=False)
    plain.run()
    assert saved.latents.equal(whole.latents)


def test_what_the_page_is_told(new_server):
    check_takes(new_server, "a workflow")


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_by_its_name(new_server, name):
    check_refused(new_server, name)


@pytest.mark.parametrize("node", ["EasyCache", "LazyCache"])
def test_a_step_cache_begins_anew_with_each_chunk(new_server, node):
    check_cached_steps(new_server, node, "base", "6")


def test_renorm_cfg(new_server):
    check_renorm_cfg(new_server)


@pytest.mark.parametrize(
    ("node", "spelling"), [("LoraLoaderModelOnly", "wan"), ("HeliosLoraLoader", "diffusers kohya")]
)
def test_a_lora(new_server, node, spelling):
    assert relative_error(lora_film(new_server, spelling, node=node), merged_film()) < 1e-4
