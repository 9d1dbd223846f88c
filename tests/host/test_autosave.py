"""Chunks on disk, in a real ComfyUI: what a run finds of an earlier one, and what it must not."""

import os
import re
import shutil
import time

import pytest
import torch

from comfy_server import ComfyServer, ExecutionFailed, Interrupted
from models import NEGATIVE, OTHER, POSITIVE, Graph, embeddings, install, install_helios, small_tensors, two_prompts

CHUNKS = 3
STEPS = 18  # of a film of two chunks: 12 in the first, which is doubled, and 6


@pytest.fixture(scope="module")
def server(comfy_path, tmp_path_factory):
    """One of its own, so that nobody else's chunks lie about."""
    with ComfyServer(comfy_path, tmp_path_factory.mktemp("autosave"), ("--use-pytorch-cross-attention",)) as server:
        install_helios(server)
        yield server


@pytest.fixture(autouse=True)
def _no_chunks(server):
    """Each test begins without any."""
    shutil.rmtree(folder(server), ignore_errors=True)


def folder(server):
    return server.output_dir / "helios" / "autosave"


def on_disk(server):
    return sorted(folder(server).rglob("*.safetensors"))


def run(server, build=None, **inputs):
    """(raw latents, chunks that were found on disk, what was said) of a film of two chunks."""
    graph = Graph(server)
    made = build(graph) if build else {}
    model = made.pop("model", None) or graph.load()
    texts = {} if "schedule" in {**made, **inputs} else {"positive": POSITIVE}
    settings = {"autosave": True, "length": 33 * CHUNKS, **texts, **made, **inputs}
    saved = graph.save(graph.sample(model, **settings))
    before = len(server.log())
    graph.run()
    said = server.log()[before:]
    found = re.search(
        r"Chunks? (\d+)(?: to (\d+))? (?:was|were) on disk\. (Continuing at chunk (\d+)|Nothing was left to make)\.",
        said,
    )
    count = 0 if found is None else int(found[2] or found[1]) + 1
    if found and found[4]:
        assert int(found[4]) == count
    return saved.raw, count, said


def test_found_again(server):
    """After a restart too, when nothing need be computed, so that the model is not even brought to the device."""
    first, found, _ = run(server)
    assert found == 0 and len(on_disk(server)) == CHUNKS
    longer, found, _ = run(server, length=33 * (CHUNKS + 1))
    assert found == CHUNKS and torch.equal(longer[:, :, : 9 * CHUNKS], first)
    server.restart()
    again, found, said = run(server)
    assert found == CHUNKS and torch.equal(again, first)
    assert "Nothing was left to make." in said and "Requested to load HeliosModel" not in said


def test_off(server):
    run(server, autosave=False)
    assert on_disk(server) == []
    run(server)
    assert run(server, autosave=False)[1] == 0


def test_the_same_as_without(server):
    plain, _, _ = run(server, autosave=False)
    first, _, _ = run(server)
    on_disk(server)[0].unlink()  # whichever chunk that is
    again, found, _ = run(server)
    assert torch.equal(first, plain) and torch.equal(again, plain) and found < CHUNKS


def test_a_changed_prompt_keeps_the_chunks_before_it(server):
    run(server, lambda g: two_prompts(g, OTHER))
    assert run(server, lambda g: two_prompts(g, NEGATIVE))[1] == 2
    assert run(server, lambda g: two_prompts(g, OTHER))[1] == 3
    assert run(server)[1] == 2  # one prompt for all: the first two are the same film
    assert run(server, lambda g: two_prompts(g, OTHER, start=1))[1] == 1


def lora(server, name, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"diffusion_model.blocks.0.self_attn.q.lora_{end}.weight": torch.randn(shape, generator=generator)
        for end, shape in (("A", (4, 48)), ("B", (48, 4)))
    }
    return install(server, name, tensors, kind="loras")


def with_lora(name, strength=1.0, node="HeliosLoraLoader"):
    return lambda g: {"model": g.add(node, model=g.load(), lora_name=name, **{STRENGTH[node]: strength})}


STRENGTH = {"HeliosLoraLoader": "strength", "LoraLoaderModelOnly": "strength_model"}


def patched(kind):
    return lambda g: {"model": g.add("TestPatchModel", model=g.load(), kind=kind)}


def test_what_decides_a_film(server):
    """Each of these makes another film; each finds its own chunks again, also after a restart."""
    one, two = lora(server, "one.safetensors", 1), lora(server, "two.safetensors", 2)
    other = install_helios(server, "other.safetensors", {k: v * 1.01 for k, v in small_tensors().items()})
    films = {
        "plain": (None, {}),
        "seed": (None, dict(seed=4)),
        "steps": (None, dict(steps="1")),
        "solver": (None, dict(solver="euler")),
        "amplify": (None, dict(amplify_first_chunk="off")),
        "skip first chunk": (None, dict(skip_first_chunk=True)),
        "prompt": (None, dict(positive=embeddings(9))),
        "guidance": (None, dict(cfg=2.0, negative=NEGATIVE)),
        "other guidance": (None, dict(cfg=3.0, negative=NEGATIVE)),
        "other negative": (None, dict(cfg=2.0, negative=OTHER)),
        "size": (None, dict(size=(64, 64))),
        "file": (lambda g: {"model": g.load(other)}, {}),
        "dtype": (lambda g: {"model": g.load(weight_dtype="bf16")}, {}),
        "lora": (with_lora(one), {}),
        "lora's content": (with_lora(two), {}),
        "lora's strength": (with_lora(one, 0.5), {}),
        "attention patch": (patched("attention"), {}),
        "block patch": (patched("skip block"), {}),
        "post cfg patch": (patched("post cfg function"), {}),
        "setting of a patch": (patched("scaled 0.9"), {}),
        "its other setting": (patched("scaled 0.8"), {}),
    }
    made = {}
    for name, (build, inputs) in films.items():
        made[name], found, _ = run(server, build, **inputs)
        assert found == 0, name
    server.restart()
    for name, (build, inputs) in films.items():
        again, found, said = run(server, build, **inputs)
        assert "Autosave is off" not in said, said
        assert found == CHUNKS and torch.equal(again, made[name]), name
    assert run(server, negative=OTHER)[1] == CHUNKS  # Distilled has no guidance, and does not hear it
    for name in ("seed", "steps", "lora", "lora's strength", "file", "block patch"):
        assert not torch.equal(made[name], made["plain"]), name


def test_the_stock_lora_loader(server):
    one = lora(server, "one.safetensors", 1)
    run(server, with_lora(one, node="LoraLoaderModelOnly"))
    assert run(server, with_lora(one, 0.9, node="LoraLoaderModelOnly"))[1] == 0
    assert run(server, with_lora(one, node="LoraLoaderModelOnly"))[1] == CHUNKS


def test_a_replaced_file_is_another(server):
    name = install_helios(server, "replaced.safetensors")
    load = dict(build=lambda g: {"model": g.load(name)})
    run(server, **load)
    path = server.models_dir / "diffusion_models" / name
    os.utime(path, (time.time() + 5, time.time() + 5))
    server.restart()  # the loader's output is kept as long as the server runs
    assert run(server, **load)[1] == 0


def test_patches_without_identity_turn_it_off(server):
    """A patch that holds what cannot be told apart: nothing is found, rather than the wrong thing."""
    for _ in range(2):
        _, found, said = run(server, patched("opaque"))
        assert found == 0 and re.search(r"Autosave is off: _thread\.\w*lock cannot be recognised again", said)
    assert on_disk(server) == []


def test_after_a_cancel(server):
    """Chunks made before it are there, the one it interrupted is not."""
    graph = Graph(server)
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, autosave=True, length=33 * 4, steps="30"))
    with server.events() as events:
        prompt_id = server.queue(graph, client_id=events.client_id)
        while len(on_disk(server)) < 2:
            time.sleep(0.02)
        server.interrupt(prompt_id)
        with pytest.raises(Interrupted):
            server.wait(prompt_id)
        kept = len(on_disk(server))
        assert 2 <= kept < 4
    whole, found, _ = run(server, length=33 * 4, steps="30")
    assert found == kept and len(on_disk(server)) == 4
    plain, _, _ = run(server, length=33 * 4, steps="30", autosave=False)
    assert torch.equal(whole, plain)
    del saved


def test_after_an_error(server):
    """A prompt at chunk 2 that the network cannot bear: chunks 0 and 1 stay usable, with a better one."""
    with pytest.raises(ExecutionFailed, match="NaN or infinity in the latents of chunk 2"):
        run(server, lambda g: two_prompts(g, POSITIVE * 1e35))
    assert run(server, lambda g: two_prompts(g, OTHER))[1] == 2


def test_damage_is_made_anew(server):
    whole, _, _ = run(server)
    for file in on_disk(server):
        content = bytearray(file.read_bytes())
        content[-20] ^= 1
        file.write_bytes(content)
    again, found, said = run(server)
    assert found == 0 and "is damaged and is made anew" in said and torch.equal(again, whole)
    assert run(server)[1] == CHUNKS


def test_a_gap_is_filled(server):
    """Only the chunk whose file is gone is made, those after it are found."""
    film, found, _ = run(server)
    first, second, *_ = sorted(on_disk(server), key=lambda p: p.stat().st_mtime_ns)
    second.unlink()
    written = {path: path.stat().st_mtime_ns for path in on_disk(server)}
    again, found, _ = run(server)
    assert found == 1 and torch.equal(again, film)
    assert [path for path in on_disk(server) if written.get(path) != path.stat().st_mtime_ns] == [second]


def age(server, days):
    """Films look as if they had last been used so long ago, the first one longest."""
    for i, film in enumerate(sorted(folder(server).iterdir(), key=lambda p: p.stat().st_mtime_ns)):
        then = time.time() - days * 86400 + i
        os.utime(film, (then, then))


def test_limits(server):
    """Of films of before, the last one stays and those used within a day; what goes is said."""
    for steps in ("1", "1,1,2", "1,2,1"):
        run(server, steps=steps, length=33)
    assert "Autosave: removed" not in run(server, steps="1", length=33, autosave_films=1, autosave_gb=0.0)[2]
    age(server, 2)
    _, _, said = run(server, steps="2", length=33, autosave_films=2)
    assert re.search(r"Autosave: removed 1 old film \(1 chunk, \d+ MB\), last used \d{4}-\d\d-\d\d", said)
    assert len(list(folder(server).iterdir())) == 3
    age(server, 2)
    _, _, said = run(server, steps="2,1,1", length=33, autosave_gb=0.0)
    assert "removed 2 old films" in said and len(list(folder(server).iterdir())) == 2
    assert run(server, steps="2", length=33)[1] == 1 and run(server, steps="2,1,1", length=33)[1] == 1


def test_two_samplers_of_a_graph_keep_each_others_chunks(server):
    """Under a limit below the size of one film, and however long ago they were made."""

    def both(graph):
        model = graph.load()
        made = [graph.sample(model, positive=POSITIVE, autosave=True, autosave_gb=0.0, steps=s) for s in ("1", "2")]
        return [graph.save(latents) for latents in made]

    for found in (0, 2):
        graph = Graph(server)
        both(graph)
        before = len(server.log())
        graph.run()
        assert server.log()[before:].count("Chunks 0 to 1 were on disk") == found
        age(server, 2)


def test_an_unfinished_film_of_another_seed_is_offered(server):
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, autosave=True, length=33 * 4, steps="30", seed=11))
    prompt_id = server.queue(graph)
    while not on_disk(server):
        time.sleep(0.02)
    server.interrupt(prompt_id)
    with pytest.raises(Interrupted):
        server.wait(prompt_id)
    kept = len(on_disk(server))
    _, found, said = run(server, length=33 * 4, steps="30", seed=12)
    assert found == 0 and f"An unfinished one with seed 11 has {kept} of 4 chunks on disk: set the seed to 11" in said
    assert "set the seed" not in run(server, length=33 * 4, steps="30", seed=12)[2]
    assert run(server, length=33 * 4, steps="30", seed=11)[1] == kept
    assert "set the seed" not in run(server, length=33, steps="30", seed=13)[2]  # it is finished now


def test_a_full_disk_does_not_end_the_film(server):
    """A file where the folder should be stands for it."""
    folder(server).parent.mkdir(exist_ok=True)
    folder(server).touch()
    try:
        film, found, said = run(server)
        assert found == 0 and all(f"Chunk {k} could not be kept on disk" in said for k in range(CHUNKS))
    finally:
        folder(server).unlink()
    assert torch.equal(film, run(server)[0])


def test_films_in_a_chain(server):
    """The second sampler's chunks are found through the first one's memory."""

    def chain(graph):
        model = graph.load()
        first = graph.sample(model, positive=POSITIVE, autosave=True, length=66)
        second = graph.sample(model, positive=OTHER, memory=[first[0], 1], autosave=True, length=66)
        return graph.save(second)

    made = []
    for restart in (False, True):
        if restart:
            server.restart()
        graph = Graph(server)
        saved = chain(graph)
        before = len(server.log())
        graph.run()
        made.append((saved.raw, server.log()[before:]))
    assert torch.equal(made[0][0], made[1][0])
    assert "Chunks 0 to 1 were on disk" in made[1][1] and "Chunks 2 to 3 were on disk" in made[1][1]


def hooked(graph, name, strength, keyframes=()):
    hooks = graph.add("CreateHookLoraModelOnly", lora_name=name, strength_model=strength)
    if keyframes:
        chain = {}
        for start, factor in keyframes:
            chain = {
                "prev_hook_kf": graph.add("CreateHookKeyframe", strength_mult=factor, start_percent=start, **chain)
            }
        hooks = graph.add("SetHookKeyframes", hooks=hooks, hook_kf=chain["prev_hook_kf"])
    settings = dict(strength=1.0, set_cond_area="default", hooks=hooks)
    return {"positive": graph.add("ConditioningSetProperties", cond_NEW=graph.text(POSITIVE), **settings)}


def test_hooks_on_the_prompt(server):
    """A LoRA that only the prompt brings with it is part of what is said."""
    one = lora(server, "one.safetensors", 1)
    plain, _, _ = run(server)
    first, found, _ = run(server, lambda g: hooked(g, one, 1.0))
    assert found == 0 and not torch.equal(first, plain)
    longer = 33 * CHUNKS + 33
    assert run(server, lambda g: hooked(g, one, 1.0), length=longer)[1] == CHUNKS  # sampling changes the hooks
    server.restart()
    again, found, _ = run(server, lambda g: hooked(g, one, 1.0))
    assert found == CHUNKS and torch.equal(again, first)
    assert run(server, lambda g: hooked(g, one, 0.5))[1] == 0


def test_keyframed_hooks_begin_anew_with_each_chunk(server):
    """A LoRA for the first half of the steps is one for the first half of every chunk, resumed or not."""
    one = lora(server, "one.safetensors", 1)

    def build(graph):
        return hooked(graph, one, 1.0, [(0.0, 1.0), (0.5, 0.0)])

    whole, _, _ = run(server, build, autosave=False)
    always, _, _ = run(server, lambda g: hooked(g, one, 1.0), autosave=False)
    run(server, build, length=33)
    resumed, found, _ = run(server, build)
    assert found == 1 and torch.equal(resumed, whole) and not torch.equal(whole, always)
