"""LoRAs in every spelling, through the stock loader and ours, against weights that they were merged into."""

import json
import os
import re
from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file, save_file

from comfy_server import find_comfyui, find_old_comfyui
from helios_core import RECIPES
from host_python import run_with_host
from models import POSITIVE, Graph, core_film, film, install, relative_error, small, small_config, small_tensors

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


def peft_keys(down, up):
    return {".lora_A.weight": down, ".lora_B.weight": up}


def peft_adapter(down, up):
    return {".lora_A.default.weight": down, ".lora_B.default.weight": up}


def kohya(down, up):
    """With an alpha of half the rank, which halves the change: the matrix is twice as large for it."""
    return {".lora_down.weight": down, ".lora_up.weight": 2 * up, ".alpha": torch.tensor(RANK / 2)}


# How the files of each spelling call a module (ours, diffusers') and its matrices.
SPELLINGS = {
    "wan": (lambda ours, _: f"diffusion_model.{ours}", peft_keys),
    "wan kohya": (lambda ours, _: "lora_unet_" + ours.replace(".", "_"), kohya),
    "wan, alpha": (lambda ours, _: f"diffusion_model.{ours}", kohya),
    "diffusers": (lambda _, theirs: f"transformer.{theirs}", peft_keys),
    "peft": (lambda _, theirs: f"base_model.model.{theirs}", peft_adapter),
    "bare": (lambda _, theirs: theirs, peft_keys),
    "bare wan": (lambda ours, _: ours, peft_keys),
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
        return next(message["text"] for message in events.of("helios.text") if message["node"] == lora[0])


def test_says_how_many_matched(server):
    assert said_of(server, lora_file(server, "diffusers")) == f"diffusers.safetensors: {len(MODULES)} modules patched"


def test_tables_of_modulation_change_the_film(any_server, plain):
    """As lightx2v saves them; the host patches what it casts, an Embedding's weight here."""
    tensors, model = {}, deepcopy(small()[1])
    for name in ("blocks.0", "blocks.2", "head"):
        table = model.get_parameter(f"{name}.modulation.weight")
        change = torch.randn(table.shape, generator=torch.Generator().manual_seed(1)) * 0.2
        tensors[f"diffusion_model.{name}.diff_m"] = change[None]
        table.data += 0.5 * change
    name = install(any_server, "modulation.safetensors", tensors, kind="loras")

    def patch(graph, model):
        return graph.add("HeliosLoraLoader", model=model, lora_name=name, strength=0.5)

    got = film(any_server, patch=patch, weight_dtype="fp32")
    assert relative_error(got, core_film(RECIPES["distilled"], model=model)) < 1e-4
    assert relative_error(got, plain) > 0.01


# What files do to the parameters, number by number. A case is (tensors, metadata, parameter -> what is added to it at a
# strength of 1, what is said of what is left out).
Q, TABLE = "blocks.0.self_attn.q", "blocks.1.modulation"
THEIR_Q = "blocks.0.attn1.to_q"
ALPHA = 3.0  # 1.5 times as strong
METADATA = {"transformer.r": RANK, "transformer.lora_alpha": ALPHA, "text_encoder.lora_alpha": 99}


def pair(seed=0, out=48, into=48, rank=RANK):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, into, generator=generator), torch.randn(out, rank, generator=generator)


DOWN, UP = pair()
PRODUCT = UP @ DOWN


def one(down_key, up_key, alpha_key=None, metadata=None, scale=1.5):
    """A LoRA of one module under these keys."""
    tensors = {down_key: DOWN, up_key: UP} | ({alpha_key: torch.tensor(ALPHA)} if alpha_key else {})
    return tensors, metadata or {}, {f"{Q}.weight": scale * PRODUCT}, ""


def peft(metadata, scale=1.5, key="lora_adapter_metadata", name=f"transformer.{THEIR_Q}"):
    return one(f"{name}.lora_A.weight", f"{name}.lora_B.weight", None, {key: json.dumps(metadata)}, scale)


def kohya_keys(name):
    return one(f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.alpha")


def added(tensors, changes):
    return tensors, {}, changes, ""


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def whole_lora():
    """Every module that ours has, with an alpha of each."""
    tensors, changes = {}, {}
    for ours, _, down, up in matrices():
        name = f"diffusion_model.{ours}"
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(1.0)}
        changes[f"{ours}.weight"] = up @ down / RANK
    return tensors, {}, changes, ""


def loha():
    (b1, a1), (b2, a2) = pair(1), pair(2)
    name = "lycoris_blocks_0_self_attn_q"
    parts = {"w1_a": a1, "w1_b": b1, "w2_a": a2, "w2_b": b2}
    tensors = {f"{name}.hada_{part}": tensor for part, tensor in parts.items()} | {f"{name}.alpha": torch.tensor(ALPHA)}
    return added(tensors, {f"{Q}.weight": 1.5 * (a1 @ b1) * (a2 @ b2)})


def lokr():
    w1, w2 = random(6, 8), random(8, 6)
    name = f"diffusion_model.{Q}"
    return added({f"{name}.lokr_w1": w1, f"{name}.lokr_w2": w2}, {f"{Q}.weight": torch.kron(w1, w2)})


def bias_of_peft():
    """PEFT scales the upper matrix' bias as it scales their product."""
    tensors, metadata, changes, said = peft(METADATA)
    bias = random(48)
    tensors[f"transformer.{THEIR_Q}.lora_B.bias"] = bias
    return tensors, metadata, changes | {f"{Q}.bias": 1.5 * bias}, said


def lora_and_difference():
    """Both count; the stock loader lets the second replace the first."""
    tensors, _, changes, _ = kohya_keys(f"diffusion_model.{Q}")
    difference, bias = random(48, 48), random(48)
    more = {f"diffusion_model.{Q}.diff": difference, f"diffusion_model.{Q}.diff_b": bias}
    return added(tensors | more, {f"{Q}.weight": changes[f"{Q}.weight"] + difference, f"{Q}.bias": bias})


def left_out(reason, **more):
    """Something that changes nothing beside something that does."""
    tensors, metadata, changes, _ = kohya_keys(f"diffusion_model.{Q}")
    return tensors | {k.replace("__", "."): v for k, v in more.items()}, metadata, changes, reason


NORM = "cross_attn.norm_k"
CASES = {
    "whole": whole_lora(),
    **{
        name: kohya_keys(keys)
        for name, keys in {
            "wan": f"diffusion_model.{Q}",
            "kohya": "lora_unet_blocks_0_self_attn_q",
            "kohya, diffusers": "lora_unet_blocks_0_attn1_to_q",
            "kohya, two underscores": "lora_unet__blocks_0_self_attn_q",
            "kohya, dotted": "lora_unet.blocks.0.self_attn.q",
            "kohya, half dotted": "lora_unet_blocks.0.self_attn.q",
            "kohya, half dotted diffusers": "lora_unet_blocks.0.attn1.to_q",
            "lycoris": "lycoris_blocks_0_self_attn_q",
            "another prefix": f"pipe.dit.{Q}",
        }.items()
    },
    "processor": one(
        "transformer.blocks.0.attn1.processor.to_q_lora.down.weight",
        "transformer.blocks.0.attn1.processor.to_q_lora.up.weight",
        scale=1,
    ),
    "processor of the output": (
        {
            "blocks.0.attn1.processor.to_out_lora.down.weight": DOWN,
            "blocks.0.attn1.processor.to_out_lora.up.weight": UP,
        },
        {},
        {"blocks.0.self_attn.o.weight": PRODUCT},
        "",
    ),
    "lora.down": one(f"{THEIR_Q}.lora.down.weight", f"{THEIR_Q}.lora.up.weight", f"{THEIR_Q}.alpha"),
    "lora_linear_layer": one(
        f"{THEIR_Q}.lora_linear_layer.down.weight", f"{THEIR_Q}.lora_linear_layer.up.weight", f"{THEIR_Q}.alpha"
    ),
    "no weight": one(f"{THEIR_Q}.lora_A", f"{THEIR_Q}.lora_B", scale=1),
    "adapter's name": one(f"base_model.model.{Q}.lora_A.my.weight", f"base_model.model.{Q}.lora_B.my.weight", scale=1),
    "no scale": peft({"transformer.r": RANK}, 1),
    "metadata": peft(METADATA),
    "metadata, half": peft({"transformer.r": RANK, "transformer.lora_alpha": 1}, 0.5),
    "metadata of finetrainers": peft({"r": RANK, "lora_alpha": ALPHA}, key="lora_config"),
    "metadata, wan": peft(METADATA, name=f"diffusion_model.{Q}"),
    "metadata, rank": peft({"transformer.r": 64, "transformer.rank_pattern": {THEIR_Q: RANK}, **METADATA}),
    "metadata, alpha of a module": peft(METADATA | {"transformer.alpha_pattern": {"to_k": 9, THEIR_Q: 1}}, 0.5),
    "metadata, alpha of an ending": peft(METADATA | {"transformer.alpha_pattern": {"to_q": 1}}, 0.5),
    "metadata, alpha of a pattern": peft(METADATA | {"transformer.alpha_pattern": {r"blocks\.\d+\.attn1\..*": 1}}, 0.5),
    "metadata, alpha of others": peft(METADATA | {"transformer.alpha_pattern": {"attn2.to_q": 1, "(": 1}}),
    "metadata, alpha of ours": peft(METADATA | {"transformer.alpha_pattern": {Q: 1}}, 0.5),
    "metadata, rsLoRA": peft(METADATA | {"transformer.use_rslora": True}, ALPHA / RANK**0.5),
    "alpha before metadata": one(
        f"{THEIR_Q}.lora_A.weight",
        f"{THEIR_Q}.lora_B.weight",
        f"{THEIR_Q}.alpha",
        {"lora_adapter_metadata": json.dumps(METADATA | {"transformer.lora_alpha": 99})},
    ),
    "bias of peft": bias_of_peft(),
    "bias": added({f"diffusion_model.{Q}.diff_b": (t := random(48))}, {f"{Q}.bias": t}),
    "norm": added({f"diffusion_model.blocks.0.{NORM}.diff": (t := random(48))}, {f"blocks.0.{NORM}.weight": t}),
    "norm with a bias": added(
        {"diffusion_model.blocks.0.norm3.diff": random(48), "transformer.blocks.0.norm2.diff_b": 2 * random(48)},
        {"blocks.0.norm3.weight": random(48), "blocks.0.norm3.bias": 2 * random(48)},
    ),
    "modulation": added({f"diffusion_model.{TABLE}.diff": random(1, 6, 48)}, {f"{TABLE}.weight": random(1, 6, 48)[0]}),
    "modulation of ours": added({f"{TABLE}.diff": (t := random(6, 48))}, {f"{TABLE}.weight": t}),
    "modulation, diff_m": added(
        {"diffusion_model.blocks.1.diff_m": random(1, 6, 48), "diffusion_model.head.diff_m": random(1, 2, 48)},
        {f"{TABLE}.weight": random(1, 6, 48)[0], "head.modulation.weight": random(1, 2, 48)[0]},
    ),
    "modulation, kohya": added({"lora_unet_blocks_1.diff_m": (t := random(6, 48))}, {f"{TABLE}.weight": t}),
    "modulation, diffusers": added(
        {"blocks.1.scale_shift_table.diff": random(1, 6, 48), "norm_out.scale_shift_table.diff": random(1, 2, 48)},
        {f"{TABLE}.weight": random(1, 6, 48)[0], "head.modulation.weight": random(1, 2, 48)[0]},
    ),
    "patches": added({"patch_embedding.diff": (t := random(48, 16, 1, 2, 2))}, {"patch_embedding.weight": t}),
    "loha": loha(),
    "lokr": lokr(),
    "lora and difference": lora_and_difference(),
    "A without B": left_out(
        r"1 lora_A without lora_B \(blocks\.1\.attn1\.to_q\)", blocks__1__attn1__to_q__lora_A__weight=DOWN
    ),
    "B without A": left_out(r"1 lora_B without lora_A", blocks__1__attn1__to_q__lora_B__weight=UP),
    "bias without matrices": left_out(r"1 lora_B without lora_A", blocks__1__attn1__to_q__lora_B__bias=random(48)),
    "half a loha": left_out(
        r"1 incomplete", blocks__1__attn1__to_q__hada_w1_a=UP, blocks__1__attn1__to_q__hada_w1_b=DOWN
    ),
    "zeros": left_out(r"1 all zeros", blocks__1__attn1__to_q__lora_A=DOWN, blocks__1__attn1__to_q__lora_B=0 * UP),
    "zeros of a norm": left_out(r"1 all zeros \(blocks\.0\.norm3\)", blocks__0__norm3__diff=torch.zeros(48)),
    "image to video": left_out(
        r"1 not in Helios \(blocks\.0\.cross_attn\.k_img\), 1 made for another model \(patch_embedding\)",
        patch_embedding__diff=random(48, 36, 1, 2, 2),
        blocks__0__cross_attn__k_img__lora_A=DOWN,
        blocks__0__cross_attn__k_img__lora_B=UP,
    ),
    "another rank": left_out(
        r"1 damaged", blocks__1__attn1__to_q__lora_A=DOWN, blocks__1__attn1__to_q__lora_B=random(48, 5)
    ),
    "text encoder": left_out(r"2 not in Helios", text_model__a__lora_A=DOWN, text_model__b__lora_A=DOWN),
    "blocks of another model": left_out(
        r"1 not in Helios",
        transformer_blocks__0__attn1__to_k__lora_A=DOWN,
        transformer_blocks__0__attn1__to_k__lora_B=UP,
    ),
    "a parameter": left_out(r"1 not understood \(blocks\.0\.modulation\)", blocks__0__modulation=random(1, 6, 48)),
}
WRONG = {
    "empty": ({}, {}, "there is nothing in this file"),
    "only zeros": ({f"{Q}.diff": torch.zeros(48, 48)}, {}, "nothing in this LoRA changes Helios (1 all zeros"),
    "only half": ({f"{Q}.lora_A.weight": DOWN}, {}, "nothing in this LoRA changes Helios (1 lora_A without lora_B"),
    "another model": ({"single_blocks.0.linear1.lora_A.weight": DOWN}, {}, "no key of this LoRA fits Helios"),
    "other inputs": (
        {f"{Q}.lora_A.weight": random(2, 1536), f"{Q}.lora_B.weight": random(1536, 2)},
        {},
        f"{Q} is for a model with 1536 outputs there, Helios has 48. LoRAs for",
    ),
    "two": ({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_down.weight": DOWN}, {}, "there are two LoRAs in this file"),
    "two adapters": ({f"{Q}.lora_A.{n}.weight": DOWN for n in "ab"}, {}, "there are two LoRAs in this file"),
    "alpha of two": ({**peft({})[0], f"transformer.{THEIR_Q}.alpha": torch.ones(2)}, {}, "is no number"),
    "alpha, nan": ({**peft({})[0], f"transformer.{THEIR_Q}.alpha": torch.tensor(float("nan"))}, {}, "is no number"),
    "metadata, text": (*peft(METADATA | {"transformer.lora_alpha": "3"})[:2], "lora_alpha='3' in its metadata"),
    "metadata, list": (*peft(METADATA | {"transformer.alpha_pattern": [1]})[:2], "alpha_pattern=[1] is no table"),
    "metadata, broken": (peft({})[0], {"lora_adapter_metadata": "{"}, "metadata lora_adapter_metadata: not valid JSON"),
}


CHANGES = """
import comfy.lora
from safetensors.torch import save_file
model, out, strength, *files = args
plain, said = host.load_model(model, "base", "fp32"), {}
weights = dict(plain.model.named_parameters())
for file in files:
    name = Path(file).name
    try:
        patched, said[name] = host.apply_lora(plain, file, float(strength))
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
        continue
    changed = {
        key.removeprefix("diffusion_model."): comfy.lora.calculate_weight(patches, weights[key].detach().clone(), key)
        for key, patches in patched.patches.items()
    }
    save_file({key: tensor.contiguous() for key, tensor in changed.items()}, f"{out}/{name}")
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=["default", "oldest"])
def changes(request, tmp_path_factory):
    """(parameters that each case patches at a strength of 0.7, what is said of each), from one process of the host."""
    host = find_comfyui() if request.param == "default" else find_old_comfyui()
    if host is None:
        pytest.skip("this ComfyUI is not here")
    folder, out = tmp_path_factory.mktemp("loras"), tmp_path_factory.mktemp("changes")
    model = folder / "model.safetensors"
    save_file(small_tensors(), model, {"config": small_config()})
    files = {name: case[:2] for name, case in (CASES | WRONG).items()}
    for name, (tensors, metadata) in files.items():
        tensors = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        save_file(tensors, folder / f"{name}.safetensors", metadata or None)
    (folder / "folder").mkdir()
    save_file(peft({})[0], folder / "folder" / "adapter_model.safetensors")
    (folder / "folder" / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    torch.save(kohya_keys(Q)[0], folder / "pickled.pt")
    (folder / "damaged.pt").write_bytes(b"nothing")
    os.mkfifo(folder / "pipe.safetensors")
    paths = [folder / f"{name}.safetensors" for name in files]
    paths += [folder / "folder" / "adapter_model.safetensors", folder / "pickled.pt", folder / "damaged.pt"]
    paths += [folder / "pipe.safetensors"]
    said = json.loads(run_with_host(host, CHANGES, model, out, "0.7", *paths))
    return {path.name: load_file(path) for path in out.iterdir() if path.suffix != ".pt"}, said


def assert_changed(got, expected, strength=0.7):
    weights = small()[1].state_dict()
    assert got.keys() == expected.keys()
    for key, change in expected.items():
        wanted = weights[key] + strength * change
        assert relative_error(got[key], wanted) < 1e-6, key
        assert relative_error(weights[key], wanted) > 1e-3, key


@pytest.mark.parametrize("name", CASES)
def test_strength_is_exact(changes, name):
    """Every number of every parameter, and what is said: as many modules as change, and what does not."""
    patched, said = changes
    _, _, expected, left_out = CASES[name]
    assert_changed(patched[f"{name}.safetensors"], expected)
    count = len({key.rsplit(".", 1)[0] for key in expected})
    start = f"{name}.safetensors: {count} module{'s' if count > 1 else ''} patched"
    pattern = re.escape(start) + (f"; left out: {left_out}.*" if left_out else "")
    assert re.fullmatch(pattern, said[f"{name}.safetensors"])


@pytest.mark.parametrize("name", WRONG)
def test_files_that_change_nothing_are_refused(changes, name):
    assert f"ValueError: {name}.safetensors" in changes[1][f"{name}.safetensors"]
    assert WRONG[name][2] in changes[1][f"{name}.safetensors"]


def test_a_folder_of_peft(changes):
    assert_changed(changes[0]["adapter_model.safetensors"], {f"{Q}.weight": 1.5 * PRODUCT})


def test_other_kinds_of_files(changes):
    said = changes[1]
    assert said["pickled.pt"] == "pickled.pt: 1 module patched"
    assert said["damaged.pt"].startswith("ValueError: damaged.pt: cannot be read (")
    assert said["pipe.safetensors"] == "ValueError: pipe.safetensors: this is a named pipe, a file is needed."
