"""A disk that is full while a film is written: what is there plays, how much that is is said, nothing is leaked."""

import errno
import os
import re
import subprocess

import av
import pytest
import torch

from helios_core.media.growing import GrowingFile
from helios_core.media.video import VideoWriter

CHUNKS = 6


def film(path, audio=None) -> int:
    """Write six chunks that hardly compress; the bytes of the file."""
    generator = torch.Generator().manual_seed(0)
    with VideoWriter(path, audio=audio) as writer:
        for _ in range(CHUNKS):
            writer.write(torch.rand(33, 64, 64, 3, generator=generator))
    return path.stat().st_size


def frames_in(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


SOUNDS = {"silent": None, "sound": (torch.rand(2, 48000 * 9), 48000)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of the film, with and without sound."""
    return {name: film(tmp_path_factory.mktemp(name) / "whole.mp4", sound) for name, sound in SOUNDS.items()}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("share", [0.0001, 0.1, 0.2, 0.45, 0.7, 0.9, 0.97, 0.999])
def test_what_was_written_plays(tmp_path, monkeypatch, whole, share, sound):
    """Wherever it is full: at the beginning, in a fragment, or while the file is made an ordinary one at the end."""
    limit, write = int(share * whole[sound]), GrowingFile._write

    def small(self, rest):
        room = max(0, limit - self.file.tell())
        write(self, rest[:room])
        if len(rest) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GrowingFile, "_write", small)
    before = open_files()
    with pytest.raises(OSError, match=r"^\d+ of \d+ frames are in film\.mp4, the disk is full\.") as caught:
        film(tmp_path / "film.mp4", SOUNDS[sound])
    assert caught.value.errno == errno.ENOSPC and open_files() == before
    kept, given = map(int, re.findall(r"\d+", str(caught.value))[:2])
    assert given <= 33 * CHUNKS and given % 33 == 0
    if kept:
        assert frames_in(tmp_path / "film.mp4") == kept
        assert kept >= 33 * (int(share * CHUNKS) - 1) and kept % 33 == 0
    else:
        assert share < 0.3 and not (tmp_path / "film.mp4").exists()


def test_a_real_disk(tmp_path):
    """A file system of 300 kB."""
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True)
    if mount.returncode:
        pytest.skip("needs leave to mount a tmpfs")
    try:
        with pytest.raises(OSError, match=r"^\d+ of \d+ frames are in film\.mp4, the disk is full\.") as caught:
            film(small / "film.mp4")
        kept = int(str(caught.value).split()[0])
        assert kept >= 33 and frames_in(small / "film.mp4") == kept
        (small / "film.mp4").unlink()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("room", [0, *range(2500, 5000, 500), 10**6])
def test_what_is_saved_beside_it_finds_the_disk_full(tmp_path, monkeypatch, room):
    """With so many bytes left the file is made an ordinary one, or stays as it was, whole fragments in a row."""
    limit, write = [], GrowingFile._write

    def small(self, rest):
        left = max(0, limit[0] - self.file.tell()) if limit else len(rest)
        write(self, rest[:left])
        if len(rest) > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def done():
        limit.append((tmp_path / "film.mp4").stat().st_size + room)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GrowingFile, "_write", small)
    with pytest.raises(OSError, match="3[34] of .* frames are in film.mp4, the disk is full"):
        with VideoWriter(tmp_path / "film.mp4") as writer:
            for _ in range(4):
                writer.write(torch.rand(33, 64, 64, 3), done)
    assert frames_in(tmp_path / "film.mp4") in ((33,) if room == 0 else (34,) if room == 10**6 else (33, 34))


def test_another_failure_is_named(tmp_path, monkeypatch):
    def broken(self, rest):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(GrowingFile, "_write", broken)
    with pytest.raises(
        OSError, match=r"^0 of \d+ frames are in film.mp4, it could not be written \(Input/output error"
    ):
        film(tmp_path / "film.mp4")
