"""Films made by a server over HTTP, held against the core alone and against diffusers' pipelines."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from helios_core import RECIPES, PromptSchedule, Segment
from models import (
    NEGATIVE,
    OTHER,
    POSITIVE,
    Graph,
    core_film,
    embeddings,
    film,
    prompts,
    relative_error,
    small,
)
from oracle import reference_film

# Recipe and what is set on the sampler for it.
FILMS = {
    "distilled": (RECIPES["distilled"], {}),
    "mid": (replace(RECIPES["mid"], steps=(4, 3, 3)), {"steps": "4,3,3"}),
    "base": (replace(RECIPES["base"], steps=(4,)), {"steps": "4"}),
    "distilled, not amplified": (
        replace(RECIPES["distilled"], amplify_first_chunk=False),
        {"amplify_first_chunk": "off"},
    ),
    "distilled, skip first chunk": (
        replace(RECIPES["distilled"], skip_first_chunk=True, steps=(1, 1, 1)),
        {"skip_first_chunk": True, "steps": "1", "length": 99},
    ),
    "base, no guidance": (replace(RECIPES["base"], steps=(3,), cfg=1.0), {"steps": " 3 ", "cfg": 1.0}),
    "mid, other guidance": (replace(RECIPES["mid"], steps=(3, 2, 2), cfg=2.5), {"steps": "3;2;2", "cfg": 2.5}),
}
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", FILMS)
def test_film_equals_diffusers_and_the_core(server, name):
    recipe, inputs = FILMS[name]
    variant, chunks = name.split(",")[0], inputs.get("length", 66) // 33
    got = film(server, variant, **inputs)
    assert got.shape == (1, 16, 9 * chunks, 8, 16)
    negative = NEGATIVE if recipe.cfg > 1 else None
    want = core_film(recipe, chunks=chunks, negative=negative)
    assert relative_error(got, want) < TOLERANCE
    assert got[:, :, 9:].std() > 0.1 and relative_error(got[:, :, :9], got[:, :, 9:18]) > 0.1
    with torch.no_grad():
        film_settings = dict(width=128, height=64, chunks=chunks, seed=3, positive=POSITIVE, negative=negative)
        theirs = reference_film(small()[0], variant, recipe, **film_settings)
    assert relative_error(got, theirs) < TOLERANCE


@pytest.mark.parametrize(
    ("variant", "solver", "amplify"), [("distilled", "euler", "on"), ("base", "dmd", "off"), ("mid", "dmd", "on")]
)
def test_other_solvers(server, variant, solver, amplify):
    """Solvers that the recipe does not name; amplified are only DMD's first chunks."""
    recipe = replace(RECIPES[variant], solver=solver, steps=(3,) * RECIPES[variant].stages)
    recipe = replace(recipe, amplify_first_chunk=amplify == "on")
    got = film(server, variant, solver=solver, steps="3", amplify_first_chunk=amplify)
    assert relative_error(got, core_film(recipe)) < TOLERANCE
    assert relative_error(got, core_film(replace(recipe, solver=RECIPES[variant].solver))) > 1e-4


def segments(graph: Graph) -> list:
    """cut at chunk 0, blend over chunks 1 to 3, cut at chunk 4; the texts differ in length."""
    first = graph.add(
        "HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3
    )
    short = graph.text(OTHER[:, :100])
    blend = dict(conditioning=short, start=1, transition="blend", blend_chunks=3, schedule=first)
    third = dict(conditioning=graph.text(NEGATIVE), start=4, transition="cut", blend_chunks=3)
    return graph.add("HeliosPromptSegment", schedule=graph.add("HeliosPromptSegment", **blend), **third)


@pytest.mark.parametrize("variant", ["distilled", "base"])
def test_prompts_over_time(server, variant):
    recipe = replace(RECIPES[variant], steps=(2,) * RECIPES[variant].stages, cfg=3.0)
    graph = Graph(server)
    inputs = dict(schedule=segments(graph), negative=embeddings(9), steps="2", cfg=3.0, length=165)
    saved = graph.save(graph.sample(graph.load(variant=variant), **inputs))
    graph.run()
    schedule = PromptSchedule((Segment(0, POSITIVE), Segment(1, OTHER, 3), Segment(4, NEGATIVE)))
    assert (
        relative_error(saved.latents, core_film(recipe, schedule=schedule, chunks=5, negative=embeddings(9)))
        < TOLERANCE
    )
    unblended = PromptSchedule((Segment(0, POSITIVE), Segment(1, OTHER), Segment(4, NEGATIVE)))
    wrong = core_film(recipe, schedule=unblended, chunks=5, negative=embeddings(9))
    assert [relative_error(*(f.split(9, 2)[k] for f in (saved.latents, wrong))) > 1e-3 for k in (0, 1)] == [False, True]


def test_schedule_text_equals_segments(server):
    """Seconds and frames are rounded up to chunks, with the fps of the widget."""
    graph = Graph(server)
    clip, model = graph.add("TestTinyCLIPLoader", width=32), graph.load()
    text = "# a film\n0: a red fox\n  in the snow\n1f blend 2: a blue fox\n2.2s cut: nobody"
    by_text = graph.add("HeliosPromptSchedule", clip=clip, schedule=text, fps=30.0)
    by_nodes = {}
    for start, transition, prompt in (
        (0, "cut", "a red fox\nin the snow"),
        (1, "blend", "a blue fox"),
        (2, "cut", "nobody"),
    ):
        encoded = graph.add("CLIPTextEncode", clip=clip, text=prompt)
        segment = dict(conditioning=encoded, start=start, transition=transition, blend_chunks=2, **by_nodes)
        by_nodes = {"schedule": graph.add("HeliosPromptSegment", **segment)}
    a, b = (graph.save(graph.sample(model, schedule=s, length=99)) for s in (by_text, by_nodes["schedule"]))
    with server.events() as events:
        events.wait_done(server.queue(graph, client_id=events.client_id))
        said = {message["node"]: message["text"] for message in events.of("helios.text")}
    assert torch.equal(a.raw, b.raw)
    assert said[by_text[0]].splitlines() == [
        "chunk 0 (frame 0, 0.00 s) cut: a red fox in the snow",
        "chunk 1 (frame 33, 1.10 s) blend 2: a blue fox",
        "chunk 2 (frame 66, 2.20 s) cut: nobody",
    ]


@pytest.mark.parametrize("variant", ["distilled", "mid"])
def test_memory_goes_on_bit_for_bit(server, variant):
    graph = Graph(server)
    model, texts, steps = graph.load(variant=variant), prompts(variant), {"steps": "3"}
    whole = graph.save(graph.sample(model, **texts, **steps, length=132))
    first = graph.sample(model, **texts, **steps, length=66)
    second = graph.sample(model, **texts, **steps, length=33, memory=[first[0], 1])
    third = graph.sample(model, **texts, **steps, length=33, memory=[second[0], 1])
    other = graph.sample(model, **texts, **steps, length=66, memory=[first[0], 1], seed=4)
    first, second, third, other = (graph.save(s) for s in (first, second, third, other))
    graph.run()
    assert torch.equal(whole.raw, torch.cat([first.raw, second.raw, third.raw], dim=2))
    assert relative_error(other.raw, whole.raw[:, :, 18:]) > 0.1


def test_the_seed_decides(server):
    graph = Graph(server)
    model = graph.load()
    a, again, other = (
        graph.save(graph.sample(model, positive=graph.text(POSITIVE), seed=s)) for s in (3, 3, 2**64 - 1)
    )
    graph.run()
    assert torch.equal(a.raw, again.raw) and relative_error(other.raw, a.raw) > 0.1


def test_noise_device(server):
    """On a CPU the reference's random numbers are a CPU's too."""
    got = film(server, noise_device="reference")
    assert relative_error(got, core_film(RECIPES["distilled"])) < TOLERANCE


@pytest.mark.parametrize(("length", "frames"), [(1, 33), (33, 33), (34, 66)])
def test_length_is_rounded_up_and_said(server, length, frames):
    graph = Graph(server)
    samples = graph.sample(graph.load(), positive=POSITIVE, length=length, steps="1,1,1")
    saved = graph.save(samples)
    with server.events() as events:
        events.wait_done(server.queue(graph, client_id=events.client_id))
        (said,) = [message for message in events.of("helios.text") if message["node"] == samples[0]]
    assert saved.raw.shape[2] == 9 * frames // 33 and f"{frames} frames" in said["text"]
    assert saved.rest == {"helios_chunk_frames": "33"}


def test_samplers_default_is_640x384(server):
    graph = Graph(server)
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, length=33, steps="1", memory=None))
    for node in graph.values():  # a socket left open is not in the prompt
        node["inputs"] = {k: v for k, v in node["inputs"].items() if v is not None}
    graph.run()
    assert saved.raw.shape == (1, 16, 9, 48, 80)


@pytest.mark.parametrize("metadata", [True, False])
def test_progress_and_previews(server, metadata):
    """One bar for the film: 12 amplified steps, then 6, each with a picture of the running chunk."""
    graph = Graph(server)
    samples = graph.sample(graph.load(), positive=POSITIVE)
    graph.save(samples)
    with server.events(preview_metadata=metadata) as events:
        extra = {"preview_method": "latent2rgb"}
        events.wait_done(server.queue(graph, client_id=events.client_id, extra_data=extra))
        progress = [(d["node"], d["value"], d["max"]) for d in events.of("progress")]
        previews = events.of("preview")
    assert progress == [(samples[0], k, 18) for k in range(1, 19)]
    assert [p["node"] for p in previews] == [samples[0] if metadata else None] * 18
    images = [Image.open(io.BytesIO(p["image"])) for p in previews]
    assert {image.size for image in images} == {(512, 256)} and len({p["image"] for p in previews}) == 18
    assert all(max(high - low for low, high in image.getextrema()) > 10 for image in images)


def test_progress_of_all_films_reaches_the_end(any_server):
    """Without previews, where CFG-Zero* leaves steps out, and after a memory, whose chunks are not amplified."""
    graph = Graph(any_server)
    mid = graph.sample(graph.load(variant="mid"), **prompts("mid"), steps="3,2,2")
    first = graph.sample(graph.load(), positive=POSITIVE, length=33, steps="1,1,1")
    later = graph.sample(graph.load(), positive=POSITIVE, length=66, steps="1,1,1", memory=[first[0], 1])
    for samples in (mid, first, later):
        graph.save(samples)
    with any_server.events() as events:
        events.wait_done(any_server.queue(graph, client_id=events.client_id))
        bars = {
            s[0]: [(d["value"], d["max"]) for d in events.of("progress") if d["node"] == s[0]]
            for s in (mid, first, later)
        }
        assert not events.of("preview")
    for samples, total in ((mid, 14), (first, 6), (later, 6)):
        values = [value for value, _ in bars[samples[0]]]
        assert {total} == {most for _, most in bars[samples[0]]} and values[-1] == total
        assert values == sorted(set(values))


def test_films_on_the_oldest_host(old_server):
    for variant in ("distilled", "mid"):
        recipe = replace(RECIPES[variant], steps=(3, 3, 3))
        assert relative_error(film(old_server, variant, steps="3"), core_film(recipe)) < TOLERANCE


def test_each_chunk_is_decoded_on_its_own(server):
    """As the stock decoder does with that chunk alone; tiles come close to it."""
    latents, chunks = torch.randn(1, 16, 18, 8, 16, generator=torch.Generator().manual_seed(0)), []
    graph = Graph(server)
    for part in (latents, latents[:, :, :9], latents[:, :, 9:]):
        path = graph.file()
        save_file({"samples": part.contiguous()}, path)
        chunks.append(graph.add("TestLoadLatent", path=path))
    vae = graph.vae()
    stock = [graph.save_images(graph.add("VAEDecode", samples=s, vae=vae)) for s in chunks]
    ours = [graph.save_images(graph.decode(chunks[0], vae, tiling=tiling)) for tiling in ("auto", "off")]
    tiled = graph.save_images(graph.decode(chunks[0], vae, tiling="on", tile_size=64, overlap=32))
    graph.run()
    whole, first, second = (np.load(p) for p in stock)
    want = np.concatenate([first, second])
    assert want.shape == (66, 64, 128, 3) != whole.shape
    assert all(np.array_equal(np.load(p), want) for p in ours)
    assert 0 < np.abs(np.load(tiled) - want).mean() < 0.1
