"""diffusers' Helios as the reference that everything is held against."""

from types import SimpleNamespace

import torch
from diffusers import (
    AutoencoderKLWan,
    HeliosDMDScheduler,
    HeliosPipeline,
    HeliosPyramidPipeline,
    HeliosScheduler,
    HeliosTransformer3DModel,
)

from helios_core import HeliosConfig, HeliosTransformer
from helios_core.diffusion.sigmas import GAMMA
from helios_core.network.checkpoint import rename_keys

SMALL = dict(
    num_attention_heads=2,
    attention_head_dim=24,
    rope_dim=(8, 8, 8),
    ffn_dim=96,
    num_layers=3,
    text_dim=32,
    freq_dim=64,
)


def models(seed=0, **changes):
    """A small random diffusers transformer and ours with the same weights."""
    torch.manual_seed(seed)
    settings = {**SMALL, **changes}
    theirs = HeliosTransformer3DModel(**settings).eval()
    with torch.no_grad():
        # The defaults of new layers leave much of the model without effect: zero biases, unit norms and scales.
        for name, p in theirs.named_parameters():
            if p.ndim == 1 or "history_key_scale" in name:
                p.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3)
            else:
                p.mul_(1.5)
    ours = HeliosTransformer(HeliosConfig.from_dict(settings)).eval()
    ours.load_state_dict(
        {k: v.reshape(ours.state_dict()[k].shape) for k, v in rename_keys(theirs.state_dict()).items()}
    )
    return theirs, ours


def embeddings(seed, length=512, tokens=20, dim=SMALL["text_dim"], batch=1):
    """Text embeddings (B, length, dim) with zeros after the last token, as UMT5 gives them here."""
    text = torch.zeros(batch, length, dim)
    text[:, :tokens] = torch.randn(batch, tokens, dim, generator=torch.Generator().manual_seed(seed))
    return text


class NoVAE(AutoencoderKLWan):
    """The pipelines decode every chunk, even for latent output; here nobody looks at the pixels."""

    def decode(self, z, return_dict=True):
        return (torch.zeros(z.shape[0], 3, 33, 8, 8),)


class Pyramid(HeliosPyramidPipeline):
    """With the block noise's singular matrix factored in float64: in float32 the original fails on a CPU."""

    def sample_block_noise(self, batch, channel, frames, height, width, patch_size, device, generator):
        cov = torch.eye(4, dtype=torch.float64) * (1 + GAMMA) - GAMMA + torch.eye(4, dtype=torch.float64) * 1e-8
        factor = torch.linalg.cholesky(cov).float()
        z = torch.randn(batch * channel * frames * height * width // 4, 4, generator=generator)
        noise = (z @ factor.T).view(batch, channel, frames, height // 2, width // 2, 2, 2)
        return noise.permute(0, 1, 2, 3, 5, 4, 6).reshape(batch, channel, frames, height, width)


def pipeline(transformer, variant):
    """The diffusers pipeline of a variant around a transformer; text and pixels are left out."""
    vae = NoVAE(base_dim=4, num_res_blocks=1)
    shared = dict(tokenizer=None, text_encoder=None, vae=vae, transformer=transformer)
    if variant == "base":
        scheduler = HeliosScheduler(stages=1, stage_range=[0, 1], use_dynamic_shifting=True)
        pipe = HeliosPipeline(scheduler=scheduler, **shared)
    elif variant == "mid":
        scheduler = HeliosScheduler(use_dynamic_shifting=True)
        pipe = Pyramid(scheduler=scheduler, is_cfg_zero_star=True, **shared)
    else:
        scheduler = HeliosDMDScheduler(use_dynamic_shifting=True, time_shift_type="linear")
        pipe = Pyramid(scheduler=scheduler, is_distilled=True, **shared)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def reference_film(transformer, variant, recipe, *, width, height, chunks, seed, positive, negative=None, **options):
    """Latents (B, 16, 9 * chunks, H/8, W/8) in model space, as the variant's pipeline makes them."""
    steps = (
        dict(num_inference_steps=recipe.steps[0])
        if variant == "base"
        else dict(
            pyramid_num_inference_steps_list=list(recipe.steps),
            is_amplify_first_chunk=recipe.amplify_first_chunk,
            zero_steps=recipe.zero_steps,
        )
    )
    return pipeline(transformer, variant)(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        width=width,
        height=height,
        num_frames=33 * chunks,
        guidance_scale=recipe.cfg,
        generator=torch.Generator().manual_seed(seed),
        output_type="latent",
        is_skip_first_chunk=recipe.skip_first_chunk,
        **steps,
        **options,
    ).frames


def relative_error(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


__all__ = ["SMALL", "SimpleNamespace", "embeddings", "models", "reference_film", "relative_error"]
