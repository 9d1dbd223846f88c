"""Processes forked from one that has imported torch and its like: the command and ComfyUI begin at once.

`python -m helios_core` itself imports for 5 to 15 seconds before it does anything.
"""

import ctypes
import gc
import multiprocessing
import os
import runpy
import signal
import sys
from multiprocessing.forkserver import ensure_running
from multiprocessing.reduction import DupFd
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]
# The first start reads it for all; more threads only get into each other's way with tiny models.
THREADS = {"OMP_NUM_THREADS": "1"}
# What is missing is passed over. Nothing of ComfyUI, of which there may be several, and nothing of the pack's, which
# must find itself.
SLOW_TO_IMPORT = [
    "torch._dynamo",
    "torchvision",
    "torchaudio",
    "torchsde",
    "transformers.models.umt5.modeling_umt5",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.loaders.single_file_utils",
    "sentencepiece",
    "scipy.signal",
    "scipy.stats",
    "kornia",
    "spandrel",
    "comfy_kitchen",
    "pydantic_settings",
    "alembic.context",
    "sqlalchemy.orm",
    "aiohttp.web",
    "av",
]
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(SLOW_TO_IMPORT)


def get_ready() -> None:
    """Begins to import, while the tests go on; a process that is wanted before all is imported waits for the rest."""
    with mock.patch.dict(os.environ, THREADS):
        ensure_running()


class File:
    """An open file that another process gets, too."""

    def __init__(self, number: int):
        self.number = number

    def __reduce__(self):
        return _opened, (DupFd(self.number),)


def _opened(copy) -> File:
    return File(copy.detach())


def start_helios(folder: Path, arguments: list, stdout: int | None = None, stderr: int | None = None):
    """`python -m helios_core *arguments` in `folder`; its output goes to these open files, or to nobody."""
    files = [None if number is None else File(number) for number in (stdout, stderr)]
    process = forks.Process(target=_run, args=(folder, [str(a) for a in arguments], files), daemon=True)
    process.start()
    return process


def _run(folder: Path, arguments: list[str], files: list[File | None]) -> None:
    gc.freeze()  # what was imported is not looked through in the end, which takes two seconds
    os.chdir(folder)
    sys.path.insert(0, str(ROOT))
    for number, file in zip((1, 2), files):
        there = os.open(os.devnull, os.O_WRONLY) if file is None else file.number
        os.dup2(there, number)
        os.close(there)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    sys.argv = ["helios", *arguments]
    try:
        runpy.run_module("helios_core", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        # As an interpreter ends, with whatever threads are still there; multiprocessing only stops.
        ctypes.pythonapi.Py_Exit(end.code or 0)
