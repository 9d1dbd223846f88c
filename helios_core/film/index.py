"""The runs of a film, in a file that a person can read beside its chunks: which seed, how far, by which node."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..files import write_whole

INDEX = "film.json"
FILE_FORMAT = "helios-film-1"
MOST = 1000  # runs that are remembered


@dataclass(frozen=True)
class Run:
    """One run of a film: its seed, how many chunks it is to have and has, and where it was asked for.

    `graph` and `node` tell which node of which workflow, "" where nobody says. `used` is a time in seconds since 1970.
    """

    seed: int
    end: int
    done: int = 0
    graph: str = ""
    node: str = ""
    used: float = 0.0

    @property
    def unfinished(self) -> bool:
        return 0 < self.done < self.end


class FilmIndex:
    """The runs in a film's folder, newest first. A file that cannot be read counts as none."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / INDEX

    def runs(self) -> list[Run]:
        with contextlib.suppress(OSError):
            return self._read()
        return []

    def note(self, run: Run) -> None:
        """Write a run down, in place of the same node's with the same seed. Raises OSError."""
        others = [r for r in self._read() if (r.seed, r.graph, r.node) != (run.seed, run.graph, run.node)]
        runs = [asdict(r) for r in (Run(**{**asdict(run), "used": time.time()}), *others)][:MOST]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps({"format": FILE_FORMAT, "runs": runs}, indent=1).encode())

    def unfinished(self, graph: str, node: str, seed: int) -> Run | None:
        """The newest run of a node that another seed began and nobody finished."""
        found = (r for r in self.runs() if r.unfinished and r.seed != seed and (r.graph, r.node) == (graph, node))
        return next(found, None)

    def _read(self) -> list[Run]:
        """Raises OSError for a file that is there and cannot be opened: to write over it would lose its runs."""
        try:
            content = json.loads(self.path.read_bytes())
            if content["format"] == FILE_FORMAT:
                return [_checked(entry) for entry in content["runs"]]
        except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
            pass
        return []


def _checked(entry: dict) -> Run:
    values = {f.name: entry[f.name] for f in fields(Run)}
    for f in fields(Run):
        if type(values[f.name]) not in ((int, float) if f.type is float else (f.type,)):
            raise TypeError(f"not a run: {f.name}={values[f.name]!r}")
    return Run(**values)
