"""A film's index: what is noted is found, what is damaged or foreign counts as none, and what is on disk counts."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save, save_file

from films import SEA, film_of, toy
from helios_core import RECIPES, Chunk, ChunkStore, HistoryMemory
from helios_core.files import locked
from helios_core.film.index import MOST, PATIENCE, WHOLE, FilmContents, FilmIndex, Run, entry_of
from helios_core.film.notes import RunNotes

RUN = Run(seed=3, end=8, done=2, graph="g", node="12", text="0: sea\n1: storm", settings={"steps": "auto", "cfg": 0.0})
NAMES = [f"{k:032x}" for k in range(2000)]


@pytest.fixture
def index(tmp_path):
    return FilmIndex(tmp_path / "film")


def noted(index):
    return [replace(run, used=0.0) for run in index.runs()]


def test_what_is_noted_is_found_newest_first(index):
    assert index.runs() == ()
    begun = time.time()
    for run in (RUN, replace(RUN, seed=4), replace(RUN, seed=5, graph="\ud800 é", node="a\nb")):
        index.note(run)
    assert noted(index) == [replace(RUN, seed=5, graph="\ud800 é", node="a\nb"), replace(RUN, seed=4), RUN]
    assert all(begun <= run.used <= time.time() for run in index.runs())


def test_a_run_is_noted_in_place_of_the_same_seed_and_text(index):
    for run in (RUN, replace(RUN, seed=4), replace(RUN, text="0: a storm"), replace(RUN, done=5)):
        index.note(run)
    assert noted(index) == [replace(RUN, done=5), replace(RUN, text="0: a storm"), replace(RUN, seed=4)]


def test_which_text_led_to_a_chunk(index):
    for text, names in (("0: sea", NAMES[:3]), ("0: sea\n2: storm", [*NAMES[:2], NAMES[9]]), ("", NAMES[:9])):
        index.note(replace(RUN, text=text, chunks=tuple(names)))
    texts = {k: index.text_of(NAMES[k]) for k in (0, 2, 9, 5)}
    assert texts == {0: "0: sea\n2: storm", 2: "0: sea", 9: "0: sea\n2: storm", 5: ""}


def test_another_workflows_run_with_the_same_seed_stays(index):
    """Or its film would not be known as one of that workflow, and be tidied away."""
    other = replace(RUN, graph="another", done=2)
    for run in (RUN, other):
        index.note(run)
    assert noted(index) == [other, RUN]


def test_a_person_can_read_it(index):
    """One line for each run and each chunk, in letters of all languages."""
    run = replace(RUN, chunks=tuple(NAMES[:2]), text="0: 海辺の灯台")
    index.note(run, {name: entry(k) for k, name in enumerate(NAMES[:2])})
    text = index.path.read_text("utf-8")
    content = json.loads(text)
    assert content["format"] == "helios-film-2" and len(content["runs"]) == 1 and content["stars"] == []
    used = content["runs"][0]["used"]
    assert content["runs"][0] == asdict(run) | {"used": used, "chunks": NAMES[:2], "reused": []}
    assert content["chunks"] == {NAMES[0]: entry(0), NAMES[1]: entry(1)}
    assert "海辺の灯台" in text and len(text.splitlines()) == 9
    assert {p.name for p in index.folder.iterdir()} == {"film.json", "film.lock"}


def test_settings_may_be_anything(index):
    """A link may bring what no widget would."""
    index.note(replace(RUN, settings={"cfg": float("nan"), "steps": torch.tensor(3), "solver": float("-inf")}))
    for reader in (index, FilmIndex(index.folder)):
        assert reader.runs()[0].settings == {"cfg": "NaN", "steps": "tensor(3)", "solver": "-Infinity"}


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_every_seed_comes_back(index, seed):
    index.note(replace(RUN, seed=seed))
    assert index.runs()[0].seed == seed


@pytest.mark.parametrize(
    "run, found",
    [
        (replace(RUN, seed=4), True),
        (RUN, False),  # the seed itself: it simply goes on
        (replace(RUN, seed=4, done=0), False),
        (replace(RUN, seed=4, done=8), False),
        (replace(RUN, seed=4, done=9), False),
        (replace(RUN, seed=4, graph="h"), False),
        (replace(RUN, seed=4, node="13"), False),
    ],
)
def test_what_another_seed_left_unfinished(index, run, found):
    index.note(run)
    got = index.unfinished("g", "12", seed=3)
    assert (got is not None and replace(got, used=0.0) == run) if found else got is None


def test_a_seed_whose_film_was_finished_by_another_text_is_not_offered(index):
    index.note(replace(RUN, seed=4))
    index.note(replace(RUN, seed=4, text="0: a storm", done=8))
    assert index.unfinished("g", "12", seed=3) is None


def test_the_newest_unfinished_run_is_offered(index):
    for seed in (4, 5, 6):
        index.note(replace(RUN, seed=seed, done=8 if seed == 6 else 2))
    assert index.unfinished("g", "12", seed=3).seed == 5


OLD = {key: asdict(RUN)[key] for key in ("seed", "end", "done", "graph", "node", "used")}
GOOD = asdict(RUN)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"3",
        b'"helios-film-1"',
        b"[" * 100000,
        *(
            json.dumps(content).encode()
            for content in (
                {},
                {"runs": [GOOD]},
                {"format": "helios-film-3", "runs": [GOOD]},
                {"format": "helios-film-2"},
                {"format": "helios-film-2", "runs": None},
                {"format": "helios-film-2", "runs": 3},
                {"format": "helios-film-2", "runs": [3]},
                {"format": "helios-film-2", "runs": [[]]},
                {"format": "helios-film-2", "runs": ["seed"]},
                {"format": "helios-film-1", "runs": [{"seed": 3}]},
                {"format": "helios-film-2", "chunks": [], "stars": {}},
                {"format": "helios-film-2", "runs": [GOOD | {"used": float("nan")}]},
                *(
                    {"format": "helios-film-2", "runs": [GOOD | {key: value}]}
                    for key, value in [
                        ("text", None),
                        ("settings", []),
                        ("chunks", "0"),
                        ("first", None),
                        ("error", 3),
                        ("seed", "3"),
                        ("seed", True),
                        ("seed", None),
                        ("seed", 3.0),
                        ("end", "8"),
                        ("done", [2]),
                        ("graph", 3),
                        ("node", None),
                        ("used", "yesterday"),
                        ("used", None),
                        ("used", True),
                        ("used", {}),
                    ]
                ),
            )
        ),
    ],
    ids=lambda content: content[:60].decode("latin1"),
)
def test_what_is_damaged_or_foreign_counts_as_none(index, content):
    index.path.parent.mkdir()
    index.path.write_bytes(content)
    assert index.runs() == () and index.unfinished("g", "12", seed=4) is None
    assert index.read() == FilmContents()
    index.note(RUN)
    assert noted(index) == [RUN]


def test_one_bad_entry_loses_no_other(index):
    """A person may have edited it."""
    chunks = film(index.folder)
    index.note(RUN, {chunk.name: entry_of(chunk) for chunk in chunks})
    for chunk in chunks:
        index.star(chunk.name, True)
    good = json.loads(index.path.read_text("utf-8"))
    first, *others = good["chunks"]
    bad = good | {"runs": [5, *good["runs"], {}], "stars": [7, *good["stars"], None]}
    bad["chunks"] = {name: good["chunks"][name] for name in others} | {first: 3, "x": {}}
    index.path.write_text(json.dumps(bad))
    found = FilmIndex(index.folder).read()
    assert found.stars == {chunk.name for chunk in chunks} == set(found.chunks)
    assert [run.asked_for for run in found.runs] == [RUN.asked_for]


def test_a_file_that_is_no_index_is_put_aside(index):
    index.path.parent.mkdir()
    index.path.write_text("my notes: {")
    index.note(RUN)
    assert noted(index) == [RUN]
    assert index.path.with_name("film.json.bad").read_text() == "my notes: {"
    index.note(RUN)
    assert sorted(path.name for path in index.folder.iterdir() if "bad" in path.name) == ["film.json.bad"]


def test_what_is_not_known_yet_is_passed_over(index):
    """A later version may note more of a run, or of the film."""
    index.path.parent.mkdir()
    content = {"format": "helios-film-2", "runs": [GOOD | {"stars": 5, "used": 7}], "takes": {}}
    index.path.write_text(json.dumps(content))
    assert index.runs() == (replace(RUN, used=7),)


def test_runs_of_before(index):
    """Which had neither text nor state; they are written down again with what they had."""
    index.path.parent.mkdir()
    runs = [OLD | {"seed": 4}, OLD | {"seed": 5, "done": 8}]
    index.path.write_text(json.dumps({"format": "helios-film-1", "runs": runs}))
    old = [Run(4, 8, 2, "g", "12", state="stopped"), Run(5, 8, 8, "g", "12", state="done")]
    assert noted(index) == old and index.unfinished("g", "12", seed=3).seed == 4
    index.note(RUN)
    assert noted(index) == [RUN, *old] and b"helios-film-2" in index.path.read_bytes()


def test_a_file_that_cannot_be_opened_is_not_written_over(index):
    """Its runs would be lost; a run that is not noted is only not offered again."""
    index.path.mkdir(parents=True)
    assert index.runs() == () and index.read() == FilmContents()
    with pytest.raises(OSError):
        index.note(RUN)
    with pytest.raises(OSError):
        index.starred_chain()


def test_only_so_many_are_remembered(index):
    index.path.parent.mkdir()
    runs = [asdict(replace(RUN, seed=10 + k)) for k in range(MOST)]
    index.path.write_text(json.dumps({"format": "helios-film-2", "runs": runs}))
    index.note(RUN)
    assert len(index.runs()) == MOST and index.runs()[0].seed == 3 and index.runs()[-1].seed == 10 + MOST - 2
    assert [bool(run.text) for run in index.runs()] == [True] * WHOLE + [False] * (MOST - WHOLE)


def test_two_writers_one_after_the_other(index):
    other = FilmIndex(index.path.parent)
    for k in range(3):
        index.note(replace(RUN, seed=3, done=k))
        other.note(replace(RUN, seed=4, done=k))
    assert noted(index) == noted(other) == [replace(RUN, seed=4, done=2), replace(RUN, seed=3, done=2)]


def note_many(folder, first, count):
    """Each note is of another run and another chunk."""
    index = FilmIndex(folder)
    folder.mkdir(exist_ok=True)
    for k in range(first, first + count):
        (folder / f"{k:032x}.safetensors").touch()
        index.note(replace(RUN, seed=k), {f"{k:032x}": entry(k)})


@pytest.mark.parametrize("writer", [multiprocessing.get_context("fork").Process, threading.Thread])
def test_two_writers_at_once_lose_nothing(index, writer):
    """And whoever reads meanwhile finds all of it, as far as it is."""
    note_many(index.folder, 0, 1)
    writers = [writer(target=note_many, args=(index.folder, first, 200)) for first in (100, 1000)]
    seen = [writer.start() for writer in writers]
    while any(writer.is_alive() for writer in writers):
        seen.append(len(index.runs()))
    assert seen[2:] == sorted(seen[2:]) and min(seen[2:]) >= 1
    wanted = {0, *range(100, 300), *range(1000, 1200)}
    content = json.loads(index.path.read_bytes())
    assert {run["seed"] for run in content["runs"]} == {int(name, 16) for name in content["chunks"]} == wanted
    assert {run.seed for run in index.runs()} == wanted
    assert not [p.name for p in index.folder.iterdir() if p.name[0] == "."]


def test_a_lock_that_nobody_gives_back_holds_up_no_run(index, monkeypatch, caplog):
    index.note(RUN)
    monkeypatch.setattr(locked.__wrapped__, "__defaults__", (0.05,))
    with locked(index.folder / "film.lock", 1) as held:
        index.note(replace(RUN, done=5))
    assert held and noted(index) == [replace(RUN, done=5)] and "without a lock" in caplog.text


def test_a_lock_is_free_again_when_its_holder_is_killed(index):
    index.note(RUN)
    with locked(index.folder / "film.lock") as held:
        assert held and not locked_now(index)
    assert locked_now(index)
    child = os.fork()
    if not child:
        with locked(index.folder / "film.lock"):
            (index.folder / "held").touch()
            time.sleep(60)
    while not (index.folder / "held").exists():
        time.sleep(0.01)
    assert not locked_now(index)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert locked_now(index)


def locked_now(index) -> bool:
    with locked(index.folder / "film.lock", wait=0) as held:
        return held


def entry(k, **more):
    parent = NAMES[k - 1] if k else ""
    record = {"chunk": k, "parent": parent, "seed": 3, "prompt": "sea", "seconds": 1.5, "made": 7.25 + k}
    return record | more


def film(folder, chunks=3, seed=3, notes=None, denoise=toy):
    """The chunks of a film that is made as nodes make it."""
    store, made = ChunkStore(folder.parent, folder.name), []
    records = film_of(denoise, HistoryMemory.empty(64, 64), SEA, RECIPES["distilled"], chunks, seed, store=store)
    for record in records:
        if notes is not None:
            notes.note(record)
        if isinstance(record, Chunk):
            made.append(record)
    return made


def files(index):
    return {path.stem for path in index.folder.glob("*.safetensors")}


def test_a_run_is_noted_while_it_goes(index):
    """Before the first chunk, after each, and at its end; chunks from disk all together."""
    states = []

    class Seen(FilmIndex):
        def note(self, run, chunks={}):
            super().note(run, chunks)
            states.append((run.state, run.done, len(run.reused), len(chunks)))

    run = Run(3, 3, graph="g", node="7", text="0: sea")
    with RunNotes(Seen(index.folder), run) as notes:
        made = film(index.folder, notes=notes)
    assert states == [("running", 0, 0, 0), *(("running", k, 0, 1) for k in (1, 2, 3)), ("done", 3, 0, 0)]
    (noted,) = index.runs()
    assert noted.chunks == tuple(c.name for c in made) and (noted.state, noted.error, noted.text) == (
        "done",
        "",
        "0: sea",
    )
    states.clear()
    with RunNotes(Seen(index.folder), replace(run, end=5)) as notes:
        film(index.folder, chunks=5, notes=notes)
    assert states == [("running", 3, 3, 3), ("running", 4, 3, 1), ("running", 5, 3, 1), ("done", 5, 3, 0)]
    assert index.runs()[0].reused == tuple(c.name for c in made)
    assert index.read() == FilmIndex(index.folder).read() and files(index) == index.read().chunks.keys()
    (noted,) = index.runs()
    entries = [index.read().chunks[name] for name in noted.chunks]
    assert [e["chunk"] for e in entries] == [0, 1, 2, 3, 4]
    assert [e["parent"] for e in entries] == ["", *noted.chunks[:4]]


@pytest.mark.parametrize(
    ("error", "state", "sentence"),
    [
        (KeyboardInterrupt(), "stopped", ""),
        (FloatingPointError("NaN in the latents of chunk 1"), "failed", "NaN in the latents of chunk 1"),
        (MemoryError(), "failed", "MemoryError"),
        (ValueError("x" * 10**5), "failed", "x" * 1000),
    ],
)
def test_how_a_run_ends(index, error, state, sentence):
    def denoise(start):
        if start.chunk == 1:
            raise error
        return toy(start)

    with pytest.raises(type(error)), RunNotes(index, Run(3, 3)) as notes:
        film(index.folder, notes=notes, denoise=denoise)
    (run,) = index.read().runs
    assert (run.state, run.error, run.done, len(run.chunks)) == (state, sentence, 1, 1)
    film(index.folder)
    assert files(index) == index.read().chunks.keys() and len(files(index)) == 3


def test_what_cannot_be_noted_ends_nothing(index):
    index.path.mkdir(parents=True)
    told = []
    with RunNotes(index, Run(3, 3), tell=told.append) as notes:
        assert len(film(index.folder, notes=notes)) == 3
    assert len(told) == 1 and "could not be noted" in told[0]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_between_chunk_and_note(index, after):
    """What is on disk counts, whatever was noted of it."""
    notes = RunNotes(index, Run(3, 3, server="another"))
    made = film(index.folder)
    for chunk in made[:after]:
        notes.note(chunk)
    contents = index.read(lambda run: run.server == "mine")
    assert contents.chunks == {c.name: entry_of(c) for c in made}
    assert [(r.state, r.done) for r in contents.runs] == [("stopped", after)] * (after > 0)
    assert [r.state for r in index.read().runs] == ["running"] * (after > 0)  # another's, that was noted just now


def test_a_run_that_says_nothing_for_long_has_stopped(index, monkeypatch):
    index.note(RUN)
    index.note(replace(RUN, seed=4, state="failed"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + PATIENCE - 1)
    assert [run.state for run in index.read().runs] == ["failed", "running"]
    monkeypatch.setattr(time, "time", lambda: now + PATIENCE + 1)
    assert [run.state for run in index.read().runs] == ["failed", "stopped"]


def test_files_that_come_and_go(index):
    first, second, third = film(index.folder)
    index.read()
    (index.folder / f"{second.name}.safetensors").unlink()
    assert index.read().chunks == {c.name: entry_of(c) for c in (first, third)}
    film(index.folder)
    assert index.read().chunks.keys() == {c.name for c in (first, second, third)}


def test_what_is_no_chunk_is_not_listed(index):
    first, second = film(index.folder, chunks=2)
    (index.folder / f"{second.name}.safetensors").write_bytes(b"damaged")
    (index.folder / f"{'a' * 32}.safetensors").mkdir()
    save_file({"x": torch.zeros(1)}, index.folder / "mine.safetensors")
    whole = {"chunk": 1, "seed": 3, "prompt": "sea"}
    records = [
        whole | {"chunk": "1"},
        whole | {"seed": None},
        whole | {"prompt": 3},
        whole | {"words": 1},
        {},
        3,
        "{",
        None,
    ]
    for k, record in enumerate(records):
        text = record if isinstance(record, str) else json.dumps(record)
        metadata = {"format": "helios-chunk-2", "record": text}
        save_file({"x": torch.zeros(1)}, index.folder / f"{k:032x}.safetensors", metadata)
    nan = {"format": "helios-chunk-2", "record": json.dumps(whole | {"seconds": float("inf")})}
    save_file({"x": torch.zeros(1)}, index.folder / f"{'b' * 32}.safetensors", nan)
    save_file({"x": torch.zeros(1)}, index.folder / f"{'c' * 32}.safetensors", {"format": "helios-chunk-1"})
    assert index.read().chunks == {first.name: entry_of(first)}


def test_stills_and_clips_are_seen(index):
    first, second = film(index.folder, chunks=2)
    (index.folder / f"{first.name}.jpg").write_bytes(b"1")
    (index.folder / f"{second.name}.mp4").write_bytes(b"2")
    contents = index.read()
    assert contents.stills.keys() == {first.name} and contents.clips == {second.name}
    assert contents.stills[first.name] == pytest.approx(time.time(), abs=60)


def test_stars(index):
    first, second, third = film(index.folder)
    for chunk in (first, third):
        index.star(chunk.name, True)
    assert index.read().stars == FilmIndex(index.folder).read().stars == {first.name, third.name}
    index.note(RUN)
    index.star(first.name, False)
    assert index.read().stars == {third.name} and len(index.runs()) == 1
    assert index.starred_chain() == {c.name for c in (first, second, third)}
    with pytest.raises(KeyError):
        index.star("0" * 32, True)
    (index.folder / f"{third.name}.safetensors").unlink()
    assert index.read().stars == index.starred_chain() == set()
    film(index.folder)
    assert index.read().stars == {third.name}  # it is back


def test_stars_outlast_a_folder_that_cannot_be_listed(index, monkeypatch):
    """For a moment, as on a network drive."""
    (chunk,) = film(index.folder, chunks=1)
    index.star(chunk.name, True)
    other = FilmIndex(index.folder)

    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", fail)
    assert other.read() == FilmContents()
    for work in (lambda: other.note(RUN), other.starred_chain, lambda: other.star(chunk.name, False)):
        with pytest.raises(OSError):
            work()
    monkeypatch.undo()
    other.note(RUN)
    assert index.read().stars == {chunk.name} == index.starred_chain()


def test_a_large_film_is_quick(index):
    """2,000 chunks: from their headers once, then from what is noted."""
    index.folder.mkdir()
    tensors = {"latents": torch.zeros(1, 16, 9, 8, 8), "rng_state": torch.zeros(5056, dtype=torch.uint8)}
    for k, name in enumerate(NAMES):
        record = {key: value for key, value in entry(k, prompt="a quiet sea " * 12).items() if key != "parent"}
        metadata = {"format": "helios-chunk-2", "record": json.dumps(record), "parent": entry(k)["parent"]}
        (index.folder / f"{name}.safetensors").write_bytes(save(tensors, metadata))

    def seconds(work, times):
        """The quickest of some: the machine is not ours alone."""
        found = []
        for _ in range(times):
            begun = time.perf_counter()
            work()
            found.append(time.perf_counter() - begun)
        return min(found)

    assert seconds(lambda: FilmIndex(index.folder).read(), 2) < 0.5
    assert len(index.read().chunks) == 2000 and seconds(index.read, 5) < 0.05
    run = replace(RUN, chunks=tuple(NAMES))
    index.note(run)
    assert seconds(lambda: index.note(run, {"f" * 32: entry(9)}), 7) < 0.02
    assert seconds(lambda: FilmIndex(index.folder).read(), 3) < 0.1
