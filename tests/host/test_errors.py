"""What a user reads when something is wrong: one table of bad inputs and the sentences they end in."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from checkpoints import tiny_wan_tensors
from comfy_server import ExecutionFailed, PromptRejected
from helios_core import RECIPES
from models import (
    NEGATIVE,
    OTHER,
    POSITIVE,
    Graph,
    core_film,
    embeddings,
    film,
    install,
    install_helios,
    relative_error,
    small_config,
    small_tensors,
    wait_listed,
)

NAN = float("nan")


@pytest.fixture(scope="module")
def broken(server):
    """The server, with every kind of file that is not what it should be."""
    folder, tensors = server.models_dir / "diffusion_models", small_tensors()
    good = folder / install_helios(server)
    shutil.copy(server.models_dir / "vae" / "tiny_wan_vae.safetensors", folder / "vae.safetensors")
    install(server, "wan.safetensors", tiny_wan_tensors())
    install_helios(server, "missing.safetensors", {k: v for k, v in tensors.items() if ".1.attn2." not in k})
    install_helios(server, "unknown.safetensors", {**tensors, "audio_tower.weight": torch.zeros(2)})
    install_helios(server, "shape.safetensors", {**tensors, "blocks.1.ffn.net.2.bias": torch.zeros(7)})
    install_helios(server, "nan.safetensors", {**tensors, "proj_out.bias": torch.full((64,), NAN)})
    install(server, "rope.safetensors", tensors, config=small_config().replace("8,\n    8,\n    8", "8, 8, 6"))
    (folder / "truncated.safetensors").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "page.safetensors").write_text("<html>404</html>")

    def subfolder(name, **files):
        (folder / name).mkdir()
        for file, content in {"config.json": small_config(), **files}.items():
            (folder / name / file).write_text(content)
        return folder / name

    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    index = {"weight_map": {"a": first, "b": second}}
    save_file(tensors, subfolder("shardless", **{"model.safetensors.index.json": json.dumps(index)}) / first)
    subfolder("empty")
    two = subfolder("two")
    save_file(tensors, two / "a.safetensors")
    save_file(tensors, two / "b.safetensors")
    other = subfolder("other", **{"config.json": json.dumps({"_class_name": "WanTransformer3DModel"})})
    save_file(tensors, other / "model.safetensors")
    save_file(tensors, subfolder("json", **{"config.json": "{"}) / "model.safetensors")

    def lora(name, key, shape):
        install(server, name, {key: torch.zeros(shape)}, kind="loras")

    lora("clip_lora.safetensors", "text_model.layer.lora_A.weight", (2, 8))
    lora("wide_lora.safetensors", "blocks.0.attn1.to_q.lora_A.weight", (2, 5120))
    lora("high_lora.safetensors", "diffusion_model.blocks.0.self_attn.q.lora_B.weight", (5120, 2))
    wait_listed(server, "page.safetensors")
    return server


# Every case puts what is wrong into a graph and returns what its film is made of, or nothing to sample no film.


def load(name, variant="distilled"):
    return lambda g: dict(model=g.load(name, variant), positive=POSITIVE)


def sample(variant="distilled", **inputs):
    def build(g):
        made = {k: v(g) if callable(v) else v for k, v in inputs.items()}
        made = {"positive": POSITIVE, "negative": NEGATIVE, **made}
        return dict(model=g.load(variant=variant), **{k: v for k, v in made.items() if v is not None})

    return build


def area(g):
    return g.add("ConditioningSetArea", conditioning=g.text(POSITIVE), width=64, height=64, x=0, y=0, strength=1.0)


def start_image(g):
    text, image = g.text(POSITIVE), g.add("EmptyImage", width=128, height=64, batch_size=1, color=0)
    size = dict(width=128, height=64, length=33, batch_size=1)
    return g.add("WanImageToVideo", positive=text, negative=text, vae=g.vae(), start_image=image, **size)


def size(width, height, variant="distilled"):
    return sample(variant, memory=lambda g: g.add("HeliosHistoryMemory", width=width, height=height))


def schedule(text, fps=24.0, linked=False):
    def node(g):
        clip = g.add("TestTinyCLIPLoader", width=32)
        value = g.add("PrimitiveStringMultiline", value=text) if linked else text
        return g.add("HeliosPromptSchedule", clip=clip, schedule=value, fps=fps)

    return sample(schedule=node, positive=None)


def segments(*parts, combine=()):
    """(start, transition) of each segment; those whose places are in `combine` have two conditionings."""

    def node(g):
        so_far = {}
        for i, (start, transition) in enumerate(parts):
            text = g.text(POSITIVE)
            if i in combine:
                text = g.add("ConditioningCombine", conditioning_1=text, conditioning_2=g.text(OTHER))
            settings = dict(conditioning=text, start=start, transition=transition, blend_chunks=3, **so_far)
            so_far = {"schedule": g.add("HeliosPromptSegment", **settings)}
        return so_far["schedule"]

    return sample(schedule=node, positive=None, length=132)


def bad_from_chunk_1(factor):
    def node(g):
        first = g.add("HeliosPromptSegment", conditioning=g.text(POSITIVE), start=0, transition="cut", blend_chunks=2)
        bad = dict(conditioning=g.text(POSITIVE * factor), start=1, transition="cut", blend_chunks=2)
        return g.add("HeliosPromptSegment", schedule=first, **bad)

    return node


def wan(g):
    return g.add("UNETLoader", unet_name="wan.safetensors", weight_dtype="default")


def lora(name, model=Graph.load, strength=1.0):
    def build(g):
        patched = g.add("HeliosLoraLoader", model=model(g), lora_name=name, strength=strength)
        return dict(model=patched, positive=POSITIVE)

    return build


def ksampler(g):
    latent = g.add("EmptyHunyuanLatentVideo", width=128, height=64, length=33, batch_size=1)
    settings = dict(seed=1, steps=1, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0)
    texts = dict(positive=g.text(POSITIVE), negative=g.text(NEGATIVE))
    g.save(g.add("KSampler", model=g.load(), latent_image=latent, **texts, **settings))


def memory(**inputs):
    """A film that begins with pictures; numbers are of frames."""

    def node(g):
        made = {k: g.images(torch.rand(v, 64, 96, 3)) if k in ("image", "video") else v for k, v in inputs.items()}
        made = {"vae": g.vae(), **made}
        return g.add("HeliosHistoryMemory", width=128, height=64, **{k: v for k, v in made.items() if v is not None})

    return sample(memory=node)


def image_vae(g):
    return g.add(
        "HeliosHistoryMemory",
        width=128,
        height=64,
        vae=g.add("VAELoader", vae_name="pixel_space"),
        image=g.images(torch.rand(1, 64, 96, 3)),
    )


def broken_video(g):
    (g.server.input_dir / "broken.mp4").write_text("no video")
    video = g.add("LoadVideo", file="broken.mp4")
    return g.add("HeliosHistoryMemory", width=128, height=64, vae=g.vae(), video=video)


def keyframes(*starts, pictures=1, blend_chunks=3):
    def node(g):
        schedule = g.add(SEGMENT, conditioning=g.text(POSITIVE), start=0, transition="cut", blend_chunks=3)
        for start in starts:
            image = g.images(torch.rand(pictures, 64, 96, 3))
            settings = dict(image=image, start=start, transition="cut", blend_chunks=blend_chunks)
            schedule = g.add("HeliosKeyframe", schedule=schedule, vae=g.vae(), **settings)
        return schedule

    return sample(schedule=node, positive=None)


def latents(frames, **settings):
    """Latents of a video of so many frames, or of an image, to be decoded."""

    def build(g):
        node, length = ("EmptyHunyuanLatentVideo", {"length": frames}) if frames else ("EmptyLatentImage", {})
        samples = g.add(node, width=64, height=64, batch_size=1, **length)
        g.save_images(g.decode(samples, **settings))

    return build


def linked(value):
    """Past what the widgets take, as a link may bring it."""
    return lambda g: g.add("TestValue", json=json.dumps(value))


LOADER, SAMPLER, SCHEDULE = "HeliosModelLoader", "HeliosChunkSampler", "HeliosPromptSchedule"
SEGMENT, LORA, MEMORY, DECODE = "HeliosPromptSegment", "HeliosLoraLoader", "HeliosHistoryMemory", "HeliosVAEDecode"
# What is wrong: (how, the node that says so, what it says).
BAD_RUNS = {
    # files
    "a VAE": (load("vae.safetensors"), LOADER, r"vae\.safetensors: not a whole Helios transformer .*Choose the transf"),
    "a Wan model": (load("wan.safetensors"), LOADER, r"wan\.safetensors: a Wan model .*own Load Diffusion Model"),
    "half a file": (load("truncated.safetensors"), LOADER, r"truncated\.safetensors: damaged .*Download it anew"),
    "no safetensors": (load("page.safetensors"), LOADER, r"page\.safetensors: damaged .*16 bytes.*Download it anew"),
    "missing tensors": (load("missing.safetensors"), LOADER, r"10 tensors are missing \(blocks\.1\.cross.*Download"),
    "unknown tensors": (load("unknown.safetensors"), LOADER, r"1 tensors? .* not Helios' \(audio_tower\.weight\)"),
    "wrong shape": (load("shape.safetensors"), LOADER, r"blocks\.1\.ffn\.2\.bias has shape \(7,\), .*needs \(48,\)"),
    "wrong config": (load("rope.safetensors"), LOADER, r"rope_dim=\(8, 8, 6\): three even numbers that add up"),
    "missing shard": (load("shardless/"), LOADER, r"index\.json: 1 of 2 shards .*model-00002-of-00002.*Download"),
    "empty folder": (load("empty/"), LOADER, r"empty: no \.safetensors file"),
    "two files": (load("two/"), LOADER, r"two: 2 \.safetensors files and no index \(a\.safetensors, b\.safet"),
    "another class": (load("other/"), LOADER, r"other: its config\.json describes a WanTransformer3DModel"),
    "broken config.json": (load("json/"), LOADER, r"config\.json: not valid JSON .*Download it anew"),
    "which variant": (load("small.safetensors", "auto"), LOADER, r"variant=auto: .*small\.safetensors .*Choose it"),
    "NaN in the weights": (load("nan.safetensors"), SAMPLER, r"NaN or infinity .*chunk 0, stage 0, step 0: try"),
    "LoRA, no match": (lora("clip_lora.safetensors"), LORA, r"clip_lora\.safetensors: no key .*text_model\.layer\)"),
    "LoRA, input width": (lora("wide_lora.safetensors"), LORA, r"wide_lora.*self_attn\.q .* 5120 inputs .*has 48"),
    "LoRA, output width": (lora("high_lora.safetensors"), LORA, r"high_lora.*self_attn\.q .* 5120 outputs .*has 48"),
    # sizes
    "96x64 through the pyramid": (size(96, 64), SAMPLER, r"width=96, height=64: multiples of 64 .*works is 128x64"),
    "208x80 with Mid": (size(208, 80, "mid"), SAMPLER, r"width=208, height=80: multiples of 64 .*works is 192x64"),
    "72x64 with Base": (size(72, 64, "base"), MEMORY, r"width=72, height=64: multiples of 16 .*works is 80x64"),
    # prompts
    "embeddings of CLIP": (sample(positive=embeddings(1, dim=48)), SAMPLER, r"text emb.* 48 wide, .*32: .*UMT5"),
    "negative of CLIP": (sample("base", negative=embeddings(1, dim=48)), SAMPLER, r"48 wide"),
    "positive with an area": (sample(positive=area), SAMPLER, r"comes with an area, which Helios cannot use"),
    "Wan's image to video": (sample(positive=start_image), SAMPLER, r"comes with a start image, .* Helios History Mem"),
    "no prompt": (sample(positive=None), SAMPLER, r"schedule and positive: connect one of them"),
    "both prompts": (sample(schedule=bad_from_chunk_1(1)), SAMPLER, r"schedule and positive: connect one of them"),
    "Mid without negative": (sample("mid", negative=None), SAMPLER, r"negative: cfg=5 needs .*or set cfg to 1"),
    "cfg without negative": (sample(cfg=2.5, negative=None), SAMPLER, r"negative: cfg=2\.5 needs"),
    "numbers too large in a prompt": (
        sample(schedule=bad_from_chunk_1(1e38), positive=None),
        SAMPLER,
        r"NaN .* of chunk 1, stage 0, step 0",
    ),
    "NaN in a segment": (
        sample(schedule=bad_from_chunk_1(NAN), positive=None),
        SEGMENT,
        r"conditioning: the prompt at chunk 1 has NaN or infinity .*correct weights such as \(word:nan\)",
    ),
    "NaN in positive": (sample(positive=POSITIVE * NAN), SAMPLER, r"prompt at chunk 0 has NaN or infinity in its emb"),
    "NaN in negative": (sample("base", negative=NEGATIVE / 0), SAMPLER, r"negative: the prompt has NaN or infinity"),
    "a weight of nan": (schedule("0: a fox\n1: a (red:nan) fox"), SCHEDULE, r"the prompt “a \(red:nan\) fox” has NaN"),
    "a weight of inf": (schedule("0: a (red:inf) fox"), SCHEDULE, r"the prompt “a \(red:inf\) fox” has NaN or inf"),
    "segments without chunk 0": (segments((2, "cut")), SEGMENT, r"a prompt at chunk 0 is needed \(.*at chunk 2\)"),
    "segments at one chunk": (segments((0, "cut"), (3, "cut"), (3, "blend")), SEGMENT, r"two prompts .* chunk 3"),
    "first segment blends": (segments((0, "blend")), SEGMENT, r"first prompt has nothing to blend from; make it"),
    "blend of unequal parts": (
        segments((0, "cut"), (1, "blend"), combine=[1]),
        SAMPLER,
        r"blend at chunk 1 .* 1 and 2 parts",
    ),
    "linked schedule": (
        schedule("4: a", linked=True),
        SCHEDULE,
        r"schedule, line 1: the first prompt begins at chunk 4",
    ),
    # settings
    "steps, words": (sample(steps="many"), SAMPLER, r"steps='many': .*3 whole numbers .*'2,2,2', or 'auto'"),
    "steps, two": (sample(steps="2,2"), SAMPLER, r"steps='2,2': this model takes 3 whole numbers"),
    "steps, none": (sample(steps="0"), SAMPLER, r"steps='0': .* from 1 to 1000"),
    "steps of a pyramid for Base": (sample("base", steps="9,9,9"), SAMPLER, r"steps='9,9,9': .*1 whole number .*'50'"),
    # values by links
    "a linked blend of 1": (keyframes(1, blend_chunks=linked(1)), "HeliosKeyframe", r"blend_chunks=1: use a whole num"),
    "a linked start": (keyframes(linked(1.5)), "HeliosKeyframe", r"start=1\.5: use a whole number from 0 to 1000000\."),
    "a linked width": (size(linked(0), 64), MEMORY, r"width=0: use a whole number from 64 to 4096\."),
    "a linked seed for noise": (memory(image=1, seed=linked(-1)), MEMORY, r"seed=-1: use a whole number from 0 to 18"),
    "linked noise of NaN": (memory(image=1, history_noise_max=linked(NAN)), MEMORY, r"history_noise_max=nan: use a n"),
    "a linked LoRA of NaN": (lora("clip_lora.safetensors", strength=linked(NAN)), LORA, r"strength=nan: use a number"),
    "a linked variant": (load("small.safetensors", linked("turbo")), LOADER, r"variant=turbo: use one of auto, base,"),
    "a linked frame rate": (schedule("0: a", fps=linked(0)), SCHEDULE, r"fps=0: use a number from 1\.0 to 120\.0\."),
    "a linked number for text": (schedule(linked(4)), SCHEDULE, r"schedule=4: connect text here; its type is int"),
    "linked tiles": (latents(33, tile_size=linked(0)), DECODE, r"tile_size=0: use a whole number from 64 to 4096\."),
    "a linked seed": (sample(seed=linked(-1)), SAMPLER, r"seed=-1: use a whole number from 0 to 18446744073709551615"),
    "a linked length": (sample(length=linked(0)), SAMPLER, r"length=0: use a whole number from 1 to"),
    "a linked solver": (sample(solver=linked("heun")), SAMPLER, r"solver=heun: use one of auto, unipc, euler, dmd\."),
    "a linked cfg": (sample(cfg=linked(NAN)), SAMPLER, r"cfg=nan: use a number from 0\.0 to 100\.0\."),
    # other nodes
    "another model": (lambda g: dict(model=wan(g), positive=POSITIVE), SAMPLER, r"model: .* WAN21, not a Helios"),
    "another model and no memory": (
        lambda g: dict(model=wan(g), positive=POSITIVE, memory=None),
        SAMPLER,
        r"model: .* WAN21, not a Helios",
    ),
    "LoRA on another model": (lora("clip_lora.safetensors", wan), LORA, r"model: this is a WAN21, not a Helios"),
    "KSampler": (ksampler, "KSampler", r"use Helios Chunk Sampler in place of KSampler"),
    # pictures
    "image and video": (memory(image=1, video=33), MEMORY, r"image and video: a film begins with one of them"),
    "no VAE": (memory(image=1, vae=None), MEMORY, r"vae: connect the Wan 2\.1 VAE \(Load VAE\)"),
    "two images": (memory(image=2), MEMORY, r"image: 2 pictures came, one is needed"),
    "a short video": (memory(video=32), MEMORY, r"video: it has 32 frames, and 33 or more are needed"),
    "a broken video": (sample(memory=broken_video), MEMORY, r"broken\.mp4: cannot be read as a video"),
    "noise upside down": (
        memory(image=1, anchor_noise_min=0.5, anchor_noise_max=0.2),
        MEMORY,
        r"anchor_noise_min=0\.5 is above anchor_noise_max=0\.2",
    ),
    "an image's VAE": (sample(memory=image_vae), MEMORY, r"latents have 3 channels, .* choose the Wan 2\.1 VAE"),
    "keyframes at one chunk": (keyframes(2, 2), "HeliosKeyframe", r"two keyframes begin at chunk 2; move or remove"),
    "a keyframe of two pictures": (
        keyframes(1, pictures=2),
        "HeliosKeyframe",
        r"image: 2 pictures came, one is needed",
    ),
    "29 frames": (latents(29), DECODE, r"samples: .*\(1, 16, 8, 8, 8\) are not Helios chunks .*VAE Decode"),
    "an image's latent": (latents(0), DECODE, r"samples: .*\(1, 4, 8, 8\) are not Helios chunks"),
}
# What the server refuses before it runs anything.
BAD_PROMPTS = {
    "schedule, empty": (schedule(" \n# nothing\n"), SCHEDULE, r"schedule is empty: write for instance “0: "),
    "schedule, no start": (schedule("a red fox"), SCHEDULE, r"line 1: no start found in “a red fox”; write “0: "),
    "schedule, no chunk 0": (schedule("\n3: a\n4: b"), SCHEDULE, r"line 2: the first prompt begins at chunk 3"),
    "schedule, two at once": (
        schedule("0: a\n2: b\n50f: c"),
        SCHEDULE,
        r"line 3: “50f” begins at chunk 2 .* “2” in line 2",
    ),
    "schedule, transition": (
        schedule("0: a\n2 fade 3: b"),
        SCHEDULE,
        r"line 2: “fade 3” is no transition; write “cut”",
    ),
    "schedule, blend 1": (schedule("0: a\n2 blend 1: b"), SCHEDULE, r"line 2: “blend 1” is no .*2 or more"),
    "schedule, no prompt": (schedule("0: a\n2: "), SCHEDULE, r"line 2: the prompt is empty; write it after the colon"),
    "schedule, first blends": (schedule("0 blend 3: a"), SCHEDULE, r"line 1: .* nothing to blend from"),
    "schedule, half a chunk": (
        schedule("0: a\n1.5: b"),
        SCHEDULE,
        r"line 2: .*not a whole number; write “2” or “1\.5s”",
    ),
    "schedule, two at this fps": (
        schedule("0: a\n2s: b\n2: c", fps=30.0),
        SCHEDULE,
        r"line 3: “2” begins at chunk 2 \(2\.20 s\)",
    ),
    "length 0": (sample(length=0), SAMPLER, r"Value 0 smaller than min of 1: length"),
    "a negative seed": (sample(seed=-1), SAMPLER, r"Value -1 smaller than min of 0: seed"),
    "an unknown solver": (sample(solver="heun"), SAMPLER, r"Value not in list: solver: 'heun'"),
    "small": (size(32, 64), MEMORY, r"Value 32 smaller than min of 64: width"),
    "a file outside": (load("../vae/"), LOADER, r"model_name.*\.\./vae/.*(not in models/diffusion_models|not in list)"),
}


def queue(server, build) -> str:
    graph = Graph(server)
    if film := build(graph):
        graph.save(graph.sample(film.pop("model"), **{"steps": "3", **film}))
    return server.queue(graph)


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_input_is_explained(broken, case):
    build, node, message = BAD_RUNS[case]
    with pytest.raises(ExecutionFailed, match=rf"^{node} [^:]*: .*{message}") as failed:
        broken.wait(queue(broken, build))
    assert len(failed.value.error["exception_message"].strip().splitlines()) == 1


@pytest.mark.parametrize("case", BAD_PROMPTS)
def test_bad_input_is_not_queued(broken, case):
    build, node, message = BAD_PROMPTS[case]
    with pytest.raises(PromptRejected) as rejected:
        queue(broken, build)
    assert re.search(rf"^{node} [^:]*: .*{message}", str(rejected.value), re.MULTILINE), str(rejected.value)


def test_errors_leave_the_server_well(broken):
    """What had been loaded before an error still makes the same film."""
    assert relative_error(film(broken), core_film(RECIPES["distilled"])) < 1e-5
