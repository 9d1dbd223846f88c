"""What other packs do to a Wan model, and what comes by a link: for tests only."""

import json
import types

import comfy.patcher_extension
from comfy.ldm.modules.attention import optimized_attention


def _cross_attention(self, x, context, transformer_options={}, **kwargs):
    """Wan's, as packs copy it to change it."""
    q, k, v = self.norm_q(self.q(x)), self.norm_k(self.k(context)), self.v(context)
    return self.o(optimized_attention(q, k, v, heads=self.num_heads, transformer_options=transformer_options))


def _weaker_cross_attention(self, x, context, **kwargs):
    return 0.5 * _cross_attention(self, x, context, **kwargs)


def _self_attention(self, x, freqs, transformer_options={}):
    raise AssertionError("never called")


def _feed_forward(self, x):
    return self[2](self[1](self[0](x)))


def _wrapper(executor, x, timestep, context, clip_fea, time_dim_concat, transformer_options, **kwargs):
    assert isinstance(transformer_options, dict)
    return executor(x, timestep, context, clip_fea, time_dim_concat, transformer_options, **kwargs)


def _fails(args):
    return args["denoised"].no_such_thing


class TeaCache:
    """By its name, as ComfyUI-TeaCache has it."""

    def patch(self):
        def unet_wrapper_function(model_function, args):
            raise AssertionError("never called")

        return unet_wrapper_function


class WanPatch:
    """The model with something that other packs do to a Wan model, by Wan's names and signatures."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("MODEL",)
    FORWARDS = {
        "cross_attn": _cross_attention,
        "cross_attn weaker": _weaker_cross_attention,
        "self_attn": _self_attention,
        "ffn": _feed_forward,
    }
    KINDS = (*FORWARDS, "wrapper", "TeaCache", "fails", "no such part")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "kind": (cls.KINDS,)}}

    def run(self, model, kind):
        model = model.clone()
        if kind in self.FORWARDS:
            for i, block in enumerate(model.get_model_object("diffusion_model").blocks):
                path = kind.split()[0]
                forward = types.MethodType(self.FORWARDS[kind], getattr(block, path))
                model.add_object_patch(f"diffusion_model.blocks.{i}.{path}.forward", forward)
        elif kind == "wrapper":
            model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "test", _wrapper)
        elif kind == "TeaCache":
            model.set_model_unet_function_wrapper(TeaCache().patch())
        elif kind == "fails":
            model.set_model_sampler_post_cfg_function(_fails)
        else:
            model.add_object_patch("diffusion_model.rope_embedder", _fails)
        return (model,)


class Value:
    """Any value, written as JSON, from a socket of any type."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("*",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"json": ("STRING", {})}}

    def run(self, **inputs):
        return (json.loads(inputs["json"]),)
