"""Everything that knows ComfyUI's model classes: the Helios model as a native MODEL, and its sampling run.

Differences between ComfyUI versions (0.8.0 and later) are settled here and nowhere else.
"""

import json
import logging
import re
import uuid
from dataclasses import asdict, replace
from pathlib import Path

import comfy.conds
import comfy.latent_formats
import comfy.lora
import comfy.model_base
import comfy.model_management as mm
import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import comfy.supported_models_base
import comfy.utils
import folder_paths
import latent_preview
import torch
from comfy.ldm.modules.attention import optimized_attention
from server import PromptServer

from ..helios_core import (
    RECIPES,
    Chunk,
    HeliosConfig,
    HeliosTransformer,
    HistoryMemory,
    PromptSchedule,
    Recipe,
    load_checkpoint,
    sample_chunks,
    step_count,
)
from ..helios_core.checkpoint import convert_tensors, rename_key
from ..helios_core.config import CHUNK_FRAMES, CHUNK_LATENTS
from ..helios_core.guidance import cfg_zero_star
from ..helios_core.lora import rename_lora
from ..helios_core.prompts import blend_embeddings
from ..helios_core.sampler import plan_chunk

log = logging.getLogger(__name__)

SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
TEXT_TOKENS = 512  # UMT5's window; shorter texts are padded with zeros, which the model attends to
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
    def __init__(self, model_config, variant: str, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostTransformer)
        self.variant = variant

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.variant]

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
                    "with UMT5-XXL (CLIPLoader, type 'wan')."
                )
            context = torch.nn.functional.pad(context, (0, 0, 0, max(0, TEXT_TOKENS - context.shape[1])))
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
        """Bytes of activations at the largest stage, the history's tokens counted."""
        batch, _, frames, height, width = input_shape
        config = self.diffusion_model.config
        noisy = frames * height * width // 4
        # Two full frames (anchor, short); two frames as one at a quarter (mid), sixteen as four at a sixteenth (long).
        history = height * width // 4 * 2 + -(-height // 4) * -(-width // 4) + 4 * -(-height // 8) * -(-width // 8)
        return batch * (noisy + history) * token_bytes(config, mm.dtype_size(self.get_dtype_inference()))


def token_bytes(config: HeliosConfig, size: int) -> int:
    """Peak bytes a token takes inside a block: residual, attention's inputs with a float32 copy, or the MLP's."""
    attention = 5 * config.dim * size + 2 * config.dim * 4
    mlp = 3 * config.dim * size + 2 * config.ffn_dim * size
    return max(attention, mlp)


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
    model = HeliosModel(config, variant, device=None if config.quant_config else torch.device("meta"))
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


class ChunkSampler(comfy.samplers.Sampler):
    """All chunks of a film as one host sampler: the guider keeps the model loaded, its patches and hooks apply."""

    def __init__(self, run: Run, memory: HistoryMemory, schedule, recipe: Recipe, *, chunks: int, noise_device: str):
        self.run, self.memory, self.schedule, self.recipe = run, memory, schedule, recipe
        self.chunks, self.noise_device = chunks, noise_device

    def sample(
        self, guider, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, *args, **kwargs
    ):
        conds = guider.conds["positive"]
        seed = extra_args["seed"]
        total = step_count(self.recipe, self.memory.chunk, self.chunks)
        self.run.keep_keys_values = keys_values_fit(guider, noise.shape)
        self.run.cache = not any("hooks" in c for group in guider.conds.values() for c in group)

        def denoise(x, step):
            if self.run.step is None or step.chunk != self.run.step.chunk:
                guider.conds["positive"] = positive = mix_conds(conds, step.prompt)
                self.run.keep_texts({c["uuid"] for c in [*positive, *guider.conds.get("negative", ())]})
            self.run.begin(step)
            sigma = torch.full((x.shape[0],), host_sigma(step), device=x.device)
            x0 = guider(x, sigma, **extra_args)
            return (x - x0) / step.sigma

        done, latents = 0, []
        try:
            for record in sample_chunks(
                denoise,
                self.memory.to(noise.device),
                self.schedule,
                self.recipe,
                chunks=self.chunks,
                seed=seed,
                noise_device="cpu" if self.noise_device == "cpu" else noise.device.type,
            ):
                mm.throw_exception_if_processing_interrupted()
                if isinstance(record, Chunk):
                    latents.append(record.latents.to(mm.intermediate_device()))
                    self.memory = record.memory
                elif callback is not None:
                    callback(done, record.x0, record.x0, total)
                    done += 1
        finally:
            guider.conds["positive"] = conds
            self.run.clear()
        self.memory = self.memory.to("cpu")
        return torch.cat(latents, dim=2)


def mix_conds(conds: list[dict], mix) -> list[dict]:
    """The conds of a chunk: those of its prompt, or in a blend the last prompt's with their embeddings mixed."""
    chosen = [(weight, [c for c in conds if c["helios_prompt"] == i]) for weight, i in mix]
    if len(chosen) == 1:
        return chosen[0][1]
    mixed = []
    for entries in zip(*(entries for _, entries in chosen)):
        weighted = [(w, c["model_conds"]["c_crossattn"].cond) for (w, _), c in zip(chosen, entries)]
        model_conds = {**entries[-1]["model_conds"], "c_crossattn": comfy.conds.CONDRegular(blend_embeddings(weighted))}
        mixed.append({**entries[-1], "model_conds": model_conds, "uuid": uuid.uuid4()})
    return mixed


def keys_values_fit(guider, shape) -> bool:
    """Whether keeping every prompt's keys and values leaves room for the activations."""
    model = guider.inner_model
    config, device = model.diffusion_model.config, guider.model_patcher.load_device
    prompts = 1 if guider.cfg == 1 else 2
    size = mm.dtype_size(model.get_dtype_inference())
    keys_values = 2 * config.num_layers * shape[0] * prompts * TEXT_TOKENS * config.dim * size
    # The patcher counts what could be evicted too, where weights come and go.
    free = getattr(guider.model_patcher, "get_free_memory", mm.get_free_memory)(device)
    return free > keys_values + 1.5 * model.memory_required(list(shape))


def sample(
    patcher,
    schedule: PromptSchedule,
    negative,
    memory: HistoryMemory,
    recipe: Recipe,
    *,
    chunks: int,
    seed: int,
    noise_device: str = "cpu",
) -> tuple[torch.Tensor, HistoryMemory]:
    """Sample a film; `schedule`'s prompts and `negative` are CONDITIONING.

    Returns raw latents (B, 16, 9 * chunks, H/8, W/8) and the memory to go on from.
    """
    for before, segment in zip(schedule.segments, schedule.segments[1:]):
        if segment.blend and len(before.prompt) != len(segment.prompt):
            raise ValueError(
                f"schedule: the blend at chunk {segment.start} is between conditionings of {len(before.prompt)} and "
                f"{len(segment.prompt)} parts; both need the same number of parts, or use a cut there"
            )
    for tensor_and_values in [entry for s in schedule.segments for entry in s.prompt] + list(negative or ()):
        unusable = {"area", "mask", "control"} & tensor_and_values[1].keys()
        if unusable:
            raise ValueError(
                f"The conditioning has {' and '.join(sorted(unusable))}, which cannot work here: a chunk is made at "
                "several sizes. Connect it without."
            )
    channels = patcher.model.diffusion_model.config.in_channels
    if memory.frames.shape[1] != channels:
        raise ValueError(f"memory: it has {memory.frames.shape[1]} latent channels, this model {channels}.")
    patcher, run = patcher.clone(), Run()
    patcher.model_options.setdefault("transformer_options", {})[RUN] = run
    if recipe.cfg_zero_star and recipe.cfg > 1 and "sampler_cfg_function" not in patcher.model_options:
        patcher.set_model_sampler_cfg_function(
            lambda args: cfg_zero_star(args["cond"], args["uncond"], args["cond_scale"])
        )
    guider = comfy.samplers.CFGGuider(patcher)
    positive = [
        [tensor, {**values, "helios_prompt": i}]
        for i, segment in enumerate(schedule.segments)
        for tensor, values in segment.prompt
    ]
    guider.inner_set_conds({"positive": positive, **({} if negative is None else {"negative": negative})})
    guider.set_cfg(recipe.cfg)

    numbered = PromptSchedule(tuple(replace(s, prompt=i) for i, s in enumerate(schedule.segments)))
    sampler = ChunkSampler(run, memory, numbered, recipe, chunks=chunks, noise_device=noise_device)
    # One chunk tells the host how much memory a step takes; the film is longer.
    chunk = torch.zeros(memory.frames.shape[0], memory.frames.shape[1], CHUNK_LATENTS, *memory.frames.shape[-2:])
    callback = latent_preview.prepare_callback(patcher, step_count(recipe, memory.chunk, chunks))
    # The course of one chunk, for patches that look up where they are; ours asks the recipe.
    plans = plan_chunk(recipe, memory.chunk, *reversed(memory.frames.shape[-2:]))
    sigmas = torch.tensor([t / 1000 for plan in plans for t in plan.timesteps] + [0.0])
    latents = guider.sample(chunk, chunk, sampler, sigmas, callback=callback, seed=seed)
    return latents.to(mm.intermediate_device()), sampler.memory


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


def decode(vae, latents: torch.Tensor, tiling: str, tile_size: int, overlap: int) -> torch.Tensor:
    """Raw latents (B, 16, 9k, H/8, W/8) -> frames (B * 33k, H, W, 3) in 0..1, each chunk decoded on its own."""
    if latents.ndim != 5 or latents.shape[2] % CHUNK_LATENTS:
        raise ValueError(
            f"samples: latents of shape {tuple(latents.shape)} are not Helios chunks (B, 16, a multiple of 9, H, W); "
            "connect Helios Chunk Sampler, or decode them with VAE Decode."
        )
    frames = None
    for b in range(latents.shape[0]):
        for k, chunk in enumerate(latents[b : b + 1].split(CHUNK_LATENTS, dim=2)):
            mm.throw_exception_if_processing_interrupted()
            if tiling == "on" or tiling == "auto" and not decoding_fits(vae, chunk.shape):
                pixels = vae.decode_tiled(
                    chunk, tile_x=tile_size // 8, tile_y=tile_size // 8, overlap=min(overlap, tile_size // 4) // 8
                )
            else:
                pixels = vae.decode(chunk)
            pixels = pixels.reshape(-1, *pixels.shape[-3:])
            if len(pixels) != CHUNK_FRAMES:
                raise ValueError(f"vae: {len(pixels)} frames came of a chunk, not 33; choose the Wan 2.1 VAE.")
            if frames is None:
                count = latents.shape[0] * latents.shape[2] // CHUNK_LATENTS * CHUNK_FRAMES
                frames = torch.empty(count, *pixels.shape[1:], dtype=pixels.dtype)
            start = (b * latents.shape[2] // CHUNK_LATENTS + k) * CHUNK_FRAMES
            frames[start : start + CHUNK_FRAMES] = pixels
    return frames


def decoding_fits(vae, shape) -> bool:
    return vae.memory_used_decode(shape, vae.vae_dtype) < mm.get_total_memory(vae.device)


def show_text(text: str, node_id) -> None:
    """Say something on the node and in the log."""
    log.info("%s", text)
    server = getattr(PromptServer, "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id)
