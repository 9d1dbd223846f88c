"""LoRA files -> this model's key names: Wan, diffusers, PEFT and kohya spellings, after any prefix."""

import re

from torch import Tensor

from .checkpoint import rename_key

# What may follow a module's name in a file.
_SUFFIX = re.compile(
    r"\.(lora_(?:A|B|up|down|mid)|lora\.(?:up|down)|lora_linear_layer|alpha|dora_scale|diff|diff_b|hada_\w+|lokr_\w+|"
    r"oft_\w+|a1|a2|b1|b2|w_norm|b_norm|set_weight|reshape_weight)(?:\.|$)"
)
_MODULE = re.compile(
    r"(?:^|\.)((?:blocks\.\d+\.|condition_embedder\.|time_embedding\.|text_embedding\.|time_projection\.|patch_|"
    r"proj_out|norm_out|head\.).*)$"
)
_KOHYA = re.compile(r"^(?:lora_unet|lora_transformer|lycoris|lora)_+(.*)$")
# Ours -> diffusers', for spellings that have lost their dots.
_DIFFUSERS = [
    (".self_attn.", ".attn1."),
    (".cross_attn.", ".attn2."),
    (".ffn.0", ".ffn.net.0.proj"),
    (".ffn.2", ".ffn.net.2"),
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.head", "proj_out"),
]


def rename_lora(tensors: dict[str, Tensor], shapes: dict[str, tuple], name: str) -> tuple[dict[str, Tensor], int, list]:
    """Rename a LoRA's keys to `<module of ours>.<suffix>`.

    `shapes` are the model's weights, `<module>.weight` -> shape. Returns the renamed tensors, the number of modules
    they patch, and the modules of the file that Helios does not have. Raises ValueError where none fits, or where one
    was made for another width.
    """
    dotless = _dotless(shapes)
    renamed, matched, unmatched = {}, set(), set()
    for key, tensor in tensors.items():
        suffix = _SUFFIX.search(key)
        theirs = key[: suffix.start()] if suffix else key
        ours = _our_module(theirs, dotless)
        if suffix is None or f"{ours}.weight" not in shapes:
            unmatched.add(theirs)
            continue
        tail = key[suffix.start() :].replace(".lora_linear_layer.", ".lora.")
        # PEFT names an adapter between the matrix and its weight.
        tail = re.sub(r"\.(lora_[AB])\.[^.]+\.weight$", r".\1.weight", tail)
        _check_shape(ours, tail, tensor, shapes[f"{ours}.weight"], name)
        renamed[ours + tail] = tensor
        matched.add(ours)
    if not matched:
        found = ", ".join(sorted(unmatched)[:5]) or "nothing"
        raise ValueError(
            f"{name}: no key of this LoRA fits Helios (it has {found}). LoRAs for Helios and for Wan 2.1 14B fit."
        )
    return renamed, len(matched), sorted(unmatched)


def _our_module(theirs: str, dotless: dict[str, str]) -> str:
    kohya = _KOHYA.match(theirs)
    if kohya and "." not in theirs:
        return dotless.get(kohya[1], "")
    module = _MODULE.search(theirs)
    return rename_key(module[1] + ".").removesuffix(".") if module else ""


def _dotless(shapes) -> dict[str, str]:
    """Every module under its own and its diffusers name, dots and underscores alike."""
    names = {}
    for key in shapes:
        module = key.removesuffix(".weight")
        theirs = module
        for ours, diffusers in _DIFFUSERS:
            theirs = theirs.replace(ours, diffusers)
        theirs = re.sub(r"\.(attn[12])\.([qkv])$", r".\1.to_\2", theirs)
        theirs = re.sub(r"\.(attn[12])\.o$", r".\1.to_out.0", theirs)
        names[module.replace(".", "_")] = names[theirs.replace(".", "_")] = module
    return names


def _check_shape(module: str, tail: str, tensor: Tensor, shape: tuple, name: str) -> None:
    if tensor.ndim != 2 or len(shape) != 2:
        return
    out, into = tensor.shape[0], tensor.shape[1]
    if re.match(r"\.(lora_B|lora_up|lora\.up)", tail) and out != shape[0]:
        raise ValueError(f"{name}: {module} is for a model with {out} outputs there, Helios has {shape[0]}.")
    if re.match(r"\.(lora_A|lora_down|lora\.down)", tail) and into != shape[1]:
        raise ValueError(f"{name}: {module} is for a model with {into} inputs there, Helios has {shape[1]}.")
