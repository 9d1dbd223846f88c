"""Checkpoints on disk -> (architecture, variant, tensors under this model's names).

Read are single safetensors files, sharded folders with an index and Hugging Face folders (the hub's cache too), in
diffusers' key layout, the community's single-file repack and Wan's own (which is ours). Tensors stay mapped from the
file: nothing is copied until somebody moves or casts it.
"""

import json
import math
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .config import HeliosConfig, rope_split

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.")

# Where our modules are called otherwise: diffusers' names, then the repack's, as (theirs, ours).
RENAMES = [
    (r"^condition_embedder\.time_embedder\.linear_([12])\.", lambda m: f"time_embedding.{'02'[int(m[1]) - 1]}."),
    (r"^condition_embedder\.text_embedder\.linear_([12])\.", lambda m: f"text_embedding.{'02'[int(m[1]) - 1]}."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".o."),
    (r"\.norm2\.(weight|bias)$", r".norm3.\1"),
    (r"^norm_out\.scale_shift_table$", "head.modulation"),
    (r"\.scale_shift_table$", ".modulation"),
    (r"^proj_out\.", "head.head."),
    (r"(\.modulation|\.history_key_scale)$", r"\1.weight"),
]
# Tensors that the architecture is read from.
_TELLING = [
    f"{name}.weight"
    for name in ("patch_embedding", "time_embedding.0", "text_embedding.0", "blocks.0.ffn.0", "head.head")
]
PACKED = (torch.uint8, torch.int8)  # some quantizations keep two weights in a byte
SHARD = re.compile(r"-\d{5}-of-\d{5}\.")

# What is read before anything can be known about it is bounded: the 14B has 1095 tensors, 40 layers, an index of 0.1 MB
# and headers of 0.2 MB; quantization scales triple that, and training tools leave pictures in metadata.
MAX_JSON, MAX_HEADER = 4 * 2**20, 32 * 2**20  # bytes
MAX_TENSORS, MAX_LAYERS = 20_000, 200
# Kept in old configurations of the reference, never read by it.
UNUSED = re.compile(r"\.norm_added_q\.|\.to_out\.1\.")


@dataclass
class Checkpoint:
    """A Helios transformer as it lies on disk.

    `variant` is "base", "mid", "distilled" or None where neither metadata, configuration nor name tells: the
    weights do not.
    """

    config: HeliosConfig
    tensors: dict[str, Tensor]
    variant: str | None
    files: list[Path]
    metadata: dict[str, str] = field(default_factory=dict)
    file_versions: tuple = ()


def file_versions(files: list[Path]) -> tuple:
    """(folder/name, bytes, time) of each file: hashing 28 GB would take longer than making a chunk."""
    return tuple((f"{p.parent.name}/{p.name}", p.stat().st_size, p.stat().st_mtime_ns) for p in files)


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of one file, mapped and not copied, and its metadata."""
    with safe_open(file, framework="pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}


def rename_keys(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip known prefixes and translate every layout to this model's names; quantization scales come along."""
    return {key: t for k, t in tensors.items() if not UNUSED.search(key := rename_key(k))}


def rename_key(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    for pattern, name in RENAMES:
        key = re.sub(pattern, name, key)
    return key


def infer_config(tensors: dict[str, Tensor], settings: dict, name: str) -> HeliosConfig:
    """The architecture from `settings` (a config.json's content); what it leaves out, from the shapes.

    Only the head size cannot be seen in a shape: without settings it is the 14B's 128.
    """
    missing = [k for k in _TELLING if k not in tensors]
    if missing:
        raise ValueError(
            f"{name}: not a whole Helios transformer ({some_of(missing)} missing; it has {some_of(tensors)}). "
            "Choose the transformer of a Helios checkpoint, or download it anew."
        )
    if "patch_long.weight" not in tensors:
        raise ValueError(
            f"{name}: a Wan model without Helios' history patches (patch_long.weight is missing). "
            "Load it with ComfyUI's own Load Diffusion Model, or choose a Helios checkpoint here."
        )
    for key, ndim in {**dict.fromkeys(_TELLING, 2), "patch_embedding.weight": 5}.items():
        if tensors[key].ndim != ndim or 0 in tensors[key].shape:
            shape = tuple(tensors[key].shape)
            raise ValueError(f"{name}: {key} has shape {shape}, not {ndim} dimensions. Choose a Helios checkpoint.")
    if (kind := settings.get("_class_name", "HeliosTransformer3DModel")) != "HeliosTransformer3DModel":
        raise ValueError(f"{name}: its config.json describes a {kind}; a HeliosTransformer3DModel is needed")
    dim, channels, *patch = tensors["patch_embedding.weight"].shape
    head_dim = settings.get("attention_head_dim", 128 if dim % 128 == 0 else dim)
    if type(head_dim) is not int or head_dim < 6 or dim % head_dim:
        raise ValueError(f"{name}: attention_head_dim={head_dim!r} in its configuration, weights {dim} wide.")
    amplify = tensors.get("blocks.0.self_attn.history_key_scale.weight")
    inferred = {
        "patch_size": tuple(patch),
        "num_attention_heads": dim // head_dim,
        "attention_head_dim": head_dim,
        "in_channels": channels,
        "out_channels": tensors["head.head.weight"].shape[0] // math.prod(patch),
        "text_dim": tensors["text_embedding.0.weight"].shape[1],
        "freq_dim": tensors["time_embedding.0.weight"].shape[1],
        "ffn_dim": tensors["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": 1 + max(int(m[1]) for k in tensors if (m := re.match(r"blocks\.(\d{1,9})\.", k))),
        "rope_dim": rope_split(head_dim),
        "cross_attn_norm": "blocks.0.norm3.weight" in tensors,
        "is_amplify_history": amplify is not None,
        "history_scale_mode": "scalar" if amplify is not None and amplify.numel() == 1 else "per_head",
    }
    try:
        config = HeliosConfig.from_dict({**inferred, **settings})
    except ValueError as error:
        raise ValueError(f"{name}: its configuration cannot be used ({error})") from error
    check_sizes(config, inferred, tensors, name)
    return config


def check_sizes(config: HeliosConfig, inferred: dict, tensors: dict[str, Tensor], name: str) -> None:
    """Raise ValueError where a configuration asks for other sizes than the tensors have, before a network is laid out
    by it: one of a billion layers would never be done."""
    if config.num_layers > MAX_LAYERS:
        raise ValueError(f"{name}: {config.num_layers} layers, more than {MAX_LAYERS}. Download it anew.")
    packed = any(tensors[key].dtype in PACKED for key in _TELLING)
    for key in ("patch_size", "num_attention_heads", "in_channels", "out_channels", "text_dim", "freq_dim", "ffn_dim"):
        if not packed and getattr(config, key) != inferred[key]:
            raise ValueError(
                f"{name}: its configuration has {key}={getattr(config, key)}, its tensors {key}={inferred[key]}. "
                "If it has a config.json, that must be its own."
            )


def find_variant(path: Path, metadata: dict[str, str]) -> str | None:
    """base, mid or distilled: from metadata, else model_index.json, else the name of file or folder."""
    path = snapshot_of(path)
    folder = path if path.is_dir() else path.parent
    parent = folder.parent if folder.name == "transformer" else folder
    index = parent / "model_index.json"
    pipeline = _json(index) if index.is_file() and (path.is_dir() or folder is not parent) else {}
    by_class = {
        "HeliosPipeline": "base",
        "HeliosPyramidPipeline": "distilled" if pipeline.get("is_distilled") else "mid",
    }
    texts = [
        metadata.get("helios_variant", ""),
        metadata.get("modelspec.title", ""),
        by_class.get(pipeline.get("_class_name"), ""),
        path.name.removesuffix(".safetensors"),
        folder.name,
        parent.name,
        parent.parent.parent.name if parent.parent.name == "snapshots" else "",  # models--OWNER--NAME/snapshots/HASH
    ]
    for text in texts:
        found = {v for v in ("base", "mid", "distilled") if re.search(rf"(?<![a-z]){v}(?![a-z])", text.lower())}
        if len(found) == 1:
            return found.pop()
    return None


def is_table(key: str) -> bool:
    return key.endswith(("modulation.weight", "history_key_scale.weight"))


def snapshot_of(path: Path) -> Path:
    """The files of a folder of the Hugging Face cache (`models--OWNER--NAME`) lie deeper, one folder a revision; other
    paths are their own."""
    snapshots, main = path / "snapshots", path / "refs" / "main"
    if not path.name.startswith("models--") or not snapshots.is_dir():
        return path
    revisions = sorted((p for p in snapshots.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    named = [p for p in revisions if main.is_file() and p.name == main.read_text(errors="replace")[:100].strip()]
    return (named or revisions or [path])[-1]


def checkpoint_files(path: Path) -> list[Path]:
    """The files of a file, an index, a shard or a folder."""
    path = snapshot_of(path)
    if path.is_dir():
        folder = path / "transformer" if (path / "transformer").is_dir() else path
        if index := find_index(folder):
            return _shards(index)
        files = sorted(p for p in folder.glob("*.safetensors") if p.is_file())
        if len(files) == 1:
            return files
        if not files:
            raise FileNotFoundError(f"{path}: no .safetensors file in this folder")
        raise ValueError(
            f"{path.name}: {len(files)} .safetensors files and no index ({some_of([f.name for f in files])}). "
            "Choose one of them, or add its model.safetensors.index.json."
        )
    if path.name.endswith(".index.json"):
        return _shards(path)
    if SHARD.search(path.name) and (index := find_index(path.parent)) and path in (files := _shards(index)):
        return files
    return [path]


def find_index(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.safetensors.index.json"))), None)


def _shards(index: Path) -> list[Path]:
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
        raise ValueError(f"{index.name}: no weight_map in this index. Download it anew.")
    # A name that climbs out of the folder is nobody's shard.
    files = [index.parent / Path(n).name for n in sorted(set(names.values()))]
    absent = [f.name for f in files if not f.is_file()]
    if absent:
        raise FileNotFoundError(
            f"{index.name}: {len(absent)} of {len(files)} shards are not in {index.parent}: {some_of(absent)}. "
            "Download them into the same folder."
        )
    return files


def read_tensors(files: list[Path], read=read_safetensors) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of some files and all their metadata. Raises ValueError with the name of a damaged one."""
    tensors, metadata = {}, {}
    for file in files:
        check_safetensors(file)  # whatever `read` is: a damaged file gets a clear error first
        more, notes = read(file)
        tensors.update(more)
        metadata.update(notes or {})
    return tensors, metadata


def check_safetensors(file: Path) -> None:
    """Raise ValueError unless this is a whole safetensors file of a size that can be read at once."""
    size = check_file(file)
    with open(file, "rb") as f:
        header = int.from_bytes(f.read(8), "little")
    if MAX_HEADER < header <= size:
        raise ValueError(f"{file.name}: its header takes {header >> 20} MB, more than {MAX_HEADER >> 20}.")
    try:
        with safe_open(file, framework="pt") as f:
            count = len(f.keys())
    except SafetensorError as error:
        raise ValueError(
            f"{file.name}: damaged or not a safetensors file ({size} bytes; {error}). Download it anew."
        ) from error
    if count > MAX_TENSORS:
        raise ValueError(f"{file.name}: {count} tensors in it, more than {MAX_TENSORS}.")


def check_file(file: Path) -> int:
    """Its size in bytes. Raises FileNotFoundError or ValueError unless it is a regular file: opening a named pipe would
    wait for ever."""
    try:
        found = os.stat(file)
    except FileNotFoundError as error:
        what = "a link to a file that is not there" if os.path.islink(file) else "there is no such file"
        raise FileNotFoundError(f"{file}: {what}") from error
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kinds = {"folder": stat.S_ISDIR, "named pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    kind = next((name for name, test in kinds.items() if test(found.st_mode)), "device")
    raise ValueError(f"{file.name}: this is a {kind}, a file is needed.")


def read_settings(path: Path, folder: Path, metadata: dict[str, str]) -> dict:
    if "config" in metadata:
        return read_object(metadata["config"], f"{path.name}, metadata 'config'")
    # Beside a single file in a folder of many a config.json may be anybody's.
    shared = path.is_file() and path.suffix == ".safetensors" and not SHARD.search(path.name)
    return _json(folder / "config.json") if not shared and (folder / "config.json").exists() else {}


def _json(path: Path) -> dict:
    size = check_file(path)
    if size > MAX_JSON:
        raise ValueError(f"{path}: {size >> 20} MB, more than {MAX_JSON >> 20}. Download it anew.")
    return read_object(path.read_text(encoding="utf-8", errors="replace"), str(path))


def read_object(text: str, where: str) -> dict:
    """A JSON object. Raises ValueError that begins with `where`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not valid JSON ({error}). Download it anew.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where}: a JSON object is needed, not {type(value).__name__}. Download it anew.")
    return value


def some_of(names) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
