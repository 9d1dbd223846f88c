"""`helios download`: weights from the Hugging Face hub into ComfyUI's folders; resumed after a stop, checked."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .requests import DownloadRequest

MODELS = {name: f"BestWishYsh/Helios-{name.capitalize()}" for name in ("distilled", "mid", "base")}
WAN = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
WAN_FILES = {
    "text_encoders": "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vae": "split_files/vae/wan_2.1_vae.safetensors",
}
OF_A_MODEL = re.compile(r"transformer/\w[\w.-]*\.(json|safetensors)")  # a mirror may name any path, ".." too
SPARE = 2**30  # bytes of the disk that are left free


def download(request: DownloadRequest) -> None:
    """Fetch a model with its text encoder and VAE, or what is missing of them. Raises ValueError or OSError."""
    models = request.to or find_models_folder()
    if models is None:
        raise ValueError("there is no ComfyUI around this folder; name the models folder to fill with --to")
    fetch_files(list_files(request.model, models), models)


@dataclass(frozen=True)
class Item:
    """A file of a repository at commit `revision`, and where it goes. `digest` is the hub's SHA-256; for small files it
    is git's SHA-1."""

    repo: str
    name: str
    target: Path
    size: int
    digest: str
    revision: str

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    def is_here(self) -> bool:
        """Whether it is whole and right. Sizes are compared first: hashing 28 GB takes a minute."""
        return self.target.is_file() and self.target.stat().st_size == self.size and self.is_right(self.target)

    def is_right(self, file: Path) -> bool:
        return (checksum if len(self.digest) == 64 else git_checksum)(file) == self.digest


def list_files(model: str, models: Path) -> list[Item]:
    """The files of "distilled", "mid" or "base", below ComfyUI's folder `models`; the hub gives sizes and checksums.

    Raises OSError where the hub cannot be reached or does not have them all.
    """
    from huggingface_hub import HfApi

    folder = models / "diffusion_models" / MODELS[model].split("/")[1]
    wanted = {MODELS[model]: lambda name: folder / name if OF_A_MODEL.fullmatch(name) else None}
    targets = {name: models / kind / Path(name).name for kind, name in WAN_FILES.items()}
    wanted[WAN] = targets.get
    items = []
    for repo, target_of in wanted.items():
        with hub_errors():
            info = HfApi().model_info(repo, files_metadata=True)
        for file in info.siblings:
            target = target_of(file.rfilename)
            if target is not None:
                digest = file.lfs.sha256 if file.lfs else file.blob_id
                items.append(Item(repo, file.rfilename, target, file.size, digest, info.sha))
    found = {item.name for item in items}
    lacking = [f"{WAN}/{name}" for name in WAN_FILES.values() if name not in found]
    if not any(item.repo != WAN and item.name.endswith(".safetensors") for item in items):
        lacking.append(f"{MODELS[model]}/transformer/*.safetensors")
    if lacking:
        raise OSError(f"the Hugging Face hub no longer has {', '.join(lacking)}")
    return items


def fetch_files(items: list[Item], models: Path, log=print) -> None:
    """Fetch what is not here yet. Raises OSError where the disk is too small, a file arrives damaged, or another
    download is running."""
    from filelock import FileLock, Timeout

    models.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(models / ".helios-download.lock", timeout=0):
            fetch_missing(items, models, log)
    except Timeout as error:
        raise OSError(f"{models}: another download is running") from error


def fetch_missing(items: list[Item], models: Path, log) -> None:
    log(f"{len(items)} files, {sum(item.size for item in items) / 1e9:.1f} GB, into {models}")
    if any(item.target.exists() for item in items):
        log("checking the files that are already there")
    missing, needs = [item for item in items if not item.is_here()], {}
    for item in missing:
        folder = item.target.parent
        folder.mkdir(parents=True, exist_ok=True)
        begun = item.part.stat().st_size if item.part.exists() else 0
        disk, need = folder.stat().st_dev, item.size - begun  # a model folder may be a link to another disk
        needs[disk] = (folder, needs.get(disk, (folder, 0))[1] + need)
    for folder, need in needs.values():
        if need + min(need, SPARE) > (free := shutil.disk_usage(folder).free):
            raise OSError(f"{folder}: {need / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
    for item in missing:
        log(f"{item.target.relative_to(models)}: {item.size / 1e9:.2f} GB")
        fetch(item)
        move_to_target(item, log)
    log("done" if missing else "everything was there already")


def move_to_target(item: Item, log) -> None:
    """Check a file that has arrived and give it its name. A file that had it is kept under another one."""
    if not item.is_right(item.part):
        item.part.unlink()
        raise OSError(f"{item.name}: it arrived damaged (its hash is wrong); run the command again")
    if item.target.exists():
        names = (item.target.with_name(f"{item.target.name}.old{n}") for n in ("", *range(2, 1000)))
        os.replace(item.target, old := next(name for name in names if not name.exists()))
        log(f"  the file that was there is now called {old.name}")
    os.replace(item.part, item.target)


def fetch(item: Item) -> None:
    """Download the file, or the rest of its `part`; hf_hub_download itself starts over after a kill."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    item.target.parent.mkdir(parents=True, exist_ok=True)
    with open(item.part, "ab") as file:
        begin = file.tell()
        if begin > item.size:
            file.truncate(begin := 0)
        if begin < item.size:
            url, headers = hf_hub_url(item.repo, item.name, revision=item.revision), build_hf_headers()
            with hub_errors():
                http_get(url, file, resume_size=begin, headers=headers, expected_size=item.size)


@contextlib.contextmanager
def hub_errors():
    """Any failure of the hub's client as an OSError: it depends on the HTTP library that its version uses."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # this machine's disk
            raise
        raise OSError(f"the Hugging Face hub: {error}. What has arrived is kept; run the command again") from error


def checksum(path: Path) -> str:
    """SHA-256 in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def git_checksum(path: Path) -> str:
    """SHA-1 in hex of a file as git keeps it."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def find_models_folder() -> Path | None:
    """The models folder of the ComfyUI that this pack is installed in, or that the working folder is in."""
    here = [*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents]
    marks = ("main.py", "models", "custom_nodes")
    return next((p / "models" for p in here if all((p / mark).exists() for mark in marks)), None)
