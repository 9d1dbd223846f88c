"""Code that runs in a fresh Python with ComfyUI and the pack's `host` in it, without a server."""

import os
import subprocess
import sys

from comfy_server import PACK

PRELUDE = """
import importlib.util, json, os, sys
from pathlib import Path
comfy_folder, pack, base, *args = sys.argv[1:]
sys.argv = ["main.py", "--cpu", *(["--base-directory", base] if base else [])]
sys.path.insert(0, comfy_folder)
os.chdir(comfy_folder)
import comfy.options
comfy.options.enable_args_parsing()
import utils.install_util  # before another `utils` is imported
import nodes, torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
from pack.nodes import host
"""


def run_with_host(comfy_path, code: str, *args, base="") -> str:
    """What the code prints last; its arguments are in `args`. `base` is ComfyUI's --base-directory."""
    command = [sys.executable, "-c", PRELUDE + code, comfy_path, PACK, base, *args]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
