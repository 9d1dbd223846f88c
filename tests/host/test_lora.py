"""LoRAs in every spelling, through the stock loader and ours, against weights that they were merged into."""

import re
from copy import deepcopy

import pytest
import torch

from helios_core import RECIPES
from models import POSITIVE, Graph, core_film, film, install, relative_error, small

RANK = 2
# Our modules and diffusers' names of them: all of a block, and what lies outside the blocks.
MODULES = {
    **{f"blocks.{i}.self_attn.{m}": f"blocks.{i}.attn1.to_{m}" for i in (0, 2) for m in "qkv"},
    **{f"blocks.{i}.self_attn.o": f"blocks.{i}.attn1.to_out.0" for i in (0, 2)},
    **{f"blocks.1.cross_attn.{m}": f"blocks.1.attn2.to_{m}" for m in "qkv"},
    "blocks.1.cross_attn.o": "blocks.1.attn2.to_out.0",
    "blocks.0.ffn.0": "blocks.0.ffn.net.0.proj",
    "blocks.2.ffn.2": "blocks.2.ffn.net.2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
}


def peft(down, up):
    return {".lora_A.weight": down, ".lora_B.weight": up}


def peft_adapter(down, up):
    return {".lora_A.default.weight": down, ".lora_B.default.weight": up}


def kohya(down, up):
    """With an alpha of half the rank, which halves the change: the matrix is twice as large for it."""
    return {".lora_down.weight": down, ".lora_up.weight": 2 * up, ".alpha": torch.tensor(RANK / 2)}


# How the files of each spelling call a module (ours, diffusers') and its matrices.
SPELLINGS = {
    "wan": (lambda ours, _: f"diffusion_model.{ours}", peft),
    "wan kohya": (lambda ours, _: "lora_unet_" + ours.replace(".", "_"), kohya),
    "wan, alpha": (lambda ours, _: f"diffusion_model.{ours}", kohya),
    "diffusers": (lambda _, theirs: f"transformer.{theirs}", peft),
    "peft": (lambda _, theirs: f"base_model.model.{theirs}", peft_adapter),
    "bare": (lambda _, theirs: theirs, peft),
    "bare wan": (lambda ours, _: ours, peft),
    "diffusers kohya": (lambda _, theirs: "lora_unet_" + theirs.replace(".", "_"), kohya),
    "diffusers kohya, two underscores": (lambda _, theirs: "lora_unet__" + theirs.replace(".", "_"), kohya),
    "lora_transformer": (lambda _, theirs: "lora_transformer_" + theirs.replace(".", "_"), kohya),
}
STOCK = ("wan", "wan kohya", "wan, alpha")


def matrices():
    """(ours, diffusers' name, down, up) of every module."""
    generator = torch.Generator().manual_seed(7)
    weights = small()[1].state_dict()
    for ours, theirs in MODULES.items():
        out, into = weights[f"{ours}.weight"].shape
        down = torch.randn(RANK, into, generator=generator) / into**0.5
        yield ours, theirs, down, torch.randn(out, RANK, generator=generator) * 0.2


def lora_file(server, spelling: str) -> str:
    name, factors = SPELLINGS[spelling]
    tensors = {
        name(ours, theirs) + suffix: tensor
        for ours, theirs, down, up in matrices()
        for suffix, tensor in factors(down, up).items()
    }
    return install(server, f"{spelling}.safetensors", tensors, kind="loras")


def merged_film(strength: float = 1.0):
    model = deepcopy(small()[1])
    with torch.no_grad():
        for ours, _, down, up in matrices():
            model.get_parameter(f"{ours}.weight").add_(strength * up @ down)
    return core_film(RECIPES["distilled"], model=model)


def lora_film(server, spelling, strength=1.0, node="HeliosLoraLoader", weight_dtype="fp32"):
    extra = {"strength" if node == "HeliosLoraLoader" else "strength_model": strength}

    def patch(graph, model):
        return graph.add(node, model=model, lora_name=lora_file(server, spelling), **extra)

    return film(server, patch=patch, weight_dtype=weight_dtype)


@pytest.fixture(scope="module")
def plain():
    return core_film(RECIPES["distilled"])


@pytest.fixture(scope="module")
def merged(plain):
    film = merged_film()
    assert relative_error(film, plain) > 0.05
    return film


@pytest.mark.parametrize("spelling", STOCK)
def test_stock_loader(any_server, merged, spelling):
    assert relative_error(lora_film(any_server, spelling, node="LoraLoaderModelOnly"), merged) < 1e-4


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_our_loader(server, merged, spelling):
    assert relative_error(lora_film(server, spelling), merged) < 1e-4


def test_our_loader_on_the_oldest_host(old_server, merged):
    assert relative_error(lora_film(old_server, "diffusers kohya"), merged) < 1e-4


@pytest.mark.parametrize("strength", [0.0, 0.5, -1.0])
@pytest.mark.parametrize(("node", "spelling"), [("LoraLoaderModelOnly", "wan"), ("HeliosLoraLoader", "diffusers")])
def test_strength(server, plain, node, spelling, strength):
    got = lora_film(server, spelling, strength, node)
    assert relative_error(got, merged_film(strength)) < 1e-4
    assert (relative_error(got, plain) < 1e-4) == (strength == 0)


def test_two_loras_add_up_and_the_model_stays_as_it_was(server, plain):
    """Half on top of half is the whole; a film without them afterwards, with the same loaded model, shows nothing."""

    def patch(graph, model):
        for spelling in ("diffusers", "wan kohya"):
            name = lora_file(server, spelling)
            model = graph.add("HeliosLoraLoader", model=model, lora_name=name, strength=0.5)
        return model

    assert relative_error(film(server, patch=patch), merged_film()) < 1e-4
    assert relative_error(film(server), plain) < 1e-5


def test_on_fp8_weights(server, merged, plain):
    """A LoRA on quantized weights changes the film as it does elsewhere, within what the quantization costs."""
    got = lora_film(server, "diffusers", weight_dtype="fp8_e4m3fn")
    assert relative_error(got, merged) < 0.5 * relative_error(plain, merged)


def said_of(server, name: str) -> str:
    graph = Graph(server)
    lora = graph.add("HeliosLoraLoader", model=graph.load(), lora_name=name, strength=1.0)
    graph.save(graph.sample(lora, positive=POSITIVE, length=33, steps="1"))
    with server.events() as events:
        prompt_id = server.queue(graph, client_id=events.client_id)
        events.wait_done(prompt_id)
        server.wait(prompt_id)
        return next(message["text"] for message in events.of("progress_text") if message["node"] == lora[0])


def test_says_how_many_matched(server):
    assert said_of(server, lora_file(server, "diffusers")) == f"diffusers.safetensors: {len(MODULES)} modules patched"
    tensors = {
        "blocks.0.attn1.to_q.lora_A.weight": torch.zeros(2, 48),
        "blocks.0.attn1.to_q.lora_B.weight": torch.zeros(48, 2),
    }
    tensors |= {f"text_model.layer.{i}.lora_A.weight": torch.zeros(2, 8) for i in range(3)}
    said = said_of(server, install(server, "partly.safetensors", tensors, kind="loras"))
    assert re.fullmatch("partly.safetensors: 1 modules? patched, 3 unknown ones left out", said)
