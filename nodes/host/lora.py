"""LoRA files onto a MODEL."""

import logging
from pathlib import Path

import comfy.lora
import comfy.utils

from ...helios_core.network.lora import rename_lora
from .loader import recipe_of

log = logging.getLogger(__name__)


def apply_lora(patcher, path: str, strength: float):
    """The model with a LoRA on it, and a sentence that says how much of the file was used."""
    recipe_of(patcher)
    # Of the parameters, which know their shape however they are packed.
    parameters = patcher.model.diffusion_model.named_parameters()
    shapes = {k: tuple(p.shape) for k, p in parameters if k.endswith(".weight")}
    name = Path(path).name
    tensors, matched, unmatched = rename_lora(comfy.utils.load_torch_file(path, safe_load=True), shapes, name)
    tensors = {f"diffusion_model.{k}": v for k, v in tensors.items()}
    patches = comfy.lora.load_lora(tensors, comfy.lora.model_lora_keys_unet(patcher.model, {}))
    patched = patcher.clone()
    applied = patched.add_patches(patches, strength)
    report = f"{name}: {matched} modules patched" + (f", {len(unmatched)} unknown ones left out" if unmatched else "")
    if not applied:
        raise ValueError(f"{name}: none of its {matched} modules could be applied; its format is not known here.")
    if unmatched:
        log.warning("%s (%s)", report, ", ".join(unmatched[:5]))
    return patched, report
