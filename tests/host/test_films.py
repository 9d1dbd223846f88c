"""What the page is told of films, in a real ComfyUI: runs, takes, thumbnails and stars; and what it must not get."""

import io
import json
import random
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from comfy_server import ExecutionFailed, Interrupted
from models import DEMO_SIZE, NEGATIVE, OTHER, POSITIVE, DemoGraph, Graph, two_prompts
from test_to_video import frames_of, shown_video


def run(graph, workflow, **options):
    return graph.run(extra_data=in_workflow(workflow), **options)


def in_workflow(workflow):
    return {"extra_pnginfo": {"workflow": {"id": workflow}}}


def film_of(server, workflow, node, **more):
    return server.get("/helios/films", workflow=workflow, node=node, **more).json()


def on_disk(server, film):
    return {path.stem for path in (server.output_dir / "helios" / "autosave" / film).glob("*.safetensors")}


def names_of(film, chunk):
    return {name for name, entry in film["chunks"].items() if entry["chunk"] == chunk}


def quarters(picture) -> np.ndarray:
    """The mean colour (2, 2, 3) of each quarter of frames (..., H, W, 3) in 0..255, and of so many frames."""
    h, w = picture.shape[-3] // 2, picture.shape[-2] // 2
    rows = picture[..., :h, :, :], picture[..., h:, :, :]
    return np.array([[part.mean(axis=(-3, -2)) for part in (row[..., :w, :], row[..., w:, :])] for row in rows])


def still(server, film, name) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(server.get(f"/helios/films/{film}/{name}.jpg").content)).convert("RGB"))


def clip(server, film, name) -> np.ndarray:
    return frames_of(server.get(f"/helios/films/{film}/{name}.mp4").content)


@pytest.fixture
def workflow():
    return uuid.uuid4().hex


def test_a_changed_prompt_is_another_take(any_server, workflow):
    check_takes(any_server, workflow)


def check_takes(server, workflow):
    """Of one chunk; what was before it is both films'. The page is told of each chunk, and of nothing twice."""
    films, seed = [], random.randrange(2**32)
    with server.events() as events:
        for second in (OTHER, NEGATIVE):
            graph = Graph(server)
            told = two_prompts(graph, second, start=1)
            made = graph.sample(graph.load(), autosave=True, seed=seed, steps="1", **told)
            graph.save(made)
            run(graph, workflow, client_id=events.client_id)
            films.append(film_of(server, workflow, made[0]))
    first, film = films
    assert first["film"] == film["film"] and film["chunks"].keys() == on_disk(server, film["film"])
    assert first["chunks"].items() <= film["chunks"].items() and len(film["chunks"]) == 3
    (shared,), takes = names_of(film, 0), names_of(film, 1)
    assert film["chunks"][shared]["parent"] == "" and {film["chunks"][name]["parent"] for name in takes} == {shared}
    for told, reused in ((first, []), (film, [shared])):
        run_ = told["run"]
        assert (run_["state"], run_["error"], run_["seed"], run_["reused"]) == ("done", "", str(seed), reused)
        assert told["chunks"][shared]["seed"] == str(seed)
        assert (run_["first"], run_["end"], run_["done"], told["now"]) == (0, 2, 2, None)
        assert run_["settings"] == {
            "steps": "1",
            "cfg": 0.0,
            "solver": "auto",
            "amplify_first_chunk": "auto",
            "skip_first_chunk": False,
            "noise_device": "cpu",
        }
        assert run_["chunks"][0] == shared and run_["chunks"][1] in takes
        assert time.time() - 60 < told["chunks"][run_["chunks"][1]]["made"] <= run_["used"] <= time.time()
    assert first["run"]["chunks"][1] != film["run"]["chunks"][1]
    made = events.of("helios.film")
    assert all((m["workflow"], m["film"], m["node"]) == (workflow, film["film"], made[0]["node"]) for m in made)
    assert [(m["chunk"], m["state"]) for m in made] == [
        *((0, "running"), (0, "done"), (1, "running"), (1, "done"), (None, "end")),
        *((0, "reused"), (1, "running"), (1, "done"), (None, "end")),
    ]


def test_another_seed_from_a_chunk_on_is_another_take(server, workflow):
    graph, found = Graph(server), []
    plain = graph.add(
        "HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3
    )
    seed, settings = random.randrange(2**32), dict(autosave=True, steps="1", length=66)
    for schedule in (plain, graph.add("TestSeedChange", schedule=plain, start=1, seed=2**64 - 1)):
        made = graph.sample(graph.load(), seed=seed, schedule=schedule, **settings)
        graph.save(made)
        run(graph, workflow)
        film = film_of(server, workflow, made[0])
        found.append([film["chunks"][name] | {"name": name} for name in film["run"]["chunks"]])
    (first, one), (same, other) = found
    assert same == first and other["parent"] == one["parent"] == first["name"] and other["name"] != one["name"]
    assert [take["seed"] for take in (first, one, other)] == [str(seed), str(seed), str(2**64 - 1)]


def test_what_has_not_changed_is_not_sent_again(server, workflow):
    graph = Graph(server)
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, steps="1", length=33)
    graph.save(made)
    run(graph, workflow)
    film = film_of(server, workflow, made[0])
    assert film_of(server, workflow, made[0]) == film
    same = film_of(server, workflow, made[0], revision=film["revision"])
    assert same == {"unchanged": True, "revision": film["revision"]}
    star(server, film["film"], film["run"]["chunks"][0])
    assert film_of(server, workflow, made[0], revision=film["revision"])["chunks"].keys() == film["chunks"].keys()


def test_nobody_asked_for_a_film(any_server, workflow):
    none = {"film": None, "run": None, "chunks": {}, "now": None}
    for asked in ({}, {"workflow": workflow, "node": "7"}, {"node": "7"}, {"workflow": "\x00", "node": "é" * 900}):
        found = any_server.get("/helios/films", **asked).json()
        assert found.items() >= none.items()


def test_a_cancelled_run(server, workflow):
    """While it goes, the page knows which chunk is made; then that it was stopped."""
    graph = Graph(server)
    settings = dict(length=33 * 4, steps="30", amplify_first_chunk="off")
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, seed=random.randrange(2**32), **settings)
    graph.save(made)
    with server.events() as events:
        prompt_id = server.queue(graph, in_workflow(workflow), events.client_id)
        events.wait_for("helios.film", count=3)  # chunk 0 begins and ends, chunk 1 begins
        going = film_of(server, workflow, made[0])
        server.interrupt(prompt_id)
        with pytest.raises(Interrupted):
            server.wait(prompt_id)
        events.wait_done(prompt_id)
    assert (going["run"]["state"], going["now"]) == ("running", len(going["chunks"])) and going["chunks"]
    film = film_of(server, workflow, made[0])
    assert (film["run"]["state"], film["run"]["error"], film["now"]) == ("stopped", "", None)
    assert film["run"]["done"] == len(film["chunks"]) == len(on_disk(server, film["film"])) < 4
    assert events.of("helios.film")[-1].items() >= {"chunk": None, "state": "stopped"}.items()


def test_a_failed_run(server, workflow):
    """What was done before is there, and why it failed."""
    graph = Graph(server)
    told = two_prompts(graph, POSITIVE * 1e35, start=1)
    made = graph.sample(graph.load(), autosave=True, steps="1", seed=random.randrange(2**32), **told)
    graph.save(made)
    with pytest.raises(ExecutionFailed):
        run(graph, workflow)
    film = film_of(server, workflow, made[0])
    assert film["run"]["state"] == "failed" and "NaN or infinity in the latents of chunk 1" in film["run"]["error"]
    assert film["run"]["done"] == len(film["run"]["chunks"]) == 1


def test_runs_that_say_they_run(server, workflow):
    """Another server's is believed for ten minutes; one on this server's port, from before it started, is not."""
    graph = Graph(server)
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, steps="1", length=33)
    graph.save(made)
    run(graph, workflow)
    film = film_of(server, workflow, made[0])
    index = server.output_dir / "helios" / "autosave" / film["film"] / "film.json"
    content = json.loads(index.read_bytes())
    (mine,) = (noted for noted in content["runs"] if noted["graph"] == workflow)
    here, _ = mine["server"].split()
    for who, ago, state in [
        ("elsewhere:8188 x", 0, "running"),
        ("elsewhere:8188 x", 599, "running"),
        ("elsewhere:8188 x", 601, "stopped"),
        (f"{here} x", 0, "stopped"),
        (mine["server"], 0, "stopped"),
    ]:
        mine |= {"server": who, "used": time.time() - ago, "state": "running"}
        index.write_text(json.dumps(content))
        assert film_of(server, workflow, made[0])["run"]["state"] == state, (who, ago)


def film_of_one_chunk(server, workflow) -> tuple[dict, str, str]:
    """What is served of a new film, the name of its chunk, and its sampler's id."""
    graph = Graph(server)
    seed = random.randrange(2**32)
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, steps="1", length=33, seed=seed)
    graph.save(made)
    run(graph, workflow)
    film = film_of(server, workflow, made[0])
    (name,) = film["run"]["chunks"]
    return film, name, made[0]


def test_the_text_that_led_to_a_chunk(server, workflow):
    film, name, _ = film_of_one_chunk(server, workflow)
    url = f"{server.url}/helios/films/{film['film']}/{name}/text"
    none = requests.get(url, timeout=10)  # it came of one prompt
    assert none.status_code == 404 and none.text == "nobody knows with which text this chunk was made"
    index = server.output_dir / "helios" / "autosave" / film["film"] / "film.json"
    content = json.loads(index.read_bytes())
    (mine,) = (noted for noted in content["runs"] if noted["graph"] == workflow)
    mine["text"] = "0: the sea\n1: a storm"
    index.write_text(json.dumps(content))
    assert requests.get(url, timeout=10).json() == {"text": mine["text"]}


def test_thumbnails_of_a_film_in_a_file(server, workflow):
    """They show what the film shows, moving as it moves."""
    graph = DemoGraph(server)
    words = "A large red star moves right on a navy background."
    settings = dict(autosave=True, length=66, seed=random.randrange(2**32), positive=graph.prompt(words))
    video = graph.sample_to_video([graph.demo, 0], graph.vae(), f"video/{workflow}", size=DEMO_SIZE, **settings)
    outputs = run(graph, workflow)["outputs"]
    frames = frames_of(shown_video(server, outputs, video))
    film = film_of(server, workflow, video[0])
    assert len(frames) == 66 and len(film["run"]["chunks"]) == 2
    for k, name in enumerate(film["run"]["chunks"]):
        entry = film["chunks"][name]
        assert entry["thumbnail"] and entry["clip"] and time.time() - 60 < entry["thumbnail_time"] <= time.time()
        small, moving = still(server, film["film"], name), clip(server, film["film"], name)
        assert small.shape == (107, 160, 3) and moving.shape == (33, 128, 192, 3)
        shown = frames[k * 33 :][:33].astype(float)
        assert np.abs(quarters(small) - quarters(shown[16])).max() < 8
        assert np.abs(quarters(moving) - quarters(shown)).max() < 12
    answer = server.get(f"/helios/films/{film['film']}/{name}.jpg")
    assert answer.headers["Content-Type"] == "image/jpeg" and answer.headers["Cache-Control"] == "no-cache"
    again = requests.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
    assert again.status_code == 304 and not again.content


def test_thumbnails_of_latents(server, workflow):
    """Rough ones in the colours of previews, until a decoder shows what there is; not of what was changed between."""
    seed, words = random.randrange(2**32), "A big pink triangle sinks on a brown background."

    def film(*decode):
        """(the film, stills of its chunks, frames if they were decoded)."""
        graph = DemoGraph(server)
        made = graph.film(words, autosave=True, length=66, seed=seed)
        samples = graph.add("LatentMultiply", samples=made, multiplier=0.5) if "changed" in decode else made
        path = graph.save_images(graph.decode(samples)) if decode else graph.save(samples) and None
        run(graph, workflow)
        found = film_of(server, workflow, made[0])
        entries = [found["chunks"][name] for name in found["run"]["chunks"]]  # other tests' may lie there too
        assert all(entry["thumbnail"] and entry["clip"] for entry in entries)
        times.append([entry["thumbnail_time"] for entry in entries])
        stills = [still(server, found["film"], name) for name in found["run"]["chunks"]]
        clips = [clip(server, found["film"], name) for name in found["run"]["chunks"]]
        return found, stills, clips, None if path is None else np.load(path) * 255

    times = []
    found, rough, moving, _ = film()
    assert [c.shape for c in moving] == [(8, 32, 48, 3)] * 2
    changed, still_rough, _, _ = film("decoded", "changed")
    assert np.array_equal(still_rough, rough) and changed == found  # ComfyUI had the latents still
    decoded, stills, clips, frames = film("decoded")
    assert times[0] == times[1] and min(times[2]) > max(times[1]) and decoded["revision"] != found["revision"]
    assert [c.shape[0] for c in clips] == [33, 33]
    for k in range(2):
        shown = frames[k * 33 :][:33]
        assert np.abs(quarters(stills[k]) - quarters(shown[16])).max() < 8
        assert np.abs(quarters(rough[k]) - quarters(shown[16])).max() < 60
    film("decoded")
    assert times[3] == times[2]  # as good as they get


def star(server, film, chunk, starred=True, check=True):
    answer = requests.post(
        f"{server.url}/helios/films/{film}/stars", json={"chunk": chunk, "starred": starred}, timeout=10
    )
    if check:
        assert answer.json() == {"chunk": chunk, "starred": starred}
    return answer


def test_stars(any_server, workflow):
    server = any_server
    graph = Graph(server)
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, steps="1", seed=77)
    graph.save(made)
    run(graph, workflow)
    film = film_of(server, workflow, made[0])
    first, second = film["run"]["chunks"]
    for starred in (True, True, False):
        star(server, film["film"], second, starred)
        now = film_of(server, workflow, made[0])["chunks"]
        assert [now[name]["starred"] for name in (first, second)] == [False, starred]
    star(server, film["film"], first)
    run(graph, workflow)  # a run of the same loses none
    assert film_of(server, workflow, made[0])["chunks"][first]["starred"]
    gone = star(server, film["film"], "0" * 32, check=False)
    assert gone.status_code == 404 and "not on disk" in gone.text
    nowhere = star(server, "0" * 32, first, check=False)
    assert nowhere.status_code == 404 and not (server.output_dir / "helios" / "autosave" / ("0" * 32)).exists()


NAMES = [
    "0" * 32,
    "F" * 32,
    "0" * 31,
    "0" * 33,
    "..",
    "%2e%2e",
    "",
    "a b",
    "film.json",
    "\u0660" * 32,
    "%00",
    "0" * 32 + "%0A",
]


def test_nothing_else_is_served(server, workflow):
    """Whatever is asked for, it is a chunk's thumbnail or nothing; whatever is sent, a sentence comes back."""
    film, name, sampler = film_of_one_chunk(server, workflow)
    url = f"{server.url}/helios/films"
    (server.output_dir / "helios" / "autosave" / "secret.jpg").write_bytes(b"secret")

    def get(path):
        request = requests.Request("GET", url).prepare()
        request.url = path  # as it is: a client would tidy it up
        with requests.Session() as session:
            return session.send(request, timeout=10)

    paths = [f"{url}/{film['film']}/{odd}{end}" for odd in NAMES for end in (".jpg", ".mp4")]
    paths += [f"{url}/{odd}/{name}.jpg" for odd in NAMES]
    paths += [f"{url}/{film['film']}/{name}.{end}" for end in ("safetensors", "JPG", "jpg.mp4", "", "webp", "jpg%00")]
    paths += [
        f"{url}/{film['film']}/{end}" for end in ("film.json", "film.lock", "../secret.jpg", "..%2Fsecret.jpg", "stars")
    ]
    for path in paths:
        assert get(path).status_code in (400, 403, 404, 405), path
    assert get(f"{url}/{film['film']}/{name}.jpg").status_code == 200
    odd_bodies = [
        *(b"", b"{", b"null", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b"NaN", b"\x00" * 1000),
        *(
            json.dumps(body).encode()
            for body in (
                {},
                {"chunk": name},
                {"starred": True},
                {"chunk": name, "starred": 1},
                {"chunk": name, "starred": "true"},
                {"chunk": name, "starred": None},
                {"chunk": [name], "starred": True},
                {"chunk": 3, "starred": True},
                *({"chunk": odd, "starred": True} for odd in NAMES[1:]),
                {"chunk": name.upper() + "\n", "starred": True},
                {"chunk": f"../{film['film']}/{name}", "starred": True},
            )
        ),
    ]
    for kind in ("application/json", "text/plain; charset=nonsense"):
        for body in odd_bodies:
            headers = {"Content-Type": kind}
            answer = requests.post(f"{url}/{film['film']}/stars", data=body, headers=headers, timeout=10)
            assert answer.status_code == 400 and answer.text.startswith('send {"chunk"'), body
    for odd in NAMES[1:]:
        body = {"chunk": name, "starred": True}
        assert requests.post(f"{url}/{odd}/stars", json=body, timeout=10).status_code in (404, 405), odd
    elsewhere = {"Origin": "http://evil.example"}
    body = {"chunk": name, "starred": True}
    answer = requests.post(f"{url}/{film['film']}/stars", json=body, headers=elsewhere, timeout=10)
    assert answer.status_code == 403
    assert not film_of(server, workflow, sampler)["chunks"][name]["starred"]


def test_a_full_disk_costs_only_the_thumbnails(server, workflow):
    """Folders where the files should be stand for it."""
    graph = Graph(server)
    made = graph.sample(graph.load(), positive=POSITIVE, autosave=True, steps="1", seed=random.randrange(2**32))
    graph.save(made)
    run(graph, workflow)
    film = film_of(server, workflow, made[0])
    folder = server.output_dir / "helios" / "autosave" / film["film"]
    for name in film["chunks"]:
        for kind in (".jpg", ".mp4"):
            path: Path = folder / f"{name}{kind}"
            path.unlink()
            path.mkdir()
    before = len(server.log())
    graph.save_images(graph.decode(made))
    run(graph, workflow)
    said = server.log()[before:]
    assert said.count("a chunk's thumbnail could not be written") == 1
    assert film_of(server, workflow, made[0])["run"]["state"] == "done"
