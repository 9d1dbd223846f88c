"""The Helios model as a native MODEL of ComfyUI."""

import logging
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
import torch
from comfy.ldm.modules.attention import optimized_attention

from ...helios_core import RECIPES, HeliosConfig, HeliosTransformer, Recipe
from ...helios_core.network.checkpoint import file_versions
from ...helios_core.network.config import TEXT_TOKENS
from ...helios_core.network.layers import CrossAttention
from ...helios_core.network.sizes import activation_bytes
from .run import RUN

log = logging.getLogger(__name__)


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
        self.in_channels = self.config.in_channels  # other packs ask for it

    def forward(
        self,
        x,
        timestep,
        context=None,
        clip_fea=None,
        time_dim_concat=None,
        transformer_options={},
        helios_call=None,
        **kwargs,
    ):
        """As Wan's, for the wrappers of other packs; the text is in `helios_call`."""
        wrappers = comfy.patcher_extension.get_all_wrappers(
            comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, transformer_options
        )
        if wrappers:
            x = x.clone()  # step caches add to it, and in float32 it is the sampler's
        flow = comfy.patcher_extension.WrapperExecutor.new_class_executor(self._forward, self, wrappers).execute(
            x, timestep, context, clip_fea, time_dim_concat, transformer_options, helios_call=helios_call
        )
        return flow.float() * helios_call.scale  # out here, so that wrappers see flows of one scale

    def _forward(self, x, timestep, context, clip_fea, time_dim_concat, transformer_options, helios_call):
        options = {**transformer_options, "total_blocks": len(self.blocks), "block_type": "double"}
        timestep = helios_call.timestep.expand(x.shape[0])
        return super().forward(x, timestep, helios_call.text, helios_call.history, HostAttention(options))

    def embed_text(self, context, keep_keys_values=True):
        # Another pack's cross-attention makes them itself.
        own = all(getattr(b.cross_attn.forward, "__func__", None) is CrossAttention.forward for b in self.blocks)
        return super().embed_text(context, keep_keys_values and own)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:  # nodes for other models look for these
            raise AttributeError(
                f"Helios has no {name}: this node is made for another model, remove it from this one."
            ) from None

    def run_block(self, i, past, x, rows, rope, text, attention):
        """As on Wan, other packs may replace a block: they see the noisy tokens as `img`."""
        options = attention.options
        options["block_index"] = i
        patch = options.get("patches_replace", {}).get("dit", {}).get(("double_block", i))
        if patch is None:
            return super().run_block(i, past, x, rows, rope, text, attention)

        def original(args):
            out = super(HostTransformer, self).run_block(
                i, args.get("past", past), args["img"], args["vec"], args["pe"], args["txt"], attention
            )
            return {"past": out[0], "img": out[1]}

        args = {"img": x, "past": past, "txt": text, "vec": rows, "pe": rope, "transformer_options": options}
        out = patch(args, {"original_block": original})
        return out.get("past", past), out["img"]


class HeliosModel(comfy.model_base.BaseModel):
    native_size = 640, 384  # width and height that it was trained at
    # The demo's are others.
    text_tokens, text_encoder, recipes = TEXT_TOKENS, "UMT5-XXL (Load CLIP, type wan)", RECIPES

    def __init__(self, model_config, variant: str, files: list[Path], file_versions: tuple, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostTransformer)
        self.variant, self.files, self.file_versions = variant, files, file_versions

    def check_files(self) -> None:
        """Raise ValueError where a file of the weights is not what it was when it was loaded: they are mapped from it,
        and a film would go on with old weights and new ones. One that is gone is still mapped."""
        for file, loaded in zip(self.files, self.file_versions, strict=True):
            if file.exists() and file_versions([file]) != (loaded,):
                raise ValueError(f"{file.name}: this file has changed since it was loaded; load the model again.")

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


class Settings(dict):
    """A transformer's; nodes that are for U-Nets look for others."""

    def __missing__(self, key):
        raise ValueError(
            f"This node asks for the model's {key}, which only U-Nets such as Stable Diffusion have. Helios is a "
            "transformer: remove the node."
        )


class HeliosModelConfig(comfy.supported_models_base.BASE):
    unet_extra_config = {}
    sampling_settings = {"shift": 1.0}  # Helios' own shift depends on the stage: the core applies it
    latent_format = comfy.latent_formats.Wan21
    supported_inference_dtypes = [torch.bfloat16, torch.float16, torch.float32]
    memory_usage_factor = 1.0  # memory_required above does not use it

    def __init__(self, unet_config):
        super().__init__(unet_config)
        self.unet_config = Settings(self.unet_config)


def native_size(patcher) -> tuple[int, int]:
    """Width and height that a model makes best."""
    return patcher.model.native_size
