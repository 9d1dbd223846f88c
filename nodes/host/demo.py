"""The demo's three parts as ComfyUI's own objects: a Helios with a tiny text encoder and VAE."""

from pathlib import Path
from types import SimpleNamespace

import comfy.latent_formats
import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.text_encoders.t5
import comfy.utils
from comfy.cli_args import args
from comfy.text_encoders.spiece_tokenizer import SPieceTokenizer

from ...helios_core.diffusion.recipe import DEMO_RECIPES
from ...helios_core.files import demo_folder
from ...helios_core.media.codecs import channels_last, cpu_dtype
from ...helios_core.media.text_encoder import umt5_sizes
from .loader import load_model


class DemoLatents(comfy.latent_formats.Wan21):
    """Wan 2.1's latents in all but their colours, which are the demo VAE's own: python -m training.preview."""

    latent_rgb_factors = [
        [-0.0089, 0.0045, 0.0119],
        [-0.0256, -0.0017, -0.0307],
        [-0.0209, 0.0012, 0.0072],
        [0.0118, 0.0751, 0.0119],
        [0.0204, -0.0058, -0.0058],
        [0.0738, 0.1793, 0.0864],
        [0.3647, 0.0764, 0.1159],
        [0.171, 0.2622, 0.2761],
        [0.0617, 0.035, 0.024],
        [-0.0365, -0.0058, 0.0447],
        [-0.0745, -0.0383, 0.1327],
        [0.0465, 0.0013, 0.0489],
        [0.0067, 0.0056, 0.0243],
        [-0.0155, -0.0088, -0.0174],
        [0.0322, 0.0294, 0.0452],
        [0.0212, -0.0111, -0.0282],
    ]
    latent_rgb_factors_bias = [-0.3978, -0.3484, -0.3267]

    def __init__(self):
        super().__init__()
        self.taesd_decoder_name = None  # a preview decoder of Wan's would show false colours

    @staticmethod
    def latent_rgb_factors_reshape(x0):
        """The newest frame: a chunk's first latent, which previews show otherwise, has other colours."""
        return x0[:, :, -1:]


def load_demo(variant: str):
    """(MODEL, CLIP, VAE)."""
    folder = demo_folder()
    tensors, metadata = comfy.utils.load_torch_file(
        str(folder / "text_encoder.safetensors"), safe_load=True, return_metadata=True
    )
    tokens = int(metadata["tokens"])
    return load_demo_model(variant, tokens), make_clip(tensors, tokens), load_vae(folder / "vae.safetensors")


def load_demo_model(variant: str, tokens: int, disable_dynamic: bool = False):
    model = load_model(str(demo_folder()), variant, disable_dynamic=disable_dynamic)
    inner = model.model
    inner.text_tokens, inner.text_encoder, inner.recipes = tokens, "the CLIP of Helios Demo Loader", DEMO_RECIPES
    inner.latent_format, inner.native_size = DemoLatents(), (192, 128)
    model.cached_patcher_init = (load_demo_model, (variant, tokens))  # ComfyUI loads it again for other GPUs
    return model


def load_vae(path: Path) -> comfy.sd.VAE:
    """In the type that ComfyUI chooses or was told; on a CPU, where it would choose float32, in what is fastest."""
    told = args.fp16_vae or args.bf16_vae or args.fp32_vae
    on_cpu = comfy.model_management.is_device_cpu(comfy.model_management.vae_device())
    dtype = cpu_dtype() if on_cpu and not told else None
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path), safe_load=True), dtype=dtype)
    if on_cpu:
        channels_last(vae.first_stage_model)
    return vae


def make_clip(tensors: dict, tokens: int) -> comfy.sd.CLIP:
    """UMT5 of any size with its sentencepiece tokenizer; prompts are filled up to `tokens`."""
    pieces = tensors.pop("spiece_model")
    sizes = umt5_sizes(tensors)
    config = {**sizes, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True, "model_type": "umt5"}

    class Encoder(comfy.sd1_clip.SDClipModel):
        def __init__(self, device="cpu", layer="last", layer_idx=None, dtype=None, model_options={}):
            super().__init__(
                device=device,
                layer=layer,
                layer_idx=layer_idx,
                dtype=dtype,
                textmodel_json_config=config,
                model_class=comfy.text_encoders.t5.T5,
                special_tokens={"end": 1, "pad": 0},
                enable_attention_masks=True,
                zero_out_masked=True,
                model_options=model_options,
            )

    class PieceTokenizer(comfy.sd1_clip.SDTokenizer):
        def __init__(self, embedding_directory=None, tokenizer_data={}):
            super().__init__(
                tokenizer_data["spiece_model"],
                tokenizer_class=SPieceTokenizer,
                embedding_directory=embedding_directory,
                embedding_size=sizes["d_model"],
                embedding_key="demo",
                has_start_token=False,
                pad_with_end=False,
                pad_to_max_length=False,
                pad_token=0,
                max_length=99999999,
                min_length=tokens,
                tokenizer_data=tokenizer_data,
            )

    class Tokenizer(comfy.sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory=None, tokenizer_data={}):
            super().__init__(embedding_directory, tokenizer_data, clip_name="demo", tokenizer=PieceTokenizer)

    class Model(comfy.sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, model_options={}):
            super().__init__(device=device, dtype=dtype, model_options=model_options, name="demo", clip_model=Encoder)

    target = SimpleNamespace(params={}, clip=Model, tokenizer=Tokenizer)
    return comfy.sd.CLIP(target, tokenizer_data={"spiece_model": pieces}, state_dict=[tensors])
