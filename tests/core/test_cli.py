"""The command line, with a small random model in the layouts of the real files; and downloads, from a small hub."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import pytest
import torch

from helios_core import HistoryMemory
from helios_core.cli import is_demo, main
from helios_core.codecs import TextEncoder, VideoCodec
from helios_core.files import demo_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder as the demo's: transformer/, text_encoder.safetensors, vae.safetensors."""
    from students import student
    from training.export import save_text, save_transformer, save_vae
    from training.text import TOKENS
    from training.vae import make_vae

    folder = tmp_path_factory.mktemp("models") / "Helios-Distilled-tiny"
    new = student()
    save_transformer(new.transformer, folder / "transformer")
    save_text(new.text, new.tokenizer.serialized_model_proto(), TOKENS, folder / "text_encoder.safetensors")
    save_vae(make_vae(4), folder / "vae.safetensors")
    return folder


def run(*arguments, status=0):
    assert main([str(a) for a in arguments]) == status


def frames(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def test_generate_and_extend(model, tmp_path, capsys):
    """The film and its memory are there; what goes on from the memory is what one run would have made."""
    at = ["--model", model, "--seed", "5"]
    run("generate", "A red star.", *at, "--size", "64x64", "--length", "3.5s", "-o", tmp_path / "whole.mp4")
    run("generate", "A red star.", *at, "--size", "64x64", "--length", 33, "-o", tmp_path / "new" / "a.mp4")
    run("extend", tmp_path / "new" / "a.safetensors", "--model", model, "--length", 66, "-o", tmp_path / "b.mp4")
    whole, rest = (HistoryMemory.load(tmp_path / name)[0] for name in ("whole.safetensors", "b.safetensors"))
    assert whole.chunk == rest.chunk == 3 and torch.equal(whole.frames, rest.frames)
    assert [len(frames(tmp_path / name)) for name in ("whole.mp4", "new/a.mp4", "b.mp4")] == [99, 33, 66]
    memory, notes = HistoryMemory.load(tmp_path / "b.safetensors")
    replace(memory, noise_device="cuda").save(tmp_path / "c.safetensors", notes)
    run("extend", tmp_path / "c.safetensors", "--length", 33)
    assert (tmp_path / "c-2.mp4").exists()
    assert "random numbers were cuda's" in (said := capsys.readouterr().err)
    assert "3 chunks, 99 frames" in said and re.search(r"66 frames in [\d.]+ s", said)


def test_a_schedule_an_image_and_a_video(model, tmp_path):
    (tmp_path / "story.txt").write_text("0: A red star.\n1 cut: A blue ball.\n")
    at = ["--model", model, "--size", "64x64", "--length", "66"]
    run("generate", "A red star.", *at, "-o", tmp_path / "plain.mp4")
    run("generate", "--schedule", tmp_path / "story.txt", *at, "-o", tmp_path / "story.mp4")
    picture = torch.randint(0, 255, (40, 60, 3), dtype=torch.uint8)
    from PIL import Image

    Image.fromarray(picture.numpy()).save(tmp_path / "p.png")
    run("generate", "A red star.", "--image", tmp_path / "p.png", *at, "-o", tmp_path / "image.mp4")
    run("generate", "A red star.", "--video", tmp_path / "story.mp4", *at, "-o", tmp_path / "video.mp4")
    names = "plain", "story", "image", "video"
    films = {name: HistoryMemory.load(tmp_path / f"{name}.safetensors")[0] for name in names}
    ends = [memory.frames[:, :, -9:] for memory in films.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])
    assert torch.equal(films["plain"].anchor, films["story"].anchor)  # they part at chunk 1
    assert not torch.equal(films["plain"].anchor, films["image"].anchor)


@pytest.mark.parametrize("variant", ["base", "mid"])
def test_guided_variants(model, tmp_path, variant):
    steps = {"base": "3", "mid": "3,1,1"}[variant]
    at = ["--model", model, "--size", "64x64", "--length", "33", "--variant", variant, "--steps", steps]
    for name, extra in (("a", []), ("b", ["--negative", "A blue ball."]), ("c", ["--cfg", "1"])):
        run("generate", "A red star.", *at, *extra, "-o", tmp_path / f"{name}.mp4")
    ends = [HistoryMemory.load(tmp_path / f"{name}.safetensors")[0].frames for name in "abc"]
    assert not any(torch.equal(x, y) for x, y in zip(ends, ends[1:]))


def test_streaming(model, tmp_path):
    """What comes out of standard output is the same film, playable without going back."""
    command = [sys.executable, "-m", "helios_core", "generate", "A red star.", "--model", model, "--size", "64x64"]
    out = subprocess.run(
        [*command, "--length", "66", "--stream", "-o", tmp_path / "a.mp4"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    (tmp_path / "piped.mp4").write_bytes(out.stdout)
    piped, file = frames(tmp_path / "piped.mp4"), frames(tmp_path / "a.mp4")
    assert len(piped) == len(file) == 66 and all((x == y).all() for x, y in zip(piped, file))


def test_a_player_that_is_closed(model, tmp_path):
    """The film goes on without it."""
    command = [sys.executable, "-m", "helios_core", "generate", "A red star.", "--model", model, "--size", "64x64"]
    command += ["--length", "165", "--stream", "-o", tmp_path / "a.mp4"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as film:
        assert film.stdout.read(100)
        film.stdout.close()
        said = film.stderr.read().decode()
    assert film.returncode == 0 and "the film goes on" in said and "Traceback" not in said
    assert len(frames(tmp_path / "a.mp4")) == 165
    assert HistoryMemory.load(tmp_path / "a.safetensors")[0].chunk == 5


def test_info(model, tmp_path, capsys):
    run("info", model, "--checksums")
    said = capsys.readouterr().out
    weights = model / "transformer" / "diffusion_pytorch_model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in said and "distilled" in said and "bfloat16" in said
    HistoryMemory.empty(128, 64).save(tmp_path / "m.safetensors", {"prompt": "the sea"})
    run("info", tmp_path / "m.safetensors")
    assert "128x64" in (said := capsys.readouterr().out) and "the sea" in said


def test_estimate(model, capsys):
    run("estimate", "--model", model, "--size", "256x128", "--length", "10s")
    said = capsys.readouterr().out
    assert "8 chunks, 264 frames, 11.0 s of 256x128 with distilled, 54 steps" in said
    # 264 frames of 256x128 at 0.3 bits; 20 latents of 16 channels, 16x32, in float32
    assert "disk: the film 0.3 MB at 0.3 bits a pixel, memory file 0.7 MB at any length" in said
    seconds = float(re.search(r"(\d+) s in all", said)[1])
    assert float(re.search(r"([\d.]+) frames a second", said)[1]) == pytest.approx(264 / max(seconds, 0.5), rel=1.0)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["generate"], "no prompt"),
        (["generate", "x", "--size", "70x64"], "multiples of 64"),
        (["generate", "x", "--image", "nowhere.png"], "nowhere.png"),
        (["generate", "--schedule", "nowhere.txt"], "nowhere.txt"),
        (["generate", "x", "--vae", "transformer/diffusion_pytorch_model.safetensors"], "not a Wan 2.1 VAE"),
        (["generate", "x", "--text-encoder", "vae.safetensors"], "not a UMT5 text encoder"),
        (["extend", "vae.safetensors"], "vae.safetensors: not a Helios memory"),
        (["generate", "x", "--device", "gpu"], "device"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(model, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(model)
    run(*arguments, "--model", model, "-o", tmp_path / "x.mp4", status=1)
    error = capsys.readouterr().err
    assert error.startswith("helios: ") and said in error and not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--length", "0"], "'0': frames as 240, or seconds as 10s"),
        (["--length", "ten"], "'ten': frames"),
        (["--length", "infs"], "'infs': frames"),
        (["--seed", "-1"], "'-1': a whole number"),
        (["--seed", str(2**64)], "from 0 to 2^64 - 1"),
        (["--cfg", "nan"], "'nan': 1 or more"),
        (["--size", "64"], "WIDTHxHEIGHT"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(capsys, arguments, said):
    with pytest.raises(SystemExit):
        main(["generate", "x", *arguments])
    assert said in capsys.readouterr().err


def test_nothing_is_replaced_unasked(model, tmp_path, monkeypatch, capsys):
    """Films take the next free name; what is there stays without --force, what is no memory with it too."""
    monkeypatch.chdir(tmp_path)
    at = ["--size", "64x64", "--length", "33", "--model", model]
    for _ in range(2):
        run("generate", "A red star.", *at)
    assert "helios extend helios-2.safetensors" in capsys.readouterr().err
    run("extend", "helios.safetensors", "--length", "33")  # the model is remembered
    names = [f"helios{n}.{kind}" for n in ("", "-2", "-3") for kind in ("mp4", "safetensors")]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert [HistoryMemory.load(name)[0].chunk for name in names[1::2]] == [1, 1, 2]
    before = Path("helios.mp4").read_bytes()
    run("generate", "A blue star.", *at, "-o", "helios.mp4", status=1)
    assert "helios.mp4 is there already: --force" in capsys.readouterr().err
    assert Path("helios.mp4").read_bytes() == before
    run("generate", "A blue star.", *at, "-o", "helios.mp4", "--force")
    assert Path("helios.mp4").read_bytes() != before
    weights = (model / "vae.safetensors").read_bytes()
    run("generate", "A blue star.", *at, "-o", model / "vae.mp4", "--force", status=1)
    assert (model / "vae.safetensors").read_bytes() == weights
    for wrong in ("film.safetensors", "film", tmp_path):
        run("generate", "A blue star.", *at, "-o", wrong, status=1)
        assert "an .mp4 file" in capsys.readouterr().err


def test_a_stopped_film_goes_on_with_the_words_of_its_last_chunk(model, tmp_path, capsys):
    (tmp_path / "story.txt").write_text("0: A red star.\n1: A blue ball.\n8: A purple square.\n")
    at = ["--size", "64x64", "--length", "66", "--model", model, "-o", tmp_path / "a.mp4"]
    run("generate", "--schedule", tmp_path / "story.txt", *at, "--variant", "base", "--steps", "2", "--cfg", "1")
    assert HistoryMemory.load(tmp_path / "a.safetensors")[1]["prompt"] == "A blue ball."
    said = re.search(r"to go on with it: helios (extend .+)", capsys.readouterr().err)[1]
    assert said == f"extend {tmp_path}/a.safetensors --variant base --steps 2 --cfg 1.0"
    run(*said.split(), "--length", 33, "A red ball.")
    memory, notes = HistoryMemory.load(tmp_path / "a-2.safetensors")
    assert (memory.variant, notes["prompt"]) == ("base", "A red ball.")
    with pytest.raises(SystemExit):
        main(["extend", "a.safetensors", "--length", "33", "A red", "ball."])
    assert "not known: A red ball." in capsys.readouterr().err


def test_a_folder_of_ones_own_called_demo(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_demo(None) and is_demo(Path("demo")) and is_demo(demo_folder()) and not is_demo(model)
    (tmp_path / "demo").symlink_to(model)
    assert not is_demo(Path("demo"))


def test_parts_are_found_beside_a_model(tmp_path):
    """In the layout of a download, wherever that is, and through a link to another disk."""
    from helios_core.cli import beside

    w, disk = tmp_path / "w", tmp_path / "disk" / "Helios-Mid"
    for folder in (w / "diffusion_models", w / "text_encoders", disk):
        folder.mkdir(parents=True)
    wanted = w / "text_encoders" / "umt5_xxl_fp16.safetensors"
    for file in (wanted, wanted.with_name("umt5-xxl-enc-bf16.safetensors")):
        file.touch()
    (w / "diffusion_models" / "Helios-Mid").symlink_to(disk)
    assert beside(w / "diffusion_models" / "Helios-Mid", "text") == wanted
    with pytest.raises(FileNotFoundError, match="--vae"):
        beside(w / "diffusion_models" / "Helios-Mid", "vae")


def test_a_model_that_does_not_tell_its_variant(model, tmp_path, capsys):
    (tmp_path / "some").symlink_to(model)
    run("generate", "x", "--model", tmp_path / "some", status=1)
    assert "Base, Mid or Distilled?" in capsys.readouterr().err


def test_codecs(model):
    """Texts end in zeros; a window of frames has latents in model space, and comes back in its size."""
    text = TextEncoder(model / "text_encoder.safetensors")
    short, long = text("A red star."), text("A red star moves left. " * 40)
    assert short.shape == (1, 64, 64) and short[0, :4].abs().amin(0).max() > 0 and not short[0, 10:].any()
    assert long.shape[1] > 64
    codec, frames = VideoCodec(model / "vae.safetensors", dtype=torch.float32), torch.rand(33, 64, 96, 3)
    latents = codec.encode(frames)
    assert latents.shape == (1, 16, 9, 8, 12) and codec.decode(latents).shape == frames.shape
    first, last = codec.encode_image(frames[:1])
    assert torch.allclose(first, latents[:, :, :1], atol=1e-4) and last.shape == first.shape


def test_a_text_encoder_in_scaled_fp8(model, tmp_path):
    """As ComfyUI packs the real one: each matrix has a scale of its own."""
    from safetensors.torch import load_file, save_file

    path, tensors = tmp_path / "t.safetensors", load_file(model / "text_encoder.safetensors")
    for key in [key for key in tensors if ".layer.1.DenseReluDense" in key]:
        scale = tensors[key].float().abs().max() / 448
        tensors[key] = (tensors[key].float() / scale).to(torch.float8_e4m3fn)
        tensors[key.removesuffix("weight") + "scale_weight"] = scale
    save_file(tensors | {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}, path, {"tokens": "64"})
    small, whole = (TextEncoder(p)("A red star.") for p in (path, model / "text_encoder.safetensors"))
    assert 0 < (small - whole).norm() / whole.norm() < 0.1


def test_exported_latents_are_wans():
    """Moving the latents to Wan's mean and std changes neither what is encoded, in model space, nor what is decoded."""
    from training.export import as_wan_latents
    from training.vae import make_vae

    torch.manual_seed(0)
    vae, video = make_vae(4), torch.rand(1, 3, 5, 32, 32) * 2 - 1
    mean, std = torch.randn(16), torch.rand(16) + 0.5
    with torch.inference_mode():
        latents = vae.encode(video).latent_dist.mean
        out = vae.decode(latents).sample
        as_wan_latents(vae, mean, std)
        moved = vae.encode(video).latent_dist.mean
        again = vae.decode(moved).sample
    row = partial(torch.reshape, shape=(1, 16, 1, 1, 1))
    wan_mean, wan_std = (torch.tensor(v) for v in (vae.config.latents_mean, vae.config.latents_std))
    want = (latents - row(mean)) / row(std)
    assert torch.allclose((moved - row(wan_mean)) / row(wan_std), want, atol=1e-4)
    assert torch.allclose(again, out, atol=1e-4)


# --- downloads ---

TEXT = "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VAE = "split_files/vae/wan_2.1_vae.safetensors"
WAN = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
MID = "BestWishYsh/Helios-Mid"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: a repository's files with sizes and checksums, and their content."""

    files = {
        MID: {"transformer/a.safetensors": os.urandom(3_000_000), "transformer/config.json": b"{}", "README.md": b"no"}
        | {f"transformer/{name}": b"no" for name in ("../../../../custom_nodes/evil.json", "..\\evil.json", "run.py")},
        WAN: {TEXT: os.urandom(50_000), VAE: os.urandom(40_000), "split_files/vae/other.safetensors": b"no"},
    }
    lies, cut, served = set(), {}, []

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path = self.path.split("?")[0].strip("/")
        if path.startswith("api/models/"):
            repo = "/".join(path.split("/")[2:4])
            siblings = [self.describe(repo, name) for name in self.files[repo]]
            return self.answer(json.dumps({"id": repo, "sha": "0" * 40, "siblings": siblings}).encode(), body)
        if "/resolve/" not in path:
            return self.answer(b"{}", body, 404)
        repo, name = re.split(r"/resolve/[^/]+/", path)
        content = self.files[repo][name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "0" * 40}
        if name in self.lies:
            content = b"x" + content[1:]
        begin = int(m[1]) if (m := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        if body:
            self.served.append((name, begin))
        headers["Accept-Ranges"] = "bytes"
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self.answer(
            content[begin:], body, 206 if begin else 200, headers, cut=self.cut.pop(name, None) if body else None
        )

    def describe(self, repo, name):
        content = self.files[repo][name]
        lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        blob = {"blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
        return {"rfilename": name, "size": len(content), **({"lfs": lfs} if name.endswith(".safetensors") else blob)}

    def answer(self, content, body, status=200, headers={}, cut=None):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        self.close_connection = cut is not None

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.lies, Hub.cut, Hub.served = set(), {}, []

    def run(*arguments):
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
        settings |= {"HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}  # of a busy machine
        settings |= {"HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "helios_core", "download", *map(str, arguments)]
        return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, cwd=tmp_path)

    yield run
    server.shutdown()


def test_download(hub, tmp_path):
    """Only what is needed comes, each file where ComfyUI looks; a second run fetches nothing."""
    models = tmp_path / "ComfyUI" / "models"
    models.mkdir(parents=True)
    (models.parent / "main.py").touch()
    (models.parent / "custom_nodes").mkdir()
    first = hub("mid", "--to", models)
    assert first.returncode == 0, first.stderr
    have = {p.relative_to(models).as_posix(): p.read_bytes() for p in models.rglob("*") if p.is_file()}
    assert not (tmp_path / "ComfyUI" / "custom_nodes" / "evil.json").exists()
    wanted = ("transformer/a.safetensors", "transformer/config.json")
    transformer = {f"diffusion_models/Helios-Mid/{name}": Hub.files[MID][name] for name in wanted}
    wan = {"text_encoders/" + Path(TEXT).name: Hub.files[WAN][TEXT], "vae/" + Path(VAE).name: Hub.files[WAN][VAE]}
    assert have == {**transformer, **wan}
    Hub.served.clear()
    again = hub("mid", "--to", models)
    assert again.returncode == 0 and "all was there already" in again.stdout and Hub.served == []
    damaged, config = models / "vae" / Path(VAE).name, models / "diffusion_models/Helios-Mid/transformer/config.json"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    config.write_bytes(b"[]")
    assert hub("mid", "--to", models).returncode == 0 and damaged.read_bytes() == Hub.files[WAN][VAE]
    assert sorted(name for name, _ in Hub.served) == [VAE, "transformer/config.json"]
    assert config.read_bytes() == b"{}" and config.with_name("config.json.old").read_bytes() == b"[]"


def test_the_hub_cannot_be_reached(tmp_path):
    settings = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "helios_core", "download", "mid", "--to", tmp_path]
    result = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.startswith("helios: the Hugging Face hub: ")
    assert "Traceback" not in result.stderr


def test_a_broken_download_goes_on(hub, tmp_path):
    """What an earlier run left is not fetched again; what is no beginning of the file is found out by its checksum."""
    name, content = "transformer/a.safetensors", Hub.files[MID]["transformer/a.safetensors"]
    target = tmp_path / "models/diffusion_models/Helios-Mid/transformer/a.safetensors"
    target.parent.mkdir(parents=True)
    part = target.with_name("a.safetensors.part")
    part.write_bytes(content[:1_000_000])
    Hub.cut[name] = 500_000
    result = hub("mid", "--to", tmp_path / "models")
    assert result.returncode == 0, result.stderr
    assert target.read_bytes() == content and not part.exists()
    assert all(begin >= 1_000_000 for served, begin in Hub.served if served == name)
    target.unlink()
    part.write_bytes(b"x" * 1_000_000)
    assert hub("mid", "--to", tmp_path / "models").returncode == 1 and not target.exists()
    assert hub("mid", "--to", tmp_path / "models").returncode == 0 and target.read_bytes() == content


def test_a_wrong_file_is_not_kept(hub, tmp_path):
    Hub.lies = {VAE}
    result = hub("mid", "--to", tmp_path / "models")
    assert result.returncode == 1 and "not what the hub says it is (its hash)" in result.stderr
    assert not (tmp_path / "models" / "vae" / Path(VAE).name).exists()
    Hub.lies = set()
    assert hub("mid", "--to", tmp_path / "models").returncode == 0


def test_no_room_on_the_disk(tmp_path, monkeypatch):
    from helios_core import download

    items = [download.Item("r", "n", tmp_path / "models" / "n", size=10**16, digest="0" * 64)]
    with pytest.raises(OSError, match=r"10000000\.0 GB are needed and [\d.]+ GB are free"):
        download.download(items, tmp_path / "models")


def test_no_comfyui_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("helios_core.download.find_models_folder", lambda: None)
    run("download", "mid", status=1)
    assert "--to says which models/ folder to fill" in capsys.readouterr().err
