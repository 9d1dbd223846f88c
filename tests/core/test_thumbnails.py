"""A chunk's still and clip: they look like its frames, are small, and nothing ends for their sake."""

import logging
import threading
import time
from io import BytesIO

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helios_core.media import thumbnails
from helios_core.media.thumbnails import STILL_SIZE, Thumbnails, clip, still

NAME = "a" * 32 + "/" + "b" * 32


@pytest.fixture
def root(tmp_path):
    """A folder with one chunk in it."""
    (tmp_path / NAME).parent.mkdir()
    path_of(tmp_path, "safetensors").touch()
    return tmp_path


def path_of(root, kind):
    return root / f"{NAME}.{kind}"


def frames(count=33, height=96, width=160, grey=0.25):
    """Grey, with a red half that comes in from the left."""
    made = torch.full((count, height, width, 3), grey)
    for k in range(count):
        made[k, :, : width * k // count] = torch.tensor([0.9, 0.1, 0.1])
    return made


def read_clip(content):
    with av.open(BytesIO(content)) as container:
        (stream,) = container.streams
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        return shown / 255, float(stream.duration * stream.time_base), stream.codec_context.pix_fmt


def test_a_still_is_the_frame():
    frame = frames(height=384, width=640)[16]
    image = Image.open(BytesIO(still(frame, STILL_SIZE)))
    assert image.size == (160, 96) and "comment" not in image.info
    pixels = np.asarray(image) / 255
    assert np.abs(pixels[:, :70] - frame[0, 0].numpy()).max() < 0.1
    assert np.abs(pixels[:, 90:] - frame[0, -1].numpy()).max() < 0.1
    assert Image.open(BytesIO(still(frames(height=640, width=384)[0], STILL_SIZE))).size == (96, 160)


@pytest.mark.parametrize(
    ("count", "height", "width", "shape"),
    [
        (33, 384, 640, (33, 192, 320, 3)),
        (33, 128, 192, (33, 128, 192, 3)),
        (8, 192, 320, (8, 192, 320, 3)),
        (33, 720, 1280, (33, 180, 320, 3)),
        (33, 832, 480, (33, 554, 320, 3)),
        (2, 33, 47, (2, 32, 48, 3)),
    ],
)
def test_a_clip_moves_as_the_frames_do(count, height, width, shape):
    """And as long as a chunk does, however many pictures there are."""
    made = frames(count, height, width)
    shown, seconds, pixel_format = read_clip(clip(made))
    assert shown.shape == shape and seconds == pytest.approx(33 / 24, abs=0.01) and pixel_format == "yuv420p"
    assert np.abs(shown.mean(axis=(1, 2)) - made.mean(dim=(1, 2)).numpy()).max() < 0.04


def test_clips_are_small():
    """Even of noise, which nothing can compress."""
    noise = torch.rand(33, 384, 640, 3, generator=torch.Generator().manual_seed(0))
    assert len(clip(noise)) < 100_000


def test_odd_values_are_cut():
    frame = torch.tensor([-1.0, 0.5, 7.0]).expand(32, 32, 3)
    assert np.asarray(Image.open(BytesIO(still(frame.half(), 32))))[16, 16].tolist() == pytest.approx(
        [0, 128, 255], abs=4
    )


def test_what_was_decoded_takes_the_place_of_rough_colours(root):
    def shown(grey, rough=False):
        with Thumbnails(root) as made:
            made.show(NAME, frames(grey=grey), rough)
        pixels, moving = np.asarray(Image.open(path_of(root, "jpg"))), read_clip(path_of(root, "mp4").read_bytes())[0]
        return round(pixels[-1, -1].mean() / 255, 1), round(float(moving[0, -1, -1].mean()), 1)

    assert shown(0.8, rough=True) == (0.8, 0.8)
    assert shown(0.6, rough=True) == (0.8, 0.8)
    assert shown(0.4) == (0.4, 0.4)
    assert shown(0.6) == shown(0.6, rough=True) == (0.4, 0.4)
    path_of(root, "jpg").write_bytes(b"damaged")
    assert shown(0.2) == (0.2, 0.2)
    path_of(root, "mp4").unlink()  # as when it is killed between the two
    with Thumbnails(root) as made:
        made.show(NAME, frames, rough=True)  # is not called: no better ones are wanted
    assert not path_of(root, "mp4").exists() and shown(0.3) == (0.3, 0.3)


def test_where_there_are_no_colours(root):
    with Thumbnails(root) as made:
        made.show(NAME, lambda: None, rough=True)
    assert not path_of(root, "jpg").exists()


def test_only_of_chunks_on_disk(root):
    path_of(root, "safetensors").unlink()
    with Thumbnails(root) as made:
        made.show(NAME, frames())
    assert list(path_of(root, "jpg").parent.iterdir()) == []


def test_what_fails_is_told_once(root, caplog):
    """A folder where the file should be, as for a full disk: for the still, then for the clip."""
    for kind in ("mp4", "jpg"):
        path_of(root, "jpg").unlink(missing_ok=True)
        path_of(root, kind).mkdir()
        with Thumbnails(root) as made:
            for _ in range(3):
                made.show(NAME, frames(2))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert not [path for path in path_of(root, "jpg").parent.iterdir() if path.name[0] == "."]


def test_a_film_goes_on_while_clips_are_made(root, monkeypatch):
    """Two chunks ahead at the most; at the end it waits."""
    go = threading.Event()
    monkeypatch.setattr(thumbnails, "clip", lambda frames: go.wait(10) and b"clip")
    with Thumbnails(root) as made:
        begun = time.perf_counter()
        made.show(NAME, frames(), rough=True)
        made.show(NAME, frames())
        assert time.perf_counter() - begun < 1 and not path_of(root, "mp4").exists()
        go.set()
    assert path_of(root, "mp4").read_bytes() == b"clip"


def test_a_disk_that_hangs_ends_no_film(root, monkeypatch, caplog):
    go = threading.Event()
    monkeypatch.setattr(thumbnails, "clip", lambda frames: go.wait(10) and b"clip")
    monkeypatch.setattr(thumbnails, "PATIENCE", 0.05)
    with Thumbnails(root) as made:
        for _ in range(4):
            path_of(root, "jpg").unlink(missing_ok=True)
            made.show(NAME, frames(2))
    go.set()
    assert len(caplog.records) == 1 and "does not answer" in caplog.text
