"""Keys of LoRA files -> (module of this model, part of the change): Wan, diffusers, PEFT and kohya spellings, after any
prefix."""

import re
from collections.abc import Iterable

from .checkpoint import rename_key

# What a key ends in. PEFT puts the adapter's name between a matrix and its weight; `to_q_lora.down` comes from the
# attention processors that diffusers had once.
_MATRIX = re.compile(
    r"(?:\.lora_(A|B|up|down|mid)|[._]lora(?:_linear_layer)?\.(up|down|mid))"
    r"(?:\.(?!(?:weight|bias)$)[^.]+)?(\.weight|\.bias)?$"
)
_OTHER = re.compile(
    r"\.(?:(alpha|diff|diff_b|diff_m|w_norm|b_norm|set_weight|dora_scale|rescale|oft_blocks|hada_\w+|lokr_\w+|"
    r"[ab][12]\.weight)|lora_magnitude_vector(?:\.[^.]+)*)$"
)
_KOHYA = re.compile(r"^(?:lora_unet|lora_transformer|lycoris|lora)[._]+")
_MODULE = re.compile(
    r"(?:^|\.)((?:(?:blocks[._]\d+|condition_embedder|time_embedding|text_embedding|time_projection|head)[._]|"
    r"patch_|proj_out|norm_out).*)$"
)
# Ours -> diffusers', in this order.
_DIFFUSERS = [
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.(attn[12])\.([qkv])$", r".\1.to_\2"),
    (r"\.(attn[12])\.o$", r".\1.to_out.0"),
    (r"\.ffn\.0$", ".ffn.net.0.proj"),
    (r"\.ffn\.2$", ".ffn.net.2"),
    (r"\.norm3$", ".norm2"),
    (r"^(time|text)_embedding\.0$", r"condition_embedder.\1_embedder.linear_1"),
    (r"^(time|text)_embedding\.2$", r"condition_embedder.\1_embedder.linear_2"),
    (r"^time_projection\.1$", "condition_embedder.time_proj"),
    (r"^head\.head$", "proj_out"),
    (r"^head\.modulation$", "norm_out.scale_shift_table"),
    (r"\.modulation$", ".scale_shift_table"),
]


def split_key(key: str) -> tuple[str, str, str]:
    """(module as the file calls it, part, style) of a key; (key, "", "") where its end says nothing.

    Parts are "down", "up" and "mid", the matrices of a LoRA, in the style "lora_A", "lora_down" or "lora.down"; "bias",
    what PEFT adds beside the upper one; and the others by their names, with "diff" for a table's `diff_m` too.
    """
    if found := _MATRIX.search(key):
        dashed, dotted, end = found.groups()
        style = "lora.down" if dotted else "lora_A" if dashed in "AB" else "lora_down"
        part = {"A": "down", "B": "up"}.get(dashed, dashed or dotted)
        if end != ".bias":
            return key[: found.start()], part, style
        if part == "up":
            return key[: found.start()], "bias", style
    elif found := _OTHER.search(key):
        module, part = key[: found.start()], found[1] or "dora_scale"
        if part == "diff_m":  # the file names the block, or the head, that the table belongs to
            return f"{module.removesuffix('.modulation')}.modulation", "diff", ""
        return module, part, ""
    return key, "", ""


class ModuleNames:
    """Finds a model's modules by any of their names, with dots or underscores."""

    def __init__(self, modules: Iterable[str]):
        self.dotless = {}
        for module in modules:
            theirs = in_diffusers(module)
            for name in (module, theirs, theirs.removesuffix(".0") if theirs.endswith("to_out.0") else theirs):
                self.dotless[name.replace(".", "_")] = module

    def find(self, theirs: str) -> str | None:
        """Our module of a file's name for it, None where there is none."""
        found = _MODULE.search(_KOHYA.sub("", theirs).replace(".processor.", "."))
        if found is None:
            return None
        ours = rename_key(found[1] + ".").removesuffix(".")
        return self.dotless.get(ours.replace(".", "_"), self.dotless.get(found[1].replace(".", "_")))


def in_diffusers(module: str) -> str:
    """diffusers' name of one of our modules."""
    for ours, theirs in _DIFFUSERS:
        module = re.sub(ours, theirs, module)
    return module
