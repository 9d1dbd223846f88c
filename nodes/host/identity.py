"""What a model and its patches are, in words that mean the same tomorrow: chunks on disk are found by it.

ComfyUI tells patched models apart by random ids, which another start of it does not know. Here a patch is known by its
content: tensors by their values, functions by their code and what they hold, objects by their type and attributes.
What cannot be told apart that way is refused rather than guessed: a wrong chunk is worse than a missing one.
"""

import sys
import types
from dataclasses import asdict
from functools import partial

import comfy.hooks
import comfy.ldm.modules.attention
import comfyui_version
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher

from ...helios_core.film.fingerprint import fingerprint


class Unrecognisable(Exception):
    """Names what has no lasting identity."""


PATCHES = (
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
KNOWN = {"comfy", "torch", *sys.stdlib_module_names}
# Host settings that change numbers; those that a host does not have are left out.
NUMERICS = ("fast", "force_upcast_attention", "dont_upcast_attention", "deterministic", "fp16_unet", "bf16_unet")


def name_of(thing, own: set[int] = frozenset()) -> str:
    """Its fingerprint; `own` are ids of the model's own modules. Raises Unrecognisable."""
    try:
        return fingerprint(describe(thing, own))
    except Unrecognisable:
        raise
    except (ValueError, TypeError, RuntimeError) as error:  # meta tensors, endless nesting
        raise Unrecognisable(f"a patch ({error})") from error


def name_of_model(patcher) -> str:
    """The fingerprint of all of a MODEL that decides what comes out of it, and of what it runs on."""
    model = patcher.model
    own = {id(m) for m in model.modules()}
    patches = {name: getattr(patcher, name, None) for name in PATCHES}
    device = patcher.load_device
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    numerics = [getattr(args, name, None) for name in NUMERICS]
    numerics = [sorted(map(str, value)) if isinstance(value, set) else str(value) for value in numerics]
    attention = comfy.ldm.modules.attention.optimized_attention
    dtypes = model.get_dtype(), model.get_dtype_inference(), model.model_config.optimizations
    runs_on = (
        str(torch.__version__),
        comfyui_version.__version__,
        device,
        card,
        attention.__module__,
        attention.__qualname__,
        numerics,
    )
    what = model.file_versions, asdict(model.diffusion_model.config), model.variant, model.text_tokens
    return name_of((what, dtypes, patches, runs_on), own)


def describe(thing, own: set[int] = frozenset(), seen: dict | None = None):
    """Nested plain values and tensors, equal for what works equally; `own` are ids of the model's own modules.

    Raises Unrecognisable.
    """
    seen = {} if seen is None else seen
    if thing is None or type(thing) in (str, bytes, bool, int, float, torch.Tensor, torch.nn.Parameter):
        return thing
    if isinstance(thing, torch.dtype | torch.device | torch.Size | range | complex | slice | types.EllipsisType):
        return str(thing)
    if isinstance(thing, type | types.ModuleType):
        return "name", getattr(thing, "__module__", ""), getattr(thing, "__qualname__", thing.__name__)
    if id(thing) in seen:
        return "again", seen[id(thing)][0]
    seen[id(thing)] = len(seen), thing  # kept alive, or another would get its id

    def inner(*parts):
        return tuple(describe(part, own, seen) for part in parts)

    if isinstance(thing, types.BuiltinFunctionType):
        return "builtin", thing.__module__ or "", thing.__qualname__, inner(thing.__self__)
    if isinstance(thing, ModelPatcher):  # the one itself among its own patches, or a clone with others
        return "patcher", inner(thing.model, {name: getattr(thing, name, None) for name in PATCHES})
    if isinstance(thing, comfy.hooks.HookKeyframeGroup):  # sampling writes into it where it is
        return "keyframes", inner([(k.strength, k.start_percent, k.guarantee_steps) for k in thing.keyframes])
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
        plain = {n: v for n in names_in(thing.__code__) if is_plain(v := thing.__globals__.get(n))}
        where = thing.__module__, thing.__qualname__
        return "function", where, inner(thing.__code__, thing.__defaults__, thing.__kwdefaults__, holds, plain)
    if isinstance(thing, torch.nn.Module):
        module = getattr(thing, "_orig_mod", thing)  # torch.compile's wrapper
        kind = type(thing).__qualname__
        if id(module) in own:
            return "module", kind
        values = {name: value for name, value in vars(module).items() if name not in vars(torch.nn.Module())}
        tensors = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
        return "module", kind, inner(code_of(type(module)), values, tensors, dict(module.named_children()))
    opaque = isinstance(thing, torch.Tensor) or type(thing).__module__ in ("builtins", "threading", "weakref")
    if hasattr(thing, "__dict__") and not opaque:
        kind = type(thing)
        return "object", kind.__module__, kind.__qualname__, inner(code_of(kind), vars(thing))
    raise Unrecognisable(f"{type(thing).__module__}.{type(thing).__qualname__}")


def names_in(code: types.CodeType) -> set[str]:
    """Names that a function looks up, those of functions within it too."""
    return set(code.co_names).union(*(names_in(part) for part in code.co_consts if isinstance(part, types.CodeType)))


def is_plain(value) -> bool:
    """A setting that a function finds beside it: its value counts. What else it uses is known by its own name, as lists
    and dicts are: these are caches and counters more often than settings, and would make a new film of every run."""
    if isinstance(value, tuple | frozenset):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes, torch.Tensor)


def code_of(kind: type) -> list:
    """What a class and those it comes from do and hold, where they are another pack's: the host's and torch's are known
    by their versions, Python's own by their names."""
    parts = []
    for base in kind.__mro__:
        if base.__module__.split(".")[0] in KNOWN:
            continue
        for name, value in vars(base).items():
            value = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(value, types.FunctionType) or is_plain(value) and not name.startswith("__"):
                parts.append((name, value))
    return parts
