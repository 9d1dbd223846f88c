"""Run a real ComfyUI with this pack in it, and talk to it."""

import os
import re
import socket
import sys
import tempfile
import time
import uuid
from pathlib import Path

import requests

from comfy_events import Events
from comfy_process import start_process

PACK = Path(__file__).resolve().parents[2]
HELPER_PACK = Path(__file__).resolve().parent / "helper_pack"


def _checkout(path) -> Path | None:
    path = Path(path).expanduser()
    return path if (path / "main.py").is_file() and (path / "comfy").is_dir() else None


def find_comfyui() -> Path | None:
    """COMFYUI_PATH, else the checkout that the pack lies in, else ~/ComfyUI."""
    if "COMFYUI_PATH" in os.environ:
        return _checkout(os.environ["COMFYUI_PATH"])
    return _checkout(PACK.parent.parent) or _checkout("~/ComfyUI")


def find_old_comfyui() -> Path | None:
    """The oldest ComfyUI that the pack supports: COMFYUI_OLD_PATH, else ~/ComfyUI-0.8.0."""
    return _checkout(os.environ.get("COMFYUI_OLD_PATH", "~/ComfyUI-0.8.0"))


def find_new_comfyui() -> tuple[Path, Path] | None:
    """The newest ComfyUI and its Python: COMFYUI_NEW_PATH and COMFYUI_NEW_PYTHON, else in the home folder.

    It needs an environment of its own: its kernels are of other versions than those of the older ones.
    """
    path = _checkout(os.environ.get("COMFYUI_NEW_PATH", "~/ComfyUI-0.33.0"))
    python = Path(os.environ.get("COMFYUI_NEW_PYTHON", "~/venv-0.33.0/bin/python")).expanduser()
    return (path, python) if path and python.is_file() else None


def find_new_frontend() -> Path | None:
    """The newest frontend: COMFYUI_NEW_FRONTEND, else where `make setup` unpacks its wheel, else ~/frontend-1.58.1."""
    return _frontend("COMFYUI_NEW_FRONTEND", "frontend-1.58.1")


def find_old_frontend() -> Path | None:
    """That of ComfyUI 0.8.0, from COMFYUI_OLD_FRONTEND, else as the newest, in frontend-1.35.9."""
    return _frontend("COMFYUI_OLD_FRONTEND", "frontend-1.35.9")


def _frontend(variable: str, folder: str) -> Path | None:
    paths = [base / folder / "comfyui_frontend_package" / "static" for base in (Path(sys.prefix), Path.home())]
    if variable in os.environ:
        paths = [Path(os.environ[variable]).expanduser()]
    return next((path for path in paths if (path / "index.html").is_file()), None)


class ServerDied(Exception):
    """The process ended by itself; the message holds the end of its log."""


class PromptRejected(Exception):
    """POST /prompt answered with an error; `answer` is its JSON."""

    def __init__(self, answer: dict):
        self.answer = answer
        self.node_errors = answer.get("node_errors") or {}
        lines = [f"{answer['error']['message']} {answer['error'].get('details', '')}".strip()]
        for node_id, node in self.node_errors.items():
            lines += [f"{node['class_type']} {node_id}: {e['message']}: {e['details']}" for e in node["errors"]]
        super().__init__("\n".join(lines))


class ExecutionFailed(Exception):
    """A node raised; `error` is the server's execution_error message, `entry` the history entry."""

    def __init__(self, entry: dict):
        self.entry = entry
        self.error = next((data for kind, data in reversed(entry["status"]["messages"]) if "node_type" in data), {})
        text = self.error.get("exception_message", "interrupted").strip()
        super().__init__(f"{self.error.get('node_type')} {self.error.get('node_id')}: {text}")


class Interrupted(ExecutionFailed):
    """The prompt was cancelled."""


class ComfyServer:
    """One ComfyUI process on the CPU, with its own folders, database and port; a context manager."""

    def __init__(
        self, comfy_path: Path, base_dir: Path | None = None, extra_args: tuple[str, ...] = (), process=start_process
    ):
        self.comfy_path, self._start_process = Path(comfy_path), process
        self.base_dir = Path(base_dir or tempfile.mkdtemp(prefix="comfyui-"))
        self.extra_args = tuple(extra_args)
        self.models_dir, self.output_dir = self.base_dir / "models", self.base_dir / "output"
        self.input_dir, self.temp_dir = self.base_dir / "input", self.base_dir / "temp"
        self.log_file = self.base_dir / "server.log"
        self._process = None
        self._http = requests.Session()
        self._http.trust_env = False
        for folder in (self.models_dir, self.output_dir, self.input_dir, self.base_dir / "custom_nodes"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, pack in {"ComfyUI-Helios": PACK, "helios-test-helpers": HELPER_PACK}.items():
            link = self.base_dir / "custom_nodes" / name
            if not link.exists():
                link.symlink_to(pack, target_is_directory=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"

    def start(self, timeout: float = 240) -> "ComfyServer":
        """Start and wait until it answers; nothing happens when it runs already."""
        if self._process is not None and self._process.is_alive():
            return self
        arguments = [
            "--cpu",
            "--listen",
            "127.0.0.1",
            "--port",
            self.url.rsplit(":", 1)[1],
            "--base-directory",
            str(self.base_dir),
            "--database-url",
            f"sqlite:///{self.base_dir}/comfyui.db",
            "--disable-auto-launch",
            "--disable-api-nodes",
            "--dont-print-server",
            *self.extra_args,
        ]
        self._process = self._start_process(self.comfy_path, arguments, self.log_file)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                self.get("/system_stats")
                return self
            except requests.ConnectionError:
                time.sleep(0.2)
        self.kill()
        raise TimeoutError(f"ComfyUI did not answer in {timeout} s:\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """End it politely, or else by force; nothing happens when it is not running."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(10)
            self.kill()

    def kill(self) -> None:
        """End it as a crash or a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def restart(self) -> "ComfyServer":
        """Stop it, and start it with the same folders and port."""
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def log(self) -> str:
        """All that the server has printed, over all its starts, without colours."""
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return re.sub(r"\x1b\[[\d;]*m", "", text)

    def get(self, path: str, **params) -> requests.Response:
        """GET a path of the server."""
        try:
            answer = self._http.get(self.url + path, params=params, timeout=60)
        except requests.ConnectionError:
            self._check_alive()
            raise
        answer.raise_for_status()
        return answer

    def post(self, path: str, data: dict) -> requests.Response:
        """POST JSON to a path of the server."""
        answer = self._http.post(self.url + path, json=data, timeout=60)
        answer.raise_for_status()
        return answer

    def object_info(self, node_class: str | None = None) -> dict:
        """The descriptions of all nodes, or of one."""
        return (
            self.get("/object_info").json()
            if node_class is None
            else self.get(f"/object_info/{node_class}").json()[node_class]
        )

    def queue(self, prompt: dict, extra_data: dict | None = None, client_id: str | None = None) -> str:
        """Queue a prompt in API form; its id. Raises PromptRejected when it does not validate."""
        prompt_id = str(uuid.uuid4())
        body = {"prompt": prompt, "prompt_id": prompt_id, "extra_data": extra_data or {}}
        if client_id:
            body["client_id"] = client_id
        answer = self._http.post(self.url + "/prompt", json=body, timeout=60)
        if answer.status_code == 400:
            raise PromptRejected(answer.json())
        answer.raise_for_status()
        return prompt_id

    def wait(self, prompt_id: str, timeout: float = 120, check: bool = True) -> dict:
        """The history entry of a queued prompt, once it has ended; raises when it failed, unless `check` is off."""
        end = time.monotonic() + timeout
        while not (entry := self.get(f"/history/{prompt_id}").json().get(prompt_id)):
            if time.monotonic() > end:
                raise TimeoutError(f"prompt {prompt_id} did not end in {timeout} s:\n{self.log()[-3000:]}")
            time.sleep(0.05)
        if check and entry["status"]["status_str"] != "success":
            interrupted = any(kind == "execution_interrupted" for kind, _ in entry["status"]["messages"])
            raise (Interrupted if interrupted else ExecutionFailed)(entry)
        return entry

    def run(self, prompt: dict, timeout: float = 120, **queue_args) -> dict:
        """Queue a prompt and wait for its history entry."""
        return self.wait(self.queue(prompt, **queue_args), timeout)

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Cancel the running prompt (only if it is the given one)."""
        self.post("/interrupt", {"prompt_id": prompt_id} if prompt_id else {})

    def events(self, preview_metadata: bool = True) -> Events:
        """A websocket client; queue with `client_id=events.client_id` to see a prompt's events."""
        return Events(self.url, preview_metadata)

    def view(self, file: dict) -> bytes:
        """The bytes of an output file, named as in a history entry: filename, subfolder, type."""
        return self.get("/view", **{key: file[key] for key in ("filename", "subfolder", "type")}).content

    def _check_alive(self):
        if not self._process.is_alive():
            raise ServerDied(f"ComfyUI ended with code {self._process.exitcode}:\n{self.log()[-3000:]}")
