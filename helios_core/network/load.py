"""A checkpoint on disk -> its tensors, checked against the network, and the network with them."""

import re
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import (
    PACKED,
    Checkpoint,
    check_file,
    checkpoint_files,
    file_versions,
    find_variant,
    infer_config,
    is_table,
    read_safetensors,
    read_settings,
    read_tensors,
    rename_keys,
    some_of,
)
from .config import HeliosConfig
from .transformer import HeliosTransformer


def load_checkpoint(path: str | Path, read=read_safetensors) -> Checkpoint:
    """Read a .safetensors file, an index, or a folder of either (a diffusers pipeline's folder included).

    `read` opens one file, for hosts that map files in their own way. Raises FileNotFoundError or ValueError with the
    file's name, what was found in it, and what to do.
    """
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    files = checkpoint_files(path)
    for file in files:
        check_file(file)
    versions = file_versions(files)  # before reading: what is written meanwhile is noticed afterwards
    tensors, metadata = read_tensors(files, read)
    tensors = rename_keys(tensors)
    config = infer_config(tensors, read_settings(path, files[0].parent, metadata), path.name)
    check_keys(tensors, config, path.name)
    return Checkpoint(config, tensors, find_variant(path, metadata), files, metadata, versions)


def convert_tensors(tensors: dict[str, Tensor], model: torch.nn.Module, device=None, copy: bool = False) -> None:
    """Give each tensor its parameter's dtype, in place and one after the other, so that files can be let go of.

    Quantized layers, known by their `X.comfy_quant`, are left as they are.
    """
    for key, parameter in model.named_parameters():
        if key in tensors and f"{key.removesuffix('.weight')}.comfy_quant" not in tensors:
            tensors[key] = tensors[key].to(device, parameter.dtype, copy=copy)


def check_keys(tensors: dict[str, Tensor], config: HeliosConfig, name: str) -> None:
    """Raise ValueError unless the tensors are the model's, all of them, in its shapes.

    Scales of quantized weights (`X.weight_scale`, `X.comfy_quant`, ...) belong to the layer X and are let through.
    """
    expected = HeliosTransformer(config, device="meta").state_dict()
    layers = {k.rsplit(".", 1)[0] for k in expected}
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(
        k
        for k in tensors.keys() - expected.keys() - {"scaled_fp8"}
        if k.rsplit(".", 1)[0] not in layers or not re.search(r"scale|quant", k.rsplit(".", 1)[1])
    )
    if missing:
        raise ValueError(
            f"{name}: {len(missing)} tensors are missing ({some_of(missing)}). Download it anew; "
            "if it has a config.json, that must be its own."
        )
    if unknown:
        raise ValueError(f"{name}: {len(unknown)} tensors are not Helios' ({some_of(unknown)}).")
    for key, want in expected.items():
        got = tensors[key]
        if is_table(key) and got.numel() == want.numel():
            tensors[key] = got.reshape(want.shape)
        elif got.shape != want.shape and got.dtype not in PACKED:
            raise ValueError(f"{name}: {key} has shape {tuple(got.shape)}, its architecture needs {tuple(want.shape)}.")


def load_transformer(checkpoint: Checkpoint, device="cpu", dtype=torch.bfloat16) -> HeliosTransformer:
    """A model for inference with the tensors of `load_checkpoint`, which it takes out of the checkpoint."""
    model = HeliosTransformer(checkpoint.config, device="meta", dtype=dtype)
    if unknown := checkpoint.tensors.keys() - model.state_dict().keys():
        name, there = checkpoint.files[0].name, sorted(unknown)[0]
        raise ValueError(f"{name}: {there}: quantized weights with scales are read in ComfyUI only")
    convert_tensors(checkpoint.tensors, model, device)
    model.load_state_dict(checkpoint.tensors, assign=True)
    checkpoint.tensors.clear()
    return model.eval().requires_grad_(False)
