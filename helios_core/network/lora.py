"""LoRA files -> changes of this model's parameters.

What a file says of its strength beside its tensors is read too: `alpha` tensors, else PEFT's configuration, which
diffusers keeps in metadata as "lora_adapter_metadata", finetrainers as "lora_config", and PEFT in a file of its own.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import MAX_JSON, check_file, read_object, read_tensors, some_of
from .lora_keys import ModuleNames, in_diffusers, split_key

# Parts that are added to a parameter as they are, and the parameter.
_ADDED = {"diff": "weight", "w_norm": "weight", "diff_b": "bias", "b_norm": "bias", "bias": "bias"}
# Factors that together make a change of a weight, and what may stand beside them. ComfyUI multiplies them out.
_WHOLE = (
    {"up", "down"},
    {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
    {"lokr_w1", "lokr_w2"},
    {"lokr_w1", "lokr_w2_a", "lokr_w2_b"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"},
    {"a1.weight", "a2.weight", "b1.weight", "b2.weight"},
    {"oft_blocks"},
    {"set_weight"},
)
_BESIDE = {"alpha", "dora_scale", "rescale"}
_UP = {"lora_A": "lora_B", "lora_down": "lora_up", "lora.down": "lora.up"}
_OTHER_MODEL = "made for another model"


@dataclass
class Lora:
    """What a LoRA does to the model.

    `factors` are `<module>.<part>`, the matrices of LoRA, LoHa, LoKr, ... under the names that ComfyUI reads, with the
    alpha that makes their scale right. `added` are tensors in the shape of the parameter that each is added to. Of what
    changes nothing `left_out` says why: reason -> modules as the file calls them.
    """

    factors: dict[str, Tensor] = field(default_factory=dict)
    added: dict[str, Tensor] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


class Unfit(Exception):
    """Why a part of a LoRA changes nothing: a short reason and, for another model's, a sentence."""


def read_lora(path: str | Path, read=None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file and its metadata; `read` opens what is no safetensors file.

    PEFT saves `adapter_model.safetensors`, and its configuration beside it as `adapter_config.json`.
    """
    path = Path(path)
    if path.suffix in (".safetensors", ".sft") or read is None:
        tensors, metadata = read_tensors([path])
    else:
        check_file(path)
        tensors, metadata = read(path)
    beside = path.with_name("adapter_config.json")
    if path.stem == "adapter_model" and beside.exists() and check_file(beside) <= MAX_JSON:
        metadata = {"lora_config": beside.read_text(encoding="utf-8", errors="replace"), **(metadata or {})}
    return tensors, metadata or {}


def parse_lora(tensors: dict[str, Tensor], metadata: dict[str, str], shapes: dict[str, tuple], name: str) -> Lora:
    """Sort a file's tensors by what they do to parameters of these `shapes`, name -> shape.

    Raises ValueError where nothing in it changes one: it is empty, or made for another model or another width.
    """
    settings, names = peft_settings(metadata, name), ModuleNames({key.rsplit(".", 1)[0] for key in shapes})
    lora, misfits = Lora(), []
    for theirs, parts in parts_by_module(tensors, name).items():
        try:
            module = names.find(theirs)
            if module is None:
                raise Unfit("not in Helios")
            if "" in parts:
                raise Unfit("not understood")
            scale = scale_of(parts, settings, (theirs, module, in_diffusers(module)), name)
            add_module(lora, module, parts, scale, shapes)
        except Unfit as unfit:
            lora.left_out.setdefault(unfit.args[0], []).append(theirs)
            misfits += unfit.args[1:]
    if lora.factors or lora.added:
        return lora
    if not tensors:
        raise ValueError(f"{name}: there is nothing in this file. Download it anew.")
    if misfits:
        raise ValueError(f"{name}: {misfits[0]}. LoRAs for Helios and for Wan 2.1 14B fit.")
    if lora.left_out.keys() <= {"not in Helios"}:
        found = some_of(sorted(lora.left_out["not in Helios"]))
        raise ValueError(
            f"{name}: no key of this LoRA fits Helios (it has {found}). LoRAs for Helios and for Wan 2.1 14B fit."
        )
    raise ValueError(f"{name}: nothing in this LoRA changes Helios ({describe(lora.left_out)}).")


def describe(left_out: dict[str, list[str]]) -> str:
    """ "12 not in Helios (a, b, ...), 1 lora_A without lora_B (c)"."""
    return ", ".join(f"{len(names)} {reason} ({some_of(sorted(names))})" for reason, names in left_out.items())


def parts_by_module(tensors: dict[str, Tensor], name: str) -> dict[str, dict[str, tuple[Tensor, str]]]:
    """Module as the file calls it -> part -> (tensor, style)."""
    modules, keys = {}, {}
    for key, tensor in tensors.items():
        theirs, part, style = split_key(key)
        if (other := keys.setdefault((theirs, part), key)) != key:
            raise ValueError(
                f"{name}: there are two LoRAs in this file ({other}, {key}). Save each in a file of its own."
            )
        modules.setdefault(theirs, {})[part] = tensor, style
    return modules


def add_module(lora: Lora, module: str, parts: dict[str, tuple[Tensor, str]], scale: float, shapes: dict) -> None:
    """Put what changes a module into `lora`. Raises Unfit, at the end, where a part of it does not."""
    unfit = None
    factors = {part: tensor for part, (tensor, _) in parts.items() if part not in _ADDED}
    try:
        if factors.keys() - _BESIDE:
            check_factors(module, factors, shapes.get(f"{module}.weight"))
            styles = {"down": parts["down"][1], "up": _UP[parts["down"][1]]} if "down" in parts else {}
            if styles and "alpha" not in factors and scale != 1:
                factors["alpha"] = torch.tensor(scale * len(factors["down"]), dtype=torch.float64)
            for part, tensor in factors.items():
                if part == "dora_scale":
                    tensor = tensor.reshape(-1, 1) if tensor.ndim == 1 else tensor  # PEFT's has no second dimension
                lora.factors[f"{module}.{styles[part]}.weight" if part in styles else f"{module}.{part}"] = tensor
    except Unfit as error:
        unfit = error
    for part, (tensor, _) in parts.items():
        if part in _ADDED:
            parameter = f"{module}.{_ADDED[part]}"
            try:
                if part == "bias" and not {"up", "down"} <= parts.keys():
                    raise Unfit("lora_B without lora_A")
                change = reshaped(module, tensor, shapes.get(parameter))
            except Unfit as error:
                unfit = unfit or error
                continue
            change = change.float() * scale if part == "bias" else change
            lora.added[parameter] = lora.added[parameter] + change if parameter in lora.added else change
    if unfit:
        raise unfit


def check_factors(module: str, factors: dict[str, Tensor], weight: tuple | None) -> None:
    """Raise Unfit unless these matrices make a change of a weight of this shape."""
    if weight is None:
        raise Unfit("not in Helios")
    out, into = weight[0], math.prod(weight[1:])
    matrices = {part: tensor for part, tensor in factors.items() if part not in _BESIDE}
    if any(t.ndim < 2 and part != "set_weight" or 0 in t.shape for part, t in matrices.items()):
        raise Unfit("damaged")
    up, down = matrices.get("up"), matrices.get("down")
    for size, need, side in (
        (up is not None and len(up), out, "outputs"),
        (down is not None and width(down), into, "inputs"),
    ):
        if size and size != need:
            raise Unfit(_OTHER_MODEL, f"{module} is for a model with {size} {side} there, Helios has {need}")
    if not any(whole <= matrices.keys() <= whole | {"hada_t1", "hada_t2", "lokr_t2"} for whole in _WHOLE):
        alone = {frozenset({"down"}): "lora_A without lora_B", frozenset({"up"}): "lora_B without lora_A"}
        raise Unfit(alone.get(frozenset(matrices), "incomplete or not understood"))
    shape = product_shape(matrices)
    if shape and shape != (out, into):
        raise Unfit(_OTHER_MODEL, f"{module} is for a model with {shape} there, Helios has {(out, into)}")
    if up is not None and width(up) != len(down):
        raise Unfit("damaged")
    if up is not None and (is_zero(up) or is_zero(down)):
        raise Unfit("all zeros")


def product_shape(matrices: dict[str, Tensor]) -> tuple[int, int] | None:
    """Of the change that a LoHa's or LoKr's factors make, where it is plain to see."""
    if "set_weight" in matrices:
        return len(matrices["set_weight"]), width(matrices["set_weight"])
    if matrices.keys() & {"hada_t1", "lokr_t2"}:
        return None
    if "hada_w1_a" in matrices:
        return len(matrices["hada_w1_a"]), width(matrices["hada_w1_b"])
    if any(part.startswith("lokr") for part in matrices):
        first, second = ([matrices.get(f"lokr_w{i}", matrices.get(f"lokr_w{i}_{end}")) for i in (1, 2)] for end in "ab")
        return math.prod(map(len, first)), math.prod(map(width, second))
    return None


def width(matrix: Tensor) -> int:
    return matrix[0].numel()


def is_zero(tensor: Tensor) -> bool:
    return not (tensor.float() if tensor.dtype.itemsize == 1 else tensor).any()


def reshaped(module: str, tensor: Tensor, shape: tuple | None) -> Tensor:
    """A difference in the shape of its parameter: Wan's tables are (1, 6, D), ours (6, D)."""
    if shape is None:
        raise Unfit("not in Helios")
    if [n for n in tensor.shape if n != 1] != [n for n in shape if n != 1]:
        raise Unfit(
            _OTHER_MODEL, f"{module} is for a model with {tuple(tensor.shape)} there, Helios has {tuple(shape)}"
        )
    if is_zero(tensor):
        raise Unfit("all zeros")
    return tensor.reshape(shape)


def scale_of(parts: dict[str, tuple[Tensor, str]], settings: dict, names: tuple[str, ...], name: str) -> float:
    """What the product of a LoRA's two matrices is multiplied by: alpha / rank, with rsLoRA alpha / sqrt(rank).

    `names` are the module's, for PEFT's table of exceptions. The rank is seen in the matrices.
    """
    if not {"down", "up"} <= parts.keys() or parts["down"][0].ndim == 0:
        return 1.0
    rank = max(1, len(parts["down"][0]))
    if "alpha" in parts:
        alpha = parts["alpha"][0]
        if alpha.numel() != 1 or not math.isfinite(alpha.item()):
            raise ValueError(f"{name}: the alpha of {names[0]} is no number ({alpha.tolist()}). Download it anew.")
        return alpha.item() / rank
    exceptions = settings.get("alpha_pattern") or {}
    alpha = next((value for key, value in exceptions.items() if matches(key, names)), settings.get("lora_alpha"))
    if alpha is None:
        return 1.0
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise ValueError(f"{name}: lora_alpha={alpha!r} in its metadata is no number.")
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def matches(pattern: str, names: tuple[str, ...]) -> bool:
    """As PEFT compares: a name, the end of one, or a regular expression of it."""
    try:
        return any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)
    except re.error:
        return False


def peft_settings(metadata: dict[str, str], name: str) -> dict:
    """PEFT's configuration as it stands in metadata, {} without; diffusers writes before each word whose it is."""
    key = next((key for key in ("lora_adapter_metadata", "lora_config") if key in metadata), None)
    if key is None:
        return {}
    settings = read_object(metadata[key], f"{name}, metadata {key}")
    settings = {word.removeprefix("transformer."): value for word, value in settings.items()}
    if not isinstance(settings.get("alpha_pattern") or {}, dict):
        raise ValueError(f"{name}, metadata {key}: alpha_pattern={settings['alpha_pattern']!r} is no table.")
    return settings
