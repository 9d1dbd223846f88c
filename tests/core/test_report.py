"""A film's report: numbers that are right for films made to have them, and a picture of any length of film."""

import json
from io import BytesIO

import pytest
import torch
from PIL import Image

from helios_core.media.drawing import CARDS, draw_report
from helios_core.media.measure import ChunkMeasure, measure_chunks
from helios_core.media.report import film_report


def chunk(value, frames=33, detail=0.0):
    """Frames of one colour, with a checkerboard of so much contrast."""
    board = ((torch.arange(32).view(1, -1) + torch.arange(32).view(-1, 1)) % 2 * 2 - 1).view(1, 32, 32, 1)
    return (torch.tensor(value).expand(frames, 32, 32, 3) + detail * board).clamp(0, 1)


GREY, DARK, RED = (0.5, 0.5, 0.5), (0.4, 0.4, 0.4), (0.9, 0.1, 0.1)


def test_measures():
    grey, dark, red, fine = measure_chunks([chunk(GREY), chunk(DARK), chunk(RED), chunk(GREY, detail=0.1)])
    assert grey.seam is None and dark.seam == pytest.approx(0.1 * 255, rel=1e-3)
    assert (grey.brightness, dark.brightness) == pytest.approx((0.5, 0.4), abs=1e-5)
    assert red.brightness == pytest.approx(0.2126 * 0.9 + 0.7874 * 0.1, abs=1e-5)
    assert (grey.saturation, red.saturation) == pytest.approx((0, 0.8), abs=1e-5)
    assert grey.sharpness == pytest.approx(0, abs=1e-5)
    assert fine.sharpness == pytest.approx(8 * 0.1, rel=1e-3)  # a checkerboard's Laplacian is 8 times its height
    assert grey.motion == 0
    with Image.open(BytesIO(grey.thumbnail)) as image:
        assert image.size == (32, 32) and image.getpixel((16, 16)) == pytest.approx((127, 127, 127), abs=2)


def test_motion():
    (m,) = measure_chunks([torch.linspace(0, 0.32, 33).view(33, 1, 1, 1).expand(33, 8, 8, 3)])
    assert m.motion == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 33])
def test_a_short_last_chunk(frames):
    measures = list(measure_chunks([chunk(GREY), chunk(DARK, frames)]))
    assert len(measures) == 2 and measures[1].brightness == pytest.approx(0.4, abs=1e-5)


def test_one_chunk_is_held_at_a_time():
    alive = []

    def chunks():
        for _ in range(3):
            alive.append(1)
            yield chunk(GREY)

    measures = measure_chunks(chunks())
    next(measures)
    assert len(alive) == 1


LOG = [
    {"chunk": 0, "prompt": "the sea", "seed": 3, "seconds": 2.0, "vram": 14_200_000_000, "ram": 3_000_000_000},
    {"chunk": 1, "seed": 3, "seconds": 2.5, "reused": True},
    {"chunk": 2, "prompt": "a storm", "seed": 4, "seconds": 1.0, "change": "cut"},
    {"chunk": 3},
]


def report(log=LOG, first=0, count=4):
    measures = list(
        measure_chunks([chunk(GREY, detail=0.1), chunk(DARK, detail=0.05), chunk(RED), chunk(GREY)][:count])
    )
    return film_report(measures, log, first), [m.thumbnail for m in measures]


def test_numbers():
    numbers, _ = report()
    json.dumps(numbers, allow_nan=False)
    rows = numbers["chunks"]
    assert [r["prompt"] for r in rows] == ["the sea", "the sea", "a storm", "a storm"]
    assert [r["seed"] for r in rows] == [3, 3, 4, None]
    assert [(r["chunk"], r["frame"], r["time"]) for r in rows[:2]] == [(0, 0, 0.0), (1, 33, 1.375)]
    assert [r["reused"] for r in rows] == [False, True, False, False]
    assert (rows[0]["vram_gb"], rows[0]["ram_gb"], rows[1]["vram_gb"]) == (14.2, 3.0, None)
    assert rows[1]["brightness_drift"] == pytest.approx(-0.1, abs=1e-3)
    assert rows[1]["sharpness_drift"] == pytest.approx(0.5, abs=1e-2)
    assert rows[2]["saturation_drift"] == pytest.approx(0.8, abs=1e-2)
    summary = numbers["summary"]
    assert (summary["chunks"], summary["frames"], summary["seconds_taken"]) == (4, 132, 3.0)
    assert summary["frames_per_second"] == 22.0  # of the two chunks that were made, not found on disk
    assert [r["change"] for r in rows] == [None, None, "cut", None]
    assert summary["worst_seam"]["chunk"] == 3 and (summary["visible_seams"], summary["changes"]) == (2, 1)
    assert summary["saturation_drift"] == {"value": pytest.approx(0.8, abs=1e-2), "chunk": 2}


def test_the_end_of_a_longer_film():
    rows = report(first=2, count=2)[0]["chunks"]
    assert [(r["chunk"], r["prompt"], r["seed"]) for r in rows] == [(2, "a storm", 4), (3, "a storm", None)]


def test_records_are_looked_up_by_their_number():
    """Of a film that was begun elsewhere: only its last two chunks are known, and two are measured."""
    rows = report([{**entry, "chunk": entry["chunk"] + 5} for entry in LOG[2:]], first=7, count=2)[0]["chunks"]
    assert [(r["chunk"], r["prompt"], r["seed"]) for r in rows] == [(7, "a storm", 4), (8, "a storm", None)]
    rows = report([{**entry, "chunk": entry["chunk"] + 1} for entry in LOG], first=0)[0]["chunks"]
    assert [(r["prompt"], r["seed"]) for r in rows] == [(None, None), ("the sea", 3), ("the sea", 3), ("a storm", 4)]


@pytest.mark.parametrize("change", ["cut", "blend", "image"])
def test_meant_changes_are_no_seams(change):
    numbers, thumbnails = report([{**entry, "change": change} for entry in LOG])
    assert numbers["summary"]["visible_seams"] == 0 and numbers["summary"]["worst_seam"] is None
    assert draw_report(numbers, thumbnails).width == 1600


def test_another_prompt_is_a_change():
    """In files of before, whose records do not say it; not the first that is known."""
    log = [{key: value for key, value in entry.items() if key != "change"} for entry in LOG]
    assert [r["change"] for r in report(log)[0]["chunks"]] == [None, None, "cut", None]
    assert [r["change"] for r in report(log[2:], first=2, count=2)[0]["chunks"]] == [None, None]


@pytest.mark.parametrize("frames", [torch.rand(33, 32, 32, channels) for channels in (1, 2, 4)], ids="124")
def test_any_channels(frames):
    (m,) = measure_chunks([frames])
    with Image.open(BytesIO(m.thumbnail)) as image:
        assert image.mode == "RGB" and image.size == (32, 32)
    if frames.shape[-1] < 3:
        assert m.saturation == 0


@pytest.mark.parametrize("size", [(320, 1), (1, 320), (2, 2)], ids=str)
def test_any_shape_of_picture(size):
    measures = list(measure_chunks([torch.rand(33, *size, 3)] * 3))
    assert draw_report(film_report(measures), [m.thumbnail for m in measures]).height < 1200


def test_pixels_that_are_no_numbers():
    numbers = film_report(measure_chunks([torch.full((33, 8, 8, 3), torch.nan)] * 2))
    json.dumps(numbers, allow_nan=False)


@pytest.mark.parametrize(
    "log",
    [
        [],
        LOG[:1],
        LOG * 3,
        [None, 3, "x", [], {"chunk": "0"}],
        [{"chunk": 0, "prompt": 3, "change": {}, "seed": "x", "seconds": float("nan"), "vram": []}],
    ],
)
def test_any_log(log):
    numbers, thumbnails = report(log)
    json.dumps(numbers, allow_nan=False)
    assert draw_report(numbers, thumbnails).width == 1600


def test_nothing():
    numbers = film_report([], LOG)
    assert numbers["chunks"] == [] and draw_report(numbers, []).width == 1600


def many(count):
    (m,) = measure_chunks([chunk(RED)])
    measures = [
        ChunkMeasure(m.thumbnail, 9.0 if k == count // 3 + 1 else 1.0, 0.5, 0.1, 0.1, 0.01) for k in range(count)
    ]
    log = [{"chunk": k, "prompt": f"prompt {k // 10} ☃ 日本語 " + "long" * 60} for k in range(count)]
    return film_report(measures, log), [m.thumbnail] * count


@pytest.mark.parametrize("count", [1, 5, CARDS, CARDS + 1, 3000])
def test_pictures(count):
    image = draw_report(*many(count))
    rows = -(-min(count, CARDS) // 5)
    assert image.width == 1600 and 400 + rows * 300 < image.height < 600 + rows * 600
    red = sum(n for n, (r, g, b) in image.resize((160, image.height // 10)).getcolors(2**24) if r > 180 and g < 90)
    card = 291 * 289 / 100  # in pixels of the small picture
    assert red == pytest.approx(min(count, CARDS) * card, rel=0.25)


def test_which_chunks_of_a_long_film():
    from helios_core.media.drawing import _choose

    numbers, _ = many(3000)
    chosen = _choose(numbers["chunks"])
    assert len(set(chosen)) == CARDS and {0, 2999, 1001} <= set(chosen)
    assert max(b - a for a, b in zip(chosen, chosen[1:])) < 3000 / 20
