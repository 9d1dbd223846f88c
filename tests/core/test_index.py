"""The runs of a film beside its chunks: what is noted is found, what is damaged or foreign counts as none."""

import json
import threading
import time
from dataclasses import asdict, replace

import pytest

from helios_core.film.index import MOST, FilmIndex, Run

RUN = Run(seed=3, end=8, done=2, graph="g", node="12")


@pytest.fixture
def index(tmp_path):
    return FilmIndex(tmp_path / "film")


def noted(index):
    return [replace(run, used=0.0) for run in index.runs()]


def test_what_is_noted_is_found_newest_first(index):
    assert index.runs() == []
    begun = time.time()
    for run in (RUN, replace(RUN, seed=4), replace(RUN, seed=5, graph="\ud800 é", node="a\nb")):
        index.note(run)
    assert noted(index) == [replace(RUN, seed=5, graph="\ud800 é", node="a\nb"), replace(RUN, seed=4), RUN]
    assert all(begun <= run.used <= time.time() for run in index.runs())


def test_a_run_is_noted_in_place_of_the_same_seeds(index):
    for run in (RUN, replace(RUN, seed=4), replace(RUN, done=5)):
        index.note(run)
    assert noted(index) == [replace(RUN, done=5), replace(RUN, seed=4)]


def test_another_workflows_run_with_the_same_seed_stays(index):
    """Or its film would not be known as one of that workflow, and be tidied away."""
    other = replace(RUN, graph="another", done=2)
    for run in (RUN, other):
        index.note(run)
    assert noted(index) == [other, RUN]


def test_a_person_can_read_it(index):
    index.note(RUN)
    content = json.loads(index.path.read_text("utf-8"))
    assert content["format"] == "helios-film-1" and len(content["runs"]) == 1
    assert asdict(RUN) | {"used": content["runs"][0]["used"]} == content["runs"][0]
    assert [p.name for p in index.path.parent.iterdir()] == ["film.json"]


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


def test_the_newest_unfinished_run_is_offered(index):
    for seed in (4, 5, 6):
        index.note(replace(RUN, seed=seed, done=8 if seed == 6 else 2))
    assert index.unfinished("g", "12", seed=3).seed == 5


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
                {"format": "helios-film-2", "runs": [GOOD]},
                {"format": "helios-film-1"},
                {"format": "helios-film-1", "runs": None},
                {"format": "helios-film-1", "runs": 3},
                {"format": "helios-film-1", "runs": [3]},
                {"format": "helios-film-1", "runs": [[]]},
                {"format": "helios-film-1", "runs": ["seed"]},
                {"format": "helios-film-1", "runs": [{"seed": 3}]},
                *(
                    {"format": "helios-film-1", "runs": [GOOD | {key: value}]}
                    for key, value in [
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
    assert index.runs() == [] and index.unfinished("g", "12", seed=4) is None
    index.note(RUN)
    assert noted(index) == [RUN]


def test_what_is_not_known_yet_is_passed_over(index):
    """A later version may note more of a run, or of the film."""
    index.path.parent.mkdir()
    content = {"format": "helios-film-1", "runs": [GOOD | {"stars": 5, "used": 7}], "takes": {}}
    index.path.write_text(json.dumps(content))
    assert index.runs() == [replace(RUN, used=7)]


def test_a_file_that_cannot_be_opened_is_not_written_over(index):
    """Its runs would be lost; a run that is not noted is only not offered again."""
    index.path.mkdir(parents=True)
    assert index.runs() == []
    with pytest.raises(OSError):
        index.note(RUN)


def test_only_so_many_are_remembered(index):
    index.path.parent.mkdir()
    runs = [asdict(replace(RUN, seed=10 + k)) for k in range(MOST)]
    index.path.write_text(json.dumps({"format": "helios-film-1", "runs": runs}))
    index.note(RUN)
    assert len(index.runs()) == MOST and index.runs()[0].seed == 3 and index.runs()[-1].seed == 10 + MOST - 2


def test_two_writers_one_after_the_other(index):
    other = FilmIndex(index.path.parent)
    for k in range(3):
        index.note(replace(RUN, seed=3, done=k))
        other.note(replace(RUN, seed=4, done=k))
    assert noted(index) == noted(other) == [replace(RUN, seed=4, done=2), replace(RUN, seed=3, done=2)]


def test_two_writers_at_once_leave_a_whole_file(index):
    """Of two notes at the same moment one may be lost, but never what was there, nor the file."""
    index.note(replace(RUN, seed=99))
    errors, seen = [], []

    def write(first):
        try:
            for seed in range(first, first + 25):
                FilmIndex(index.path.parent).note(replace(RUN, seed=seed))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(first,)) for first in (100, 200)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append({run.seed for run in index.runs()})
    assert not errors and all(99 in seeds for seeds in seen) and seen
    assert {124, 224} & {index.runs()[0].seed} and len(index.runs()) > 25
    assert [p.name for p in index.path.parent.iterdir()] == ["film.json"]
