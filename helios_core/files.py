"""Files that are there whole or not at all."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one."""
    path = Path(path)
    # Beside the file, since a rename is only whole within one disk; unique, since two runs may write at once.
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(file.name, path)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise
