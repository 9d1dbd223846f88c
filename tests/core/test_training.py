"""The training of the demo: its world, what is measured in it, the paths that are learned, going on after a stop."""

import json
import os
import re
import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from safetensors.torch import save

from films import SEA, film_of
from helios_core import (
    RECIPES,
    Chunk,
    HistoryMemory,
    load_checkpoint,
)
from helios_core.diffusion.noise import block_noise
from helios_core.diffusion.sigmas import renoise_weights, stage_ranges
from helios_core.files import demo_folder, write_whole
from helios_core.network.load import load_transformer
from students import student
from training import data, distill, evaluate, flow, report, transformer, vae
from training.data import random_story
from training.evaluate import Drawn, Score
from training.export import save_transformer
from training.flow import (
    BASE,
    BEGINNINGS,
    TURNS,
    Batch,
    Films,
    ends_of,
    flow_loss,
    noise_levels,
    timesteps_of,
)
from training.measure import Seen, follow, ground_of, is_motion, look, nearest, shape_of, things_of
from training.text import answers, learn_words, make_encoder, make_tokenizer
from training.vae import decode, encode, halved, make_vae
from training.world import COLOURS, GROUNDS, Scene, Thing, X, Y, caption, make_film, random_scene

STAGES = (0, 1, 2)


@pytest.fixture
def shallow(monkeypatch):
    """New networks have two blocks: which lesson is given does not depend on how deep they are."""
    monkeypatch.setattr(transformer, "CONFIG", replace(transformer.CONFIG, num_layers=2))


def test_captions_say_it():
    rng = np.random.default_rng(0)
    for _ in range(200):
        scene = random_scene(rng)
        words = caption(scene, rng).lower().replace(",", " ").replace(".", " ").split()
        assert scene.ground in words and all(thing.colour in words for thing in scene.things)
        assert {word for word in words if word in COLOURS} == {thing.colour for thing in scene.things}
        assert {word for word in words if word in GROUNDS} == {scene.ground}


def test_held_out_scenes_are_never_trained_on():
    rng = np.random.default_rng(0)
    known = set().union(*(combinations(scene) for _ in range(2000) for scene in random_story(rng)[0]))
    asked = [combinations(random_scene(rng, held_out=True)) for _ in range(200)]
    assert len(known) > 900 and not known & set().union(*asked)
    assert {len(some) for some in asked} == {1, 2}


def combinations(scene: Scene) -> set[tuple]:
    return {(scene.ground, thing.shape, thing.colour, thing.motion) for thing in scene.things}


def test_what_is_drawn_is_measured():
    """The control of every figure: drawn films are all that was asked, and go where they would have."""
    demo = Drawn(None, None, Whole(), None)
    everything = dict(ground=1.0, colour=1.0, shape=1.0, motion=1.0, size=1.0, count=1.0)
    found = evaluate.prompts(demo, 12, seed=1)
    assert found.pop("rows") and found == everything
    found = evaluate.cuts(demo, 3, seed=1)
    assert found.pop("motion") > 0.5 and found["ground and colour"] == found["shape"] == found["count"] == 1
    way = list(evaluate.blends(demo, 2, seed=1).values())
    assert way == pytest.approx([0, 0, 0.5, 1, 1], abs=0.05)
    found = evaluate.pictures(demo, 1, seed=1)
    assert found["ground and colour of chunk 5"] == found["begins there"] == 1 and found["pixels off"] == 0
    found = evaluate.videos(demo, 8, seed=1)
    assert found["goes on"] == found["begins there"] == 1 and found["pixels off"] == 0 < 20 < found["a guess"]
    long = evaluate.minute(demo, seed=1, chunks=4)
    assert long["chunks with the thing"] == 1 and long["thing's drift"] < 0.01 and long["ground's drift"] < 0.01
    assert 1 < long["usual jump, pixels"] <= long["largest jump, pixels"] < 2


def test_the_page_says_what_was_found(tmp_path):
    """A row for each way and a column for each number, though a way was not asked everything; and every picture."""
    frame = np.zeros((128, 192, 3), np.float32)
    minute = {"its shape": 0.75, "frames": [frame] * 44, "seconds": [2.0] * 44, "memory": [300.0] * 43 + [310.0]}
    answers = {question: {"drawn": {"right": 1.0, "off": 0.123456}} for question in report.FILMS}
    answers["cuts"]["Distilled"] = {"right": 0.5, "off": 12.3456}
    page = report.page({**answers, "minute": {"Distilled": minute}}, 2, "a.safetensors 0123")
    assert "|  | right | off |\n| --- | --- | --- |\n| drawn | 1 | 0.1235 |\n| Distilled | 0.5 | 12.35 |\n" in page
    assert "| Distilled | 0.75 |" in page and "2.00 s each and 300 MB" in page and "2.00 s and 301 MB" in page
    assert "a.safetensors 0123" in page and "takes 25 steps" in page and "takes 2, 2, 2 at" in page and "{" not in page
    report.draw(tmp_path / "eval", [("a red star", [frame] * 3)], minute, [np.zeros((33, 128, 192, 3))] * 9)
    for name in re.findall(r"\]\((eval/.+\.png)\)", page):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 400


class Whole:
    """A VAE that loses nothing."""

    def encode(self, frames):
        self.frames = frames
        return torch.zeros(1, 16, 1 + len(frames) // 4, 16, 24)

    def decode(self, latents):
        return self.frames

    def encode_image(self, picture):
        return torch.zeros(1, 16, 1, 16, 24), torch.zeros(1, 16, 1, 16, 24)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 9])
def test_all_frames_at_once_are_what_four_by_four_are(frames):
    """The training's way through the VAE computes what diffusers' does."""
    torch.manual_seed(0)
    vae = make_vae()
    for parameter in vae.parameters():
        parameter += 0.05 * torch.randn_like(parameter)  # new ones see nothing but the newest frame
    video = torch.rand(1, 3, frames, 32, 48) * 2 - 1
    latents = encode(vae, video)
    with torch.autocast("cpu", torch.bfloat16):
        known = vae.encode(video).latent_dist.mean.float()
        shown = vae.decode(latents).sample.float()
    for ours, theirs in ((latents, known), (decode(vae, latents).clamp(-1, 1), shown)):
        assert ours.shape == theirs.shape and theirs.std() > 0.05
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_the_vae_learns_through_its_phases(tmp_path, monkeypatch):
    """From crops around things, pictures first and whole chunks in the end; goes on where it stopped."""
    for frames in (1, 33):
        video, mask = vae.crops(np.random.default_rng(0), 4, frames=frames)
        assert video.shape == (4, 3, frames, 64, 64) and mask.shape == (4, 1, frames, 64, 64)
        assert 0.02 < mask.mean() < 0.5 and (mask[:, 0, 0].amax((1, 2)) == 1).sum() >= 3
    seen, crops = [], vae.crops
    monkeypatch.setattr(vae, "crops", lambda rng, batch, *, frames: seen.append(frames) or crops(rng, 1, frames=frames))
    for steps in (1, 2):
        monkeypatch.setattr(vae, "PHASES", tuple(vae.Phase(steps, 1, frames) for frames in (1, 5, 33)))
        learned = vae.train(tmp_path / "vae.pt", log=lambda text: None)
    state = torch.load(tmp_path / "vae.pt")
    assert seen == [1, 5, 33, 5, 33, 33] and state["step"] == 6 and state["optimizer"]["state"][0]["step"] == 6
    torch.testing.assert_close(learned.state_dict(), state["model"], rtol=0, atol=0)


def test_films_are_kept_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARD", 8)
    told = []
    for shards, new in ((range(1), 1), (range(2), 1), (range(2), 0)):  # what is there stays
        data.make(Whole(), tmp_path, shards, log=told.append)
        assert len(told) == new
        told.clear()
    tensors, stories = data.load(tmp_path, 3)
    assert {name: tensor.shape[:3] for name, tensor in tensors.items()} == dict(
        latents=(3, 4, 16), cover=(3, 4, 9), still=(3, 16, 1)
    )
    assert 0.02 < tensors["cover"].mean() < 0.15 and tensors["cover"].amax() == 1 and len(stories) == 3
    assert stories[0]["scenes"] == random_story(np.random.default_rng(4_000_000))[0]
    with pytest.raises(ValueError, match="4 films, not 5"):
        data.load(tmp_path, 5)


def test_the_command(tmp_path, monkeypatch):
    """A process of its own for the films, a demo of what is learned, here nothing, and the evaluation of that."""
    runs, demo = tmp_path / "runs", tmp_path / "runs" / "demo"
    for name in ("films", "clips"):
        (runs / name).mkdir(parents=True)
    (runs / "vae.safetensors").symlink_to(demo_folder() / "vae.safetensors")
    for name, chunks in (("films", 4), ("clips", 1)):
        tensors, stories = encoded(3, chunks)
        told = [{**story, "scenes": [asdict(scene) for scene in story["scenes"]]} for story in stories]
        write_whole(runs / name / "00000.safetensors", save(tensors, {"stories": json.dumps(told)}))
    evaluated, compiled = [], []
    monkeypatch.setattr(report, "write", lambda folder, *_: evaluated.append(load_checkpoint(folder / "transformer")))
    monkeypatch.setattr(transformer, "learn_words", lambda *_, **__: 1.0)
    monkeypatch.setattr(transformer, "make_tokenizer", lambda: make_tokenizer(500))
    monkeypatch.setattr(torch, "compile", lambda what, **_: compiled.append(what) or what)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    nothing = [f"--{what}={count}" for what, count in dict(films=3, clips=3, steps=0, rounds=0, guided=0).items()]
    monkeypatch.setattr(sys, "argv", ["training", f"--runs={runs}", "--device=cpu", *nothing])
    runpy.run_module("training", run_name="__main__", alter_sys=True)
    assert compiled[0] is torch.sin  # before anything else, to know that there is a compiler
    assert [checkpoint.config.num_layers for checkpoint in evaluated] == [transformer.CONFIG.num_layers]
    assert {path.name for path in demo.glob("*.safetensors")} == {"text_encoder.safetensors", "vae.safetensors"}


def test_what_is_not_there_is_not_measured():
    scene = Scene("navy", (Thing("star", "yellow", "medium", "right"),))
    frames = make_film([scene], [1.0], np.random.default_rng(0))
    score = Score()
    score.add(frames, Scene("black", (Thing("bar", "red", "medium", "left"),)))
    assert score.shares() == dict(ground=0.0, colour=0.0, shape=0.0, motion=0.0, size=0.0, count=1.0)
    ground, things = ground_of(frames[0])[0], things_of(frames[0])
    assert (ground, len(things), things[0].name, shape_of(things[0])) == ("navy", 1, "yellow", "star")
    path = follow(look(frames), "yellow")
    assert is_motion(path, "right") and not is_motion(path, "left") and not is_motion(path, "still")
    assert np.isnan(follow(look(frames), "red")).all()
    back = np.concatenate([path[::4][:5], path[::4][:4] - 60])  # there, and elsewhere at once
    assert not is_motion(back, "left") and not is_motion(back, "bounce")
    askew = path * [1, 0] + path[:, :1] * [0, 0.6]
    assert not is_motion(askew, "right") and not is_motion(path / 3, "right")


def test_what_is_like_nothing_has_no_name():
    assert nearest(np.array([0.4, 0.15, 0.5]), COLOURS) == "" and nearest(np.array(COLOURS["red"]), COLOURS) == "red"
    halves = np.hypot(X - 60, Y - 60) < 14, np.hypot(X - 88, Y - 60) < 14
    assert shape_of(Seen("red", np.zeros(3), 74, 60, 1230, halves[0] | halves[1])) == ""


def test_a_thing_that_comes_from_elsewhere_is_seen():
    """Of the asked colour and shape, but not where the film was; it moves as asked where it has room."""

    class Elsewhere(Drawn):
        def chunks(self, script, chunks, seed, memory=None, seen=0):
            yield from super().chunks(script, chunks, seed + 500, memory, seen)

    found = evaluate.videos(Elsewhere(None, None, Whole(), None), 8, seed=1)
    assert 0 < found["goes on"] < 1 and found["begins there"] < 0.3
    assert found["pixels off"] > found["a guess"] > 20


def test_a_guess_is_the_middle_of_all_places():
    """A film that is not seen at all is as far off as can be."""
    wanted = [np.array([[0.0, 0.0]]), np.array([[30.0, 40.0]]), np.array([[90.0, 120.0]])]
    found = evaluate.offsets([wanted[0] + 3, wanted[1], np.full((1, 2), np.nan)], wanted)
    assert found == {"begins there": pytest.approx(2 / 3), "pixels off": pytest.approx(18**0.5), "a guess": 50.0}
    assert evaluate.offsets(wanted, wanted, ["left", "right", "left"])["a guess"] == 75.0


def test_a_blend_is_drawn_between():
    a, b = (Scene(ground, (Thing("bar", "red", "medium", "still"),)) for ground in ("black", "white"))
    film = make_film([a, b, b], [1.0, 0.5, 1.0], np.random.default_rng(0))
    light = [float(ground_of(film[33 * k + 16])[1].mean()) for k in range(3)]
    assert light[1] == pytest.approx((light[0] + light[2]) / 2, abs=0.02)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_begins_where_sampling_begins_it(stage):
    """A stage's end, enlarged and noised as the sampler does it, has the mean at each place, and within blocks the
    covariance, of the next stage's beginning."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn((1, 1, 1, 16, 16), generator=generator).expand(400, 16, 1, -1, -1)
    noise = torch.randn(x0.shape, generator=generator)
    before = F.interpolate(ends_of(x0, noise, stage - 1)[1], scale_factor=(1, 2, 2), mode="nearest")
    keep, fresh = renoise_weights(stage_ranges()[stage].start_sigma)
    sampled = keep * before + fresh * block_noise(tuple(before.shape), generator, "cpu")
    trained, _ = ends_of(x0, noise, stage)
    for a, b in zip(moments(sampled), moments(trained)):
        torch.testing.assert_close(a, b, atol=0.1, rtol=0)


def moments(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Mean at each place over all draws, variance, and covariance of neighbours in a block of two by two."""
    x = x.flatten(0, 2)
    mean = x.mean(0)
    left, right = (x - mean)[..., ::2], (x - mean)[..., 1::2]
    return mean, x.var(0).mean(), (left * right).mean()


@pytest.mark.parametrize("stage", [BASE, *STAGES])
def test_the_flow_leads_from_the_beginning_to_the_end(stage):
    """A network that knows both ends has no loss; one that does not, has."""
    torch.manual_seed(0)
    batch = films().batch(2, np.random.default_rng(0))
    ends = ends_of(batch.x0, torch.randn_like(batch.x0), stage)
    assert flow_loss(lambda x, t: ends[0] - ends[1], batch, stage, ends).item() == 0
    assert flow_loss(lambda x, t: torch.zeros_like(x), batch, stage, ends).item() > 0.01


@pytest.mark.parametrize("name", ["base", "mid", "distilled"])
def test_sampling_goes_the_trained_paths(name):
    """With a flow from where a stage begins to the end that training gives it, the sampler makes the chunk."""
    x0, recipe, ends = films().batch(1, np.random.default_rng(0)).x0, replace(RECIPES[name], cfg=1.0), ()

    def flow(x, step):
        nonlocal ends
        stage = step.stage if recipe.stages > 1 else BASE
        if step.index == 0:
            (start, _), size = noise_levels(stage), 0 if stage == BASE else 2 - stage
            clean = halved(x0, size)
            enlarged = F.interpolate(halved(clean, 1), scale_factor=(1, 2, 2)) if stage > 0 else clean
            noise = (x - (1 - start) * enlarged) / start
            assert noise.std().item() == pytest.approx(1, abs=0.03) and abs((noise * enlarged).mean()) < 0.03
            ends = x, (1 - noise_levels(stage)[1]) * clean + noise_levels(stage)[1] * noise
        assert abs(step.timestep - timesteps_of(torch.tensor(step.sigma), stage)) <= 1
        return ends[0] - ends[1]

    *_, chunk = film_of(lambda start: flow, HistoryMemory.empty(192, 128), SEA, recipe, chunks=1, seed=0)
    torch.testing.assert_close(chunk.latents, x0, atol=5e-3, rtol=0)


def films(count: int = 3) -> Films:
    """Encoded films and clips of noise."""
    return Films(*(encoded(count, chunks) for chunks in (4, 1)))


def encoded(count: int, chunks: int):
    generator, rng = torch.Generator().manual_seed(chunks), np.random.default_rng(chunks)
    tensors = {
        "latents": torch.randn(count, chunks, 16, 9, 16, 24, generator=generator).half(),
        "still": torch.randn(count, 16, 1, 16, 24, generator=generator).half(),
        "cover": torch.rand(count, chunks, 9, 16, 24, generator=generator).half(),
    }
    stories = [dict(zip(("scenes", "blends"), random_story(rng, chunks))) for _ in range(count)]
    return tensors, stories


def test_histories(monkeypatch):
    """Memory of the shapes that sampling has, of what was just before the chunk and nothing later; empty ones, too."""
    for noise in ("corrupted", "given"):
        monkeypatch.setattr(flow, noise, lambda frames: frames)
    rng, empty, some = np.random.default_rng(0), HistoryMemory.empty(192, 128), films()
    begun = looked = 0
    some.tensors["latents"][:] = torch.arange(36.0).view(1, 4, 1, 9, 1, 1)  # each latent frame says when it is
    for _ in range(40):
        batch: Batch = some.batch(1, rng)
        if (now := int(batch.x0[0, 0, 0, 0, 0])) in (9, 18, 27) and batch.x0[0, 0, 1, 0, 0] == now + 1:
            assert batch.frames[0, 5, -9:, 3, 4].tolist() == list(range(now - 9, now)) and batch.frames.max() < now
            looked += 1
        assert batch.frames.shape == empty.frames.shape and batch.anchor.shape == (1, 16, 1, 16, 24)
        if not batch.frames.any():
            begun += 1
            assert not batch.anchor.any() and batch.weight.item() == 1  # nothing is blended into a beginning
    assert 0 < begun < 35 and looked > 5


def test_remembered_frames_have_noise_of_their_own():
    torch.manual_seed(0)
    noisy = flow.corrupted(torch.zeros(16, 50, 16, 24)).std(dim=(0, 2, 3))
    assert noisy.min() < 0.05 and 0.28 < noisy.max() < 1.1 * flow.CORRUPTION and 0.14 < noisy.mean() < 0.2


def test_turns_are_often_seen():
    """Cuts and blends, as many as asked for, whatever their share in the films; a blend with its weight."""
    some = films(12)
    batch = some.batch(400, np.random.default_rng(0), drop_text=0.0)
    turned = np.array([a != b for a, b in zip(batch.before, batch.after)])
    assert abs(turned.mean() - TURNS * (1 - BEGINNINGS)) < 0.07
    weights = {round(weight, 4) for story in some.stories for weight in story["blends"]}
    assert {round(weight, 4) for weight in batch.weight[turned].tolist()} == weights
    assert (batch.weight[~turned] == 1).all()


def test_chunks_alone_have_no_history():
    batch = films().batch(3, np.random.default_rng(0), alone=True)
    assert batch.frames is None and batch.anchor is None and batch.before == batch.after
    teacher = student()
    calls = []
    teacher.transformer.run_block = lambda i, past, x, *args: calls.append((past.shape[1], x.shape[1])) or (past, x)
    teacher.predictor(batch)(batch.x0, torch.full((3,), 500.0))
    assert calls == [(0, 864)] * 6


def test_a_history_begins_as_what_a_chunk_knows():
    """Remembered frames are the tokens that they would be in a chunk, older ones those of smaller frames."""
    model = transformer.Student(make_tokenizer(500)).transformer
    transformer.open_history(model)
    anchor, frames = torch.randn(1, 16, 1, 16, 24), torch.randn(1, 16, 19, 16, 24)
    long, mid, short = frames.split([16, 2, 1], dim=2)
    seen = anchor, short, F.avg_pool3d(mid, 2), F.avg_pool3d(long, 4)
    patches = [rearrange(model.patch_embedding(x), "b d t h w -> b (t h w) d") for x in seen]
    tokens = model.embed_history(frames, anchor).tokens
    torch.testing.assert_close(tokens, torch.cat([patches[3], patches[2], *patches[:2]], dim=1))


def test_words_are_learned():
    """Before any video: what captions say is read from them."""
    torch.manual_seed(0)
    tokenizer, encoder = sentencepiece.SentencePieceProcessor(model_proto=make_tokenizer(2000)), make_encoder()
    assert answers(Scene("navy", (Thing("star", "yellow", "medium", "right"),))) == [4, 4, 3, 2, 2, 0, 0, 0, 0]
    assert learn_words(encoder, tokenizer, steps=200, batch=16, log=lambda text: None) > 0.75  # of 0.44 unread


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch, shallow):
    """Steps and the optimizers' too are counted on; the files hold what was learned."""
    phases = (transformer.Phase(0.25, {0: 2}, alone=True), transformer.Phase(1, {BASE: 1, 0: 1}))
    monkeypatch.setattr(transformer, "PHASES", phases)
    opened, open_it = [], transformer.open_history
    monkeypatch.setattr(transformer, "open_history", lambda model: (opened.append(model), open_it(model)))
    monkeypatch.setattr(transformer, "make_tokenizer", lambda: make_tokenizer(500))
    monkeypatch.setattr(transformer, "learn_words", lambda *args, **kwargs: None)
    path, told = tmp_path / "transformer.pt", []
    transformer.train(films(), path, 2, log=told.append)
    first = torch.load(path)
    again = transformer.Learner(transformer.Student(first["tokenizer"]), path)
    for part in ("student", "average"):
        torch.testing.assert_close(getattr(again, part).state_dict(), first[part], rtol=0, atol=0)
    learned = transformer.train(films(), path, 4, log=told.append)
    second = torch.load(path)
    assert len(set(map(id, opened))) == len(opened) == 2  # the student's history and its average's, once
    for state, steps in ((first, 2), (second, 4)):
        assert state["step"] == steps and state["optimizers"][1]["state"][0]["step"] == steps
    key = "transformer.blocks.0.self_attn.q.weight"
    assert not torch.equal(first["student"][key], second["student"][key])

    save_transformer(learned.transformer, tmp_path / "demo" / "transformer")
    read = load_transformer(load_checkpoint(tmp_path / "demo"), "cpu", torch.float32)
    for key, tensor in learned.transformer.state_dict().items():
        torch.testing.assert_close(read.state_dict()[key], tensor, rtol=0.01, atol=1e-6)


def test_the_teacher_is_sampled(shallow):
    """From where a stage begins to where it ends, as far as its flow goes; the last end is the chunk, and is
    remembered."""
    batch, teacher = films().batch(2, np.random.default_rng(3)), student()
    one, more = (replace(distill.TEACHER, steps=steps) for steps in ((1, 1, 1), (3, 1, 1)))
    ends, latents = distill.sample(teacher, batch, one, seed=0)
    assert torch.equal(ends[2][1], latents) and latents.shape == batch.x0.shape
    assert [end.shape[-2:] for _, end in ends.values()] == [(4, 6), (8, 12), (16, 24)]
    start, end = ends[0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        flow = teacher.predictor(batch)(start, torch.full((2,), 999.0)).float()
    assert F.cosine_similarity((start - end).flatten(), flow.flatten(), dim=0) > 0.99
    assert torch.equal(start, distill.sample(teacher, batch, more, seed=0)[0][0][0])
    assert not torch.equal(start, distill.sample(teacher, batch, one, seed=1)[0][0][0])
    after = distill.next_batch(batch, latents, np.random.default_rng(0))
    assert torch.equal(after.frames, torch.cat([batch.frames[:, :, 9:], latents], dim=2))
    for anchor, before, made in zip(after.anchor, batch.anchor, latents):
        assert torch.equal(anchor, before if before.any() else made[:, :1])
    assert after.before == batch.after and (after.weight == 1).all()


def test_what_goes_on_is_not_guided(shallow):
    """What is told anew is, and a film's first chunk."""
    batch = films().batch(3, np.random.default_rng(3))
    anchor = torch.stack([torch.zeros_like(batch.anchor[0]), *[torch.ones_like(batch.anchor[0])] * 2])
    batch = replace(batch, anchor=anchor, before=("a", "a", "a"), after=("a", "a", "b"))
    assert distill.guidance(batch, 2.5).flatten().tolist() == [2.5, 1, 2.5]
    rng, (_, latents) = np.random.default_rng(0), distill.sample(student(), batch, RECIPES["distilled"], seed=0)
    turned = [distill.guidance(distill.next_batch(batch, latents, rng), 2.5) > 1 for _ in range(40)]
    assert 0.2 < torch.stack(turned).float().mean() < 0.6
    one = replace(distill.TEACHER, steps=(1, 1, 1))
    plain, guided = (distill.sample(student(), batch, replace(one, cfg=cfg), seed=0)[0] for cfg in (1, 9))
    torch.testing.assert_close(guided[0], plain[0])  # stage 0 never is
    differs = (guided[1][1] - plain[1][1]).abs().amax((1, 2, 3, 4)) > 1e-3
    assert differs.tolist() == [True, False, True]


def test_guidance_is_learned(tmp_path, monkeypatch, shallow):
    """What the teacher says with guidance; at full size and in stage 0, what it says without."""
    for name, value in (("BATCH", 2), ("LEARN", 2), ("GUIDED", {BASE: 1, 0: 3, 1: 3, 2: 2})):
        monkeypatch.setattr(distill, name, value)
    told, path, teacher, lessons = [], tmp_path / "guided.pt", student(), []

    def learn_and_tell(predict, batch, stage, ends, teach):
        lessons.append((stage, batch, ends, teach))
        return flow_loss(predict, batch, stage, ends, teach)

    monkeypatch.setattr(distill, "flow_loss", learn_and_tell)
    learned = distill.guide(films(), teacher, path, 1, log=told.append)
    assert [stage for stage, *_ in lessons] == 2 * [BASE, 0, 1, 2]
    for stage, batch, ends, teach in lessons[4:]:  # the teacher stays as it was
        x, t = ends[0] if ends else batch.x0, torch.full((len(batch.x0),), 500.0)
        with torch.no_grad():
            none = replace(batch, before=("",) * len(x), after=("",) * len(x))
            said, free, wanted = (f(x, t) for f in (teacher.predictor(batch), teacher.predictor(none), teach))
        scale = distill.GUIDANCE if stage in (1, 2) else 1
        assert scale == 1 or (said - free).abs().amax() > 0.01
        torch.testing.assert_close(wanted, free + scale * (said - free))
    key = "head.head.weight"
    assert not torch.equal(learned.transformer.state_dict()[key], student().transformer.state_dict()[key])
    assert torch.load(path)["step"] == 2 and told[0].startswith("guide 1/1")
    again = distill.guide(films(), teacher, path, 1, log=told.append)
    assert torch.equal(again.transformer.state_dict()[key], learned.transformer.state_dict()[key]) and len(told) == 1


def test_what_is_taught_is_learned():
    """With a teacher, its flow is the aim, whatever the path."""
    batch, seen = films().batch(2, np.random.default_rng(0)), []

    def teach(x, t):
        seen.append((x, t))
        return 2 * x

    assert flow_loss(lambda x, t: 2 * x, batch, 1, teach=teach) == 0
    assert flow_loss(lambda x, t: 2 * x, batch, 1) > 0 and seen[0][0].shape[-2:] == (8, 12)


def test_what_goes_on_is_mended():
    """From where a stage begins, right or wrong, the path leads to what the film shows."""
    batch, noise = films().batch(2, np.random.default_rng(3), drop_text=0.0, new=False), torch.randn(2, 16, 9, 16, 24)
    assert batch.before == batch.after and batch.anchor.flatten(1).any(1).all()
    ends = {stage: ends_of(batch.x0, noise, stage) for stage in (1, 2)}
    for stage, (start, end) in distill.wished(ends, batch).items():
        torch.testing.assert_close(end, ends[stage][1])
        assert torch.equal(start, ends[stage][0])
    wrong = {2: (ends[2][0] + 0.1, None)}
    torch.testing.assert_close(distill.wished(wrong, batch)[2][1], batch.x0)


def test_things_are_found_in_latents():
    torch.manual_seed(0)
    where = torch.zeros(2, 1, 9, 16, 24)
    where[0, :, :, 3:6, 5:9] = 1
    where[1, :, 2:, 10:12, 20:22] = 1
    latents = torch.randn(2, 16, 9, 1, 1) + 0.1 * torch.randn(2, 16, 9, 16, 24) + where * torch.randn(2, 16, 1, 1, 1)
    assert torch.equal(distill.cover_of(latents), where)


def test_few_steps_are_learned_from_many(tmp_path, monkeypatch, shallow):
    """The ends that the teacher reached are learned, in stage 0 of what is new, and the file is there to go on from."""
    monkeypatch.setattr(distill, "TEACHER", replace(distill.TEACHER, steps=(1, 2, 1)))
    for name, value in (("BATCH", 2), ("CHOICES", 3), ("LEARN", 2), ("PICKS", 1), ("SIZES", {0: 3, 1: 2, 2: 1})):
        monkeypatch.setattr(distill, name, value)
    monkeypatch.setattr(flow, "PICTURES", 0)  # after a picture there is no guidance
    told, path, sampled, lessons = [], tmp_path / "distilled.pt", [], []
    sample_it = distill.sample

    def sample_and_tell(*args):
        sampled.append((args[1], *sample_it(*args)))
        return sampled[-1][1:]

    def learn_and_tell(predict, batch, stage, ends=None):
        lessons.append((stage, batch, ends))
        return flow_loss(predict, batch, stage, ends)

    monkeypatch.setattr(distill, "sample", sample_and_tell)
    monkeypatch.setattr(distill, "flow_loss", learn_and_tell)
    learned = distill.train(films(), student(), path, 1, log=told.append)
    assert [(stage, ends is None) for stage, _, ends in lessons] == 2 * [
        (BASE, True),
        (0, True),
        *((stage, False) for stage in distill.SIZES),
    ]
    (_, taught, _), (choices, chosen, _), _, (_, own, _) = sampled
    assert set(chosen) == {0} and (distill.guidance(choices, 2) == 2).all()
    for stage, batch, ends in lessons:
        if ends:
            start, end = ends[0][0], ends[1][0]
            (reached,) = [
                (made is not own, last)
                for made in ((taught, own) if stage else (chosen,))
                for first, last in zip(*made[stage])
                if torch.equal(first, start)
            ]
            assert torch.equal(end, reached[1]) == reached[0]  # what goes on ends as its film does
        elif stage == 0:
            assert (distill.guidance(batch, 2) == 1).all()
    key = "head.head.weight"
    assert not torch.equal(learned.transformer.state_dict()[key], student().transformer.state_dict()[key])
    assert torch.load(path)["step"] == 2 and told[0].startswith("distill 1/1")


def test_the_baselines_are_without(monkeypatch):
    """One has an empty memory in every chunk, and the steps of a first one; the other hears of another scene."""
    demo = Path(__file__).parents[2] / "demo"
    seen, ones = [], HistoryMemory(torch.ones(1, 16, 19, 16, 24), torch.ones(1, 16, 1, 16, 24))

    def sample(denoise, memory, director, recipe):
        seen.append((memory.frames.any().item(), memory.anchor is not None, recipe.steps_of(memory.chunk)))
        yield Chunk(memory.chunk, ones.frames[:, :, :9], replace(ones, chunk=memory.chunk + 1), None, {})

    monkeypatch.setattr(evaluate, "film_records", sample)
    for forgets, later in ((False, (True, True, (2, 2, 2))), (True, (False, False, (4, 4, 4)))):
        model = replace(evaluate.Demo.load(demo, "distilled", forgets=forgets), codec=Still())
        list(model.sample([(0, 0, "A red star.")], 3, seed=0))
        assert seen == [(False, False, (4, 4, 4)), later, later]
        seen.clear()
    told = "A red star moves left on black."
    model = evaluate.Demo.load(demo, "base")
    assert model.heard(told) == told != replace(model, deaf=True).heard(told)


class Still(Whole):
    """A VAE that knows one frame."""

    def decode(self, latents):
        return torch.zeros(1)
