"""Chunks on disk: found again when all that decided them is the same, never otherwise, never when damaged."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from films import SEA, film_of, toy
from helios_core import (
    RECIPES,
    Back,
    Chunk,
    ChunkStore,
    HistoryMemory,
    Keyframe,
    PromptSchedule,
    ScheduleDirector,
    SeedChange,
    Segment,
    Start,
    film_records,
)
from helios_core.film.fingerprint import fingerprint
from helios_core.film.index import FilmContents, FilmIndex, Run
from helios_core.film.notes import RunNotes
from helios_core.film.tidy import tidy

RECIPE = RECIPES["distilled"]
SHAPE = (1, 16, 1, 8, 8)
DAY = 24 * 3600


def run(store, schedule=SEA, chunks=4, memory=None, recipe=RECIPE, stop=None, seed=3, seeds=None):
    """(the film's chunks, how many were on disk), as whoever autosaves makes a film; `stop` of them are made."""
    done = []
    for record in film_of(toy, memory or HistoryMemory.empty(64, 64), schedule, recipe, chunks, seed, store=store):
        if sum(not c.reused for c in done) == stop:
            break
        if isinstance(record, Chunk):
            told = seed if seeds is None else seeds[record.index]
            assert record.record["chunk"] == record.index and record.record["seed"] == told
            done.append(record)
    return done, sum(c.reused for c in done)


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x.latents, y.latents)
        and torch.equal(x.memory.frames, y.memory.frames)
        and torch.equal(x.memory.anchor, y.memory.anchor)
        and torch.equal(x.memory.rng_state, y.memory.rng_state)
        and (x.index, x.memory.chunk, x.memory.seed) == (y.index, y.memory.chunk, y.memory.seed)
        for x, y in zip(a, b)
    )


@pytest.fixture
def store(tmp_path):
    return ChunkStore(tmp_path, "0" * 32)


@pytest.mark.parametrize("stop", range(5))
def test_goes_on_at_the_first_missing_chunk(tmp_path, stop):
    whole, _ = run(ChunkStore(tmp_path, "a" * 32))
    store = ChunkStore(tmp_path, "b" * 32)
    run(store, stop=stop)
    again, found = run(store)
    assert found == stop and same(again, whole)
    assert run(store)[1] == 4


def test_longer_and_shorter_films_share_their_chunks(store):
    run(store, chunks=3)
    assert run(store, chunks=5)[1] == 3 and run(store, chunks=2)[1] == 2


def test_a_changed_prompt_keeps_what_was_before_it(store):
    story = PromptSchedule((Segment(0, "sea"), Segment(3, "storm")))
    first, found = run(store, story, chunks=6)
    assert found == 0
    for other, kept in [
        (PromptSchedule((Segment(0, "sea"), Segment(3, "calm weather"))), 3),
        (PromptSchedule((Segment(0, "sea"), Segment(3, "storm"), Segment(5, "calm weather"))), 5),
        (PromptSchedule((Segment(0, "sea"), Segment(3, "storm", blend=2))), 3),
        (replace(story, keyframes=(Keyframe(4, torch.ones(SHAPE), torch.ones(SHAPE)),)), 4),
        (replace(story, keyframes=(Keyframe(4, torch.zeros(SHAPE), torch.ones(SHAPE)),)), 4),
        (PromptSchedule((Segment(0, "the sea"),)), 0),
    ]:
        _, found = run(store, other, chunks=6)
        assert found == kept
    again, found = run(store, story, chunks=6)  # the first is still there
    assert found == 6 and same(again, first)


@pytest.mark.parametrize(
    "change",
    [
        dict(seed=4),
        dict(memory=HistoryMemory.empty(64, 128)),
        dict(memory=HistoryMemory(torch.ones(1, 16, 19, 8, 8))),
        dict(memory=replace(HistoryMemory.empty(64, 64), chunk=1)),
        dict(memory=replace(HistoryMemory.empty(64, 64), anchor=torch.ones(SHAPE))),
    ],
    ids=["seed", "size", "frames", "chunk", "anchor"],
)
def test_another_beginning_finds_nothing(store, change):
    run(store)
    assert run(store, **change)[1] == 0


def test_another_film_finds_nothing(tmp_path):
    run(ChunkStore(tmp_path, "a" * 32))
    assert run(ChunkStore(tmp_path, "b" * 32))[1] == 0


def test_skip_first_chunk_comes_back(store):
    recipe = replace(RECIPE, skip_first_chunk=True)
    whole, _ = run(store, recipe=recipe)
    again, found = run(store, recipe=recipe)
    assert found == 4 and same(again, whole)
    assert torch.equal(again[1].memory.anchor, again[1].latents[:, :, :1])


def path_of(store, chunk):
    return store.path(store.name(chunk.start))


def files(store):
    return sorted(store.folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime_ns)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_chunk_is_made_anew(store, data):
    whole, _ = run(store)
    k = data.draw(st.integers(0, 3))
    path = path_of(store, whole[k])
    content = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["cut", "bytes", "empty"]))
    if kind == "bytes":
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255))
    else:
        content = content[: 0 if kind == "empty" else data.draw(st.integers(0, len(content) - 1))]
    path.write_bytes(content)
    again, found = run(store)
    assert same(again, whole)
    # The others are found, before and after it; all of them after damage that means the same, in white space.
    assert found == 3 or path.read_bytes() == bytes(content) and found == 4
    assert run(store)[1] == 4


def test_a_full_disk_leaves_nothing_half_written(store, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    chunks, found = run(store)
    assert len(chunks) == 4 and found == 0
    assert [c.not_saved for c in chunks] == 4 * ["No space left on device"]
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["removed", "cut", "another chunk's", "another film's"])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_a_gap_is_filled_and_the_others_are_found(tmp_path, store, gap, damage):
    whole, _ = run(store)
    path = path_of(store, whole[gap])
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "another chunk's":
        path.write_bytes(path_of(store, whole[2]).read_bytes())
    else:
        other = ChunkStore(tmp_path, "b" * 32)
        path.write_bytes(path_of(other, run(other)[0][gap]).read_bytes())
    again, _ = run(store)
    assert [c.reused for c in again] == [k != gap for k in range(4)] and same(again, whole)
    assert run(store)[1] == 4


def test_a_renamed_film_is_not_taken(tmp_path):
    """The same chunks, but of another network: neither under the names that they had, nor under those they would."""
    one, other = ChunkStore(tmp_path, "a" * 32), ChunkStore(tmp_path, "b" * 32)
    chunks, _ = run(one)
    shutil.copytree(one.folder, other.folder)
    for chunk in chunks:
        path_of(other, chunk).write_bytes(path_of(one, chunk).read_bytes())
    again, found = run(other)
    assert found == 0 and same(again, chunks) and run(other)[1] == run(one)[1] == 4


@pytest.mark.parametrize(
    "shape", [(1, 16, 9, 8, 16), (1, 16, 9, 4, 8), (2, 16, 9, 8, 8), (1, 8, 9, 8, 8), (1, 16, 8, 8, 8)]
)
def test_latents_of_another_size_are_not_taken(store, shape):
    (chunk,), _ = run(store, chunks=1)
    assert store.load(chunk.start) is not None
    store.save(replace(chunk, latents=torch.zeros(shape)))
    assert store.load(chunk.start) is None
    again, found = run(store, chunks=1)
    assert found == 0 and same(again, [chunk])


def test_two_seeds_share_a_folder(store):
    """Nothing of the seed is in a film's name: what a chunk is filed under holds its random state."""
    films = {seed: run(store, seed=seed)[0] for seed in (3, 4)}
    assert len(files(store)) == 8 and not torch.equal(films[3][0].latents, films[4][0].latents)
    for seed, film in films.items():
        again, found = run(store, seed=seed)
        assert found == 4 and same(again, film) and {c.record["seed"] for c in again} == {seed}
    found = {(entry["chunk"], entry["seed"]) for entry in FilmIndex(store.folder).read().chunks.values()}
    assert found == {(chunk, seed) for chunk in range(4) for seed in (3, 4)}


def test_chunks_know_which_they_follow(store):
    """Also where the film went another way: two takes of a chunk have one parent."""
    chunks, _ = run(store)
    names = [chunk.name for chunk in chunks]
    assert [c.start.parent for c in chunks] == ["", *names[:3]] and names == [store.name(c.start) for c in chunks]
    again, _ = run(store, replace(SEA, seeds=(SeedChange(2, 5),)), seeds=(3, 3, 5, 5))
    assert [c.name for c in again[:2]] == names[:2] and not {c.name for c in again[2:]} & set(names)
    assert [c.start.parent for c in again] == ["", *(c.name for c in again[:3])]
    found = FilmIndex(store.folder).read().chunks
    assert {name: found[name]["parent"] for name in found} == {c.name: c.start.parent for c in (*chunks, *again)}


def test_a_film_that_goes_back_follows_itself(store):
    director = BackOnce(ScheduleDirector(SEA, 3, 4), at=3, to=1)
    records = film_records(toy, HistoryMemory.empty(64, 64), director, RECIPE, store=store)
    chunks = [record for record in records if isinstance(record, Chunk)]
    assert [(c.index, c.start.parent) for c in chunks] == [
        (0, ""),
        (1, chunks[0].name),
        (2, chunks[1].name),
        (1, chunks[0].name),
        (2, chunks[3].name),
        (3, chunks[4].name),
    ]


class BackOnce:
    """Another director, but once, at one chunk, back to another."""

    def __init__(self, director, at, to):
        self.director, self.at, self.to = director, at, to

    def direct(self, chunk):
        if chunk == self.at:
            self.at = None
            return Back(self.to)
        return self.director.direct(chunk)


def test_without_a_store_chunks_have_no_names():
    chunks, _ = run(None, chunks=2)
    assert [(c.name, c.start.parent) for c in chunks] == [("", "")] * 2


def test_chunks_of_before_have_no_parent(store):
    """They are found all the same, and known again when they are used."""
    chunks, _ = run(store)
    for chunk in chunks:
        with safe_open(store.path(chunk.name), "pt") as file:
            metadata, tensors = file.metadata(), {key: file.get_tensor(key).clone() for key in file.keys()}
        del metadata["parent"]
        save_file(tensors, store.path(chunk.name), metadata)
    index = FilmIndex(store.folder)
    assert {entry["parent"] for entry in index.read().chunks.values()} == {None}
    again, found = run(store)
    assert found == 4 and same(again, chunks)
    with RunNotes(index, Run(3, 4)) as notes:
        for chunk in again:
            notes.note(chunk)
    assert {name: e["parent"] for name, e in index.read().chunks.items()} == {c.name: c.start.parent for c in chunks}


@pytest.mark.parametrize("kind", ["a file", "below a file", "a chunk's folder", "read-only"])
def test_where_nothing_can_be_saved_the_film_goes_on(tmp_path, monkeypatch, kind):
    store = ChunkStore(tmp_path / "films", "a" * 32)
    if kind == "a file":
        store.root.write_text("mine")
    elif kind == "below a file":
        (tmp_path / "films").write_text("mine")
        store = ChunkStore(tmp_path / "films" / "below", "a" * 32)
    elif kind == "a chunk's folder":
        for chunk in run(ChunkStore(tmp_path / "elsewhere", "a" * 32))[0]:
            path_of(store, chunk).mkdir(parents=True)
            (path_of(store, chunk) / "mine").touch()
    else:  # as for root, whom no permission holds back
        store.folder.mkdir(parents=True)
        monkeypatch.setattr("builtins.open", refuse_to_write)
    chunks, found = run(store)
    monkeypatch.undo()
    assert found == 0 and same(chunks, run(ChunkStore(tmp_path / "well", "a" * 32))[0])
    assert all(c.not_saved for c in chunks)
    assert FilmIndex(store.folder).read() == FilmContents() and tidy(store, 0, 0) == []


def refuse_to_write(path, *args, _open=open, **kwargs):
    if Path(path).suffix == "" and Path(path).name.startswith("."):
        raise PermissionError(13, "Permission denied", str(path))
    return _open(path, *args, **kwargs)


def film_aged(root, name, days, chunks=2):
    store = ChunkStore(root, name * 32)
    run(store, chunks=chunks)
    os.utime(store.folder, 2 * (time.time() - days * DAY,))
    return store


def left(root):
    return sorted(p.name[0] for p in root.iterdir())


def test_old_films_are_removed_by_count(tmp_path):
    for name, days in zip("abcd", (5, 4, 3, 2)):
        film_aged(tmp_path, name, days)
    removed = tidy(ChunkStore(tmp_path, "b" * 32), max_films=2, max_bytes=10**9)
    assert [film.name[0] for film in removed] == ["a", "c"]
    assert left(tmp_path) == ["b", "d"]  # its own, and the newest of the others


def test_what_was_found_again_counts_as_used(tmp_path):
    stores = [film_aged(tmp_path, name, days) for name, days in zip("abc", (4, 3, 2))]
    run(stores[0], chunks=1)
    assert len(tidy(stores[2], max_films=2, max_bytes=10**9)) == 1 and left(tmp_path) == ["a", "c"]


def test_old_films_are_removed_by_size(tmp_path):
    stores = [film_aged(tmp_path, name, days) for name, days in zip("abcd", (5, 4, 3, 2))]
    size = sum(p.stat().st_size for p in stores[0].folder.iterdir())
    assert len(tidy(stores[2], max_films=10, max_bytes=int(3.5 * size))) == 1 and left(tmp_path) == ["b", "c", "d"]
    assert len(tidy(stores[2], max_films=10, max_bytes=0)) == 1 and left(tmp_path) == ["c", "d"]  # never its own
    assert run(stores[2], chunks=2)[1] == 2


def test_what_is_removed_is_told(tmp_path):
    films = [film_aged(tmp_path, name, days, chunks) for name, days, chunks in (("a", 5, 1), ("b", 4, 3), ("c", 3, 2))]
    sizes = {store.film: sum(p.stat().st_size for p in store.folder.iterdir()) for store in films}
    ages = {store.film: store.folder.stat().st_mtime for store in films}
    removed = tidy(ChunkStore(tmp_path, "d" * 32), max_films=0, max_bytes=0)
    assert [(film.name, film.chunks) for film in removed] == [("a" * 32, 1), ("b" * 32, 3)]
    assert all((film.size, film.used) == (sizes[film.name], ages[film.name]) for film in removed)


def test_nothing_used_within_a_day_is_removed(tmp_path):
    for name, hours in zip("abcd", (25, 23, 1, 0)):
        film_aged(tmp_path, name, hours / 24)
    (removed,) = tidy(ChunkStore(tmp_path, "e" * 32), max_films=0, max_bytes=0)
    assert removed.name[0] == "a" and left(tmp_path) == ["b", "c", "d"]


def test_what_is_to_be_kept_is_not_removed(tmp_path):
    for name, days in zip("abcd", (5, 4, 3, 2)):
        film_aged(tmp_path, name, days)
    asked = []

    def keep(folder):
        asked.append(folder)
        return folder.name[0] == "b"

    removed = tidy(ChunkStore(tmp_path, "e" * 32), max_films=0, max_bytes=0, keep=keep)
    assert [film.name[0] for film in removed] == ["a", "c"] and left(tmp_path) == ["b", "d"]
    assert asked == [tmp_path / (name * 32) for name in "abc"]


@pytest.mark.parametrize("days", [0, 9])
def test_two_samplers_of_one_graph_find_their_chunks_again(tmp_path, days):
    """However small the limit: neither makes room by what the other has just made."""
    stores = [film_aged(tmp_path, name, days + 2 - k) for k, name in enumerate("abcd")]
    for _ in range(2):
        for store in stores[2:]:
            run(store, chunks=2)
            tidy(store, max_films=1, max_bytes=1)
        assert left(tmp_path) == ["c", "d"] or days == 0
    assert [run(store, chunks=2)[1] for store in stores[2:]] == [2, 2]


@pytest.mark.parametrize("name", ["listdir", "stat", "unlink", "rmdir", "utime"])
def test_what_vanishes_meanwhile_does_no_harm(tmp_path, monkeypatch, name):
    """Another server tidies the same folder: when any file is asked for, it and its whole film may be gone."""
    real, moment, calls = getattr(os, name), -1, 1
    while moment < calls:  # of which each is the one before which it happens, once
        moment, calls, root = moment + 1, 0, tmp_path / str(moment)
        stores = [film_aged(root, letter, days, chunks=1) for letter, days in zip("abc", (5, 4, 3))]
        (stores[0].folder / ".half").write_bytes(b"half")
        os.utime(stores[0].folder / ".half", (0, 0))
        os.utime(stores[0].folder, 2 * (time.time() - 5 * DAY,))

        def meanwhile(*args, gone=stores[0].folder, at=moment, **kwargs):
            nonlocal calls
            calls += 1
            if calls - 1 == at:
                monkeypatch.undo()
                shutil.rmtree(gone, ignore_errors=True)
                monkeypatch.setattr(os, name, meanwhile)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, meanwhile)
        tidy(ChunkStore(root, "d" * 32), max_films=0, max_bytes=0)
        monkeypatch.undo()
        assert left(root) == ["c"]
    assert calls > 0


def test_half_written_files_are_no_use_of_a_film(tmp_path):
    films = [film_aged(tmp_path, name, days) for name, days in zip("abc", (5, 4, 3))]
    (films[0].folder / ".half").write_bytes(b"half")
    os.utime(films[0].folder / ".half", (0, 0))
    (films[0].folder / ".trash").mkdir()  # a stranger's
    os.utime(films[0].folder / ".trash", (0, 0))
    os.utime(films[0].folder, 2 * (time.time() - 5 * DAY,))
    assert tidy(films[2], max_films=9, max_bytes=10**9) == []
    assert not (films[0].folder / ".half").exists() and (films[0].folder / ".trash").exists()
    (removed,) = tidy(films[2], max_films=2, max_bytes=10**9)
    assert removed.name[0] == "a"


def test_what_is_removed_once_is_not_told_again(tmp_path):
    old, _, _ = (film_aged(tmp_path, name, days) for name, days in zip("abc", (5, 4, 3)))
    (old.folder / "notes.txt").write_text("mine")
    os.utime(old.folder, 2 * (time.time() - 5 * DAY,))
    store = ChunkStore(tmp_path, "c" * 32)
    assert [film.name[0] for film in tidy(store, max_films=2, max_bytes=10**9)] == ["a"]
    os.utime(old.folder, 2 * (time.time() - 5 * DAY,))
    assert tidy(store, max_films=2, max_bytes=10**9) == [] and (old.folder / "notes.txt").exists()


def test_strangers_are_left_alone(tmp_path):
    old, newest = film_aged(tmp_path, "a", 3), film_aged(tmp_path, "d", 2)
    (old.folder / "notes.txt").write_text("mine")
    os.utime(old.folder, 2 * (time.time() - 3 * DAY,))
    (tmp_path / f"{'c' * 32}.safetensors").write_text("a copy")
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder" / "x.safetensors").write_text("mine")
    tidy(ChunkStore(tmp_path, "b" * 32), max_films=0, max_bytes=0)
    mine = ["notes.txt", f"{'c' * 32}.safetensors", "my folder", "x.safetensors"]
    found = {p.name for p in tmp_path.rglob("*")} - {p.name for p in newest.folder.iterdir()}
    assert found == {"a" * 32, "d" * 32, *mine}


def test_what_a_kill_left_is_swept_up(tmp_path):
    store = film_aged(tmp_path, "a", 0)
    old, new = store.folder / ".x.safetensors.1", store.folder / ".y.safetensors.2"
    for file, age in ((old, 7200), (new, 60)):  # the new one may be another run's, being written
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age, time.time() - age))
    tidy(store, max_films=9, max_bytes=10**9)
    assert not old.exists() and new.exists()


def test_stars_stay_with_what_they_follow(tmp_path):
    """And their pictures, and what says so; all else of an old film goes, and is told once."""
    store = ChunkStore(tmp_path, "a" * 32)
    chunks, _ = run(store, chunks=5)
    others, _ = run(store, chunks=5, seed=4)
    for chunk in (*chunks, *others):
        for kind in (".jpg", ".mp4"):
            (store.folder / f"{chunk.name}{kind}").write_bytes(bytes(100))
    FilmIndex(store.folder).star(chunks[2].name, True)
    before = sum(path.stat().st_size for path in store.folder.iterdir())
    os.utime(store.folder, 2 * (time.time() - 5 * DAY,))
    newest = film_aged(tmp_path, "b", 4)
    (removed,) = tidy(ChunkStore(tmp_path, "c" * 32), max_films=0, max_bytes=0)
    stay = {f"{chunk.name}{kind}" for chunk in chunks[:3] for kind in (".safetensors", ".jpg", ".mp4")}
    assert {path.name for path in store.folder.iterdir()} == {*stay, "film.json", "film.lock"}
    assert (removed.name, removed.chunks) == ("a" * 32, 7)
    assert removed.size == before - sum(path.stat().st_size for path in store.folder.iterdir())
    contents = FilmIndex(store.folder).read()
    assert contents.stars == {chunks[2].name} and contents.chunks.keys() == {c.name for c in chunks[:3]}
    # It is as old as before, and does not count any more: nothing else has to go for it.
    assert time.time() - store.folder.stat().st_mtime > 4 * DAY
    assert tidy(ChunkStore(tmp_path, "c" * 32), max_films=1, max_bytes=10**9) == [] and newest.folder.exists()
    again, found = run(store, chunks=5)
    assert found == 3 and same(again, chunks)
    FilmIndex(store.folder).star(chunks[2].name, False)
    os.utime(store.folder, 2 * (time.time() - 5 * DAY,))
    (removed,) = tidy(ChunkStore(tmp_path, "c" * 32), max_films=0, max_bytes=0)
    assert removed.chunks == 5 and not store.folder.exists()


def test_where_a_star_has_no_chain_all_before_it_stays(tmp_path):
    """Chunks of before do not say which they follow, and one in between may be gone."""
    store = ChunkStore(tmp_path, "a" * 32)
    chunks, _ = run(store, chunks=5)
    others, _ = run(store, chunks=5, seed=4)
    store.path(chunks[2].name).unlink()
    FilmIndex(store.folder).star(chunks[3].name, True)
    os.utime(store.folder, 2 * (time.time() - 5 * DAY,))
    film_aged(tmp_path, "b", 4)
    tidy(ChunkStore(tmp_path, "c" * 32), max_films=0, max_bytes=0)
    assert {path.stem for path in files(store)} == {c.name for c in (*chunks[:2], chunks[3], *others[:3])}


def test_a_film_whose_stars_nobody_can_read_stays(tmp_path):
    for name, days in zip("abc", (5, 4, 3)):
        film_aged(tmp_path, name, days)
    (tmp_path / ("a" * 32) / "film.json").mkdir()
    os.utime(tmp_path / ("a" * 32), 2 * (time.time() - 5 * DAY,))
    removed = tidy(ChunkStore(tmp_path, "d" * 32), max_films=0, max_bytes=0)
    assert [film.name[0] for film in removed] == ["b"] and left(tmp_path) == ["a", "c"]


def test_no_folder_yet(tmp_path):
    store = ChunkStore(tmp_path / "none", "a" * 32)
    assert tidy(store, 1, 1) == [] and FilmIndex(store.folder).read() == FilmContents() and not store.root.exists()


def test_fingerprints_tell_apart():
    x = torch.arange(6.0)
    tensors = [x, x.double(), x.view(2, 3), x.to(torch.bfloat16), x + 1, [x], (x,), {"x": x}]
    values = [None, 0, False, 0.0, "", b"", "0", [], (), {}, ["ab"], ["a", "b"], [["a"], "b"], {"a": "b"}, {"b": "a"}]
    different = [*tensors, *values, RECIPE, replace(RECIPE, cfg=2.0), Segment(0, "x")]
    assert len({fingerprint(d) for d in different}) == len(different)
    assert fingerprint(x[::2]) == fingerprint(x[::2].clone())
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="a object has no fingerprint"):
        fingerprint([object()])


def test_fingerprints_last():
    """Chunks of an earlier version are found: changing this makes all of them useless."""
    assert fingerprint("sea", 3, torch.arange(4), {"a": (1.5, None)}) == "f94c9e14c914b312fcf9a68fc813ce40"


SAVES = """
import os, signal, sys, torch
from dataclasses import replace
from helios_core import Chunk, ChunkStore, HistoryMemory, Start
torch.set_num_threads(1)  # a fork has none of the others
store, memory = ChunkStore(sys.argv[1], "0" * 32), HistoryMemory.empty(512, 512)
memory = replace(memory, rng_state=torch.Generator().get_state())
for line in sys.stdin:
    if writer := os.fork():
        print(writer, flush=True)
        print(os.waitpid(writer, 0)[1], flush=True)
        continue
    if line == "stop\\n":
        os.fsync = lambda file: signal.pause()
    for k in range(10**6):
        start = Start(replace(memory, chunk=k), ((1.0, "sea"),), {})
        store.save(Chunk(k, torch.full((1, 16, 9, 64, 64), float(k)), memory, start, {"chunk": k}))
"""  # for each line that it reads, a process that saves until it is killed, or "stop"s in the middle of the first write


def test_kills_while_writing(tmp_path, store, caplog):
    """Whatever is there under a chunk's name is whole; what is half written has another."""
    halves, pipe = 0, dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", SAVES, str(tmp_path)], **pipe, text=True) as process:
        for how in ("go", "go", "go", "stop"):  # on a busy machine a delay alone may never meet a write
            print(how, file=process.stdin, flush=True)
            writer = int(process.stdout.readline())
            time.sleep(random.uniform(0.01, 0.1))
            while how == "stop" and not list(store.folder.glob(".*")):
                os.kill(writer, 0)  # raises where there is none any more
            os.kill(writer, signal.SIGKILL)
            assert int(process.stdout.readline()) == signal.SIGKILL
            halves += whole_or_half(store, caplog)
        process.stdin.close()
    print(f"{halves} of 4 kills came in the middle of a write")
    assert halves


def whole_or_half(store, caplog) -> int:
    """How many files are half written, under names of their own; empties the folder."""
    memory = replace(HistoryMemory.empty(512, 512), rng_state=torch.Generator().get_state())
    names = {p.name for p in files(store)}
    for k in range(len(names)):
        start = Start(replace(memory, chunk=k), ((1.0, "sea"),), {})
        latents, _, record = store.load(start)
        assert (latents == k).all() and record == {"chunk": k}
        names.remove(store.path(store.name(start)).name)
    assert not names and not caplog.records
    halves = len(list(store.folder.glob(".*")))
    for path in store.folder.iterdir():
        path.unlink()
    return halves
