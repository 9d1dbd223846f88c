"""Files that are there whole or not at all, on every drive."""

import errno
import os
from types import SimpleNamespace

import pytest

from helios_core import files
from helios_core.files import RENAME_TRIES, replace_file, sweep_halves, write_whole


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    return path


def refuse(number):
    def refused(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return refused


def names(path):
    return [p.name for p in path.parent.iterdir()]


def test_written_over(old):
    write_whole(old, b"new")
    assert old.read_bytes() == b"new" and names(old) == ["x.bin"]
    write_whole(str(old), b"")
    assert old.read_bytes() == b""


def test_what_a_kill_left_is_swept_up(old, monkeypatch):
    """Of that file only."""
    other, left = old.with_name("y.bin"), []
    monkeypatch.setattr(files, "replace_file", lambda half, path: left.append(half.rename(half.with_suffix(".kept"))))
    for path in (old, other):
        write_whole(path, b"new")
    sweep_halves(old)
    assert [half.exists() for half in left] == [False, True] and old.read_bytes() == b"old"


@pytest.mark.parametrize("number", sorted({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}))
def test_a_drive_that_knows_no_fsync_is_no_failed_write(old, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", refuse(number))
    write_whole(old, b"new")
    assert old.read_bytes() == b"new" and names(old) == ["x.bin"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file(old, monkeypatch, call, number):
    monkeypatch.setattr(os, call, refuse(number))
    with pytest.raises(OSError) as error:
        write_whole(old, b"new")
    assert error.value.errno == number
    assert old.read_bytes() == b"old" and names(old) == ["x.bin"]


def test_an_interruption_leaves_the_old_file(old, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(old, b"new")
    assert old.read_bytes() == b"old" and names(old) == ["x.bin"]


def test_what_cannot_be_cleared_away_does_not_hide_the_reason(old, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    monkeypatch.setattr(type(old), "unlink", refuse(errno.EIO))
    with pytest.raises(OSError) as error:
        write_whole(old, b"new")
    assert error.value.errno == errno.ENOSPC


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "x", b"")


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("x" * 255)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


class Held:
    """os.replace of a system where something holds the file for a number of tries."""

    def __init__(self, tries, number=errno.EACCES):
        self.tries, self.number, self.calls, self.slept = tries, number, 0, []

    def replace(self, source, target):
        self.calls += 1
        if self.calls <= self.tries:
            raise OSError(self.number, "held")  # a PermissionError where the number says so
        os.replace(source, target)


@pytest.fixture
def on(monkeypatch):
    """`on("nt", held)`: files.py finds that system and that os.replace; it does not really sleep."""

    def system(name, held):
        monkeypatch.setattr(files, "os", SimpleNamespace(name=name, replace=held.replace, fsync=os.fsync))
        monkeypatch.setattr(files.time, "sleep", held.slept.append)
        return held

    return system


@pytest.mark.parametrize("tries", range(RENAME_TRIES))
def test_a_rename_that_windows_refuses_is_tried_again(old, on, tries):
    held = on("nt", Held(tries))
    write_whole(old, b"new")
    assert held.calls == tries + 1 == len(held.slept) + 1
    assert old.read_bytes() == b"new" and names(old) == ["x.bin"]
    assert held.slept == sorted(held.slept) and sum(held.slept) < 2


def test_a_rename_that_is_refused_for_good_raises(old, on):
    held = on("nt", Held(RENAME_TRIES))
    with pytest.raises(PermissionError, match="held"):
        write_whole(old, b"new")
    assert held.calls == RENAME_TRIES == len(held.slept) + 1
    assert old.read_bytes() == b"old" and names(old) == ["x.bin"]


@pytest.mark.parametrize("name, number", [("posix", errno.EACCES), ("nt", errno.ENOSPC), ("nt", errno.ENOENT)])
def test_other_refusals_are_not_tried_again(old, on, name, number):
    held = on(name, Held(1, number))
    with pytest.raises(OSError, match="held"):
        replace_file(old, old.with_name("y"))
    assert held.calls == 1 and not held.slept
