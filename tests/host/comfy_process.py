"""ComfyUI's process, forked from one that has imported torch and its like: it answers after 5 seconds, not 16."""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).resolve().parents[1]
# What is missing is passed over. Nothing of ComfyUI itself: there may be two of them.
SLOW_TO_IMPORT = (
    "torch._dynamo",
    "transformers",
    "torchvision",
    "torchaudio",
    "torchsde",
    "scipy.stats",
    "kornia",
    "spandrel",
    "alembic.context",
    "sqlalchemy",
    "aiohttp.web",
    "av",
)
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(list(SLOW_TO_IMPORT))


def start_process(comfy_path: Path, arguments: list[str], log_file: Path) -> multiprocessing.Process:
    """`python main.py *arguments` in `comfy_path`; what it prints comes to the end of `log_file`."""
    process = _forks.Process(target=_run, args=(comfy_path, arguments, log_file), daemon=True)
    # More threads only get into each other's way with tiny models; OpenMP reads this when torch is imported.
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1", **os.environ}):
        process.start()
    return process


def _run(comfy_path: Path, arguments: list[str], log_file: Path) -> None:
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(comfy_path)
    # As in a process of its own, where neither the tests' folders nor the pack's are on the path.
    sys.path[:] = [str(comfy_path), *(p for p in sys.path if Path(p) not in (TESTS.parent, *TESTS.iterdir()))]
    sys.argv = ["main.py", *arguments]
    runpy.run_path("main.py", run_name="__main__")
