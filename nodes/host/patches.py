"""What other nodes have put on a MODEL: made to fit, said to do nothing, or refused before sampling, by their names."""

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import comfy.model_sampling
import comfy.utils
import folder_paths

from ...helios_core.network.config import CHUNK_LATENTS
from ...helios_core.network.layers import Block, CrossAttention, Head, SelfAttention
from .model import HostTransformer

log = logging.getLogger(__name__)

FRAMES_AS_BATCH = "it takes the films of a batch for the frames of one, which leaves the guidance at its lowest"
# Nodes that would fail or go wrong only once they run: why, and what to use in their place.
UNUSABLE = {
    "SkipLayerGuidanceWanVideo": "it needs the inside of a Wan model; use Skip Layer Guidance DiT in its place",
    "TeaCache": "it rewrites the inside of a Wan model; use EasyCache in its place",
    "VideoLinearCFGGuidance": FRAMES_AS_BATCH,
    "VideoTriangleCFGGuidance": FRAMES_AS_BATCH,
}
# Settings that only other models read, by the nodes that set them.
SETTINGS = {"rope_options": "ScaleROPE", "ar_config": "ARVideoI2V"}
# Nodes whose patches look for parts of a U-Net and pass by without them, at the price of another call.
IDLE = {"PerturbedAttentionGuidance"}


def fit_patches(patcher, say: Callable[[str], None]):
    """The MODEL with all that its patches need to work here; `say` gets a sentence on each that does nothing.

    Raises ValueError for patches that cannot work.
    """
    options = patcher.model_options
    transformer_options = options.get("transformer_options", {})
    if not isinstance(patcher.get_model_object("model_sampling"), comfy.model_sampling.CONST):
        raise ValueError(
            "model: a node such as ModelSamplingDiscrete has changed what the model's output means; Helios is a flow "
            "model with a shift of its own. Remove that node."
        )
    handler = options.get("context_handler")
    if handler is not None and handler.context_length < CHUNK_LATENTS:
        raise ValueError(
            f"model: context windows of {handler.context_length} latent frames would cut Helios' chunks of "
            f"{CHUNK_LATENTS} apart. Remove the node: Helios makes films of any length without."
        )
    replaced = transformer_options.get("patches_replace", {})
    for kind, patches in replaced.items():
        for patch in patches.values():
            if kind != "dit":
                refuse(patch, f"it changes the {kind} of a U-Net's blocks, and Helios is a transformer")
    functions = options.get("model_function_wrapper"), options.get("sampler_cfg_function")
    for patch in (*replaced.get("dit", {}).values(), *functions):
        if (name := name_of(patch)) in UNUSABLE:
            refuse(patch, UNUSABLE[name])

    fitted = patcher.clone()
    for path, patch in patcher.object_patches.items():
        owner, name = find_part(patcher.model, path, patch)
        if name != "forward" or getattr(patch, "__self__", None) is owner and type(owner).forward is patch.__func__:
            continue
        if isinstance(owner, CrossAttention):
            fitted.add_object_patch(path, called_as_wans(patch))
        elif isinstance(owner, Block | SelfAttention | Head | HostTransformer):
            refuse(patch, f"it replaces {path} by code that knows nothing of the film so far")

    idle = {origin(patch): what for what, patch in idle_patches(patcher)}
    if idle:
        text = f"{' and '.join(idle)} {'does' if len(idle) == 1 else 'do'} nothing on a Helios model."
        log.warning("%s (%s)", text, ", ".join(idle.values()))
        say(text)
    return fitted


def refuse(patch, why: str):
    raise ValueError(f"model: {origin(patch)} cannot work on a Helios model: {why}. Remove that node.")


def find_part(model, path: str, patch) -> tuple:
    """(module, attribute) that an object patch is for."""
    owner, _, name = path.rpartition(".")
    try:
        part = comfy.utils.get_attr(model, owner) if owner else model
        getattr(part, name)
    except AttributeError:
        refuse(patch, f"it changes {path}, which Helios does not have")
    return part, name


def called_as_wans(forward: Callable) -> Callable:
    """Another pack's cross-attention, such as KJNodes' NAG, under our call: Wan's has the text's tokens and options."""

    def cross_attention(y, text, attention):
        return forward(y, text, context_img_len=None, transformer_options=attention.options)

    return cross_attention


def idle_patches(patcher) -> Iterator[tuple[str, Any]]:
    """What is set and never asked for: (what it is, the patch or its node's name)."""
    options = patcher.model_options
    transformer_options = options.get("transformer_options", {})
    for kind, patches in transformer_options.get("patches", {}).items():
        yield from ((kind, patch) for patch in patches)
    for block, patch in transformer_options.get("patches_replace", {}).get("dit", {}).items():
        if block[0] != "double_block" or block[1] >= len(patcher.model.diffusion_model.blocks):
            yield " ".join(map(str, block)), patch
    yield from (("attn1", patch) for patch in options.get("sampler_post_cfg_function", ()) if name_of(patch) in IDLE)
    yield from ((name, node) for name, node in SETTINGS.items() if name in transformer_options)
    if "denoise_mask_function" in options:
        yield "denoise_mask_function", options["denoise_mask_function"]
    if "context_handler" in options:
        yield "a window longer than a chunk", "Context Windows"
    if "model_sampling" in patcher.object_patches:
        yield "Helios has its own shift", "A ModelSampling node"


def begin_stage(model_options: dict, model_sampling) -> None:
    """The host's step caches begin anew with a stage: what they keep is of another size, noise level or chunk."""
    cache = model_options["transformer_options"].get("easycache")
    if cache is not None:
        # In place, for the wrappers hold it. Its own reset() leaves a rate of 0 behind, by which it skips all steps.
        vars(cache).update(vars(cache.clone().prepare_timesteps(model_sampling)))


@contextmanager
def named_errors():
    """An error that comes out of other nodes' code says whose it is."""
    try:
        yield
    except (mm.InterruptProcessingException, mm.OOM_EXCEPTION):
        raise
    except Exception as error:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        last = next((code for code in reversed(codes) if pack_of(code.co_filename)), None)
        if last is None or pack_of(last.co_filename) == pack_of(__file__):
            raise
        what = str(error).strip().splitlines() or [type(error).__name__]
        raise RuntimeError(f"model: {origin(last)} failed on a Helios model ({what[0]}). Remove that node.") from error


def origin(patch) -> str:
    """Whose a patch is, by names that people can find: "SelfAttentionGuidance of ComfyUI"."""
    if isinstance(patch, str):
        return patch
    code = code_of(patch)
    pack = code and pack_of(code.co_filename)
    return f"{name_of(patch)} of {pack}" if pack else name_of(patch)


def name_of(patch) -> str:
    """The class, most often the node, or the function that a patch comes from."""
    while isinstance(patch, partial):
        patch = patch.func
    named = patch if hasattr(patch, "__qualname__") or inspect.iscode(patch) else type(patch)
    name = getattr(named, "co_qualname", None) or getattr(named, "co_name", None) or named.__qualname__
    return name.split(".")[0]


def code_of(patch):
    while isinstance(patch, partial):
        patch = patch.func
    if inspect.iscode(patch):
        return patch
    return getattr(patch, "__code__", None) or getattr(vars(type(patch)).get("__call__"), "__code__", None)


def pack_of(file: str) -> str:
    """The node pack that a source file is of; "" for anything but nodes."""
    for root in folder_paths.get_folder_paths("custom_nodes"):
        if Path(file).is_relative_to(root):
            return Path(file).relative_to(root).parts[0]
    return "ComfyUI" if Path(file).parent.name == "comfy_extras" else ""
