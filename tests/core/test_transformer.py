"""The transformer alone against diffusers' HeliosTransformer3DModel, float32."""

import pytest
import torch

from helios_core import HeliosTransformer
from helios_core.network.layers import sdpa
from oracle import embeddings, models, relative_error

PARTS = {"long": slice(0, 16), "mid": slice(16, 18), "short": slice(18, 19)}


def history(height, width, batch=1, zero=None, seed=5):
    """Frames and anchor whose parts differ in mean and spread, so that none can pass for another."""
    g = torch.Generator().manual_seed(seed)
    frames = torch.randn(batch, 16, 19, height, width, generator=g)
    frames += torch.linspace(-1, 1, 19)[:, None, None]
    anchor = 2 + 0.5 * torch.randn(batch, 16, 1, height, width, generator=g)
    if zero == "anchor":
        anchor.zero_()
    elif zero:
        frames[:, :, PARTS[zero]] = 0
    return frames, anchor


def noisy(height, width, batch=1, seed=6):
    return torch.randn(batch, 16, 9, height, width, generator=torch.Generator().manual_seed(seed))


def reference(theirs, x, timestep, text, frames, anchor):
    prefix, long, mid, newest, chunk = torch.arange(29).split([1, 16, 2, 1, 9])
    return theirs(
        hidden_states=x,
        timestep=timestep,
        encoder_hidden_states=text,
        indices_hidden_states=chunk[None],
        indices_latents_history_short=torch.cat([prefix, newest])[None],
        indices_latents_history_mid=mid[None],
        indices_latents_history_long=long[None],
        latents_history_short=torch.cat([anchor, frames[:, :, PARTS["short"]]], dim=2),
        latents_history_mid=frames[:, :, PARTS["mid"]],
        latents_history_long=frames[:, :, PARTS["long"]],
        return_dict=False,
    )[0]


def predict(model, x, timestep, text, frames, anchor, keep_keys_values=True, **options):
    return model(
        x, timestep, model.embed_text(text, keep_keys_values), model.embed_history(frames, anchor, x.dtype), **options
    )


@torch.no_grad()
def error(settings=None, size=(8, 12), stage_size=None, batch=1, zero=None, length=64, tokens=20):
    theirs, ours = models(**(settings or {}))
    inputs = (
        noisy(*(stage_size or size), batch),
        torch.tensor([742.0, 31.0])[:batch],
        embeddings(1, length, tokens, dim=ours.config.text_dim, batch=batch),
        *history(*size, batch, zero),
    )
    return relative_error(predict(ours, *inputs), reference(theirs, *inputs))


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(is_amplify_history=True, history_scale_mode="per_head"),
        dict(is_amplify_history=True, history_scale_mode="scalar"),
        dict(guidance_cross_attn=False),
        dict(zero_history_timestep=False),
        dict(guidance_cross_attn=False, zero_history_timestep=False),
        dict(cross_attn_norm=False),
        dict(num_layers=1),
        dict(attention_head_dim=128, rope_dim=(44, 42, 42), num_layers=2),
        dict(rope_dim=(4, 8, 12)),
        dict(eps=1e-3),
        dict(rope_theta=50.0),
    ],
    ids=str,
)
def test_architectures(settings):
    assert error(settings) <= 1e-6


@pytest.mark.parametrize("size", [(10, 6), (2, 2), (4, 26), (14, 18), (16, 8)], ids=str)
def test_sizes(size):
    """Grids of the history that divide by their patches and such that do not."""
    assert error(size=size) <= 1e-6


@pytest.mark.parametrize("stage_size", [(4, 6), (8, 12), (16, 24)], ids=str)
def test_pyramid_stage_against_full_size_history(stage_size):
    assert error(size=(16, 24), stage_size=stage_size) <= 1e-6


@pytest.mark.parametrize("guidance_cross_attn", [True, False])
@pytest.mark.parametrize("zero_history_timestep", [True, False])
def test_batch_with_a_timestep_each(guidance_cross_attn, zero_history_timestep):
    settings = dict(guidance_cross_attn=guidance_cross_attn, zero_history_timestep=zero_history_timestep)
    assert error(settings, batch=2) <= 1e-6


@pytest.mark.parametrize("length,tokens", [(512, 512), (512, 1), (7, 7)])
def test_text_lengths(length, tokens):
    assert error(length=length, tokens=tokens) <= 1e-6


@pytest.mark.parametrize("zero", [*PARTS, "anchor"])
def test_missing_history(zero):
    assert error(zero=zero) <= 1e-6


@torch.no_grad()
def test_each_part_of_the_history_has_its_own_effect():
    _, ours = models()
    outputs = [
        predict(ours, noisy(8, 12), torch.tensor([500.0]), embeddings(1), *history(8, 12, zero=zero))
        for zero in (None, *PARTS, "anchor")
    ]
    for i, a in enumerate(outputs):
        for b in outputs[:i]:
            assert relative_error(a, b) > 1e-3


@torch.no_grad()
def test_padding_of_the_text_counts():
    """Zeros after the last token are tokens that are attended to."""
    _, ours = models()
    args = noisy(4, 4), torch.tensor([500.0])
    short, padded = (predict(ours, *args, embeddings(1, length), *history(4, 4)) for length in (20, 512))
    assert relative_error(short, padded) > 1e-3


@pytest.mark.parametrize("guidance_cross_attn", [True, False])
@torch.no_grad()
def test_kept_keys_and_values_change_nothing(guidance_cross_attn):
    _, ours = models(guidance_cross_attn=guidance_cross_attn)
    args = noisy(4, 6), torch.tensor([500.0]), embeddings(1), *history(4, 6)
    assert len(ours.embed_text(embeddings(1)).keys_values) == 3
    assert ours.embed_text(embeddings(1), keep_keys_values=False).keys_values is None
    assert torch.equal(predict(ours, *args, keep_keys_values=True), predict(ours, *args, keep_keys_values=False))


@torch.no_grad()
def test_embedded_history_and_text_serve_every_step_and_stage():
    _, ours = models()
    frames, anchor = history(16, 16)
    kept, text = ours.embed_history(frames, anchor), ours.embed_text(embeddings(1))
    before = frames.clone(), kept.tokens.clone()
    for size, t in [(4, 900.0), (4, 800.0), (8, 700.0), (16, 300.0), (4, 900.0)]:
        args = noisy(size, size), torch.tensor([t])
        fresh = ours(*args, ours.embed_text(embeddings(1)), ours.embed_history(frames, anchor))
        assert torch.equal(ours(*args, text, kept), fresh)
    assert torch.equal(frames, before[0]) and torch.equal(kept.tokens, before[1])


@pytest.mark.parametrize("guidance_cross_attn", [True, False])
@torch.no_grad()
def test_attention_function(guidance_cross_attn):
    """Called for self and cross attention of each block; in the last one only noisy tokens ask."""
    _, ours = models(guidance_cross_attn=guidance_cross_attn)
    calls = []

    def attention(q, k, v, heads):
        calls.append((tuple(q.shape), tuple(k.shape), tuple(v.shape), heads))
        return sdpa(q, k, v, heads)

    args = noisy(8, 12, 2), torch.tensor([500.0, 10.0]), embeddings(1, 40, batch=2), *history(8, 12, 2)
    out = predict(ours, *args, attention=attention)
    past, chunk, dim = 4 * 1 * 2 + 1 * 2 * 3 + 2 * 4 * 6, 9 * 4 * 6, 48
    every, new, text = (2, past + chunk, dim), (2, chunk, dim), (2, 40, dim)
    asking_text = new if guidance_cross_attn else every
    assert calls == 2 * [(every, every, every, 2), (asking_text, text, text, 2)] + [
        (new, every, every, 2),
        (new, text, text, 2),
    ]
    assert torch.equal(out, predict(ours, *args))
    assert not torch.allclose(out, predict(ours, *args, attention=lambda q, k, v, heads: sdpa(q, k, -v, heads)))


@torch.no_grad()
def test_sdpa_is_softmax_attention():
    q, k, v = torch.randn(3, 2, 5, 12, generator=torch.Generator().manual_seed(0))
    heads = [t.view(2, 5, 3, 4).transpose(1, 2) for t in (q, k, v)]
    want = (heads[0] @ heads[1].mT / 2).softmax(-1) @ heads[2]
    assert relative_error(sdpa(q, k, v, 3), want.transpose(1, 2).reshape(2, 5, 12)) < 1e-6


@pytest.mark.parametrize("mode", ["per_head", "scalar", None])
@pytest.mark.parametrize("guidance_cross_attn", [True, False])
def test_every_parameter_gets_a_gradient(mode, guidance_cross_attn):
    _, ours = models(
        is_amplify_history=mode is not None,
        history_scale_mode=mode or "per_head",
        guidance_cross_attn=guidance_cross_attn,
    )
    ours.train()
    x = noisy(4, 6).requires_grad_()
    predict(ours, x, torch.tensor([500.0]), embeddings(1), *history(4, 6)).square().mean().backward()
    for name, p in [*ours.named_parameters(), ("x", x)]:
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any(), name


def test_gradient_of_the_input_is_the_slope():
    """One directional derivative against a central difference."""
    _, ours = models()
    x, direction = noisy(4, 4).requires_grad_(), noisy(4, 4, seed=9)

    def flow(x):
        return predict(ours, x, torch.tensor([500.0]), embeddings(1), *history(4, 4)).square().sum()

    (gradient,) = torch.autograd.grad(flow(x), x)
    with torch.no_grad():
        difference = (flow(x + 1e-2 * direction) - flow(x - 1e-2 * direction)) / 2e-2
    assert relative_error((gradient * direction).sum(), difference) < 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@torch.no_grad()
def test_half_precision(dtype):
    _, full = models()
    half = HeliosTransformer(full.config, dtype=dtype).eval()
    half.load_state_dict(full.state_dict())
    args = noisy(8, 12), torch.tensor([500.0]), embeddings(1), *history(8, 12)
    want = predict(full, *args)
    got = predict(half, args[0].to(dtype), args[1], args[2].to(dtype), *args[3:])
    assert got.dtype == dtype and torch.isfinite(got).all()
    assert relative_error(got, want) < 4e-2
    assert half.blocks[0].ffn[0].weight.dtype == dtype
    for kept in (half.patch_long, half.time_embedding[0], half.blocks[0].norm3, half.blocks[0].modulation):
        assert kept.weight.dtype == torch.float32


@torch.no_grad()
def test_one_history_for_both_halves_of_guidance():
    _, ours = models()
    x, t = noisy(8, 8, 2), torch.tensor([500.0, 20.0])
    past = ours.embed_history(*history(8, 8, 2))
    positive, negative = embeddings(1, batch=2), embeddings(2, tokens=7, batch=2)
    both = ours(torch.cat([x, x]), torch.cat([t, t]), ours.embed_text(torch.cat([positive, negative])), past)
    for half, text in zip(both.chunk(2), (positive, negative)):
        assert relative_error(half, ours(x, t, ours.embed_text(text), past)) <= 1e-6
    assert past.tokens.shape[0] == 2
