"""Makes room: films that were used longest ago are removed, all but what is starred in them."""

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .index import INDEX, LOCK, FilmIndex
from .store import CHUNK, CLIP, NAME, STILL, ChunkStore

RECENT = 24 * 3600  # seconds: a film used since then is never removed to make room
HALF_WRITTEN = 3600  # seconds after which a half-written file is nobody's any more
OURS = re.compile("|".join([*(NAME.pattern + re.escape(kind) for kind in (CHUNK, STILL, CLIP)), INDEX, LOCK]))


@dataclass(frozen=True)
class RemovedFilm:
    """What `tidy` removed of a film: the name of its folder, chunks and bytes, and when it was last used."""

    name: str
    chunks: int
    size: int
    used: float


def tidy(store: ChunkStore, max_films: int, max_bytes: int, keep=lambda folder: False) -> list[RemovedFilm]:
    """Remove the films used longest ago until as many and as large as allowed are left; returns those.

    Never the store's own film, nor the one used last besides, nor one used within a day, nor one whose folder `keep`
    wants kept: all may stay larger than allowed. Of the others starred chunks stay, and those that they follow, and
    count no more. Files that are not a store's stay, and their folders with them. What another server takes away
    meanwhile, or holds open, is passed over.
    """
    found = {name: status for name, status in _entries(store.root).items() if NAME.fullmatch(name)}
    films = {name: _Film.read(store.root / name, status.st_mtime) for name, status in found.items()}
    films = {name: film for name, film in films.items() if film.files}
    others = sorted((name for name in films if name != store.film), key=lambda name: films[name].used)
    removed = []
    for name in others[:-1]:
        if len(films) <= max_films and sum(film.size for film in films.values()) <= max_bytes:
            break
        if time.time() - films[name].used < RECENT or keep(store.root / name):
            continue
        gone = films.pop(name).remove()
        if gone.size:
            removed.append(gone)
    return removed


def describe_removed(removed: list[RemovedFilm]) -> str:
    """A sentence for people on what `tidy` removed."""
    films, chunks = len(removed), sum(film.chunks for film in removed)
    megabytes = sum(film.size for film in removed) / 1e6
    day = time.strftime("%Y-%m-%d", time.localtime(max(film.used for film in removed)))
    counts = f"{films} old film{'s' * (films != 1)} ({chunks} chunk{'s' * (chunks != 1)}, {megabytes:,.0f} MB)"
    return f"removed {counts}, last used {day}, to make room."


@dataclass(frozen=True)
class _Film:
    """What the pack has in a film's folder: the sizes of its files in bytes, by name, and when it was last used."""

    folder: Path
    files: dict[str, int]
    used: float

    @classmethod
    def read(cls, folder: Path, used: float) -> "_Film":
        """Look into a folder, and clear away what a kill left half written."""
        entries = _entries(folder)
        half = [name for name, e in entries.items() if name[0] == "." and time.time() - e.st_mtime > HALF_WRITTEN]
        for name in half:
            _unlink(folder / name)
        film = cls(folder, {name: e.st_size for name, e in entries.items() if OURS.fullmatch(name)}, used)
        if half:
            film.unused()
        return film

    @property
    def size(self) -> int:
        return sum(self.files.values())

    def remove(self) -> RemovedFilm:
        """Remove all but starred chunks and those that they follow."""
        try:
            stay = FilmIndex(self.folder).starred_chain()
        except OSError:  # nobody knows
            return RemovedFilm(self.folder.name, 0, 0, self.used)
        stay |= {"film"} if stay else set()  # its index
        gone = [name for name in self.files if name.partition(".")[0] not in stay]
        for name in gone:
            _unlink(self.folder / name)
        if stay:
            self.unused()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        chunks, size = sum(name.endswith(CHUNK) for name in gone), sum(self.files[name] for name in gone)
        return RemovedFilm(self.folder.name, chunks, size, self.used)

    def unused(self) -> None:
        """To clear away is no use of the film."""
        with contextlib.suppress(OSError):
            os.utime(self.folder, (self.used, self.used))


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """What lies in a folder, by name: nothing in one that is not there, and nothing that vanishes meanwhile."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found[name] = os.stat(folder / name)
    return found


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # away already, open on Windows, or a folder
        path.unlink()
