"""SIGKILL at any moment: run again, a film comes out as if nothing had happened, and no chunk is made twice.

What the next server says of it is what is on disk."""

import itertools
import random
import re
import time

import pytest
import requests
import torch

from comfy_server import ComfyServer, ServerDied
from models import POSITIVE, Graph, install_helios

CHUNKS = 12
KILLS, KILLS_OF_A_FILM = 6, 3
FILM = dict(positive=POSITIVE, length=33 * CHUNKS, steps="40", amplify_first_chunk="off", size=(64, 64))


@pytest.fixture(scope="module")
def server(comfy_path, tmp_path_factory):
    with ComfyServer(comfy_path, tmp_path_factory.mktemp("killed"), ("--use-pytorch-cross-attention",)) as server:
        install_helios(server)
        yield server


def queue(server, **inputs):
    """(id of the prompt, where its latents will be)."""
    graph = Graph(server)
    made = graph.sample(graph.load(), **FILM, **inputs)
    saved = graph.save(made)
    return server.queue(graph, {"extra_pnginfo": {"workflow": {"id": made[0]}}}), saved


def on_disk(server):
    return set((server.output_dir / "helios" / "autosave").rglob("[0-9a-f]*.safetensors"))


def is_done(server, prompt_id):
    try:
        return bool(server.get(f"/history/{prompt_id}").json())
    except (requests.ConnectionError, ServerDied):
        return False


def found(server, seen, some):
    """How many chunks the run says it found, where there were some to find; waits until it does."""
    end = time.monotonic() + 60
    while some:
        said = re.search(r"Chunks? (\d+)(?: to (\d+))? (?:was|were) on disk", server.log()[seen:])
        if said:
            return int(said[2] or said[1]) + 1
        assert time.monotonic() < end, "the run says nothing of the chunks on disk"
        time.sleep(0.05)
    return 0


def index(server):
    """What the server says of the film, whose sampler's id is its workflow's too."""
    node = "4 HeliosChunkSampler"
    found = server.get("/helios/films", workflow=node, node=node).json()
    assert found["chunks"].keys() == {path.stem for path in on_disk(server)}
    return found


def kill_and_run_again(server, seed):
    """Chunks on disk at each kill. Every start finds all that had been finished; in the end each has a file."""
    chance, before, kills = random.Random(seed), on_disk(server), []
    prompt_id, saved = queue(server, seed=seed, autosave=True)
    while len(kills) < KILLS_OF_A_FILM:
        wanted = (kills or [0])[-1] + chance.randint(0, 2)
        while not is_done(server, prompt_id) and len(on_disk(server) - before) < wanted:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 0.5))
        if is_done(server, prompt_id):
            break
        server.kill()
        finished, seen = len(on_disk(server) - before), len(server.log())
        kills.append(finished)
        server.start()
        if finished:
            run = index(server)["run"]
            assert (run["seed"], run["state"]) == (str(seed), "stopped") and run["done"] in (finished - 1, finished)
        prompt_id, saved = queue(server, seed=seed, autosave=True)
        assert found(server, seen, finished) == finished
    server.wait(prompt_id, timeout=300)
    assert len(on_disk(server) - before) == CHUNKS  # a chunk that came out otherwise would lie under another name
    film = index(server)
    names, parents = film["run"]["chunks"], [film["chunks"][name]["parent"] for name in film["run"]["chunks"]]
    assert film["run"]["state"] == "done" and len(names) == CHUNKS and parents == ["", *names[:-1]]
    plain_id, plain = queue(server, seed=seed, autosave=False)
    server.wait(plain_id, timeout=300)
    assert torch.equal(saved.raw, plain.raw)
    return kills


def test_killed_and_run_again(server):
    kills = []
    for seed in itertools.count():  # a film may be done before its last kill
        kills += kill_and_run_again(server, seed)
        if len(kills) >= KILLS:
            break
    print(f"{len(kills)} kills, with so many chunks on disk: {kills}")
    assert len(set(kills)) > 2
