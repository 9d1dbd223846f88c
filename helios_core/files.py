"""Files that are there whole or not at all, and where the demo's are."""

import os
import uuid
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one."""
    path = Path(path)
    # Beside the file, since a rename is only whole within one disk; unique, since two runs may write at once; short,
    # since the file's own name may be as long as names can be.
    half = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with open(half, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


INSTALL = 'in the folder of this pack, pip install ".[cli]"'


def demo_folder() -> Path:
    """Where the demo model is: in an installed package, or beside it in a checkout."""
    for folder in (Path(__file__).parent / "demo", Path(__file__).parents[1] / "demo"):
        if all((folder / name).exists() for name in ("transformer", "text_encoder.safetensors", "vae.safetensors")):
            return folder
    raise FileNotFoundError("the demo model (folder demo/) is not here: download the pack anew, or name another model")
