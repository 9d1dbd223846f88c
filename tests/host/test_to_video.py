"""A film straight into a file: the frames that sampler and decoder would have made, playable while it grows."""

import contextlib
import io
import json
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from checkpoints import write_tiny_wan_vae
from comfy_server import ComfyServer, ExecutionFailed, Interrupted
from helios_core import HistoryMemory
from models import OTHER, POSITIVE, SIZE, Graph, install_helios

WIDTH, HEIGHT = SIZE


def frames_of(content) -> np.ndarray:
    """All frames (T, H, W, 3) of a file or of its bytes, as far as it goes."""
    frames = []
    with av.open(io.BytesIO(content) if isinstance(content, bytes) else str(content)) as container:
        try:
            frames += [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        except av.FFmpegError:
            assert frames
    return np.stack(frames)


def shown_video(server, outputs, node) -> bytes:
    (file,) = outputs[node[0]]["images"]
    assert file["type"] == "output"
    return server.view(file)


def test_a_file_holds_one_film(server):
    HistoryMemory.empty(WIDTH, HEIGHT, batch=2).save(server.input_dir / "two.safetensors")
    graph = Graph(server)
    two = graph.add("HeliosLoadMemory", memory_file="two.safetensors")
    graph.sample_to_video(graph.load(), graph.vae(), "video/two", positive=POSITIVE, length=33, memory=two)
    with pytest.raises(ExecutionFailed, match="memory: it is of 2 films at once"):
        graph.run()
    assert not list(server.output_dir.rglob("two*.mp4"))


def test_without_metadata(comfy_path, tmp_path):
    """A server that is to keep prompts out of files: there are none in the film, nor in its memory."""
    with ComfyServer(comfy_path, tmp_path, ("--disable-metadata",)) as server:
        install_helios(server)
        graph = Graph(server)
        clip = graph.add("TestTinyCLIPLoader", width=32)
        schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule="0: the secret sea", fps=24.0)
        write_tiny_wan_vae(server.models_dir / "vae" / "tiny_wan_vae.safetensors")
        made = graph.sample_to_video(graph.load(), graph.vae(), "video/film", schedule=schedule, length=33, steps="1")
        graph.add("HeliosSaveMemory", memory=[made[0], 1], filename_prefix="helios/film")
        graph.run()
        (film,), (memory,) = (list(server.output_dir.rglob(f"*_00001_.{kind}")) for kind in ("mp4", "safetensors"))
        assert HistoryMemory.load(memory)[0].chunk == 1
        for file in (film, memory):
            assert b"secret" not in file.read_bytes()


@pytest.mark.parametrize(("host", "smooth"), [("server", True), ("server", False), ("old_server", False)])
def test_the_same_film(request, host, smooth):
    """Frames but for the encoding, and the memory bit for bit."""
    server = request.getfixturevalue(host)
    graph = Graph(server)
    model = graph.load()
    video = graph.sample_to_video(
        model, graph.vae(), f"video/same{smooth}", positive=POSITIVE, length=99, crf=1, smooth_seams=smooth
    )
    samples = graph.sample(model, positive=POSITIVE, length=99)
    path = graph.save_images(graph.decode(samples, smooth_seams=smooth))
    for name, node in (("film", video), ("latents", samples)):
        graph.add("HeliosSaveMemory", memory=[node[0], 1], filename_prefix=f"helios/same_{name}{smooth}")
    again = graph.save_images(graph.add("GetVideoComponents", video=video))
    outputs = graph.run()["outputs"]
    got = frames_of(shown_video(server, outputs, video)) / 255
    wanted = np.load(path)
    assert got.shape == wanted.shape == (99, HEIGHT, WIDTH, 3)
    assert np.abs(got.mean(axis=(1, 2)) - wanted.mean(axis=(1, 2))).max() < 0.02  # chroma is at half size
    assert np.abs((got - wanted).mean(axis=-1)).mean() < 0.06
    assert np.load(again).shape == wanted.shape  # as native VIDEO
    memories = [
        HistoryMemory.load(server.output_dir / "helios" / f"same_{name}{smooth}_00001_.safetensors")[0]
        for name in ("film", "latents")
    ]
    assert torch.equal(memories[0].frames, memories[1].frames)
    assert torch.equal(memories[0].rng_state, memories[1].rng_state)


def test_smoothing_changes_only_what_follows_a_seam(server):
    graph = Graph(server)
    samples = graph.sample(graph.load(), positive=POSITIVE, length=99)
    paths = [graph.save_images(graph.decode(samples, smooth_seams=smooth)) for smooth in (False, True)]
    graph.run()
    plain, smooth = (np.load(path) for path in paths)
    differ = [k for k in range(99) if not np.array_equal(plain[k], smooth[k])]
    assert set(differ) <= {*range(33, 41), *range(66, 74)}


def test_workflow_and_prompt_are_in_the_file(server):
    """So that the video can be dropped onto the canvas."""
    graph = Graph(server)
    video = graph.sample_to_video(graph.load(), graph.vae(), positive=POSITIVE, length=33, steps="1")
    outputs = graph.run(extra_data={"extra_pnginfo": {"workflow": {"nodes": [1, 2]}}})["outputs"]
    with av.open(io.BytesIO(shown_video(server, outputs, video))) as container:
        assert json.loads(container.metadata["workflow"]) == {"nodes": [1, 2]}
        assert json.loads(container.metadata["prompt"])[video[0]]["class_type"] == "HeliosSampleToVideo"
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.codec_context.pix_fmt) == (33, 24, "yuv420p")


def test_sound(any_server):
    """Cut where the film ends, 66 frames at 22 a second."""
    graph = Graph(any_server)
    audio = graph.add("EmptyAudio", duration=10.0, sample_rate=44100, channels=2)
    settings = dict(positive=POSITIVE, length=66, steps="1", fps=22.0, audio=audio)
    video = graph.sample_to_video(graph.load(), graph.vae(), **settings)
    outputs = graph.run()["outputs"]
    with av.open(io.BytesIO(shown_video(any_server, outputs, video))) as container:
        assert container.duration / 1e6 == pytest.approx(3.0, abs=0.05)
        sound = container.streams.audio[0]
        assert sound.rate == 44100 and float(sound.duration * sound.time_base) == pytest.approx(3.0, abs=0.05)


def test_sound_that_cannot_be_encoded(server):
    """The film is silent, and the node says why; a clip without sound fails only when it is looked at."""
    graph = Graph(server)
    for kind in ("lazy", "rate"):
        audio = graph.add("TestBadAudio", kind=kind)
        graph.sample_to_video(graph.load(), graph.vae(), f"video/{kind}", positive=POSITIVE, length=33, audio=audio)
    before = len(server.log())
    graph.run()
    said = server.log()[before:]
    assert "audio: it has no sound that can be read (no audio stream); the film is silent." in said
    assert "audio: its sample rate is 0, not a number from 1000 to 768000; the film is silent." in said
    for kind in ("lazy", "rate"):
        with av.open(str(next((server.output_dir / "video").glob(f"{kind}_*.mp4")))) as container:
            assert not container.streams.audio and container.streams.video[0].frames == 33


CHUNKS = 6
LONG = dict(size=(64, 64), steps="1", length=33 * CHUNKS, positive=POSITIVE, autosave=True)


@contextlib.contextmanager
def held_film(server, name, **inputs):
    """A film that is being made and waits after its third chunk: (its graph, its prompt's id, the growing file)."""
    hold, graph = server.base_dir / "hold", Graph(server)
    hold.touch()
    vae = graph.add("TestHoldVAE", vae=graph.vae(), chunks=3, path=str(hold))
    graph.sample_to_video(graph.load(), vae, f"video/{name}", **LONG, **inputs)
    prompt_id = server.queue(graph)
    try:
        yield graph, prompt_id, wait_for_frames(server, name, 66)
    finally:
        hold.unlink()


def wait_for_frames(server, name, count) -> Path:
    """The growing file, once so many frames can be read from it: of three chunks two, the third may not be whole."""
    end = time.monotonic() + 300
    while True:
        for path in sorted((server.output_dir / "video").glob(f"{name}_*.mp4")):
            try:
                if len(frames_of(path)) >= count:
                    return path
            except (av.FFmpegError, AssertionError):
                pass
        assert time.monotonic() < end
        time.sleep(0.1)


def finished_film(server, graph, name, cut_off) -> np.ndarray:
    graph.run()
    (file,) = [p for p in (server.output_dir / "video").glob(f"{name}_*.mp4") if p != cut_off]
    return frames_of(file)


def test_plays_while_it_grows_and_after_a_cancel(server):
    with held_film(server, "growing") as (graph, prompt_id, path):
        assert not server.get(f"/history/{prompt_id}").json()
        server.interrupt(prompt_id)
        with pytest.raises(Interrupted):
            server.wait(prompt_id)
    frames = frames_of(path)
    with av.open(str(path)) as container:  # closed properly: the right count, though it was cut short
        assert container.streams.video[0].frames == len(frames) == 99
    whole, log = finished_film(server, graph, "growing", path), server.log()
    assert len(whole) == 33 * CHUNKS and np.array_equal(whole[:99], frames)
    assert "were on disk" in log


def test_a_kill_leaves_what_was_written(server):
    """And the same workflow makes the whole film of it, the first part from disk."""
    with held_film(server, "killed", seed=8) as (graph, _, path):
        server.kill()
    kept = frames_of(path)
    server.start()
    whole = finished_film(server, graph, "killed", path)
    assert len(kept) >= 66 and len(whole) == 33 * CHUNKS and np.array_equal(whole[:66], kept[:66])


@pytest.mark.parametrize(("host", "kind"), [("server", "images"), ("old_server", "files")])
def test_a_film_and_its_continuation_are_one(request, host, kind):
    """Files by the same settings are copied, packet by packet; frames in memory are encoded."""
    server = request.getfixturevalue(host)
    graph = Graph(server)
    model, vae = graph.load(), graph.vae()
    sound = graph.add("EmptyAudio", duration=10.0, sample_rate=48000, channels=2)
    settings = dict(positive=POSITIVE, length=66, steps="1", audio=sound)
    first = graph.sample_to_video(model, vae, f"video/part_{kind}", **settings)
    second = graph.sample_to_video(model, vae, f"video/part_{kind}", memory=[first[0], 1], **settings)
    videos = [first, second]
    if kind == "images":
        parts = [graph.add("GetVideoComponents", video=video) for video in videos]
        videos = [graph.add("CreateVideo", images=part, fps=24.0, audio=[part[0], 1]) for part in parts]
    prefix = f"video/whole_{kind}_{server.comfy_path.name}"
    whole = graph.add("HeliosJoinVideos", first=videos[0], second=videos[1], filename_prefix=prefix, crf=18)
    before = len(server.log())
    outputs = graph.run(extra_data={"extra_pnginfo": {"workflow": {"nodes": [1]}}})["outputs"]
    done = "joined without encoding anything anew" if kind == "files" else "encoded anew: one is not a file"
    assert f"_00001_.mp4: 5.5 s, {done}." in server.log()[before:]
    joined, begun, rest = (frames_of(shown_video(server, outputs, node)) for node in (whole, first, second))
    difference = np.abs(joined.astype(int) - np.concatenate([begun, rest]).astype(int))
    assert joined.shape == (132, HEIGHT, WIDTH, 3)
    assert difference.mean() < (1e-9 if kind == "files" else 16)  # a film of an untrained model is noise
    with av.open(io.BytesIO(shown_video(server, outputs, whole))) as container:
        assert container.streams.audio and json.loads(container.metadata["workflow"]) == {"nodes": [1]}
        assert container.duration / 1e6 == pytest.approx(5.5, abs=0.05)


def test_a_report(server):
    """Of a film in a file and of the same as frames, with prompts from its memory."""
    graph = Graph(server)
    clip = graph.add("TestTinyCLIPLoader", width=32)
    schedule = graph.add("HeliosPromptSchedule", clip=clip, schedule="0: the sea\n2: a storm", fps=24.0)
    prefix = f"video/report_{server.comfy_path.name}"
    video = graph.sample_to_video(graph.load(), graph.vae(), prefix, schedule=schedule, length=99, steps="1", seed=21)
    texts = []
    for film in (video, graph.add("GetVideoComponents", video=video)):
        report = graph.add("HeliosFilmReport", video=film, memory=[video[0], 1])
        picture = graph.add("TestImagesInfo", images=report)
        texts.append((graph.add("PreviewAny", source=[report[0], 1]), picture))
    outputs = graph.run()["outputs"]
    reports = [json.loads(outputs[text[0]]["text"][0]) for text, _ in texts]
    rows = reports[0]["chunks"]
    for row, other in zip(rows, reports[1]["chunks"], strict=True):  # hosts differ in how they turn YUV into RGB
        measured = ("seam", "brightness", "saturation", "sharpness", "motion", "sharpness_drift")
        assert [row[k] or 0 for k in measured] == pytest.approx([other[k] or 0 for k in measured], rel=0.1)
        assert (row["prompt"], row["seed"], row["seconds"]) == (other["prompt"], other["seed"], other["seconds"])
    assert [r["prompt"] for r in rows] == ["the sea", "the sea", "a storm"]
    assert [r["seed"] for r in rows] == [21] * 3 and rows[0]["seam"] is None and rows[1]["seam"] > 0
    assert all(r["seconds"] > 0 and r["ram_gb"] > 0.1 and not r["reused"] for r in rows)
    info = json.loads(outputs[texts[0][1][0]]["text"][0])
    assert info["shape"][0] == 1 and info["shape"][2:] == [1600, 3]


def test_a_report_of_any_video(server):
    """Without a memory, of frames that are no whole chunks."""
    graph = Graph(server)
    images = graph.images(torch.rand(40, 32, 48, 3))
    report = graph.add("HeliosFilmReport", video=images)
    text = graph.add("PreviewAny", source=[report[0], 1])
    rows = json.loads(graph.run()["outputs"][text[0]]["text"][0])["chunks"]
    assert len(rows) == 2 and rows[0]["prompt"] is None and rows[1]["seam"] > 0


def test_a_report_of_an_extended_film(server):
    """The second half alone: its chunks are counted on from the first."""
    graph = Graph(server)
    model = graph.load()
    first = graph.sample(model, positive=POSITIVE, length=66)
    second = graph.sample(model, positive=OTHER, length=66, memory=[first[0], 1])
    report = graph.add("HeliosFilmReport", video=graph.decode(second), memory=[second[0], 1])
    text = graph.add("PreviewAny", source=[report[0], 1])
    rows = json.loads(graph.run()["outputs"][text[0]]["text"][0])["chunks"]
    assert [r["chunk"] for r in rows] == [2, 3] and all(r["seconds"] > 0 for r in rows)
