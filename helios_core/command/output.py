"""Where a film goes: its file, the memory beside it, and the unfinished film that the same command continues.

A film's name is claimed at once: by an empty file, which other programs see, and by a lock, which the system releases
when a process is killed. The memory beside an unfinished film notes which request it belongs to.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import sweep_halves
from ..film.memory import HistoryMemory
from .requests import FilmRequest
from .terminal import say

CHUNKS = "helios-chunks"  # the folder beside a film that keeps its chunks


def memory_path(film: Path) -> Path:
    return film.with_suffix(".safetensors")


@dataclass(frozen=True)
class Output:
    """A film's file, and the folder for its finished chunks."""

    film: Path
    chunks: Path

    @property
    def memory(self) -> Path:
        return memory_path(self.film)


@contextlib.contextmanager
def open_output(request: FilmRequest, default: Path, request_id: str, seed: int) -> Iterator[Output]:
    """The film's file: --output, or the first of default.mp4, default-2.mp4, ... that is free.

    An unfinished film of the same request and seed comes first; `request_id` is the request's fingerprint. A file that
    stays empty is removed. Raises OSError, and ValueError for a film that exists already.
    """
    with contextlib.ExitStack() as locks:
        if request.output is None:
            output = _next_output(request, default, request_id, seed, locks)
        else:
            output = _given_output(request, request_id, seed, locks)
        sweep_halves(output.memory)  # the film is locked
        try:
            yield output
        finally:
            if output.film.exists() and not output.film.stat().st_size:
                output.film.unlink()


def _given_output(request: FilmRequest, request_id: str, seed: int, locks: contextlib.ExitStack) -> Output:
    film = request.output
    if film.suffix != ".mp4" or film.is_dir():
        raise ValueError(f"--output {film}: the film's name must end in .mp4")
    if memory_path(film).exists():
        HistoryMemory.load(memory_path(film))  # or somebody's weights would be replaced
    film.parent.mkdir(parents=True, exist_ok=True)
    output = Output(film, _chunks_folder(request, film))
    begun = _unfinished_seed(output, request_id) if request.autosave else None
    if begun == seed or request.force:
        if not Lock(film).acquire(locks):
            raise ValueError(f"--output {film}: another run of helios is making this film")
        film.open("ab").close()  # to know now that it can be written
        return output
    if memory_path(film).exists() or not _claim(film, locks):
        other = "" if begun is None else f". It is unfinished and has seed {begun}: --seed {begun} continues it"
        raise ValueError(f"--output {film}: the film or its memory exists already; --force replaces it{other}")
    return output


def _next_output(
    request: FilmRequest, default: Path, request_id: str, seed: int, locks: contextlib.ExitStack
) -> Output:
    stem, number = re.fullmatch(r"(.*?)(?:-(\d+))?", default.stem, re.S).groups()
    number, other = int(number or 1), None
    for film in _numbered(default.parent, stem, number) if request.autosave else ():
        output = Output(film, _chunks_folder(request, film))
        begun = _unfinished_seed(output, request_id)
        if begun == seed and Lock(film).acquire(locks):
            return output
        if begun not in (None, seed):
            other = other or f"{film} is unfinished and has seed {begun}: --seed {begun} continues it"
    film = default
    while memory_path(film).exists() or not _claim(film, locks):
        number += 1
        film = default.with_name(f"{stem}-{number}.mp4")
    if other:
        say(f"{film} is a new film. {other}")
    return Output(film, _chunks_folder(request, film))


def _numbered(folder: Path, stem: str, first: int) -> list[Path]:
    """The films stem.mp4, stem-2.mp4, ... from number `first` on that have a memory beside them."""
    found = {}
    for path in folder.iterdir():
        match = re.fullmatch(rf"{re.escape(stem)}(?:-(\d+))?\.safetensors", path.name)
        if match and int(match[1] or 1) >= first:
            found[int(match[1] or 1)] = path.with_suffix(".mp4")
    return [found[number] for number in sorted(found)]


def _claim(film: Path, locks: contextlib.ExitStack) -> bool:
    """Lock the film and make an empty file; False where there is one, unless a killed run left it empty."""
    lock = Lock(film)
    with contextlib.ExitStack() as new:
        if not lock.acquire(new):
            return False
        try:
            film.open("xb").close()
        except FileExistsError:
            if not lock.existed or film.stat().st_size:
                return False
        locks.push(new.pop_all())
    return True


def _chunks_folder(request: FilmRequest, film: Path) -> Path:
    return request.chunks or film.parent / CHUNKS


def unfinished_notes(request_id: str, film: str, end: int, seed: int) -> dict[str, str]:
    """What a memory notes so that `open_output` recognises an unfinished film: the fingerprint of its request, the name
    of its chunks' folder, the chunk it ends before, and the seed that was asked for: a schedule may have others."""
    return {"request": request_id, "film": film, "end": str(end), "seed": str(seed)}


def _unfinished_seed(output: Output, request_id: str) -> int | None:
    """The seed of the film there, if it is this request's, is unfinished, and its chunks are on disk; else None."""
    try:
        memory, notes = HistoryMemory.load(output.memory)
        unfinished = memory.chunk < int(notes["end"])
        seed = int(notes.get("seed", memory.seed or 0))
    except (OSError, ValueError, KeyError):
        return None
    film = notes.get("film", "")
    if notes.get("request") != request_id or not unfinished or not re.fullmatch("[0-9a-f]{32}", film):
        return None
    return seed if (output.chunks / film).is_dir() else None


class Lock:
    """Lets only one process at a time write to a film. The file beside the film remains if that process is killed."""

    def __init__(self, film: Path):
        self.path = film.with_name(f".{film.name}.lock")
        self.existed = self.path.exists()

    def acquire(self, locks: contextlib.ExitStack) -> bool:
        """False if another process has it; else it is released when `locks` is closed."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        except NotImplementedError:  # a drive that has no locks
            return True
        locks.callback(lock.release)
        locks.callback(self._remove)
        return True

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # Windows does it by itself
            self.path.unlink(missing_ok=True)
