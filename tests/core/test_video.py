"""The writer's file, read back: while it grows, after it is closed, and its colours."""

import av
import pytest
import torch

from helios_core.video import VideoWriter


def film(frames, height=64, width=96):
    """A white square that moves over a coloured ground, (T, H, W, 3)."""
    pixels = torch.tensor([0.8, 0.3, 0.1]).expand(frames, height, width, 3).clone()
    for t in range(frames):
        pixels[t, 16:32, t % (width - 16) : t % (width - 16) + 16] = 1.0
    return pixels


def read(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_chunks_come_back_as_one_film(tmp_path):
    path, frames = tmp_path / "film.mp4", film(99)
    with VideoWriter(path, metadata={"comment": "made in chunks"}) as writer:
        for chunk in frames.split(33):
            writer.write(chunk)
    got = torch.stack([torch.from_numpy(f) for f in read(path)]).float() / 255
    assert got.shape == frames.shape
    assert (got - frames).abs().mean() < 0.02
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.codec_context.pix_fmt) == (99, 24, "yuv420p")
        assert container.metadata["comment"] == "made in chunks"


def test_plays_while_it_grows(tmp_path):
    writer = VideoWriter(tmp_path / "film.mp4")
    writer.write(film(33))
    writer.write(film(33))
    shown = len(read(writer.path))  # closed by nobody yet
    assert 33 <= shown <= 66
    writer.close()
    assert len(read(writer.path)) == 66


def test_fps_and_values_beyond_the_range(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", fps=29.97) as writer:
        writer.write(torch.full((8, 32, 32, 3), 1.7))
    assert min(f.min() for f in read(writer.path)) > 250
    with av.open(str(writer.path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=1e-3)


@pytest.mark.parametrize("shape", [(4, 33, 64, 3), (4, 32, 63, 3), (4, 32, 64, 4), (32, 64, 3)], ids=str)
def test_wrong_shapes(tmp_path, shape):
    with pytest.raises(ValueError, match="even H and W"), VideoWriter(tmp_path / "film.mp4") as writer:
        writer.write(torch.zeros(shape))
    assert not (tmp_path / "film.mp4").exists()
