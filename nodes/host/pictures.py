"""The pictures that a schedule's text names: files of the host's folders, named as LoadImage names them."""

import os
from pathlib import Path

import folder_paths

from ...helios_core.film.fingerprint import fingerprint
from ...helios_core.film.schedule_text import pictures_in
from ...helios_core.media import pictures
from .keyframes import Picture
from .queued import is_queued_without

# What each picture was when a node read it first, by the node's id and the picture's name.
_first_read: dict[str, dict[str, str]] = {}


def check_pictures(text: str, node: str) -> None:
    """Before a run: raise ValueError for a name that leads to no file, and where no VAE is connected to `node`."""
    if pictures.find_pictures(text, find_picture) and is_queued_without(node, "vae"):
        raise ValueError(_no_vae(text))


def read_pictures(text: str, vae, node: str) -> dict[str, Picture]:
    """All pictures that a text uses, by their names. Raises ValueError naming line and file."""
    if not (names := pictures_in(text)):
        return {}
    if vae is None:
        raise ValueError(_no_vae(text))
    first = _first_read.setdefault(node, {})
    for name in names:
        first.setdefault(name, version_of(name))
    return {name: Picture(vae, image, "crop") for name, image in pictures.read_pictures(text, find_picture).items()}


def versions_of_pictures(text: str | None, node: str) -> list[list[str]]:
    """[name, content] of pictures, for `fingerprint_inputs`: another list where one was replaced.

    The host does not show it a text that is linked (None). Then it is about all that the node has ever read: those that
    are no longer what they were.
    """
    if isinstance(text, str):
        return [[name, version_of(name)] for name in pictures_in(text)]
    known = _first_read.get(node, {})
    return [[name, now] for name, first in known.items() if (now := version_of(name)) != first]


def version_of(name: str) -> str:
    """Another one for another content; "" where there is no such file."""
    try:
        return fingerprint(find_picture(name).read_bytes())
    except (OSError, ValueError):
        return ""


def find_picture(name: str) -> Path:
    """The path of "boat.png" or "sub/boat.png" in the input folder, of "boat.png [output]" or "[temp]" in those.

    Raises ValueError for one that is not there or leads elsewhere.
    """
    plain, folder = folder_paths.annotated_filepath(name)
    folder = Path(folder or folder_paths.get_input_directory())
    place = f"ComfyUI's {_kind(folder)} folder"
    try:
        path = Path(folder_paths.get_annotated_filepath(name))
        # Older hosts do not look where it leads.
        inside = not os.path.isabs(plain) and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
    except ValueError:  # of newer ones
        inside = False
    if not inside:
        raise ValueError(f"“{name}” leads out of {place}; put the picture in it, and write its name alone")
    if not os.path.isfile(path):
        raise ValueError(pictures.not_found(name, folder, place, name[len(plain) :]))
    return path


def _kind(folder: Path) -> str:
    known = {folder_paths.get_output_directory(): "output", folder_paths.get_temp_directory(): "temp"}
    return known.get(str(folder), "input")


def _no_vae(text: str) -> str:
    name, line = next(iter(pictures_in(text).items()))
    return f"schedule, line {line}: the picture “{name}” needs a VAE; connect the Wan 2.1 VAE (Load VAE) to vae"
