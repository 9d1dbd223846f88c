"""Code that runs in a fresh Python with ComfyUI and the pack's `host` in it, without a server."""

import tempfile
from pathlib import Path

from comfy_process import start_process
from comfy_server import PACK

PRELUDE = """
import importlib.util, json, os, sys
from pathlib import Path
pack, base, *args = sys.argv[1:]
sys.argv = ["main.py", "--cpu", *(["--base-directory", base] if base else [])]
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
    with tempfile.TemporaryDirectory() as folder:
        script, log = Path(folder, "script.py"), Path(folder, "log")
        script.write_text(PRELUDE + code, encoding="utf-8")
        process = start_process(comfy_path, [str(part) for part in (PACK, base, *args)], log, str(script))
        process.join()
        printed = log.read_text(encoding="utf-8", errors="replace")
    assert process.exitcode == 0, printed[-3000:]
    return printed.splitlines()[-1]
