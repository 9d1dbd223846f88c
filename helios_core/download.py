"""Weights from the Hugging Face hub into ComfyUI's folders: resumed where they were left, checked by SHA-256."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MODELS = {name: f"BestWishYsh/Helios-{name.capitalize()}" for name in ("distilled", "mid", "base")}
WAN = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
WAN_FILES = {
    "text_encoders": "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vae": "split_files/vae/wan_2.1_vae.safetensors",
}
SPARE = 2**30  # bytes of the disk that are left free


@dataclass(frozen=True)
class Item:
    """A file of a repository and where it belongs; `sha256` is the hub's, None for files that it keeps in git."""

    repo: str
    name: str
    target: Path
    size: int
    sha256: str | None

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    def is_here(self) -> bool:
        """Whole and right: sizes are compared first, since hashing takes a minute for 28 GB."""
        if not self.target.is_file() or self.target.stat().st_size != self.size:
            return False
        return self.sha256 is None or checksum(self.target) == self.sha256


def plan(model: str, models: Path) -> list[Item]:
    """What "distilled", "mid" or "base" takes, below ComfyUI's folder `models`; the hub tells sizes and checksums."""
    from huggingface_hub import HfApi

    folder = models / "diffusion_models" / MODELS[model].split("/")[1]
    wanted = {MODELS[model]: lambda name: folder / name if name.startswith("transformer/") else None}
    places = {name: models / place / Path(name).name for place, name in WAN_FILES.items()}
    wanted[WAN] = places.get
    items = []
    for repo, place in wanted.items():
        for file in HfApi().model_info(repo, files_metadata=True).siblings:
            target = place(file.rfilename)
            if target is not None:
                items.append(Item(repo, file.rfilename, target, file.size, file.lfs and file.lfs.sha256))
    return items


def download(items: list[Item], models: Path, log=print) -> None:
    """Fetch what is not here yet. Raises OSError where the disk is too small or a file did not come as it should."""
    log(f"{len(items)} files, {sum(item.size for item in items) / 1e9:.1f} GB, into {models}")
    missing = [item for item in items if not item.is_here()]
    models.mkdir(parents=True, exist_ok=True)
    begun = sum(item.part.stat().st_size for item in missing if item.part.exists())
    need, free = sum(item.size for item in missing) - begun, shutil.disk_usage(models).free
    if need + SPARE > free:
        raise OSError(f"{models}: {need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
    for item in missing:
        log(f"{item.target.relative_to(models)}: {item.size / 1e9:.2f} GB")
        fetch(item)
        if item.sha256 is not None and checksum(item.part) != item.sha256:
            item.part.unlink()
            raise OSError(f"{item.name}: not what the hub says it is (SHA-256); run the command again")
        os.replace(item.part, item.target)
    log("all there" if missing else "all was there already")


def fetch(item: Item) -> None:
    """Bring the file's `part` to its whole size; hf_hub_download itself would begin anew after a kill."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    item.target.parent.mkdir(parents=True, exist_ok=True)
    with open(item.part, "ab") as file:
        begin = file.tell()
        if begin > item.size:
            file.truncate(begin := 0)
        if begin < item.size:
            url, headers = hf_hub_url(item.repo, item.name), build_hf_headers()
            http_get(url, file, resume_size=begin, headers=headers, expected_size=item.size)


def checksum(path: Path) -> str:
    """SHA-256 in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def find_models_folder() -> Path | None:
    """ComfyUI's models/, where this pack lies in its custom_nodes, or the working folder is in or at a ComfyUI."""
    here = [*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents]
    return next((p / "models" for p in here if (p / "main.py").is_file() and (p / "models").is_dir()), None)
