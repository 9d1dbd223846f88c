"""The host's folders: where films, memories and finished chunks lie."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths


def autosave_folder() -> Path:
    """Below the output folder, which outlives the server: the temp folder is wiped at every start."""
    return Path(folder_paths.get_output_directory()) / "helios" / "autosave"


@contextlib.contextmanager
def new_output(prefix: str, suffix: str, width: int, height: int) -> Iterator[tuple[Path, str]]:
    """A new numbered file in the output folder, and its subfolder there; the size is for %width% and %height%.

    It is there at once, empty, so that a second ComfyUI with the same folder takes another number; if it is still empty
    in the end, it goes. ValueError where no such file can be.
    """
    path, subfolder = _claim(prefix, suffix, width, height)
    try:
        yield path, subfolder
    finally:
        with contextlib.suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


def _claim(prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
    root = folder_paths.get_output_directory()
    shown = f"filename_prefix={prefix[:80]}{'...' * (len(prefix) > 80)}"
    if not prefix or prefix.endswith(("/", "\\")):  # only a folder: the host would take its last part for a name
        prefix += "film"
    # As written, since a link in the output folder may lead to another disk.
    if "\0" in prefix or not Path(os.path.abspath(Path(root) / prefix)).is_relative_to(root):
        raise ValueError(f"{shown}: this is no place in ComfyUI's output folder; name one in it.")
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root, width, height)
        while not _create(path := Path(folder) / f"{name}_{counter:05}_{suffix}"):
            counter += 1
    except OSError as error:
        reason = _REFUSALS.get(error.errno, f"no file can be made there ({error.strerror})")
        raise ValueError(f"{shown}: {reason}; choose another name.") from error
    except Exception as error:  # a plain one, of newer hosts
        reason = "this ComfyUI follows no link out of its output folder"
        raise ValueError(f"{shown}: {reason}; choose another name.") from error
    return path, subfolder


_REFUSALS = {
    errno.EEXIST: "a file has the name of its folder",
    errno.ENOTDIR: "a file has the name of its folder",
    errno.ENAMETOOLONG: "the name is too long for this disk",
    errno.EACCES: "ComfyUI may not write there",
    errno.EROFS: "ComfyUI may not write there",
}


def _create(path: Path) -> bool:
    """An empty file, if there is none yet."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


LATEST = "latest in output/helios"  # in the list of memories, for the newest of them at each run


def list_memories() -> list[str]:
    """LATEST, then memory files as LoadVideo and LoadImage name theirs, the newest first: "film.safetensors", or
    "film.safetensors [output]"."""
    inputs, outputs = (Path(f()) for f in (folder_paths.get_input_directory, folder_paths.get_output_directory))
    found = [(*aged, outputs, " [output]") for aged in _memory_files(outputs / "helios")]
    found += [(*aged, inputs, "") for aged in _memory_files(inputs)]
    found.sort(key=lambda file: file[0], reverse=True)
    return [LATEST, *(path.relative_to(root).as_posix() + mark for _, path, root, mark in found)]


def _memory_files(folder: Path) -> list[tuple[int, Path]]:
    """(time of its last change, path) of each file; chunks lie one folder deeper."""
    found = []
    for path in (*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")):
        with contextlib.suppress(OSError):  # gone since
            found.append((path.stat().st_mtime_ns, path))
    return found


def find_memory(name: str) -> Path:
    """The path of a name that `list_memories` gives; ValueError for one that is not there or leads elsewhere."""
    if name == LATEST:
        found = _memory_files(Path(folder_paths.get_output_directory()) / "helios")
        if not found:
            raise ValueError(
                f"memory_file={name}: there is none yet. Helios Save Memory makes one when its filename_prefix begins "
                "with helios/."
            )
        return max(found)[1]
    plain = name.removesuffix(" [output]").removesuffix(" [input]")
    root = folder_paths.get_output_directory() if name.endswith(" [output]") else folder_paths.get_input_directory()
    root = Path(root).resolve()
    path = (root / plain).resolve()
    if not path.is_relative_to(root) or path.suffix != ".safetensors":
        raise ValueError(f"memory_file={name}: only .safetensors files in ComfyUI's input and output folders are read.")
    if not path.is_file():
        raise ValueError(
            f"memory_file={name}: there is no such file. Helios Save Memory makes one below output/helios; press R to "
            "see new files."
        )
    return path
