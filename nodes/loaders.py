"""Helios checkpoints and LoRAs."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from . import host
from .limits import within_limits
from .types import ADVANCED, CATEGORY


@within_limits
class HeliosModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosModelLoader",
            display_name="Helios Model Loader",
            category=CATEGORY,
            description="Loads a Helios transformer. The MODEL is a native one: LoRA, fp8, offloading and compile "
            "nodes work on it. Text encoder and VAE are Wan 2.1's, from CLIPLoader (type wan) and VAELoader.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=host.list_models(),
                    tooltip="A file or folder in models/diffusion_models: a single .safetensors file, a folder of "
                    "shards with their index, or a whole Hugging Face folder.",
                ),
                io.Combo.Input(
                    "variant",
                    options=["auto", *host.RECIPES],
                    default="auto",
                    tooltip="Which recipe of steps, solver and guidance goes with the weights. They do not tell; "
                    "auto reads it from metadata, model_index.json or the name of file or folder.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(host.WEIGHT_DTYPES),
                    default="default",
                    tooltip="default: the file's precision, or the nearest that ComfyUI uses on this device. fp8 "
                    "halves memory; _fast also multiplies in fp8 on GPUs that can (RTX 40 and later).",
                    extra_dict=ADVANCED,
                ),
            ],
            outputs=[io.Model.Output(tooltip="For Helios Chunk Sampler, directly or after LoRA and patch nodes.")],
        )

    @classmethod
    def validate_inputs(cls, model_name=None):
        return True if model_name is None else host.check_model(model_name)

    @classmethod
    def fingerprint_inputs(cls, model_name, variant, weight_dtype):
        return model_name and host.versions_of(model_name), variant, weight_dtype

    @classmethod
    def execute(cls, model_name, variant, weight_dtype) -> io.NodeOutput:
        return io.NodeOutput(host.load_model(host.find_model(model_name), variant, weight_dtype))


@within_limits
class HeliosDemoLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosDemoLoader",
            display_name="Helios Demo Loader",
            category=CATEGORY,
            description="A tiny Helios that comes with the pack, with text encoder and VAE. It knows coloured shapes "
            "that move over plain grounds, at 192x128, and runs on any computer.",
            inputs=[
                io.Combo.Input(
                    "variant",
                    options=["distilled", "base"],
                    default="distilled",
                    tooltip="How to sample: one set of weights does both. distilled is fast, base takes many steps "
                    "with guidance.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For Helios Chunk Sampler."),
                io.Clip.Output(tooltip="For Helios Prompt Schedule or CLIP Text Encode."),
                io.Vae.Output(tooltip="For Helios VAE Decode."),
            ],
        )

    @classmethod
    def execute(cls, variant) -> io.NodeOutput:
        return io.NodeOutput(*host.load_demo(variant))


@within_limits
class HeliosLoraLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosLoraLoader",
            display_name="Helios LoRA Loader",
            category=CATEGORY,
            description="Applies a LoRA in any spelling of its keys: Wan, diffusers, PEFT, kohya. LoRAs for Wan 2.1 "
            "14B fit as well. Says how many modules matched; none is an error.",
            inputs=[
                io.Model.Input("model", tooltip="A Helios model."),
                io.Combo.Input(
                    "lora_name",
                    options=folder_paths.get_filename_list("loras"),
                    tooltip="A file in models/loras.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-100.0,
                    max=100.0,
                    step=0.01,
                    tooltip="Factor on the LoRA's change of the weights; 0 is off, negative values turn it around.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with the LoRA on it.")],
            hidden=[io.Hidden.unique_id],
            **host.SAYS_TEXT,
        )

    @classmethod
    def execute(cls, model, lora_name, strength) -> io.NodeOutput:
        path = folder_paths.get_full_path_or_raise("loras", lora_name)
        patched, report = host.apply_lora(model, path, strength)
        host.show_text(report, cls.hidden.unique_id)
        return io.NodeOutput(patched, ui=host.text_ui(cls.hidden.unique_id))

    @classmethod
    def fingerprint_inputs(cls, lora_name, strength, **_):
        path = lora_name and folder_paths.get_full_path("loras", lora_name)
        return lora_name, strength, path and host.file_versions([Path(path)])
