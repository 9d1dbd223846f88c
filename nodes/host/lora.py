"""LoRA files onto a MODEL."""

import logging
import math
from pathlib import Path

import comfy.lora
import comfy.utils

from ...helios_core.network.lora import describe, parse_lora, read_lora
from .loader import recipe_of

log = logging.getLogger(__name__)

MODEL = "diffusion_model."  # what the host calls the network within a MODEL


def apply_lora(patcher, path: str, strength: float):
    """The model with a LoRA on it, and a sentence that says how much of the file was used."""
    recipe_of(patcher)
    if not math.isfinite(strength):
        raise ValueError(f"strength={strength}: a number is needed")
    name = Path(path).name
    tensors, metadata = read_lora(path, read=read_other)
    # Of the parameters, which know their shape however they are packed.
    shapes = {k: tuple(p.shape) for k, p in patcher.model.diffusion_model.named_parameters()}
    lora = parse_lora(tensors, metadata, shapes, name)

    # Copies: a file that is overwritten while it is mapped would change the film that runs.
    factors = {MODEL + key: tensor.clone() for key, tensor in lora.factors.items()}
    weights = {MODEL + key.removesuffix(".weight"): MODEL + key for key in shapes if key.endswith(".weight")}
    patches = comfy.lora.load_lora(factors, weights)
    patched = patcher.clone()
    changed = patched.add_patches(patches, strength)
    changed += patched.add_patches({MODEL + k: ("diff", (t.clone(),)) for k, t in lora.added.items()}, strength)
    count = len({key.rsplit(".", 1)[0] for key in changed})
    if not count:
        raise ValueError(f"{name}: this ComfyUI does not know the kind of this LoRA. Update ComfyUI.")
    report = f"{name}: {count} module{'s' if count > 1 else ''} patched"
    if lora.left_out:
        report += f"; left out: {describe(lora.left_out)}"
        log.warning(report)
    return patched, report


def read_other(path: Path):
    """.pt, .bin, ...: as the host reads them, without running what is in them."""
    try:
        tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
        return {key: tensor for key, tensor in tensors.items() if hasattr(tensor, "numel")}, {}
    except Exception as error:  # torch's own kinds, and whatever a damaged pickle calls
        raise ValueError(f"{path.name}: cannot be read ({error}). Get the LoRA as a .safetensors file.") from error
