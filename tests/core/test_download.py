"""Downloads, from a small hub."""

import errno
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helios_core.command.main import main

ROOT = Path(__file__).parents[2]

TEXT = "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VAE = "split_files/vae/wan_2.1_vae.safetensors"
WAN = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
MID = "BestWishYsh/Helios-Mid"
COMMIT = "5" * 40


def damaged(content):
    """Of the same size, and other whatever it was."""
    return bytes([content[0] ^ 1]) + content[1:]


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: a repository's files with sizes and checksums, and their content."""

    files = {
        MID: {"transformer/a.safetensors": os.urandom(3_000_000), "transformer/config.json": b"{}", "README.md": b"no"}
        | {f"transformer/{name}": b"no" for name in ("../../../../custom_nodes/evil.json", "..\\evil.json", "run.py")},
        WAN: {TEXT: os.urandom(50_000), VAE: os.urandom(40_000), "split_files/vae/other.safetensors": b"no"},
    }
    lies, cut, served = set(), {}, []

    def do_GET(self):
        path = self.path.split("?")[0].strip("/")
        if path.startswith("api/models/"):
            repo = "/".join(path.split("/")[2:4])
            siblings = [self.describe(repo, name) for name in self.files[repo]]
            return self.answer(json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode())
        if "/resolve/" not in path:
            return self.answer(b"{}", 404)
        repo, name = path.split(f"/resolve/{COMMIT}/")  # not what is newest by then
        content = self.files[repo][name]
        if name in self.lies:
            content = damaged(content)
        begin = int(m[1]) if (m := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        self.served.append((name, begin))
        headers = {"Accept-Ranges": "bytes"}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self.answer(content[begin:], 206 if begin else 200, headers, cut=self.cut.pop(name, None))

    def describe(self, repo, name):
        content = self.files[repo][name]
        lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        blob = {"blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
        return {"rfilename": name, "size": len(content), **({"lfs": lfs} if name.endswith(".safetensors") else blob)}

    def answer(self, content, status=200, headers={}, cut=None):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(content[:cut])
        self.close_connection = cut is not None

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, capsys):
    """Runs the command: its exit status, and what it said."""
    from huggingface_hub import constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.lies, Hub.cut, Hub.served = set(), {}, []

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace(constants.ENDPOINT, endpoint))
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 60)  # of a busy machine

    def run(*arguments):
        status = main(["download", *map(str, arguments)])
        return status, "".join(capsys.readouterr())

    yield run
    server.shutdown()


def test_download(hub, tmp_path):
    """Only what is needed comes, each file where ComfyUI looks; a second run fetches nothing."""
    models = tmp_path / "ComfyUI" / "models"
    (models.parent / "custom_nodes").mkdir(parents=True)
    status, said = hub("mid", "--to", models)
    assert status == 0, said
    have = {p.relative_to(models).as_posix(): p.read_bytes() for p in models.rglob("[!.]*") if p.is_file()}
    assert not (tmp_path / "ComfyUI" / "custom_nodes" / "evil.json").exists()
    wanted = ("transformer/a.safetensors", "transformer/config.json")
    transformer = {f"diffusion_models/Helios-Mid/{name}": Hub.files[MID][name] for name in wanted}
    wan = {"text_encoders/" + Path(TEXT).name: Hub.files[WAN][TEXT], "vae/" + Path(VAE).name: Hub.files[WAN][VAE]}
    assert have == {**transformer, **wan}
    Hub.served.clear()
    status, said = hub("mid", "--to", models)
    assert status == 0 and "everything was there already" in said and Hub.served == []
    vae, config = models / "vae" / Path(VAE).name, models / "diffusion_models/Helios-Mid/transformer/config.json"
    vae.write_bytes(damaged(vae.read_bytes()))
    config.write_bytes(b"[]")
    assert hub("mid", "--to", models)[0] == 0 and vae.read_bytes() == Hub.files[WAN][VAE]
    assert sorted(name for name, _ in Hub.served) == [VAE, "transformer/config.json"]
    assert config.read_bytes() == b"{}" and config.with_name("config.json.old").read_bytes() == b"[]"
    config.write_bytes(b"[1]")
    assert hub("mid", "--to", models)[0] == 0 and config.read_bytes() == b"{}"
    assert [config.with_name(f"config.json.old{n}").read_bytes() for n in ("", "2")] == [b"[]", b"[1]"]


def test_one_download_at_a_time(hub, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".helios-download.lock"):
        status, said = hub("mid", "--to", tmp_path)
    assert status == 1 and "another download is running" in said and not Hub.served


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
    status, said = hub("mid", "--to", tmp_path / "models")
    assert status == 0, said
    assert target.read_bytes() == content and not part.exists()
    assert all(begin >= 1_000_000 for served, begin in Hub.served if served == name)
    target.unlink()
    part.write_bytes(b"x" * 1_000_000)
    assert hub("mid", "--to", tmp_path / "models")[0] == 1 and not target.exists()
    assert hub("mid", "--to", tmp_path / "models")[0] == 0 and target.read_bytes() == content


def test_a_wrong_file_is_not_kept(hub, tmp_path):
    Hub.lies = {VAE}
    status, said = hub("mid", "--to", tmp_path / "models")
    assert status == 1 and "it arrived damaged (its hash is wrong)" in said
    assert not (tmp_path / "models" / "vae" / Path(VAE).name).exists()
    Hub.lies = set()
    assert hub("mid", "--to", tmp_path / "models")[0] == 0


def test_no_room_on_the_disk(tmp_path):
    from helios_core.command import download

    items = [download.Item("r", "n", tmp_path / "models" / "n", size=10**16, digest="0" * 64, revision="main")]
    with pytest.raises(OSError, match=r"10000000\.0 GB are needed, [\d.]+ GB are free"):
        download.fetch_files(items, tmp_path / "models")


def test_the_disk_is_full_all_the_same(hub, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    status, said = hub("mid", "--to", tmp_path)
    assert status == 1 and "No space left on device" in said and "Hugging Face" not in said


@pytest.mark.parametrize("gone", [(WAN, VAE), (MID, "transformer/a.safetensors")])
def test_a_file_is_not_on_the_hub_any_more(hub, tmp_path, monkeypatch, gone):
    repo, name = gone
    left = {key: content for key, content in Hub.files[repo].items() if key != name}
    monkeypatch.setitem(Hub.files, repo, left)
    status, said = hub("mid", "--to", tmp_path)
    assert status == 1 and f"no longer has {repo}/" in said and not Hub.served


def test_comfyui_is_found(tmp_path, monkeypatch):
    """The one that the pack lies in, else the one that the working folder is in."""
    from helios_core.command import download

    for name in ("host", "other"):
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "custom_nodes" / "pack" / "helios_core").mkdir(parents=True)
        (tmp_path / name / "main.py").touch()
    monkeypatch.setattr(download, "__file__", str(tmp_path / "host/custom_nodes/pack/helios_core/command/download.py"))
    monkeypatch.chdir(tmp_path / "other" / "custom_nodes")
    assert download.find_models_folder() == tmp_path / "host" / "models"
    (tmp_path / "host" / "main.py").unlink()
    assert download.find_models_folder() == tmp_path / "other" / "models"


def test_no_comfyui_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("helios_core.command.download.find_models_folder", lambda: None)
    assert main(["download", "mid"]) == 1
    assert "name the models folder to fill with --to" in capsys.readouterr().err
