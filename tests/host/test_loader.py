"""Checkpoints as they lie on disk: what the loader lists, the layouts it reads, the memory that takes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from comfy_server import PACK
from helios_core import RECIPES
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
}


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


PEAK_SCRIPT = """
import importlib.util, json, os, re, sys
comfy, pack, folder, weight_dtype = sys.argv[1:]
sys.argv = ["main.py", "--cpu"]
sys.path.insert(0, comfy)
os.chdir(comfy)
import comfy.options
comfy.options.enable_args_parsing()
import nodes
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
from pack.nodes import host

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
    command = [sys.executable, "-c", PEAK_SCRIPT, str(comfy_path), str(PACK), str(large_checkpoint), weight_dtype]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    memory = json.loads(done.stdout.splitlines()[-1])
    ratios = {key: round((memory[key] - memory["before"]) / size, 3) for key in ("loaded", "peak")}
    print(f"{weight_dtype}: file {size / 1e9:.2f} GB, resident over the baseline / file size {ratios}")
    assert memory["tensors"] > 400
    assert ratios["loaded"] < loaded and ratios["peak"] < peak
