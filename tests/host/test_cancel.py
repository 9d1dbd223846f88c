"""Cancelling in the middle of a step, and going on afterwards."""

import itertools
import time
from pathlib import Path

import pytest
import torch

from comfy_server import Interrupted
from helios_core import RECIPES
from helios_core.media.video import VideoWriter
from models import POSITIVE, Graph, core_film, film, relative_error

LARGE = (640, 384)  # the small model takes a second or so for a step of the last stage


def threads(server) -> int:
    return len(list(Path(f"/proc/{server._process.pid}/task").iterdir()))


def settled_threads(server, at_most: int, seconds: float = 5) -> int:
    """How many threads there are, once there are no more than `at_most` or time is up."""
    end = time.monotonic() + seconds
    while threads(server) > at_most and time.monotonic() < end:
        time.sleep(0.1)
    return threads(server)


@pytest.fixture(scope="module")
def plain():
    return core_film(RECIPES["distilled"])


def test_cancel_in_the_second_chunk(any_server, plain):
    server = any_server
    assert relative_error(film(server), plain) < 1e-5  # what threads a run leaves, it leaves here
    graph = Graph(server)
    samples = graph.sample(graph.load(), LARGE, positive=POSITIVE, steps="1", amplify_first_chunk="off", length=330)
    saved = graph.save(samples)
    before = threads(server)
    with server.events() as events:
        prompt_id = server.queue(graph, client_id=events.client_id)
        events.wait_for("progress", count=5)  # three steps of the first chunk, two of the second: its large one runs
        time.sleep(0.1)
        begin = time.monotonic()
        server.interrupt(prompt_id)
        with pytest.raises(Interrupted, match=f"HeliosChunkSampler {samples[0]}"):
            server.wait(prompt_id, timeout=30)
        seconds = time.monotonic() - begin
        assert events.wait_for("execution_interrupted")["node_id"] == samples[0]
        assert len(events.of("progress")) == 5
        (small, *_), (large, *_) = events.progress()[1:3]
    print(f"free {seconds:.2f} s after the interrupt, in a step of {large - small:.2f} s")
    assert seconds < (large - small) / 2  # how long a step takes is the machine's, and the host's attention's
    queue = server.get("/queue").json()
    assert queue == {"queue_running": [], "queue_pending": []}
    assert server.get(f"/history/{prompt_id}").json()[prompt_id]["status"]["status_str"] == "error"
    assert not Path(saved.path).exists()
    assert settled_threads(server, before) <= before
    assert relative_error(film(server), plain) < 1e-5


@pytest.mark.parametrize("node", ["HeliosHistoryMemory", "HeliosFilmReport"])
def test_cancel_while_a_video_is_read(server, node):
    """A long one: reading it to its end takes seconds."""
    path = server.input_dir / "long.mp4"
    if not path.exists():
        with VideoWriter(path) as writer:
            for _ in range(10):
                writer.write(torch.rand(1, 64, 64, 3).expand(990, -1, -1, -1))
    graph = Graph(server)
    video = graph.add("LoadVideo", file=path.name)
    if node == "HeliosFilmReport":
        reader = graph.add(node, video=video)
        graph.add("PreviewImage", images=reader)
    else:
        reader = graph.add(node, width=64, height=64, vae=graph.vae(), video=video)
        graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=reader))
    with server.events() as events:
        prompt_id = server.queue(graph, client_id=events.client_id)
        next(n for n in itertools.count(1) if events.wait_for("executing", count=n)["node"] == reader[0])
        time.sleep(0.2)
        server.interrupt(prompt_id)
        with pytest.raises(Interrupted, match=f"{node} {reader[0]}"):
            server.wait(prompt_id, timeout=30)


def test_two_films_load_the_model_once(any_server):
    server = any_server
    film(server, "base", steps="1")  # some other model before
    before = len(server.log())
    for seed in (1, 2):
        film(server, seed=seed)
    log = server.log()[before:]
    assert log.count("Helios distilled loaded from") == 1
    assert log.count("loaded completely") == 1
