"""A film's folder at a glance: its runs, all takes of its chunks, and which of them are starred.

They are in a file that a person can read, beside the chunks. What it says of chunks is a view of the files: they know
themselves what they are, so a kill at any moment leaves nothing wrong.
"""

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..files import locked, write_whole
from .record import TOLD, Chunk
from .store import CHUNK, CLIP, NAME, STILL, read_record, strict_json

INDEX, LOCK = "film.json", "film.lock"
FILE_FORMAT, OLD_FORMAT = "helios-film-2", "helios-film-1"  # the old one has runs alone, with `OLD_FIELDS`
MOST = 1000  # runs that are remembered
WHOLE = 50  # the newest of them: of others text, settings and chunks are forgotten
PATIENCE = 600  # seconds without a note, after which a run counts as stopped
STATES = "running", "done", "stopped", "failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One run of a film: its seed, how many chunks it is to have and has, and where it was asked for.

    `graph` and `node` tell which node of which workflow, "" where nobody says. `used` is when this was noted, in
    seconds since 1970. `state` is one of `STATES`, `error` a sentence where it failed. `server` is who runs it, in a
    form of its own. `text` is the schedule's, `settings` what else was asked for. `chunks` are the names of its chunks,
    from chunk `first` on, `reused` those of them that were on disk.
    """

    seed: int
    end: int
    done: int = 0
    graph: str = ""
    node: str = ""
    used: float = 0.0
    state: str = "running"
    error: str = ""
    server: str = ""
    text: str = ""
    settings: dict = field(default_factory=dict)
    first: int = 0
    chunks: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()

    @property
    def unfinished(self) -> bool:
        return 0 < self.done < self.end

    @property
    def asked_for(self) -> tuple[int, str, str, str]:
        """What a later run has in common with it that takes its place."""
        return self.seed, self.graph, self.node, self.text


OLD_FIELDS = "seed", "end", "done", "graph", "node", "used"
KINDS = {f.name: {float: (int, float), tuple[str, ...]: (list,)}.get(f.type, (f.type,)) for f in fields(Run)}


@dataclass(frozen=True)
class FilmContents:
    """What is in a film's folder: runs, newest first, and by the names of chunks what is known of them.

    `chunks` have "chunk" (its number), "parent" (the name of the chunk that it follows, "" at the film's beginning,
    None where nobody knows), "seed", "prompt", in places more of what was told (`TOLD`), "seconds" and when it was
    "made". `stills` says when each was written, in seconds since 1970.
    """

    runs: tuple[Run, ...] = ()
    chunks: dict[str, dict] = field(default_factory=dict)
    stars: frozenset[str] = frozenset()
    stills: dict[str, float] = field(default_factory=dict)
    clips: frozenset[str] = frozenset()

    def chain(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that are there, and all that they follow; where that is not known, whatever is before."""
        found = set()
        for name in names:
            while name in self.chunks and name not in found:
                found.add(name)
                k, name = self.chunks[name]["chunk"], self.chunks[name]["parent"]
                if name != "" and name not in self.chunks:
                    found |= {other for other, entry in self.chunks.items() if entry["chunk"] < k}
        return found


def noted_lately(run: Run) -> bool:
    return time.time() - run.used < PATIENCE


class FilmIndex:
    """The index in a film's folder. A file that cannot be read counts as none.

    May be kept, and used by threads: what has not changed is not parsed again. Several processes may use a folder.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path = self.folder / INDEX
        self._last: tuple[bytes, FilmContents] = b"", FilmContents()
        self._is_foreign = False  # whether the file there is no index
        self._headers: dict[str, dict | None] = {}  # of chunks that the file does not have
        self._lines: dict[int, tuple[object, str]] = {}  # as they are written, by the identity of runs and entries
        self._healed = False

    def runs(self) -> tuple[Run, ...]:
        """Newest first, as they were noted."""
        with contextlib.suppress(OSError):
            return self._read().runs
        return ()

    def read(self, running: Callable[[Run], bool] = noted_lately) -> FilmContents:
        """What the folder holds now. `running` tells whether to believe a run that says it is."""
        found = FilmContents()
        with contextlib.suppress(OSError):
            found = self._read()
        try:
            found = self._on_disk(found)
        except OSError:
            found = FilmContents(found.runs)
        runs = (replace(r, state="stopped") if r.state == "running" and not running(r) else r for r in found.runs)
        return replace(found, runs=tuple(runs), stars=found.stars.intersection(found.chunks))

    def note(self, run: Run, chunks: dict[str, dict] = {}) -> None:
        """Write a run down, in place of the same node's of the same seed and text, and chunks as `entry_of` has them.

        Raises OSError.
        """
        run = replace(run, used=time.time(), settings=_plain(run.settings))

        def add(noted: FilmContents) -> FilmContents:
            others = (r for r in noted.runs if r.asked_for != run.asked_for)
            runs = [r if k < WHOLE else _shortened(r) for k, r in enumerate((run, *others))]
            noted = noted if self._healed else self._on_disk(noted)
            return replace(noted, runs=tuple(runs[:MOST]), chunks=noted.chunks | chunks)

        self._change(add)
        self._healed = True

    def star(self, chunk: str, starred: bool) -> None:
        """Star a chunk, or not any more. Raises KeyError where it is not there, OSError where it cannot be noted."""
        if not (self.folder / f"{chunk}{CHUNK}").exists():
            raise KeyError(chunk)

        def change(noted: FilmContents) -> FilmContents:
            found = self._on_disk(noted)
            if chunk not in found.chunks:
                raise KeyError(chunk)
            return replace(found, stars=found.stars | {chunk} if starred else found.stars - {chunk})

        self._change(change)

    def starred_chain(self) -> set[str]:
        """The chunks that are starred, and all that they follow. Raises OSError where that cannot be read."""
        noted = self._read()
        return self._on_disk(noted).chain(noted.stars) if noted.stars else set()

    def unfinished(self, graph: str, node: str, seed: int) -> Run | None:
        """The newest run of a node that another seed began and nobody finished."""
        newest = {}  # of each seed
        for run in self.runs():
            if run.seed != seed and (run.graph, run.node) == (graph, node):
                newest.setdefault(run.seed, run)
        return next((run for run in newest.values() if run.unfinished), None)

    def text_of(self, chunk: str) -> str:
        """The text of the newest schedule that led to a chunk; "" where nobody knows one."""
        return next((run.text for run in self.runs() if run.text and chunk in run.chunks), "")

    def _change(self, change: Callable[[FilmContents], FilmContents]) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
        with locked(self.folder / LOCK) as held:
            if not held:
                log.warning("%s is written without a lock, which was not to be had", self.path)
            contents = change(self._read())
            content = self._write(contents)
            if self._is_foreign:  # somebody's, or damaged by hand: there may be stars to be had
                write_whole(self.path.with_name(f"{INDEX}.bad"), self._last[0])
                self._is_foreign = False
            write_whole(self.path, content)
        self._last = content, contents

    def _read(self) -> FilmContents:
        """Raises OSError for a file that is there and cannot be opened: to write over it would lose its runs."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        if content != self._last[0]:
            parsed = _parsed(content)
            self._is_foreign = bool(content) and parsed is None
            self._last = content, parsed or FilmContents()
        return self._last[1]

    def _write(self, contents: FilmContents) -> bytes:
        """One line for each run and each chunk."""
        lines = {}

        def line(value, content: dict) -> str:
            known = self._lines.get(id(value))
            if known is None or known[0] is not value:
                known = value, json.dumps(content, ensure_ascii=False)
            lines[id(value)] = known
            return known[1]

        runs = ",\n  ".join(line(r, {f.name: getattr(r, f.name) for f in fields(Run)}) for r in contents.runs)
        ordered = sorted(contents.chunks.items(), key=lambda item: (item[1]["chunk"], item[1]["made"]))
        chunks = ",\n  ".join(f'"{name}": {line(entry, entry)}' for name, entry in ordered)
        self._lines = lines
        text = f'{{"format": "{FILE_FORMAT}",\n "runs": [\n  {runs}\n ],\n "chunks": {{\n  {chunks}\n }},\n "stars": '
        text += json.dumps(sorted(contents.stars)) + "}\n"
        try:
            return text.encode()
        except UnicodeEncodeError:
            return HALF_A_CHARACTER.sub(lambda match: rf"\u{ord(match[0]):04x}", text).encode()

    def _on_disk(self, noted: FilmContents) -> FilmContents:
        """What was noted of chunks whose files are there, and of others what their files say. Raises OSError."""
        files, stills = {CHUNK: set(), CLIP: set()}, {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                name, kind = os.path.splitext(entry.name)
                if kind == STILL:
                    with contextlib.suppress(OSError):  # gone since
                        stills[name] = entry.stat().st_mtime
                elif kind in files:
                    files[kind].add(name)
        chunks = {name: entry for name, entry in noted.chunks.items() if name in files[CHUNK]}
        for name in files[CHUNK] - chunks.keys():
            if name not in self._headers and NAME.fullmatch(name):
                self._headers[name] = _read_entry(self.folder / f"{name}{CHUNK}")
            if entry := self._headers.get(name):
                chunks[name] = entry
        return replace(noted, chunks=chunks, stills=stills, clips=frozenset(files[CLIP]))


HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


def _plain(settings: dict) -> dict:
    """Links may bring a node anything: what JSON has no word for becomes text."""
    return json.loads(json.dumps(settings, default=str), parse_constant=str)


def entry_of(chunk: Chunk) -> dict | None:
    """What the index notes of a chunk; None for a record that is none."""
    return _entry(chunk.record, chunk.start.parent)


def _read_entry(path: Path) -> dict | None:
    """Of a chunk's file; None for one that is damaged or not a chunk's."""
    try:
        record, parent = read_record(path) or ({}, None)
        return _entry({"made": path.stat().st_mtime} | record, parent)
    except OSError:
        return None


def _entry(record: dict, parent: str | None) -> dict | None:
    """The part of a chunk's record that is noted; None where it is none."""
    told = {key: record[key] for key in TOLD if key in record}
    entry = {"chunk": record.get("chunk"), "parent": parent, "seed": record.get("seed"), "prompt": "", **told}
    entry |= {"seconds": record.get("seconds", 0.0), "made": record.get("made", 0.0)}
    return entry if all(type(value) in ENTRY[key] for key, value in entry.items()) else None


ENTRY = {"chunk": (int,), "parent": (str, type(None)), "seed": (int,), "seconds": (int, float), "made": (int, float)}
ENTRY |= {"prompt": (str,), "words": (list,), "picture": (dict,), "change": (str,)}


def _parsed(content: bytes) -> FilmContents | None:
    """What a file says; what of it cannot be read is left out. None for one that is no index at all."""
    try:
        found = strict_json(content)
        if found["format"] not in (FILE_FORMAT, OLD_FORMAT):
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    runs, chunks, stars = (found.get(key) for key in ("runs", "chunks", "stars"))
    runs = [_run(run) for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    chunks = (
        {name: entry for name, entry in chunks.items() if isinstance(entry, dict)} if isinstance(chunks, dict) else {}
    )
    entries = {name: _entry(entry, entry.get("parent")) for name, entry in chunks.items() if NAME.fullmatch(name)}
    stars = [name for name in stars if isinstance(name, str)] if isinstance(stars, list) else []
    return FilmContents(
        tuple(run for run in runs if run is not None),
        {name: entry for name, entry in entries.items() if entry is not None},
        frozenset(name for name in stars if NAME.fullmatch(name)),
    )


def _run(entry: dict) -> Run | None:
    known = {f.name: entry[f.name] for f in fields(Run) if f.name in entry}
    if not all(name in known for name in OLD_FIELDS):
        return None
    if not all(type(value) in KINDS[name] for name, value in known.items()):
        return None
    for names in {"chunks", "reused"} & known.keys():
        known[names] = tuple(name for name in known[names] if type(name) is str)
    if known.get("state") not in STATES:
        known["state"] = "done" if known["done"] >= known["end"] else "stopped"
    return Run(**known)


def _shortened(run: Run) -> Run:
    known = run.text or run.settings or run.chunks
    return replace(run, text="", settings={}, chunks=(), reused=()) if known else run
