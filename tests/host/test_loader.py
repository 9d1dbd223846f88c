"""Checkpoints as they lie on disk: what the loader lists, the layouts it reads, the memory that takes."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from helios_core import RECIPES
from host_python import run_with_host
from models import (
    core_film,
    film,
    install,
    install_helios,
    relative_error,
    small,
    small_config,
    small_tensors,
    wait_listed,
)

INDEX = "diffusion_pytorch_model.safetensors.index.json"


def write_shards(folder, tensors: dict, count: int) -> None:
    """A folder as diffusers saves a large model: shards, their index and config.json."""
    folder.mkdir(parents=True)
    names, weight_map = list(tensors), {}
    each = -(-len(names) // count)
    for i in range(count):
        file = f"diffusion_pytorch_model-{i + 1:05}-of-{count:05}.safetensors"
        part = {name: tensors[name].clone() for name in names[i * each : (i + 1) * each]}
        save_file(part, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(small_config())


def wan_names() -> dict:
    """The small model's tensors under Wan's names, with tables that are no modules, as in single-file repacks."""
    return {k.replace("modulation.weight", "modulation"): v for k, v in small()[1].state_dict().items()}


def install_layouts(server) -> None:
    """Every layout of the small model that people have on disk, once each."""
    models = server.models_dir / "diffusion_models"
    if (models / "helios-pipeline").exists():
        return
    tensors = small_tensors()
    write_shards(models / "helios-mid-shards", tensors, 3)
    elsewhere = server.base_dir / "elsewhere"
    write_shards(elsewhere / "any-name", tensors, 2)
    (models / "helios-mid-link").symlink_to(elsewhere / "any-name")
    write_shards(models / "helios-pipeline" / "transformer", tensors, 2)
    index = {"_class_name": "HeliosPyramidPipeline", "is_distilled": True}
    (models / "helios-pipeline" / "model_index.json").write_text(json.dumps(index))
    small()[0].save_pretrained(models / "helios-base-folder")
    (models / "sub").mkdir()
    install_helios(server, "sub/helios_base_fp32.safetensors")
    install_helios(server, "metadata.safetensors", helios_variant="mid")
    deep = models / "BestWishYsh" / "Helios-Distilled"
    write_shards(deep / "transformer", tensors, 2)
    write_shards(deep / "transformer_ode", tensors, 2)
    write_shards(models / "a" / "b" / "helios-mid-deep", tensors, 2)
    cache = models / "models--BestWishYsh--Helios-Base"
    write_shards(cache / "blobs", tensors, 2)
    snapshot = cache / "snapshots" / "5f3a" / "transformer"
    snapshot.mkdir(parents=True)
    for file in (cache / "blobs").iterdir():
        blob = file.rename(file.with_name(f"{hash(file.name):x}"))
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    install(server, "wan_names.safetensors", wan_names(), config=small_config(), helios_variant="distilled")
    prefixed = {f"model.diffusion_model.{k}": v for k, v in tensors.items()}
    install(server, "prefixed.safetensors", prefixed, config=small_config(), helios_variant="distilled")
    install_helios(server)
    wait_listed(server, "helios-mid-shards/diffusion_pytorch_model-00003-of-00003.safetensors")


# Name in the widget -> variant that "auto" finds.
LAYOUTS = {
    "helios-pipeline/": "distilled",
    "helios-mid-shards/": "mid",
    "helios-base-folder/": "base",
    "helios-mid-link/": "mid",
    "sub/helios_base_fp32.safetensors": "base",
    "metadata.safetensors": "mid",
    "wan_names.safetensors": "distilled",
    "prefixed.safetensors": "distilled",
    "BestWishYsh/Helios-Distilled/": "distilled",
    "a/b/helios-mid-deep/": "mid",
    "models--BestWishYsh--Helios-Base/": "base",
}
# Names that are not listed, as workflows from other systems have them, and the layouts that they mean.
OTHER_NAMES = {
    "helios-pipeline": "helios-pipeline/",
    "sub\\helios_base_fp32.safetensors": "sub/helios_base_fp32.safetensors",
    "BestWishYsh\\Helios-Distilled\\": "BestWishYsh/Helios-Distilled/",
    "BestWishYsh/Helios-Distilled/transformer": "BestWishYsh/Helios-Distilled/",
    "models--BestWishYsh--Helios-Base/snapshots/5f3a": "models--BestWishYsh--Helios-Base/",
    f"helios-mid-shards/{INDEX}": "helios-mid-shards/",
    "helios-mid-shards/diffusion_pytorch_model-00002-of-00003.safetensors": "helios-mid-shards/",
}
NO_NAMES = ["", ".", "/", "..", "../vae/", "..\\vae", "sub/../../vae/tiny_wan_vae.safetensors", "/etc/passwd", "/etc/"]
NO_NAMES += [
    "sub",
    "sub/",
    "small.safetensors/",
    "nowhere/",
    "nowhere.safetensors",
    "helios-pipeline/model_index.json/",
]


def three_steps(variant: str):
    return replace(RECIPES[variant], steps=(3,) * RECIPES[variant].stages)


def listed(server) -> list[str]:
    return server.object_info("HeliosModelLoader")["input"]["required"]["model_name"][1]["options"]


def test_files_and_folders_are_listed(any_server):
    """Those called Helios first; shards by their folders only; what is in a folder can be chosen alone too."""
    install_layouts(any_server)
    names = listed(any_server)
    assert {*LAYOUTS, "small.safetensors"} <= set(names)
    assert not [name for name in names if "-of-0" in name or name.startswith("sub/") and name.endswith("/")]
    assert len(names) == len(set(names))
    named = [("helios" in name.lower()) for name in names]
    assert named == sorted(named, reverse=True)
    folders = {name for name in names if name.startswith(("BestWishYsh", "models--", "a/"))}
    assert folders == {"BestWishYsh/Helios-Distilled/", "models--BestWishYsh--Helios-Base/", "a/b/helios-mid-deep/"}


def test_names_as_other_systems_have_them(server):
    """Found with backslashes, without the last slash, by a part of the folder; nothing outside the folders is."""
    install_layouts(server)
    code = """
found = {name: os.path.realpath(host.find_model(name)) for name in json.loads(args[0])}
print(json.dumps([found, {name: host.check_model(name) for name in json.loads(args[1])}]))
"""
    names, none = json.dumps([*OTHER_NAMES, *LAYOUTS]), json.dumps(NO_NAMES)
    found, said = json.loads(run_with_host(server.comfy_path, code, names, none, base=server.base_dir))
    models = server.models_dir / "diffusion_models"
    assert {name: found[name] for name in LAYOUTS} == {name: os.path.realpath(models / name) for name in LAYOUTS}
    for name, layout in OTHER_NAMES.items():
        assert found[name].startswith(found[layout])
    for name in NO_NAMES:
        assert str(said[name]).startswith(f"model_name={name}: not in models/diffusion_models"), name


@pytest.mark.parametrize("name", ["BestWishYsh\\Helios-Distilled", f"helios-mid-shards/{INDEX}"])
def test_a_name_that_is_not_listed_loads(any_server, name):
    install_layouts(any_server)
    got = film(any_server, "auto", name=name, steps="3")
    assert (
        relative_error(got, core_film(three_steps(LAYOUTS[OTHER_NAMES.get(name, "BestWishYsh/Helios-Distilled/")])))
        < 1e-5
    )


def test_how_to_get_a_model_that_is_not_there(comfy_path, tmp_path):
    """Whatever the system writes the name with; without quotes, which frontends and shells take differently."""
    code = "print(json.dumps([host.check_model(name) for name in args]))"
    names = ["Helios-Distilled/", "Helios-Distilled", "sub\\Helios-Base\\", "other.safetensors"]
    *said, other = json.loads(run_with_host(comfy_path, code, *names, base=tmp_path))
    for text, name in zip(said, ("Distilled", "Distilled", "Base"), strict=True):
        command = f"hf download BestWishYsh/Helios-{name} --include transformer/ --local-dir Helios-{name} "
        assert command in text and "28 GB" in text and not set("'\"`") & set(text)
    assert (
        other
        == "model_name=other.safetensors: not in models/diffusion_models. Put a Helios checkpoint there and press R."
    )


def test_a_file_that_changed_is_loaded_anew(server):
    """By ComfyUI's cache it would not be: the name is the same."""
    name = install_helios(server, "changing.safetensors")
    before = film(server, name=name, steps="1,1,1")
    assert torch.equal(film(server, name=name, steps="1,1,1"), before)
    other = {k: 0.9 * t for k, t in small_tensors().items()}
    new = server.models_dir / "diffusion_models" / "new.tmp"
    save_file(other, new, {"config": small_config()})
    new.replace(new.with_name(name))
    assert relative_error(film(server, name=name, steps="1,1,1"), before) > 0.01


def test_files_that_change_while_they_are_loaded(comfy_path, tmp_path):
    """A film would go on with old weights and new ones. Files that are gone are still mapped."""
    write_shards(tmp_path / "helios-base", small_tensors(), 2)
    code = """
patcher = host.load_model(args[0], "auto", "fp32")
said = []
def check():
    try:
        said.append(patcher.model.check_files())
    except ValueError as error:
        said.append(str(error))
check()
shard = sorted(Path(args[0]).glob("*.safetensors"))[1]
shard.rename(shard.with_name("away")), check()
shard.with_name("away").rename(shard), check()
with open(shard, "r+b") as file:
    file.seek(-4, 2), file.write(b"1234")
check()
print(json.dumps(said))
"""
    changed = "diffusion_pytorch_model-00002-of-00002.safetensors: this file has changed since it was loaded; "
    said = json.loads(run_with_host(comfy_path, code, tmp_path / "helios-base"))
    assert said == [None, None, None, changed + "load the model again."]


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_load(any_server, name):
    install_layouts(any_server)
    before = len(any_server.log())
    got = film(any_server, "auto", name=name, steps="3")
    variant = LAYOUTS[name]
    assert f"Helios {variant} loaded from" in any_server.log()[before:]
    assert relative_error(got, core_film(three_steps(variant))) < 1e-5


def test_variant_of_the_widget_wins(server):
    install_layouts(server)
    got = film(server, "base", name="helios-pipeline/", steps="3")
    assert relative_error(got, core_film(three_steps("base"))) < 1e-5


def test_a_new_folder_appears_without_a_restart(server):
    folder = server.models_dir / "diffusion_models" / "helios-new"
    write_shards(folder, small_tensors(), 2)
    assert "helios-new/" in listed(server)
    shutil.rmtree(folder)
    assert "helios-new/" not in listed(server)


PEAK = """
import re
folder, weight_dtype = args

def status(key):
    return int(re.search(key + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = status("VmRSS")
patcher = host.load_model(folder, "base", weight_dtype)
after = status("VmRSS")
total = sum(float(p.float().abs().sum()) > 0 for p in patcher.model.parameters())  # read every page of them
print(json.dumps({"before": before, "loaded": after, "peak": status("VmHWM"), "tensors": total}))
"""


@pytest.fixture(scope="module")
def large_checkpoint(tmp_path_factory):
    """Some 0.9 GB of bf16 in five shards."""
    from diffusers import HeliosTransformer3DModel

    settings = dict(num_attention_heads=8, attention_head_dim=128, ffn_dim=4096, num_layers=24, text_dim=4096)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in HeliosTransformer3DModel(**settings).state_dict().items()}
    noise = torch.randn(2**24).bfloat16() * 0.02
    folder = tmp_path_factory.mktemp("large") / "helios-large"
    write_shards(folder, {k: noise[: shape.numel()].view(shape) for k, shape in shapes.items()}, 5)
    (folder / "config.json").write_text(json.dumps(settings))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks of memory are read from Linux' /proc")
@pytest.mark.parametrize(("weight_dtype", "loaded", "peak"), [("bf16", 0.15, 1.2), ("fp8_e4m3fn", 0.6, 1.1)])
def test_peak_memory_of_loading(comfy_path, large_checkpoint, weight_dtype, loaded, peak):
    """In a fresh process with ComfyUI in it, in sizes of the file: kept in its own precision it is mapped and stays
    on disk until it is read (which is done here at the end; one more copy of a shard would be 0.2); converted, one
    shard is open beside the new weights."""
    size = sum(file.stat().st_size for file in large_checkpoint.glob("*.safetensors"))
    memory = json.loads(run_with_host(comfy_path, PEAK, large_checkpoint, weight_dtype))
    ratios = {key: round((memory[key] - memory["before"]) / size, 3) for key in ("loaded", "peak")}
    print(f"{weight_dtype}: file {size / 1e9:.2f} GB, resident over the baseline / file size {ratios}")
    assert memory["tensors"] > 400
    assert ratios["loaded"] < loaded and ratios["peak"] < peak
