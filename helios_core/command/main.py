"""`helios`: reads the arguments, runs the command, and says in one line what went wrong."""

import sys
from collections.abc import Sequence
from pathlib import Path

from .parser import parse
from .requests import DownloadRequest, EstimateRequest, ExtendRequest, GenerateRequest, InfoRequest, Request
from .terminal import Interrupts, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0, 1 for an error, 130 where it was interrupted."""
    request = parse(arguments)
    interrupts = Interrupts()
    try:
        run(request)
        return 0
    except KeyboardInterrupt:
        say("stopped")
        return 130
    except ModuleNotFoundError as error:
        say(f"helios: {error.name} is not installed; run: {install_command()}")
    except (ValueError, OSError, ArithmeticError, RuntimeError) as error:  # torch's own are RuntimeErrors
        say("stopped" if interrupts.count else f"helios: {error_text(error)}")  # an interrupt may end as another error
    return 130 if interrupts.count else 1


def run(request: Request) -> None:
    """Each command's module is imported when it is needed: torch alone takes seconds."""
    if not isinstance(request, DownloadRequest) and "torch" not in sys.modules:
        say("loading PyTorch")
    match request:
        case GenerateRequest():
            from .generate import generate

            generate(request)
        case ExtendRequest():
            from .generate import extend

            extend(request)
        case InfoRequest():
            from .info import info

            info(request)
        case DownloadRequest():
            from .download import download

            download(request)
        case EstimateRequest():
            from .estimate import estimate

            estimate(request)


def error_text(error: Exception) -> str:
    """Its own sentence; of the system's errors the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)


def install_command() -> str:
    """What installs the command line's packages, for a copy of the repository or an installed package."""
    root = Path(__file__).resolve().parents[2]
    return f'pip install "{root if (root / "pyproject.toml").exists() else "helios-video"}[cli]"'
