"""Nodes for tests only: they bring tensors in and out of a running server."""

import copy
import dataclasses
import itertools
import json
import logging
import os
import sys
import threading
import time
import types
import zlib

import comfy.model_management
import comfy.patcher_extension
import comfy.sd
import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy.sd1_clip import token_weights
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .neighbours import Value, WanPatch


def _end_with(parent):
    """No server outlives the test run that started it, however that ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


class _Node:
    CATEGORY = "test"
    FUNCTION = "run"

    @classmethod
    def IS_CHANGED(cls, **inputs):
        return float("nan")  # the files may have changed


class ConditioningFromFile(_Node):
    """The tensor `cond` (1, L, C) of a safetensors file."""

    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"path": ("STRING", {})}}

    def run(self, path):
        return ([[load_file(path)["cond"], {}]],)


class SaveConditioning(_Node):
    """The opposite; of a conditioning with several entries, the first."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"conditioning": ("CONDITIONING",), "path": ("STRING", {})}}

    def run(self, conditioning, path):
        save_file({"cond": conditioning[0][0].contiguous()}, path)
        return {"ui": {"text": [path]}}


class SaveLatent(_Node):
    """Writes a latent's tensors to a safetensors file, all else that it holds to the file's metadata."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",), "path": ("STRING", {})}}

    def run(self, samples, path):
        tensors = {key: value.contiguous() for key, value in samples.items() if torch.is_tensor(value)}
        rest = {key: json.dumps(value) for key, value in samples.items() if not torch.is_tensor(value)}
        save_file(tensors, path, metadata=rest)
        return {"ui": {"text": [path]}}


class LoadLatent(_Node):
    """What SaveLatent wrote."""

    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"path": ("STRING", {})}}

    def run(self, path):
        with safe_open(path, "pt") as file:
            rest = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        return ({**load_file(path), **rest},)


class ImagesFromFile(_Node):
    """The images of an .npy file, (T, H, W, C) in 0..1."""

    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"path": ("STRING", {})}}

    def run(self, path):
        return (torch.from_numpy(np.load(path)).float(),)


class ImagesInfo(_Node):
    """Writes the images to an .npy file; shape, mean and path come back as one line of JSON."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("IMAGE",)}, "optional": {"path": ("STRING", {"default": ""})}}

    def run(self, images, path=""):
        path = path or os.path.join(folder_paths.get_output_directory(), f"images-{time.time_ns()}.npy")
        np.save(path, images.cpu().float().numpy())
        info = {"shape": list(images.shape), "mean": images.float().mean().item(), "path": path}
        return {"ui": {"text": [json.dumps(info)]}}


class SeedChange(_Node):
    """A schedule with another seed from a chunk on."""

    RETURN_TYPES = ("HELIOS_SCHEDULE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"schedule": ("HELIOS_SCHEDULE",), "start": ("INT", {}), "seed": ("INT", {"max": 2**64 - 1})}
        }

    def run(self, schedule, start, seed):
        change = sys.modules[type(schedule).__module__].SeedChange(start, seed)
        return (dataclasses.replace(schedule, seeds=(change,)),)


class Steps(_Node):
    """Takes its time, with a progress bar and, if wanted, a preview at every step."""

    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "samples": ("LATENT",),
                "steps": ("INT", {"default": 4, "min": 1}),
                "seconds": ("FLOAT", {"default": 0.1, "step": 0.01}),
                "preview": ("BOOLEAN", {}),
            }
        }

    def run(self, samples, steps, seconds, preview):
        progress = comfy.utils.ProgressBar(steps)
        for step in range(steps):
            time.sleep(seconds)
            image = Image.new("RGB", (32, 32), (255 * step // steps, 0, 0)) if preview else None
            progress.update_absolute(step + 1, steps, image and ("JPEG", image, 512))
        return (samples,)


class _TinyTokenizer:
    """Words are tokens; like UMT5's, it ends with an end token and pads to 512."""

    def __init__(self, embedding_directory=None, tokenizer_data=None):
        pass

    def tokenize_with_weights(self, text, return_word_ids=False, **options):
        words = [(word, weight) for part, weight in token_weights(text, 1.0) for word in part.split()]
        tokens = [(2 + zlib.crc32(word.encode()) % 2**24, weight) for word, weight in words] + [(1, 1.0)]
        return {"tiny": [tokens + [(0, 1.0)] * (512 - len(tokens))]}

    def state_dict(self):
        return {}


class _TinyTextModel(torch.nn.Module):
    """Every token at every place has its own random embedding, the padding has zeros."""

    dtypes = {torch.float32}

    def __init__(self, width, dtype=None, device=None, model_options=None):
        super().__init__()
        self.width = width
        self.scale = torch.nn.Parameter(torch.ones(1))

    def set_clip_options(self, options):
        pass

    def reset_clip_options(self):
        pass

    def encode_token_weights(self, tokens):
        tokens = tokens["tiny"][0]
        cond = torch.zeros(1, len(tokens), self.width)
        for place, (token, weight) in enumerate(tokens):
            if token:
                generator = torch.Generator().manual_seed(token * 512 + place)
                cond[0, place] = torch.randn(self.width, generator=generator) * weight
        logging.info("a text was encoded")
        return cond * self.scale.float().cpu(), None


class TinyCLIPLoader:
    """ComfyUI's CLIP object around a text encoder without weights; its output is (1, 512, width)."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"width": ("INT", {"default": 64, "min": 1, "max": 8192})}}

    def run(self, width):
        target = types.SimpleNamespace(params={"width": width}, clip=_TinyTextModel, tokenizer=_TinyTokenizer)
        return (comfy.sd.CLIP(target),)


class CountingVAE(_Node):
    """The VAE itself, which logs a line whenever it encodes."""

    RETURN_TYPES = ("VAE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"vae": ("VAE",)}}

    def run(self, vae):
        encode = vae.first_stage_model.encode

        def counted(*args, **kwargs):
            logging.info("a picture was encoded")
            return encode(*args, **kwargs)

        vae.first_stage_model.encode = counted
        return (vae,)


CALLS = {}  # how often each patch of PatchModel was called since it was set
SCALE = 1.0  # what Scaled multiplies by: a setting beside the code


class Scaled:
    """A patch that is an object; what it does depends on a setting that a function within its method looks up."""

    def __call__(self, args):
        return (lambda: args["denoised"] * SCALE)()


class PatchModel(_Node):
    """The model with a patch such as other packs set, which counts its calls under its kind."""

    RETURN_TYPES = ("MODEL",)
    KINDS = (
        "attention",
        "keep block",
        "skip block",
        "cfg function",
        "post cfg function",
        "wrapper",
        "opaque",
        "scaled 0.9",
        "scaled 0.8",
    )

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "kind": (cls.KINDS,)}}

    def run(self, model, kind):
        model = model.clone()
        CALLS[kind] = 0

        def count():
            CALLS[kind] += 1

        def attention(function, *args, **kwargs):
            count()
            return function(*args, **kwargs)

        def keep(args, extra):
            count()
            return extra["original_block"](args)

        def skip(args, extra):
            count()
            return {"img": args["img"]}

        def cfg(args):
            count()
            return args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]

        def post_cfg(args):
            count()
            return args["denoised"] * 0.9

        def wrapper(executor, *args, **kwargs):
            count()
            return executor(*args, **kwargs)

        if kind == "attention":
            model.model_options["transformer_options"]["optimized_attention_override"] = attention
        elif kind.endswith("block"):
            model.set_model_patch_replace(keep if kind == "keep block" else skip, "dit", "double_block", 1)
        elif kind == "cfg function":
            model.set_model_sampler_cfg_function(cfg)
        elif kind == "post cfg function":
            model.set_model_sampler_post_cfg_function(post_cfg)
        elif kind == "opaque":
            lock = threading.Lock()
            model.set_model_sampler_post_cfg_function(lambda args, lock=lock: args["denoised"])
        elif kind.startswith("scaled"):
            globals()["SCALE"] = float(kind.split()[1])
            model.set_model_sampler_post_cfg_function(Scaled())
        else:
            model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "test", wrapper)
        return (model,)


class LoadAgain(_Node):
    """The model loaded a second time, as ComfyUI does for another GPU or where weights may not stream."""

    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        load, settings = model.cached_patcher_init
        return (load(*settings, disable_dynamic=True),)


class Calls(_Node):
    """How often a patch was called; comes after `samples`."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",), "kind": (PatchModel.KINDS,)}}

    def run(self, samples, kind):
        return {"ui": {"text": [str(CALLS[kind])]}}


class CompileModel(_Node):
    """The host's Torch Compile Model with a backend that takes seconds: what is compiled is the same."""

    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        from comfy_extras.nodes_torch_compile import TorchCompileModel

        return TorchCompileModel.execute(model, "aot_eager").result


class CompiledFrames(_Node):
    """What torch.compile made since the last time: `frames` compiled and `breaks` between them; after `samples`."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",)}}

    def run(self, samples):
        counters = torch._dynamo.utils.counters
        counts = {"frames": counters["frames"]["ok"], "breaks": sum(counters["graph_break"].values())}
        counters.clear()
        return {"ui": {"text": [json.dumps(counts)]}}


class BadAudio(_Node):
    """Sound as other nodes may hand it on: of a clip without any, or without a rate."""

    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"kind": (("lazy", "rate"),)}}

    def run(self, kind):
        class Lazy(dict):
            def __getitem__(self, key):
                raise RuntimeError("no audio stream")

        return (Lazy() if kind == "lazy" else {"waveform": torch.zeros(1, 2, 48000), "sample_rate": 0},)


class HoldVAE(_Node):
    """A VAE that decodes so many chunks, and then waits for as long as there is a file."""

    RETURN_TYPES = ("VAE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"vae": ("VAE",), "chunks": ("INT",), "path": ("STRING",)}}

    def run(self, vae, chunks, path):
        held, decoded = copy.copy(vae), itertools.count()

        def decode(*args, **kwargs):
            number = next(decoded)
            while number >= chunks and os.path.exists(path):
                comfy.model_management.throw_exception_if_processing_interrupted()
                time.sleep(0.05)
            return vae.decode(*args, **kwargs)

        held.decode = decode
        return (held,)


NODES = (
    ConditioningFromFile,
    SaveConditioning,
    SaveLatent,
    LoadLatent,
    ImagesFromFile,
    ImagesInfo,
    SeedChange,
    Steps,
    TinyCLIPLoader,
    CountingVAE,
    PatchModel,
    LoadAgain,
    Calls,
    CompileModel,
    CompiledFrames,
    BadAudio,
    HoldVAE,
    WanPatch,
    Value,
)
NODE_CLASS_MAPPINGS = {"Test" + node.__name__: node for node in NODES}
