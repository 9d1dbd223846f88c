"""Files that are there whole or not at all, and where the demo's are."""

import contextlib
import errno
import hashlib
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if os.name == "nt":
    import msvcrt
else:
    import fcntl

# What network drives and some FUSE file systems answer to fsync: they cannot, which is no failed write.
NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
RENAME_TRIES = 6  # on Windows a virus scanner or an indexer may hold a new file for a moment


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one. Raises OSError."""
    path = Path(path)
    # Beside the file, since a rename is only whole within one disk; unique, since two runs may write at once; short,
    # since the file's own name may be as long as names can be.
    half = path.with_name(_half_name(path) + uuid.uuid4().hex)
    try:
        with open(half, "xb") as file:
            file.write(content)
            file.flush()
            flush_to_disk(file.fileno())
        replace_file(half, path)
    except BaseException:
        with contextlib.suppress(OSError):  # else it would hide what happened
            half.unlink(missing_ok=True)
        raise


def sweep_halves(path: Path) -> None:
    """Remove what killed processes left half written of a file. Only for a file that nobody else writes now."""
    for half in path.parent.glob(_half_name(path) + "*"):
        with contextlib.suppress(OSError):
            half.unlink()


def _half_name(path: Path) -> str:
    return f".{hashlib.sha256(path.name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}-"


def flush_to_disk(descriptor: int) -> None:
    """fsync, where the drive knows it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise


def replace_file(source: Path, target: Path) -> None:
    """os.replace, tried again where Windows refuses it for a moment."""
    for attempt in range(RENAME_TRIES):
        try:
            return os.replace(source, target)
        except PermissionError:
            if os.name != "nt" or attempt == RENAME_TRIES - 1:
                raise
            time.sleep(0.05 * 2**attempt)


@contextlib.contextmanager
def locked(path: Path, wait: float = 2.0) -> Iterator[bool]:
    """Hold a lock that threads and processes share; False where it is not to be had in `wait` seconds, or at all.

    The file stays. The system frees the lock when a process ends, however that is.
    """
    try:
        file = open(path, "ab")
    except OSError:
        yield False
        return
    with file:
        end = time.monotonic() + wait
        while (held := _lock(file)) is False and time.monotonic() < end:
            time.sleep(random.uniform(0.001, 0.01))
        try:
            yield bool(held)
        finally:
            if held:
                with contextlib.suppress(OSError):
                    _unlock(file)


def _lock(file: BinaryIO) -> bool | None:
    """False while another has it, None where there are no locks, as on some network drives."""
    try:
        if os.name == "nt":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK) else None
    return True


def _unlock(file: BinaryIO) -> None:
    if os.name == "nt":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


def demo_folder() -> Path:
    """Where the demo model is: in an installed package, or beside it in a checkout."""
    for folder in (Path(__file__).parent / "demo", Path(__file__).parents[1] / "demo"):
        if all((folder / name).exists() for name in ("transformer", "text_encoder.safetensors", "vae.safetensors")):
            return folder
    raise FileNotFoundError("the demo model (folder demo/) is not here: download the pack anew, or name another model")
