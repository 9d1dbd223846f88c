"""Helios checkpoints in the host's folders: their names, where they are, and what to do about one that is not there."""

import os
from pathlib import Path

import folder_paths

from ...helios_core.network.checkpoint import SHARD, checkpoint_files, file_versions, snapshot_of

# What a folder of a model has in it.
MARKS = ("*.safetensors.index.json", "transformer/*.safetensors*", "config.json")
PUBLISHED = ("Helios-Distilled", "Helios-Mid", "Helios-Base")


def list_models() -> list[str]:
    """Files and folders that may be Helios transformers, those named so first. Shards are known by their folder, a
    pipeline's other parts and the revisions of a Hugging Face cache by the folder of the whole."""
    files = folder_paths.get_filename_list("diffusion_models")
    names = {name for name in files if not SHARD.search(name)}
    below = {parent for name in files for parent in Path(name).parents if parent.name}
    for root in map(Path, folder_paths.get_folder_paths("diffusion_models")):
        found = {mark.relative_to(root).parts[0] for pattern in MARKS for mark in root.glob(f"*/{pattern}")}
        cached = {
            folder for folder in below if folder.name.startswith("models--") and (root / folder / "snapshots").is_dir()
        }
        for folder in below - cached:
            inside = cached.intersection(folder.parents) or (root / folder.parent / "transformer").is_dir()
            if not inside and is_model_folder(root / folder):
                found.add(folder.as_posix())
        names |= {f"{name}/" for name in found | {folder.as_posix() for folder in cached}}
    return sorted(names, key=lambda n: ("helios" not in n.lower(), n.lower()))


def is_model_folder(folder: Path) -> bool:
    return any(True for pattern in MARKS for _ in folder.glob(pattern)) or snapshot_of(folder) != folder


def find_model(name: str) -> str:
    """The path of a name that `list_models` gave, or that another system writes: with backslashes, without the slash at
    a folder's end. Raises FileNotFoundError, or ValueError for a name that leads out of the models' folders."""
    name = str(name)
    plain = name.replace("\\", "/").rstrip("/")
    if {"", ".", ".."}.intersection(plain.split("/")) or Path(plain).drive:
        raise ValueError(f"model_name={name}: not in models/diffusion_models.")
    for root in folder_paths.get_folder_paths("diffusion_models"):
        for path in (Path(root, name), Path(root, plain)):
            if is_model_folder(path) if path.is_dir() else os.path.lexists(path) and not name.endswith("/"):
                return str(path)
    raise FileNotFoundError(f"model_name={name}: not in models/diffusion_models. {how_to_get(name)}")


def check_model(name: str) -> bool | str:
    """True, or a sentence that says how to get a model that is not there."""
    try:
        return bool(find_model(name))
    except (OSError, ValueError) as error:
        return str(error)


def how_to_get(name: str) -> str:
    """What to do about a model that is not there."""
    command = downloads().get(name.replace("\\", "/").strip("/").split("/")[-1])
    if command is None:
        return "Put a Helios checkpoint there and press R."
    return f"To download it (28 GB), open a terminal in that folder and run: {command} (then press R in ComfyUI)."


def downloads() -> dict[str, str]:
    """Name of a published model -> the command that downloads it, without quotes, which shells take differently."""
    command = "hf download BestWishYsh/{0} --include transformer/ --local-dir {0}"
    return {name: command.format(name) for name in PUBLISHED}


def versions_of(name: str) -> tuple:
    """Of a model's files as they are now; () where there are none to be read, which loading says better."""
    try:
        return file_versions(checkpoint_files(Path(find_model(name))))
    except (OSError, ValueError):
        return ()
