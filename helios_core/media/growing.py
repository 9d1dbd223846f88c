"""A fragmented mp4 on disk that plays at any moment, even if the disk is full before it is finished."""

import contextlib
import os
import struct
from pathlib import Path


class GrowingFile:
    """What FFmpeg writes into.

    A hybrid mp4 is a row of fragments while it grows, and is turned into an ordinary one at the end, in place. Where
    that fails halfway it would play no more: so what is overwritten from `finish` on is kept, and `restore` puts it
    back and cuts off what is not a whole fragment. After a failed write all others go nowhere, so that FFmpeg can be
    closed.
    """

    def __init__(self, path: Path):
        self.file = open(path, "wb+", buffering=0)  # unbuffered: what is written survives a kill
        self.size, self.error = 0, None
        self.overwritten: list[tuple[int, bytes]] | None = None

    def write(self, data) -> int:
        if self.error is None:
            try:
                self._write(memoryview(data))
            except OSError as error:
                self.error = error
                raise
        return len(data)

    def _write(self, rest: memoryview) -> None:
        begin = self.file.tell()
        if self.overwritten is not None and begin < self.size:
            self.overwritten.append((begin, self.file.read(min(len(rest), self.size - begin))))
            self.file.seek(begin)
        while rest:  # a disk that is nearly full takes a part
            rest = rest[self.file.write(rest) :]
        self.size = max(self.size, self.file.tell())

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return offset if self.error is not None else self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def finish(self) -> None:
        if self.overwritten is None:
            self.overwritten = []

    def restore(self) -> None:
        for position, content in reversed(self.overwritten or ()):
            self.file.seek(position)
            self.file.write(content)
        self.file.truncate(self._whole())

    def _whole(self) -> int:
        """Where the last whole fragment ends, a box of pictures and sound after the one that describes it."""
        position, end, size = 0, 0, os.fstat(self.file.fileno()).st_size
        while position + 8 <= size:
            self.file.seek(position)
            length, kind = struct.unpack(">I4s", self.file.read(8))
            if length == 1:
                length = int.from_bytes(self.file.read(8), "big")
            position += length
            if length < 8 or position > size:
                break
            if kind == b"mdat":
                end = position
        return end

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a disk that is gone
            self.file.close()
