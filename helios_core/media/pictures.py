"""The pictures that a schedule's text names.

`find(name)` gives the path of one, and raises ValueError for a name that leads to none.
"""

import os
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from torch import Tensor

from ..film.schedule_text import pictures_in
from .frames import read_image

Find = Callable[[str], Path]

MOST_FILES = 5000  # that are looked at for a similar name


def find_pictures(text: str, find: Find) -> dict[str, Path]:
    """The files of all pictures that a text uses, by their names. Raises ValueError naming the line."""
    return _each(text, find)


def read_pictures(text: str, find: Find) -> dict[str, Tensor]:
    """All pictures that a text uses, (1, H, W, 3) in 0..1 by their names. Raises ValueError naming line and file."""
    return _each(text, lambda name: read_image(find(name)))


def not_found(name: str, folder: Path, place: str, ending: str = "") -> str:
    """What to say of a name that no file in `folder` has: which files have a similar one, in whatever subfolder.

    `place` is what people call the folder, `ending` what each name there has behind it.
    """

    def stem(file: str) -> str:
        return Path(file).stem.lower()

    files = list(files_in(folder))
    stems = get_close_matches(stem(name), dict.fromkeys(map(stem, files)))
    similar = [f"“{file}{ending}”" for found in stems for file in files if stem(file) == found]
    hint = f"did you mean {' or '.join(similar[:3])}?" if similar else "put the picture there, or write another name"
    return f"there is no “{name}” in {place}; {hint}"


def files_in(folder: Path) -> Iterator[str]:
    """A folder's files as a schedule names them, those of subfolders last."""
    paths = (Path(above, file) for above, _, files in os.walk(folder) for file in sorted(files))
    names = (path.relative_to(folder).as_posix() for path in islice(paths, MOST_FILES))
    return (name for name in names if name.isprintable())


def _each(text: str, make: Callable) -> dict:
    made = {}
    for name, line in pictures_in(text).items():
        try:
            made[name] = make(name)
        except (OSError, ValueError) as error:
            raise ValueError(f"schedule, line {line}: {error}") from error
    return made
