"""Weights of every precision and quantization, and the patches that other packs put on the model."""

import json
from dataclasses import replace

import pytest
import torch

from helios_core import RECIPES
from models import NEGATIVE, POSITIVE, Graph, core_film, film, install, install_helios, relative_error, small_tensors
from oracle import models

# Largest error of a two-chunk film against float32, four times what is measured.
WEIGHT_DTYPES = {
    "default": 1e-5,  # the file's, float32
    "fp32": 1e-5,
    "fp16": 1e-3,
    "bf16": 1e-2,
    "fp8_e4m3fn": 0.1,
    "fp8_e4m3fn_fast": 0.1,
    "fp8_e5m2": 0.2,
}
QUANTIZED = {"scaled_fp8": 0.07, "scaled_fp8, 2": 0.07, "float8_e4m3fn": 0.07, "float8_e5m2": 0.14}


@pytest.fixture(scope="module")
def exact():
    return core_film(RECIPES["distilled"])


@pytest.mark.parametrize("weight_dtype", WEIGHT_DTYPES)
def test_weight_dtypes(any_server, exact, weight_dtype):
    before = len(any_server.log())
    got = film(any_server, weight_dtype=weight_dtype)
    error = relative_error(got, exact)
    print(f"{weight_dtype}: relative error {error:.2g}")
    assert torch.isfinite(got).all() and error < WEIGHT_DTYPES[weight_dtype]
    assert (error > 1e-5) == (weight_dtype not in ("default", "fp32"))
    name = weight_dtype.removesuffix("_fast").replace("default", "fp32")
    long_name = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}.get(name, name.replace("fp8", "float8"))
    assert f"weights torch.{long_name}" in any_server.log()[before:]


def test_files_of_16_bits(any_server, exact):
    """ "default" keeps what the file has, whatever the tables and norms in it are."""
    name = install_helios(any_server, "bf16.safetensors", {k: v.bfloat16() for k, v in small_tensors().items()})
    by_default, asked = (film(any_server, name=name, weight_dtype=w) for w in ("default", "bf16"))
    assert relative_error(by_default, exact) < WEIGHT_DTYPES["bf16"]
    assert relative_error(asked, exact) < WEIGHT_DTYPES["bf16"]


def quantized(dtype: torch.dtype, scale_name: str):
    """The small model's tensors after the prefix of pipelines, the blocks' matrices in fp8; the layers of those."""
    tensors, layers = {}, []
    for key, tensor in small_tensors().items():
        layer = f"transformer.{key.removesuffix('.weight')}"
        if key.startswith("blocks.") and key.endswith(".weight") and tensor.ndim == 2:
            scale = tensor.abs().max() / torch.finfo(dtype).max
            tensor = (tensor / scale).to(dtype)
            tensors[f"{layer}.{scale_name}"] = scale.float()
            layers.append(layer)
        tensors[f"transformer.{key}"] = tensor
    assert len(layers) == 30
    return tensors, layers


def install_quantized(server, kind: str) -> str:
    if kind.startswith("scaled_fp8"):
        tensors, _ = quantized(torch.float8_e4m3fn, "scale_weight")
        tensors["transformer.scaled_fp8"] = torch.zeros(2 if kind.endswith("2") else 0, dtype=torch.float8_e4m3fn)
        return install_helios(server, f"{kind}.safetensors", tensors)
    dtype = getattr(torch, kind)
    tensors, layers = quantized(dtype, "weight_scale")
    notes = {"format_version": "1.0", "layers": {layer: {"format": kind} for layer in layers}}
    return install_helios(server, f"{kind}.safetensors", tensors, _quantization_metadata=json.dumps(notes))


@pytest.mark.parametrize("kind", QUANTIZED)
def test_quantized_files(any_server, exact, kind):
    got = film(any_server, name=install_quantized(any_server, kind), weight_dtype="default")
    error = relative_error(got, exact)
    print(f"{kind}: relative error {error:.2g}")
    assert torch.isfinite(got).all() and 1e-4 < error < QUANTIZED[kind]


def test_torch_compile(server):
    """By the stock node the model is one graph, compiled once for each size that it sees: Base's chunks have one."""
    theirs, ours = models(num_layers=1)
    name = install(server, "one_block.safetensors", dict(theirs.state_dict()), config=theirs.to_json_string())
    graph = Graph(server)
    model = graph.add("TestCompileModel", model=graph.load(name, "base"))
    samples = graph.sample(model, positive=POSITIVE, steps="2", cfg=1.0)
    saved, counted = graph.save(samples), graph.add("TestCompiledFrames", samples=samples)
    outputs = graph.run()["outputs"]
    want = core_film(replace(RECIPES["base"], steps=(2,), cfg=1.0), model=ours)
    assert relative_error(saved.latents, want) < 1e-4
    assert json.loads(outputs[counted[0]]["text"][0]) == {"frames": 1, "breaks": 0}


def patched(server, kind: str, variant="distilled"):
    """(film with a patch on the model, how often the patch was called)"""
    graph = Graph(server)
    samples = graph.sample(
        graph.add("TestPatchModel", model=graph.load(variant=variant), kind=kind),
        positive=POSITIVE,
        **({} if variant == "distilled" else {"negative": NEGATIVE, "steps": "3"}),
    )
    calls = graph.add("TestCalls", samples=samples, kind=kind)
    saved = graph.save(samples)
    outputs = graph.run()["outputs"]
    return saved.latents, int(outputs[calls[0]]["text"][0])


STEPS = 2 * 3 * (2 + 1)  # of a distilled film of two chunks, the first with twice the steps


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("attention", STEPS * 3 * 2),  # self and cross attention of three blocks
        ("keep block", STEPS),
        ("wrapper", STEPS),
    ],
)
def test_patches_that_look_on(any_server, exact, kind, calls):
    got, count = patched(any_server, kind)
    assert relative_error(got, exact) < 1e-5
    assert count == calls


def test_skipping_a_block(any_server, exact):
    got, count = patched(any_server, "skip block")
    assert count == STEPS and torch.isfinite(got).all() and relative_error(got, exact) > 1e-2


@pytest.mark.parametrize("variant", ["base", "mid"])
def test_guidance_patches(any_server, variant):
    """A CFG function replaces ours (CFG-Zero* of Mid too); one after it changes what it gave."""
    steps = {"base": (3,), "mid": (3, 3, 3)}[variant]
    recipe = replace(RECIPES[variant], steps=steps)
    calls = 2 * (sum(steps) - (2 if variant == "mid" else 0))  # Mid's first two steps of a chunk are zero
    plain = core_film(recipe)

    got, count = patched(any_server, "cfg function", variant)
    # The patch is plain CFG, and CFG-Zero* also begins with steps of zero.
    assert count == calls and (relative_error(got, plain) < 1e-5) == (variant == "base")

    got, count = patched(any_server, "post cfg function", variant)
    assert count == calls and relative_error(got, plain) > 1e-2


def test_stock_guidance_patch(any_server):
    def rescale(multiplier):
        def patch(graph, model):
            return graph.add("RescaleCFG", model=model, multiplier=multiplier)

        return patch

    plain = core_film(replace(RECIPES["base"], steps=(2,)))
    assert relative_error(film(any_server, "base", patch=rescale(0.0), steps="2"), plain) < 1e-5
    got = film(any_server, "base", patch=rescale(0.7), steps="2")
    assert torch.isfinite(got).all() and relative_error(got, plain) > 1e-3
