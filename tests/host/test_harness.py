"""The harness itself, against the real servers."""

import io
import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from comfy_process import PlainProcess
from comfy_server import ComfyServer, ExecutionFailed, Interrupted, PromptRejected, ServerDied

LATENT = {"class_type": "EmptyHunyuanLatentVideo", "inputs": {"width": 96, "height": 64, "length": 33, "batch_size": 1}}


def slow_prompt(path, steps, seconds, preview=False):
    steps = {"samples": ["latent", 0], "steps": steps, "seconds": seconds, "preview": preview}
    return {
        "latent": LATENT,
        "steps": {"class_type": "TestSteps", "inputs": steps},
        "save": {"class_type": "TestSaveLatent", "inputs": {"samples": ["steps", 0], "path": str(path)}},
    }


def test_versions(server, old_server):
    versions = [s.get("/system_stats").json()["system"]["comfyui_version"] for s in (server, old_server)]
    assert versions[1] == "0.8.0" and versions[0] != versions[1]
    assert "KSampler" in server.object_info()
    assert old_server.object_info("TestSteps")["output"] == ["LATENT"]


def test_as_people_start_it(comfy_path, server, tmp_path):
    """`python main.py` is what the other tests' processes are: the same nodes, and it runs and ends."""
    with ComfyServer(comfy_path, tmp_path, process=PlainProcess) as plain:
        assert plain.object_info().keys() == server.object_info().keys() >= {"HeliosChunkSampler", "TestSteps"}
        plain.run(slow_prompt(tmp_path / "latent.safetensors", steps=1, seconds=0.0))
        assert load_file(tmp_path / "latent.safetensors")["samples"].shape == (1, 16, 9, 8, 12)
    with pytest.raises(ServerDied, match="ended with code"):
        plain.get("/system_stats")


def test_tiny_vae_decodes_a_video(any_server, tmp_path):
    latent = {"samples": torch.randn(1, 16, 9, 8, 12)}
    save_file(latent, tmp_path / "latent.safetensors")
    entry = any_server.run(
        {
            "latent": {"class_type": "TestLoadLatent", "inputs": {"path": str(tmp_path / "latent.safetensors")}},
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "tiny_wan_vae.safetensors"}},
            "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["latent", 0], "vae": ["vae", 0]}},
            "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "tiny"}},
            "info": {"class_type": "TestImagesInfo", "inputs": {"images": ["decode", 0]}},
        }
    )
    info = json.loads(entry["outputs"]["info"]["text"][0])
    images = np.load(info["path"])
    assert images.shape == (33, 64, 96, 3) == tuple(info["shape"])
    assert images.std() > 0.1 and np.isfinite(images).all()
    files = entry["outputs"]["save"]["images"]
    assert len(files) == len(list(any_server.output_dir.glob("tiny*.png"))) == 33
    first = np.asarray(Image.open(io.BytesIO(any_server.view(files[0]))), dtype=np.float32) / 255
    assert np.abs(first - images[0]).max() < 1 / 254
    assert "Missing VAE keys" not in any_server.log()


def test_tiny_vae_encodes_what_it_decodes(server, tmp_path):
    entry = server.run(
        {
            "image": {
                "class_type": "EmptyImage",
                "inputs": {"width": 96, "height": 64, "batch_size": 33, "color": 0x4080C0},
            },
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "tiny_wan_vae.safetensors"}},
            "encode": {"class_type": "VAEEncode", "inputs": {"pixels": ["image", 0], "vae": ["vae", 0]}},
            "save": {
                "class_type": "TestSaveLatent",
                "inputs": {"samples": ["encode", 0], "path": str(tmp_path / "latent.safetensors")},
            },
        }
    )
    samples = load_file(entry["outputs"]["save"]["text"][0])["samples"]
    assert samples.shape == (1, 16, 9, 8, 12) and samples.std() > 0


def test_tiny_clip_encodes_like_umt5(any_server, tmp_path):
    """Through the stock CLIPTextEncode: 512 tokens, zeros after the last, a pure function of the text."""
    save_file({"cond": torch.ones(1, 512, 48)}, tmp_path / "ones.safetensors")
    prompt = {
        "clip": {"class_type": "TestTinyCLIPLoader", "inputs": {"width": 48}},
        "ones": {"class_type": "TestConditioningFromFile", "inputs": {"path": str(tmp_path / "ones.safetensors")}},
    }
    for name, text in {"a": "a red fox", "b": "a blue fox", "again": "a red fox"}.items():
        prompt[name] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": text}}
        prompt[name + "+1"] = {
            "class_type": "ConditioningAverage",
            "inputs": {"conditioning_to": [name, 0], "conditioning_from": ["ones", 0], "conditioning_to_strength": 0.5},
        }
        prompt["save " + name] = {
            "class_type": "TestSaveConditioning",
            "inputs": {"conditioning": [name + "+1", 0], "path": str(tmp_path / f"{name}.safetensors")},
        }
    any_server.run(prompt)
    a, b, again = (2 * load_file(tmp_path / f"{n}.safetensors")["cond"] - 1 for n in ("a", "b", "again"))
    assert a.shape == (1, 512, 48) and a.dtype == torch.float32
    assert a[:, :4].abs().amax(-1).min() > 0.1 and not a[:, 4:].any()
    assert torch.equal(a, again)
    assert [i for i in range(512) if not torch.equal(a[0, i], b[0, i])] == [1]


def test_errors_are_told(any_server, tmp_path):
    prompt = slow_prompt(tmp_path / "x", steps=0, seconds=0)
    with pytest.raises(PromptRejected, match="TestSteps steps: Value 0 smaller than min of 1: steps") as rejected:
        any_server.queue(prompt)
    assert list(rejected.value.node_errors) == ["steps"]

    prompt = slow_prompt(tmp_path / "no such folder" / "x", steps=1, seconds=0)
    with pytest.raises(ExecutionFailed, match="^TestSaveLatent save: .*No such file") as failed:
        any_server.run(prompt)
    assert not isinstance(failed.value, Interrupted)
    assert "save_file(tensors, path" in "".join(failed.value.error["traceback"])
    entry = any_server.wait(any_server.queue(prompt), check=False)
    assert entry["status"]["status_str"] == "error"


def test_events_and_interrupt(any_server, tmp_path):
    with any_server.events(preview_metadata=False) as events:
        events.wait_done(any_server.queue(slow_prompt(tmp_path / "a", 1, 0, preview=True), client_id=events.client_id))
        assert [preview["node"] for preview in events.of("preview")] == [None]

    with any_server.events() as events:
        path = tmp_path / "done.safetensors"
        prompt_id = any_server.queue(slow_prompt(path, 5, 0.05, preview=True), client_id=events.client_id)
        events.wait_done(prompt_id)
        assert [p[1:] for p in events.progress()] == [(i, 5) for i in range(1, 6)]
        times = [p[0] for p in events.progress()]
        assert 0.15 < times[-1] - times[0] < 5
        previews = events.of("preview")
        assert len(previews) == 5 and previews[0]["node"] == "steps"
        assert Image.open(io.BytesIO(previews[-1]["image"])).format == "JPEG"
        assert load_file(path)["samples"].shape == (1, 16, 9, 8, 12)

        path = tmp_path / "never.safetensors"
        prompt_id = any_server.queue(slow_prompt(path, 600, 0.1), client_id=events.client_id)
        events.wait_for("progress", count=7)
        begin = time.monotonic()
        any_server.interrupt(prompt_id)
        with pytest.raises(Interrupted, match="TestSteps steps: interrupted"):
            any_server.wait(prompt_id, timeout=30)
        assert time.monotonic() - begin < 10 and not path.exists()
        assert events.wait_for("execution_interrupted")["node_id"] == "steps"


def test_life_of_a_server(comfy_path, tmp_path):
    """Extra arguments, crash, restart with the same folders, a process that cannot start."""
    with ComfyServer(comfy_path, tmp_path / "base", extra_args=("--verbose", "DEBUG")) as server:
        assert server.get("/system_stats").json()["system"]["argv"][-2:] == ["--verbose", "DEBUG"]
        kept = tmp_path / "kept.safetensors"
        prompt_id = server.queue(slow_prompt(kept, 600, 0.1))
        server.kill()
        with pytest.raises(ServerDied, match="code -9"):
            server.wait(prompt_id)
        server.restart()
        server.run(slow_prompt(kept, 1, 0))
        assert kept.exists()
    with pytest.raises(ServerDied, match="unrecognized arguments: --nonsense"):
        ComfyServer(comfy_path, tmp_path / "other", extra_args=("--nonsense",)).start()
