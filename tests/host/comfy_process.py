"""ComfyUI's process, forked from one that has imported torch and its like: it answers after 5 seconds, not 16."""

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

from processes import THREADS, forks

TESTS = Path(__file__).resolve().parents[1]


def start_process(
    comfy_path: Path, arguments: list[str], log_file: Path, script: str = "main.py"
) -> multiprocessing.Process:
    """`python script *arguments` in `comfy_path`; what it prints comes to the end of `log_file`."""
    environment = {**THREADS, **os.environ}
    process = forks.Process(target=_run, args=(comfy_path, arguments, log_file, script, environment), daemon=True)
    with mock.patch.dict(os.environ, environment):
        process.start()
    return process


class PlainProcess(subprocess.Popen):
    """The same as people start it, to see that it is the same, or for a host with a Python of its own."""

    def __init__(self, comfy_path: Path, arguments: list[str], log_file: Path, python: str | Path = sys.executable):
        with open(log_file, "ab") as log:
            command, environment = [python, "main.py", *arguments], {**THREADS, **os.environ}
            super().__init__(command, cwd=comfy_path, env=environment, stdout=log, stderr=log)

    def is_alive(self) -> bool:
        return self.poll() is None

    @property
    def exitcode(self) -> int | None:
        return self.poll()

    def join(self, timeout: float | None = None) -> None:
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            pass


def _run(comfy_path: Path, arguments: list[str], log_file: Path, script: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the process that was forked has that of the first start
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(comfy_path)
    # As in a process of its own, where neither the tests' folders nor the pack's are on the path.
    sys.path[:] = [str(comfy_path), *(p for p in sys.path if Path(p) not in (TESTS.parent, *TESTS.iterdir()))]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
