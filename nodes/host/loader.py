"""Helios checkpoints as MODELs."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import comfy.model_management as mm
import comfy.model_patcher
import comfy.utils
import torch

from ...helios_core import RECIPES, Recipe, load_checkpoint
from ...helios_core.network.checkpoint import read_object, rename_key
from ...helios_core.network.load import convert_tensors
from .model import HeliosModel, HeliosModelConfig

log = logging.getLogger(__name__)


WEIGHT_DTYPES = {
    "default": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def load_model(path: str, variant: str = "auto", weight_dtype: str = "default", disable_dynamic: bool = False):
    """A checkpoint as a ModelPatcher. Weights stay mapped from the file as long as their dtype is the model's."""
    if weight_dtype not in WEIGHT_DTYPES:
        raise ValueError(f"weight_dtype={weight_dtype}: use one of {', '.join(WEIGHT_DTYPES)}")
    checkpoint = load_checkpoint(
        path, read=lambda file: comfy.utils.load_torch_file(str(file), safe_load=True, return_metadata=True)
    )
    variant = choose_variant(variant, checkpoint.variant, Path(path).name)
    tensors = checkpoint.tensors
    tensors, _ = comfy.utils.convert_old_quants(tensors, "", metadata=rename_quantization(checkpoint.metadata))

    config = HeliosModelConfig({"image_model": "helios", **asdict(checkpoint.config)})
    config.quant_config = comfy.utils.detect_layer_quantization(tensors, "")
    config.optimizations["fp8"] = weight_dtype.endswith("_fast")
    load_device, offload_device = mm.get_torch_device(), mm.unet_offload_device()
    supported = config.supported_inference_dtypes
    dtype = WEIGHT_DTYPES[weight_dtype] or mm.unet_dtype(
        model_params=comfy.utils.calculate_parameters(tensors),
        supported_dtypes=supported,
        weight_dtype=None if config.quant_config else comfy.utils.weight_dtype(tensors),
    )
    cast = mm.unet_manual_cast(None if config.quant_config else dtype, load_device, supported)
    config.set_inference_dtype(dtype, cast)

    # Without quantization nothing is allocated: the file's own tensors become the parameters.
    device = None if config.quant_config else torch.device("meta")
    model = HeliosModel(config, variant, checkpoint.files, checkpoint.file_versions, device=device)
    dynamic = not disable_dynamic and getattr(comfy.model_patcher, "CoreModelPatcher", None)
    patcher = (dynamic or comfy.model_patcher.ModelPatcher)(model, load_device, offload_device)
    if not (hasattr(patcher, "is_dynamic") and patcher.is_dynamic()):
        # Where the host maps files read-only, a patcher that writes into weights needs them as its own.
        read_only = getattr(getattr(comfy, "memory_management", None), "aimdo_enabled", False)
        convert_tensors(tensors, model.diffusion_model, copy=read_only)
    missing, unknown = model.diffusion_model.load_state_dict(tensors, strict=False, assign=True)
    if missing or unknown:
        raise ValueError(
            f"{Path(path).name}: could not be loaded; missing {missing[:5]}, not understood {unknown[:5]}."
        )
    model.diffusion_model.requires_grad_(False)
    model.diffusion_model.eval()
    model.device = torch.device("cpu")  # where the weights are now; "meta" is over
    if not mm.is_device_cpu(offload_device):
        model.to(offload_device)
        model.device = offload_device
    patcher.cached_patcher_init = (load_model, (path, variant, weight_dtype))
    log.info("Helios %s loaded from %s, weights %s, computed in %s", variant, path, dtype, model.get_dtype_inference())
    return patcher


def choose_variant(asked: str, found: str | None, name: str) -> str:
    if asked not in ("auto", *RECIPES):
        raise ValueError(f"variant={asked}: use one of {', '.join(('auto', *RECIPES))}")
    if asked != "auto":
        return asked
    if found is None:
        raise ValueError(
            f"variant=auto: neither metadata nor the name of {name} says whether it is Base, Mid or Distilled, and "
            "the weights look the same. Choose it in the variant widget."
        )
    return found


def rename_quantization(metadata: dict) -> dict:
    """ComfyUI's quantization metadata names layers: give them our names too."""
    if "_quantization_metadata" not in metadata:
        return metadata
    notes = read_object(metadata["_quantization_metadata"], "metadata _quantization_metadata")
    if not isinstance(notes.get("layers"), dict):
        raise ValueError("metadata _quantization_metadata: it names no layers. Download the file anew.")
    notes["layers"] = {rename_key(f"{k}.weight").removesuffix(".weight"): v for k, v in notes["layers"].items()}
    return {**metadata, "_quantization_metadata": json.dumps(notes)}


def recipe_of(patcher) -> Recipe:
    if patcher is None:
        raise ValueError("model: nothing came; connect Helios Model Loader.")
    if not isinstance(patcher.model, HeliosModel):
        raise ValueError(
            f"model: this is a {type(patcher.model).__name__}, not a Helios model; load one with Helios Model Loader."
        )
    return patcher.model.recipe
