"""Memories that travel: saved by one workflow, loaded by another, and what is said about files that are none."""

import base64
import io
import json
import os
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from comfy_server import ComfyServer, ExecutionFailed, PromptRejected
from helios_core import HistoryMemory
from models import OTHER, POSITIVE, Graph, prompts

GOOD = dict(format="helios-memory-1", helios_memory=json.dumps(dict(chunk=1, seed=3, noise_device="cpu")))


def save(graph, samples, prefix="helios/film", **inputs):
    return graph.add("HeliosSaveMemory", memory=[samples[0], 1], filename_prefix=prefix, **inputs)


def load(graph, name, **inputs):
    return graph.add("HeliosLoadMemory", memory_file=name, **inputs)


def saved_files(server, prefix):
    return sorted((server.output_dir / "helios").glob(f"{prefix}_*.safetensors"))


@pytest.mark.parametrize("variant", ["distilled", "base"])
def test_n_and_then_m_is_n_plus_m(any_server, variant):
    """Bit for bit, through a file, with a prompt that changes after the break."""
    server, steps = any_server, {} if variant == "distilled" else {"steps": "3"}
    graph = Graph(server)

    def schedule(graph):
        s = graph.add(
            "HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3
        )
        text = graph.text(OTHER)
        return graph.add(
            "HeliosPromptSegment", conditioning=text, start=2, transition="blend", blend_chunks=3, schedule=s
        )

    texts = {k: v for k, v in prompts(variant).items() if k == "negative"} | steps
    model = graph.load(variant=variant)
    whole = graph.save(graph.sample(model, schedule=schedule(graph), length=165, **texts))
    first = graph.sample(model, schedule=schedule(graph), length=66, **texts)
    begun, prefix = graph.save(first), f"{variant}_{server.comfy_path.name}"
    save(graph, first, f"helios/{prefix}")
    graph.run()

    graph = Graph(server)
    model = graph.load(variant=variant)
    memory = load(graph, f"helios/{prefix}_00001_.safetensors [output]", model=model)
    rest = graph.save(graph.sample(model, schedule=schedule(graph), memory=memory, length=99, **texts))
    graph.run()
    assert torch.equal(torch.cat([begun.raw, rest.raw], dim=2), whole.raw)


def test_what_the_file_tells(server):
    """Prompt, thumbnail and variant; its number counts on; a picture of the film makes a better thumbnail."""
    graph = Graph(server)
    clip = graph.add("TestTinyCLIPLoader", width=32)
    schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule="0: the sea\n1: a storm", fps=24.0)
    samples = graph.sample(graph.load(), schedule=schedule)
    shown = save(graph, samples, "helios/told")
    outputs = graph.run()["outputs"]
    red = graph.add("EmptyImage", width=640, height=384, batch_size=2, color=0xC01020)
    save(graph, samples, "helios/told", image=red)
    graph.run()
    (picture,) = outputs[shown[0]]["images"]
    with Image.open(io.BytesIO(server.view(picture))) as image:
        assert image.size == (128, 64)
    files = saved_files(server, "told")
    assert [f.name for f in files] == ["told_00001_.safetensors", "told_00002_.safetensors"]
    sizes = []
    for file in files:
        memory, notes = HistoryMemory.load(file)
        assert (memory.chunk, memory.width, memory.height, memory.variant) == (2, 128, 64, "distilled")
        assert notes["prompt"] == "a storm"
        assert [entry.get("prompt") for entry in memory.log] == ["the sea", "a storm"]
        assert all(entry["seed"] == 3 and entry["seconds"] > 0 and entry["ram"] > 10**8 for entry in memory.log)
        head, data = notes["thumbnail"].split(",")
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert head == "data:image/jpeg;base64" and image.format == "JPEG"
            sizes.append(image.size)
            pixel = image.convert("RGB").getpixel((2, 2))
    assert sizes == [(128, 64), (320, 192)] and max(abs(a - b) for a, b in zip(pixel, (0xC0, 0x10, 0x20))) < 8


def test_what_has_no_text_has_no_prompt(server):
    """It does not keep the prompt of the film that it goes on from."""
    graph = Graph(server)
    clip = graph.add("TestTinyCLIPLoader", width=32)
    model, schedule = graph.load(), graph.add("HeliosPromptSchedule", clip=clip, schedule="0: the sea", fps=24.0)
    begun = graph.sample(model, schedule=schedule, length=33, steps="1")
    more = graph.sample(model, positive=POSITIVE, memory=[begun[0], 1], length=66, steps="1")
    save(graph, more, "helios/untold")
    graph.run()
    memory, notes = HistoryMemory.load(saved_files(server, "untold")[0])
    assert [entry.get("prompt") for entry in memory.log] == ["the sea", "", None] and notes["prompt"] == ""


def test_a_prefix_may_be_a_folder_alone(server):
    """And have a size in it; no file is written over."""
    graph = Graph(server)
    samples = graph.sample(graph.load(), positive=POSITIVE, length=33)
    for prefix in ("helios/alone/", "helios/alone/%width%x%height%"):
        save(graph, samples, prefix)
    graph.run()
    graph = Graph(server)
    save(graph, graph.sample(graph.load(), positive=POSITIVE, length=33, seed=4), "helios/alone/")
    graph.run()
    files = sorted(path.name for path in (server.output_dir / "helios" / "alone").iterdir())
    assert files == [f"{name}_.safetensors" for name in ("128x64_00001", "film_00001", "film_00002")]


def test_a_rough_thumbnail_has_the_colours_of_previews(server):
    """Those that the host's sampler previews give the mean latent."""
    HistoryMemory.empty(128, 64).save(server.input_dir / "mean.safetensors")
    graph = Graph(server)
    shown = graph.add("HeliosSaveMemory", memory=load(graph, "mean.safetensors"), filename_prefix="helios/mean")
    (picture,) = graph.run()["outputs"][shown[0]]["images"]
    with Image.open(io.BytesIO(server.view(picture))) as image:
        pixel = image.convert("RGB").getpixel((9, 9))
    assert pixel == pytest.approx([127.5 * (1 + bias) for bias in (-0.1835, -0.0868, -0.3360)], abs=1)


@pytest.mark.parametrize("begun", [False, True], ids=["a film", "a picture"])
def test_a_vae_makes_the_thumbnail_a_frame(server, begun):
    """The last one of the film; of a film that has only its picture, that one."""
    graph, image = Graph(server), torch.rand(1, 2, 4, 3).repeat_interleave(32, 1).repeat_interleave(32, 2)
    if begun:
        quiet = {f"{which}_noise_max": 0.0 for which in ("anchor", "history")}
        memory = graph.add(
            "HeliosHistoryMemory", width=128, height=64, vae=graph.vae(), image=graph.images(image), **quiet
        )
        latents = graph.add("VAEEncode", pixels=graph.images(image), vae=graph.vae())
        wanted = graph.save_images(graph.add("VAEDecode", samples=latents, vae=graph.vae()))
    else:
        samples = graph.sample(graph.load(), positive=POSITIVE, length=66)
        memory, wanted = [samples[0], 1], graph.save_images(graph.decode(samples))
    shown = graph.add("HeliosSaveMemory", memory=memory, filename_prefix="helios/frame", vae=graph.vae())
    (picture,) = graph.run()["outputs"][shown[0]]["images"]
    with Image.open(io.BytesIO(server.view(picture))) as got:
        difference = np.abs(np.array(got.convert("RGB")) / 255 - np.load(wanted)[-1])
    assert difference.max() < 0.01


def test_files_are_listed(server):
    (server.input_dir / "travels").mkdir(exist_ok=True)
    HistoryMemory.empty(128, 64).save(server.input_dir / "travels" / "shared.safetensors")
    HistoryMemory.empty(128, 64).save(server.output_dir / "elsewhere.safetensors")
    (server.output_dir / "helios" / "autosave" / "x").mkdir(parents=True, exist_ok=True)
    (server.output_dir / "helios" / "autosave" / "x" / "chunk.safetensors").touch()
    HistoryMemory.empty(128, 64).save(server.output_dir / "helios" / "listed.safetensors")
    _, options = server.object_info("HeliosLoadMemory")["input"]["required"]["memory_file"]
    listed = set(options["options"])
    assert {"travels/shared.safetensors", "helios/listed.safetensors [output]"} <= listed
    assert not [name for name in listed if "autosave" in name or "elsewhere" in name]
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, "travels/shared.safetensors")))
    graph.run()


def test_the_newest_are_first(server):
    memory = HistoryMemory.empty(128, 64)
    (server.output_dir / "helios").mkdir(exist_ok=True)
    names = ["helios/second.safetensors [output]", "third.safetensors", "helios/first.safetensors [output]"]
    for age, name in zip((20, 30, 10), names):
        path = (server.output_dir if "[output]" in name else server.input_dir) / name.removesuffix(" [output]")
        memory.save(path)
        os.utime(path, (time.time() + 1000 - age,) * 2)
    _, options = server.object_info("HeliosLoadMemory")["input"]["required"]["memory_file"]
    assert options["options"][:4] == ["latest in output/helios", names[2], names[0], names[1]]
    for name in names:
        (server.output_dir / name.removesuffix(" [output]")).unlink(missing_ok=True)


def test_each_run_continues_the_one_before(server):
    """The same graph, run twice: the second run loads what the first one saved."""
    path = server.output_dir / "helios" / "chain" / "film_00001_.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    HistoryMemory.empty(128, 64).save(path)
    os.utime(path, (time.time() + 2000,) * 2)
    graph = Graph(server)
    memory = load(graph, "latest in output/helios")
    save(graph, graph.sample(graph.load(), positive=POSITIVE, memory=memory, length=33, steps="1"), "helios/chain/film")
    for run in (1, 2):
        before = len(server.log())
        graph.run()
        newest = server.output_dir / "helios" / "chain" / f"film_0000{run + 1}_.safetensors"
        assert HistoryMemory.load(newest)[0].chunk == run
        assert f"film_0000{run}_.safetensors: {run - 1} chunk" in server.log()[before:]
        os.utime(newest, (time.time() + 2000 + run,) * 2)
    for file in path.parent.iterdir():
        file.unlink()


def test_there_is_no_latest_yet(comfy_path, tmp_path):
    with ComfyServer(comfy_path, tmp_path) as server:
        graph = Graph(server)
        graph.add("HeliosSaveMemory", memory=load(graph, "latest in output/helios"), filename_prefix="helios/film")
        with pytest.raises(PromptRejected, match="memory_file=latest in output/helios: there is none yet"):
            server.queue(graph)


def test_a_file_that_changed_is_read_anew(server):
    def film(memory):
        memory.save(server.input_dir / "changes.safetensors")
        graph = Graph(server)
        memory = load(graph, "changes.safetensors")
        saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=memory, length=33))
        graph.run()
        return saved.raw

    empty = HistoryMemory.empty(128, 64)
    first = film(empty)
    other = film(HistoryMemory(torch.ones_like(empty.frames)))
    assert not torch.equal(first, other) and torch.equal(first, film(empty))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "../secret.safetensors [output]",
        "helios/../../secret.safetensors [output]",
        "/etc/passwd",
        "/etc/passwd [output]",
        "C:\\secret.safetensors",
        "helios/autosave [output]",
        "",
        "none.safetensors",
        "none.safetensors [output]",
    ],
)
def test_only_files_in_the_hosts_folders(server, name):
    HistoryMemory.empty(128, 64).save(server.base_dir / "secret.safetensors")
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, name)))
    with pytest.raises(PromptRejected, match=r"memory_file=.*(only \.safetensors files in|there is no such file)"):
        server.queue(graph)


def test_a_link_out_of_the_folder(server):
    HistoryMemory.empty(128, 64).save(server.base_dir / "secret.safetensors")
    (server.input_dir / "link.safetensors").symlink_to(server.base_dir / "secret.safetensors")
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, "link.safetensors")))
    with pytest.raises(PromptRejected, match="only .safetensors files in"):
        server.queue(graph)


def write(server, name, metadata=GOOD, **tensors):
    tensors = {"frames": torch.zeros(1, 16, 19, 8, 16), **tensors}
    save_file(tensors, server.input_dir / name, metadata)
    return name


BAD_FILES = {
    "truncated": (
        lambda s: s.input_dir.joinpath(write(s, "m.safetensors")),
        r"m\.safetensors: damaged or not a Helios",
    ),
    "a model": (lambda s: write(s, "m.safetensors", {}, x=torch.zeros(3)), r"its format is None, 'helios-memory-1' is"),
    "huge": (lambda s: write(s, "m.safetensors", frames=torch.zeros(1, 16, 19, 1, 2**14)), r"multiples of 16"),
    "half precision": (lambda s: write(s, "m.safetensors", frames=torch.zeros(1, 16, 19, 8, 8).half()), "not float32"),
    "NaN": (lambda s: write(s, "m.safetensors", frames=torch.full((1, 16, 19, 8, 8), torch.nan)), "NaN or infinity"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_memory(server, case):
    make, message = BAD_FILES[case]
    made = make(server)
    if case == "truncated":
        made.write_bytes(made.read_bytes()[:-100])
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, "m.safetensors")))
    with pytest.raises(ExecutionFailed, match=rf"^HeliosLoadMemory [^:]*: .*{message}"):
        graph.run()


def memory_of(server, variant, size=(128, 64)):
    graph = Graph(server)
    name = f"{variant}_{size[0]}"
    if not saved_files(server, name):
        save(
            graph,
            graph.sample(graph.load(variant=variant), size, **prompts(variant), length=33, steps="2"),
            f"helios/{name}",
        )
        graph.run()
    return f"helios/{name}_00001_.safetensors [output]"


def test_another_variant(server):
    """Told where the model is connected; without it, Distilled may go on from Base."""
    name = memory_of(server, "base")
    graph = Graph(server)
    model = graph.load(variant="distilled")
    graph.save(graph.sample(model, positive=POSITIVE, memory=load(graph, name, model=model)))
    with pytest.raises(ExecutionFailed, match=r"this film was made with Base, the model is Distilled\. Load that"):
        graph.run()
    graph = Graph(server)
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, name), length=33))
    graph.run()
    assert saved.raw.isfinite().all()


def test_another_size(server):
    """144x80 is for Base; the pyramid needs multiples of 64."""
    name = memory_of(server, "base", (144, 80))
    graph = Graph(server)
    model = graph.load()
    graph.save(graph.sample(model, positive=POSITIVE, memory=load(graph, name)))
    with pytest.raises(ExecutionFailed, match=r"width=144, height=80: multiples of 64"):
        graph.run()


def test_another_model(server):
    """A memory of another number of channels."""
    HistoryMemory.empty(128, 64, channels=8).save(server.input_dir / "eight.safetensors")
    graph = Graph(server)
    graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=load(graph, "eight.safetensors")))
    with pytest.raises(ExecutionFailed, match="memory: it has 8 latent channels, this model 16"):
        graph.run()


def test_a_made_up_thumbnail_is_left_out(server):
    memory, head = HistoryMemory.empty(128, 64), "data:image/jpeg;base64,"
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    huge = bytearray(file.getvalue())
    size = huge.index(b"\xff\xc0") + 5  # of a frame's header: its height and width follow
    huge[size : size + 4] = b"\xea\x60\xea\x60"
    huge = head + base64.b64encode(huge).decode()
    for i, thumbnail in enumerate(["x", head + "????", head + "A" * 300_000, "data:,", huge]):
        name = f"thumb{i}.safetensors"
        memory.save(server.input_dir / name, {"thumbnail": thumbnail, "prompt": "the sea"})
        graph = Graph(server)
        loaded = load(graph, name)
        graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=loaded, length=33))
        assert "images" not in graph.run()["outputs"].get(loaded[0], {})
        assert re.search(rf"{name}: 0 chunks .* of 128x64\n.*the sea|{name}: 0 chunks", server.log())
