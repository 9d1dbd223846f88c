"""Run in a process of its own: what LoRA files do to a model's parameters, as ComfyUI computes it.

COMFY PACK MODEL OUT STRENGTH FILE...: writes what each file patches to OUT under its name, and prints what is said of
each as JSON."""

# ruff: noqa: E402, I001
import importlib.util
import json
import os
import sys
from pathlib import Path

comfy_folder, pack, model, out, strength, *files = sys.argv[1:]
sys.argv = ["main.py", "--cpu"]
sys.path.insert(0, comfy_folder)
os.chdir(comfy_folder)
import comfy.options

comfy.options.enable_args_parsing()
import utils.install_util  # noqa: F401  before another `utils` is imported
import nodes  # noqa: F401
import comfy.lora
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("pack", f"{pack}/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
from pack.nodes import host

plain, said = host.load_model(model, "base", "fp32"), {}
weights = dict(plain.model.named_parameters())
for file in files:
    try:
        patched, report = host.apply_lora(plain, file, float(strength))
    except Exception as error:
        said[Path(file).name] = f"{type(error).__name__}: {error}"
        continue
    changed = {
        key.removeprefix("diffusion_model."): comfy.lora.calculate_weight(patches, weights[key].detach().clone(), key)
        for key, patches in patched.patches.items()
    }
    save_file({key: tensor.contiguous() for key, tensor in changed.items()}, f"{out}/{Path(file).name}")
    said[Path(file).name] = report
print(json.dumps(said))
