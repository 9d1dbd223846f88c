"""What a model and its patches are, in words that mean the same tomorrow: chunks on disk are found by it.

ComfyUI tells patched models apart by random ids, which another start of it does not know. Here a patch is known by its
content: tensors by their values, functions by their code and what they hold, objects by their type and attributes.
What cannot be told apart that way is refused rather than guessed: a wrong chunk is worse than a missing one.
"""

import types
from functools import partial
from pathlib import Path

import comfy.ldm.modules.attention
import torch


class Unrecognisable(Exception):
    """Names what has no lasting identity."""


def stamp(path: str) -> tuple:
    """Name, size and time of a checkpoint's files: hashing 28 GB would take longer than making a chunk."""
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.suffix in (".safetensors", ".json")) if root.is_dir() else [root]
    return tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files)


def describe_model(patcher) -> tuple:
    """All of a MODEL that decides what comes out of it, and what it runs on."""
    model = patcher.model
    own = {id(m) for m in model.modules()}
    patches = {
        name: getattr(patcher, name, None)
        for name in (
            "patches",
            "object_patches",
            "weight_wrapper_patches",
            "model_options",
            "hook_patches",
            "injections",
            "wrappers",
            "callbacks",
            "additional_models",
            "attachments",
        )
    }
    attention = comfy.ldm.modules.attention.optimized_attention
    dtypes = str(model.get_dtype()), str(model.get_dtype_inference()), model.model_config.optimizations
    runs_on = torch.__version__, str(patcher.load_device), attention.__module__, attention.__qualname__
    return model.source, model.variant, describe(dtypes), describe(patches, own), runs_on


def describe(thing, own: set[int] = frozenset(), seen: dict | None = None):
    """Nested plain values and tensors, equal for what works equally; `own` are ids of the model's own modules.

    Raises Unrecognisable.
    """
    seen = {} if seen is None else seen
    if thing is None or type(thing) in (str, bytes, bool, int, float, torch.Tensor, torch.nn.Parameter):
        return thing
    if isinstance(thing, torch.dtype | torch.device | torch.Size | range | complex | slice | types.EllipsisType):
        return str(thing)
    if id(getattr(thing, "model", None)) in own:
        return "the model"
    if isinstance(thing, type | types.BuiltinFunctionType | types.ModuleType):
        return "name", getattr(thing, "__module__", ""), getattr(thing, "__qualname__", thing.__name__)
    if id(thing) in seen:
        return "again", seen[id(thing)][0]
    seen[id(thing)] = len(seen), thing  # kept alive, or another would get its id

    def inner(*parts):
        return tuple(describe(part, own, seen) for part in parts)

    if isinstance(thing, dict):
        return "dict", inner(*(item for pair in sorted(thing.items(), key=lambda p: repr(p[0])) for item in pair))
    if isinstance(thing, list | tuple):
        return "list", inner(*thing)
    if isinstance(thing, set | frozenset):
        return "set", inner(*sorted(thing, key=repr))
    if isinstance(thing, partial):
        return "partial", inner(thing.func, thing.args, thing.keywords)
    if isinstance(thing, types.MethodType):
        return "method", inner(thing.__func__, thing.__self__)
    if isinstance(thing, types.CodeType):
        return "code", thing.co_code, inner(thing.co_consts, thing.co_names)
    if isinstance(thing, types.FunctionType):
        holds = [cell.cell_contents for cell in thing.__closure__ or ()]
        where = thing.__module__, thing.__qualname__
        return "function", where, inner(thing.__code__, thing.__defaults__, thing.__kwdefaults__, holds)
    if isinstance(thing, torch.nn.Module):
        module = getattr(thing, "_orig_mod", thing)  # torch.compile's wrapper
        kind = type(thing).__qualname__
        return ("module", kind) if id(module) in own else ("module", kind, inner(dict(module.state_dict())))
    opaque = isinstance(thing, torch.Tensor) or type(thing).__module__ in ("builtins", "threading", "weakref")
    if hasattr(thing, "__dict__") and not opaque:
        kind = type(thing)
        return "object", kind.__module__, kind.__qualname__, inner(vars(thing))
    raise Unrecognisable(f"{type(thing).__module__}.{type(thing).__qualname__}")
