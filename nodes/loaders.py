"""Helios checkpoints and LoRAs."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from . import host
from .limits import within_limits
from .types import CATEGORY


@within_limits
class HeliosModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosModelLoader",
            display_name="Helios Model Loader",
            category=CATEGORY,
            search_aliases=["load helios", "wan", "long video", "infinite video", "text to video", "video model"],
            description="Loads a Helios model: Base, Mid or Distilled. It works with ComfyUI's LoRA, fp8, offloading "
            "and compile nodes. The text encoder and the VAE are those of Wan 2.1: use Load CLIP (type wan) and Load "
            "VAE.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=host.list_models(),
                    tooltip="A file or a folder in models/diffusion_models. It can be one .safetensors file, a folder "
                    "with all parts of a model, or a folder from Hugging Face.",
                    extra_dict={"helios_downloads": host.downloads()},
                ),
                io.Combo.Input(
                    "variant",
                    options=["auto", *host.RECIPES],
                    default="auto",
                    tooltip="How to sample: each model needs its own steps, solver and guidance. auto finds out from "
                    "the file's metadata, from model_index.json, or from the name of the file or folder.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(host.WEIGHT_DTYPES),
                    default="default",
                    tooltip="How exactly the weights are kept. default: as in the file, or the nearest that ComfyUI "
                    "uses on this device. fp8 takes half the memory of bf16. _fast also computes in fp8, on an RTX 40 "
                    "or later.",
                    extra_dict=host.ADVANCED,
                ),
            ],
            outputs=[io.Model.Output(tooltip="For the Helios samplers, directly or after LoRA and patch nodes.")],
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
        return host.schema(
            node_id="HeliosDemoLoader",
            display_name="Helios Demo Loader",
            category=CATEGORY,
            search_aliases=["try helios", "example", "demo", "tiny model"],
            description="A tiny Helios that comes with the pack, with its own text encoder and VAE. It makes coloured "
            "shapes that move over plain backgrounds, at 192x128, and runs on any computer.",
            inputs=[
                io.Combo.Input(
                    "variant",
                    options=["distilled", "base"],
                    default="distilled",
                    tooltip="How to sample. distilled is fast. base takes many steps, with guidance. The weights are "
                    "the same.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For the Helios samplers."),
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
        return host.schema(
            node_id="HeliosLoraLoader",
            display_name="Helios LoRA Loader",
            category=CATEGORY,
            search_aliases=["wan lora", "load lora", "video lora", "style", "camera"],
            description="Puts a LoRA on a Helios model. LoRAs for Helios and for Wan 2.1 14B fit, from any training "
            "tool. The node says how much of the LoRA was used.",
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
                    tooltip="Factor for how strongly the LoRA acts. 1 is as it was trained, 0 is off, below 0 does the "
                    "opposite.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with the LoRA on it.")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, model, lora_name, strength) -> io.NodeOutput:
        path = folder_paths.get_full_path_or_raise("loras", lora_name)
        patched, report = host.apply_lora(model, path, strength)
        text = host.NodeText(cls.hidden.unique_id)
        text.say(report)
        return io.NodeOutput(patched, ui=text.ui())

    @classmethod
    def fingerprint_inputs(cls, lora_name, strength, **_):
        path = lora_name and folder_paths.get_full_path("loras", lora_name)
        return lora_name, strength, path and host.file_versions([Path(path)])
