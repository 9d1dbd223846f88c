"""The Helios model as a native MODEL of ComfyUI."""

import json
import logging
import re
from dataclasses import asdict
from pathlib import Path

import comfy.conds
import comfy.latent_formats
import comfy.lora
import comfy.model_base
import comfy.model_management as mm
import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from comfy.ldm.modules.attention import optimized_attention

from ...helios_core import (
    RECIPES,
    HeliosConfig,
    HeliosTransformer,
    Recipe,
    load_checkpoint,
)
from ...helios_core.checkpoint import convert_tensors, rename_key
from ...helios_core.config import TEXT_TOKENS
from ...helios_core.estimate import activation_bytes
from ...helios_core.lora import rename_lora
from .identity import stamp

log = logging.getLogger(__name__)

SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
PUBLISHED = ("Helios-Distilled", "Helios-Mid", "Helios-Base")
RUN = "helios_run"  # our key in transformer_options

WEIGHT_DTYPES = {
    "default": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


class HostAttention:
    """The host's attention for one call of the model, with the overrides and patches that others have put on it."""

    def __init__(self, options: dict):
        self.options = options

    def __call__(self, q, k, v, heads):
        return optimized_attention(q, k, v, heads=heads, transformer_options=self.options)


class HostTransformer(HeliosTransformer):
    """The core's transformer with the call signature and the hooks of a ComfyUI diffusion model."""

    def __init__(self, image_model=None, device=None, dtype=None, operations=None, **settings):
        super().__init__(HeliosConfig.from_dict(settings), operations=operations, device=device, dtype=dtype)

    def forward(self, x, timestep, context=None, control=None, transformer_options={}, helios_call=None, **kwargs):
        return comfy.patcher_extension.WrapperExecutor.new_class_executor(
            self._forward,
            self,
            comfy.patcher_extension.get_all_wrappers(
                comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, transformer_options
            ),
        ).execute(x, timestep, context, helios_call, transformer_options)

    def _forward(self, x, timestep, context, call, transformer_options):
        options = {**transformer_options, "total_blocks": len(self.blocks), "block_type": "double"}
        flow = super().forward(x, call.timestep.expand(x.shape[0]), call.text, call.history, HostAttention(options))
        return flow.float() * call.scale

    def run_block(self, i, past, x, rows, rope, text, attention):
        """As on Wan, other packs may replace a block: they see the noisy tokens as `img`."""
        options = attention.options
        options["block_index"] = i
        patch = options.get("patches_replace", {}).get("dit", {}).get(("double_block", i))
        if patch is None:
            return super().run_block(i, past, x, rows, rope, text, attention)

        def original(args):
            out = super(HostTransformer, self).run_block(
                i, args["past"], args["img"], args["vec"], args["pe"], args["txt"], attention
            )
            return {"past": out[0], "img": out[1]}

        args = {"img": x, "past": past, "txt": text, "vec": rows, "pe": rope, "transformer_options": options}
        out = patch(args, {"original_block": original})
        return out.get("past", past), out["img"]


class ModelCall:
    """What one call of the network needs besides its latents: the transformer never looks further than this."""

    def __init__(self, text, history, timestep, scale):
        self.text, self.history, self.timestep, self.scale = text, history, timestep, scale


class Run:
    """The state of one sampling run, handed to the model through transformer_options.

    It holds the current step and what need not be computed twice: the history's tokens for this chunk, each prompt's
    keys and values for as long as the prompt is used.
    """

    def __init__(self):
        self.step = None
        self.cache = True  # not where hooks change the weights from call to call
        self.keep_keys_values = True
        self._histories = {}
        self._texts = {}

    def begin(self, step):
        if self.step is None or step.chunk != self.step.chunk:
            self._histories.clear()
        self.step = step

    def clear(self):
        """Let go of what lies on the GPU: the host may keep the patcher that leads here."""
        self.step = None
        self._histories.clear()
        self._texts.clear()

    def keep_texts(self, uuids):
        """Forget the texts that these conds do not use."""
        self._texts = {key: text for key, text in self._texts.items() if set(key[0]) <= uuids}

    def prepare(self, model, x, context, options, dtype) -> ModelCall:
        device = x.device
        uuids = tuple(options.get("uuids", ()))
        # Wrappers may split the batch, and the ids no longer say whose text this is.
        known = self.cache and uuids and len(context) == len(uuids) * len(self.step.memory.frames)
        text = self._texts.get((uuids, device)) if known else None
        if text is None:
            text = model.embed_text(context.to(device, dtype), self.keep_keys_values)
            if known:  # a text is kept once, however the host batches it
                kept = {k: t for k, t in self._texts.items() if k[1] != device or not set(k[0]) & set(uuids)}
                self._texts = {**kept, (uuids, device): text}
        history = self._histories.get(device)
        if history is None or not self.cache:
            memory = self.step.memory
            history = self._histories[device] = model.embed_history(
                memory.frames.to(device), memory.anchor_or_zeros().to(device), dtype
            )
        # The table is made here, so that a compiled model finds it there and stays one graph.
        history.rope(tuple(size // p for size, p in zip(x.shape[2:], model.config.patch_size)))
        timestep = torch.tensor([self.step.timestep], device=device)
        # The host takes timestep / 1000 for sigma and forms x - sigma * output. Within a pyramid stage the noise
        # level is another number, so the output is scaled for that difference to be the true x0.
        scale = torch.tensor(self.step.sigma / host_sigma(self.step), device=device)
        return ModelCall(text, history, timestep, scale)


def host_sigma(step) -> float:
    """Where in the chunk's whole course a step stands, 1 to 0: what the host schedules conditioning by."""
    return step.timestep / 1000


class HeliosModel(comfy.model_base.BaseModel):
    # The demo's are others.
    text_tokens, text_encoder, recipes = TEXT_TOKENS, "UMT5-XXL (CLIPLoader, type 'wan')", RECIPES

    def __init__(self, model_config, variant: str, source: tuple, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostTransformer)
        self.variant, self.source = variant, source

    @property
    def recipe(self) -> Recipe:
        return self.recipes[self.variant]

    def get_dtype_inference(self):  # ComfyUI 0.8.0 has none
        return self.manual_cast_dtype or self.get_dtype()

    def extra_conds(self, **kwargs):
        out = super().extra_conds(**kwargs)
        context = kwargs.get("cross_attn")
        if context is not None:
            width = self.diffusion_model.config.text_dim
            if context.shape[-1] != width:
                raise ValueError(
                    f"The text embeddings are {context.shape[-1]} wide, this model needs {width}: encode the prompt "
                    f"with {self.text_encoder}."
                )
            context = torch.nn.functional.pad(context, (0, 0, 0, max(0, self.text_tokens - context.shape[1])))
            out["c_crossattn"] = comfy.conds.CONDRegular(context)
        return out

    def _apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options={}, **kwargs):
        run = transformer_options.get(RUN)
        if run is None:
            raise ValueError("A Helios model makes video in chunks: use Helios Chunk Sampler in place of KSampler.")
        # Outside the transformer, so that torch.compile sees tensors only.
        call = run.prepare(self.diffusion_model, x, c_crossattn, transformer_options, self.get_dtype_inference())
        # By a name of its own: torch.compile nodes drop their guards on all that is in transformer_options. The text is
        # in the call already.
        return super()._apply_model(x, t, c_concat, None, control, transformer_options, helios_call=call, **kwargs)

    def memory_required(self, input_shape, cond_shapes={}):
        """Bytes of activations of chunks of this size (B, 16, 9, H/8, W/8), the history's tokens counted."""
        batch, _, _, height, width = input_shape
        size = mm.dtype_size(self.get_dtype_inference())
        return batch * activation_bytes(self.diffusion_model.config, height, width, size)


class HeliosModelConfig(comfy.supported_models_base.BASE):
    unet_extra_config = {}
    sampling_settings = {"shift": 1.0}  # Helios' own shift depends on the stage: the core applies it
    latent_format = comfy.latent_formats.Wan21
    supported_inference_dtypes = [torch.bfloat16, torch.float16, torch.float32]
    memory_usage_factor = 1.0  # memory_required above does not use it


def load_model(path: str, variant: str = "auto", weight_dtype: str = "default", disable_dynamic: bool = False):
    """A checkpoint as a ModelPatcher. Weights stay mapped from the file as long as their dtype is the model's."""
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
    model = HeliosModel(config, variant, stamp(checkpoint.files), device=device)
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
    notes = json.loads(metadata["_quantization_metadata"])
    notes["layers"] = {rename_key(f"{k}.weight").removesuffix(".weight"): v for k, v in notes["layers"].items()}
    return {**metadata, "_quantization_metadata": json.dumps(notes)}


def recipe_of(patcher) -> Recipe:
    if not isinstance(patcher.model, HeliosModel):
        raise ValueError(
            f"model: this is a {type(patcher.model).__name__}, not a Helios model; load one with Helios Model Loader."
        )
    return patcher.model.recipe


def list_models() -> list[str]:
    """Files and folders that may be Helios transformers, those named so first. Shards are known by their folder."""
    names = [n for n in folder_paths.get_filename_list("diffusion_models") if not SHARD.search(n)]
    for root in folder_paths.get_folder_paths("diffusion_models"):
        for mark in ("*/*.safetensors.index.json", "*/transformer/*.safetensors*", "*/config.json"):
            names += [f"{p.relative_to(root).parts[0]}/" for p in Path(root).glob(mark)]
    return sorted(set(names), key=lambda n: ("helios" not in n.lower(), n.lower()))


def find_model(name: str) -> str:
    """The path of a name that `list_models` gave."""
    for root in folder_paths.get_folder_paths("diffusion_models"):
        path = Path(root, name)
        if name.endswith("/") and Path(name).name == name[:-1] != ".." and path.is_dir():
            return str(path)
    return folder_paths.get_full_path_or_raise("diffusion_models", name)


def check_model(name: str) -> bool | str:
    """True, or a sentence that says how to get a model that is not there."""
    if name in list_models():
        return True
    folder = name.rstrip("/")
    how = f'hf download BestWishYsh/{folder} --include "transformer/*" --local-dir {folder}'
    return f"model_name={name}: not in models/diffusion_models. Put a Helios checkpoint there and press R" + (
        f"; this one comes, in that folder, with: {how}" if folder in PUBLISHED else ""
    )


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
