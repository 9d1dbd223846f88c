"""Notes in a film's index how far a run has come, and how it ended."""

import logging
from collections.abc import Callable
from dataclasses import replace

from .index import FilmIndex, Run, entry_of
from .record import Chunk, Start, Step

ERROR_LENGTH = 1000  # characters that are kept of an error

log = logging.getLogger(__name__)


class RunNotes:
    """A run's notes, while it is entered. What ends it is noted too: Ctrl-C and `stops` are no failures.

    A file that cannot be written is told once, and ends nothing.
    """

    def __init__(
        self,
        index: FilmIndex,
        run: Run,
        stops: tuple[type[BaseException], ...] = (),
        tell: Callable[[str], None] = log.warning,
    ):
        self.index, self.run, self.stops, self.tell = index, run, stops, tell
        self._new: dict[str, dict] = {}

    def note(self, record: Start | Step | Chunk) -> None:
        """Take in what the film's loop yields. Chunks from disk are written down together, before one is made."""
        if isinstance(record, Chunk):
            run, before = self.run, record.index - self.run.first
            if not record.not_saved and (entry := entry_of(record)):
                self._new[record.name] = entry
            chunks, reused = (*run.chunks[:before], record.name), (record.name,) * record.reused
            self.run = replace(run, done=before + 1, chunks=chunks, reused=(*run.reused, *reused))
            if not record.reused:
                self._write()
        elif isinstance(record, Start) and not record.stored and (self._new or not self.run.chunks):
            self._write()

    def __enter__(self) -> "RunNotes":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.run = replace(self.run, state="done")
        elif issubclass(kind, (KeyboardInterrupt, *self.stops)):
            self.run = replace(self.run, state="stopped")
        else:
            self.run = replace(self.run, state="failed", error=(str(error).strip() or kind.__name__)[:ERROR_LENGTH])
        self._write()

    def _write(self) -> None:
        try:
            self.index.note(self.run, self._new)
            self._new = {}
        except OSError as error:
            self.tell(f"{self.index.path}: the film's runs could not be noted there: {error}")
            self.tell = lambda text: None
