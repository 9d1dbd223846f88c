"""Two videos as one file: the same packets where they agree, refused where they do not, sound in its place."""

import av
import numpy as np
import pytest
import torch

from helios_core.media.join import copy_joined, joined_sound, read_sound, seconds_of_pictures
from helios_core.media.video import VideoWriter


def film(path, chunks=2, begin=0, size=(64, 96), audio=None, **settings):
    """Its brightness rises by a level of 8 bits with each frame, from `begin` on."""
    with VideoWriter(path, audio=audio, **settings) as writer:
        for k in range(chunks):
            level = (begin + 33 * k + torch.arange(33)) / 255
            writer.write(level.view(33, 1, 1, 1).expand(33, *size, 3))
    return path


def tone(seconds, pitch, rate=48000):
    t = torch.arange(int(seconds * rate)) / rate
    return (0.3 * torch.sin(2 * torch.pi * pitch * t)).expand(2, -1), rate


def pictures(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_every_packet_is_the_same(tmp_path):
    first, second = film(tmp_path / "a.mp4"), film(tmp_path / "b.mp4", 3, 66)
    assert copy_joined(first, second, tmp_path / "ab.mp4", {"workflow": "{}"}) == ""
    assert packets(tmp_path / "ab.mp4") == packets(first) + packets(second)
    assert np.array_equal(pictures(tmp_path / "ab.mp4"), np.concatenate([pictures(first), pictures(second)]))
    with av.open(str(tmp_path / "ab.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate) == (165, 24) and container.metadata["workflow"] == "{}"
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert times == pytest.approx([k / 24 for k in range(165)])


def test_joined_again(tmp_path):
    """A third part behind the whole of two."""
    parts = [film(tmp_path / f"{k}.mp4", 1, 33 * k) for k in range(3)]
    copy_joined(parts[0], parts[1], tmp_path / "two.mp4")
    assert copy_joined(tmp_path / "two.mp4", parts[2], tmp_path / "three.mp4") == ""
    assert np.array_equal(pictures(tmp_path / "three.mp4"), np.concatenate([pictures(part) for part in parts]))


def test_a_file_with_frames_that_look_ahead(tmp_path):
    """As the host's Save Video makes it: frames are stored in another order than they are shown."""
    paths = []
    for name in "ab":
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=24)
            stream.width, stream.height, stream.pix_fmt, stream.options = (
                64,
                64,
                "yuv420p",
                {"bf": "3", "x264-params": "b-adapt=0"},
            )
            for k in range(40):
                pixels = np.full((64, 64, 3), 6 * k, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        paths.append(tmp_path / f"{name}.mp4")
    assert copy_joined(*paths, tmp_path / "ab.mp4") == ""
    assert np.array_equal(pictures(tmp_path / "ab.mp4"), np.concatenate([pictures(path) for path in paths]))


@pytest.mark.parametrize("name", ["a.mkv", "a.h264"])
def test_frames_without_times_are_not_copied(tmp_path, name):
    """Matroska says of no frame when it is decoded; where frames look ahead, that cannot be guessed."""
    other = film(tmp_path / "b.mp4")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"bf": "3", "x264-params": "b-adapt=0"}
        for k in range(40):
            pixels = np.full((64, 96, 3), 6 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    same = tmp_path / f"same_{name}"
    same.write_bytes((tmp_path / name).read_bytes())
    for first, second in ((tmp_path / name, same), (other, same), (same, other)):
        assert copy_joined(first, second, tmp_path / "ab.mp4") != ""
        assert not (tmp_path / "ab.mp4").exists()


def test_a_damaged_file_is_named(tmp_path):
    first, second = film(tmp_path / "a.mp4"), film(tmp_path / "b.mp4")
    content = bytearray(first.read_bytes())
    begin = content.find(b"mdat") + 4
    content[begin : begin + 4000] = bytes(4000)
    first.write_bytes(content)
    with pytest.raises(ValueError, match="a.mp4"):
        copy_joined(first, second, tmp_path / "ab.mp4")


@pytest.mark.parametrize("which", ["both", "first", "second"])
def test_sound_keeps_its_place(tmp_path, which):
    """Also where the first one's is longer than its pictures, which its own end would cut."""
    first = film(tmp_path / "a.mp4", audio=tone(2.75, 440) if which != "second" else None)
    second = film(tmp_path / "b.mp4", 2, 66, audio=tone(9, 880) if which != "first" else None)
    assert copy_joined(first, second, tmp_path / "ab.mp4") == ""
    assert len(pictures(tmp_path / "ab.mp4")) == 132
    sound = read_sound(tmp_path / "ab.mp4", 48000).float()[0] / 32767
    for at, pitch in ((0.5, 440 if which != "second" else 0), (3.5, 880 if which != "first" else 0)):
        part = sound[int(at * 48000) :][:48000]
        if pitch and len(part) == 48000:
            assert np.abs(np.fft.rfft(part)).argmax() == pitch
        else:
            assert not pitch and (not len(part) or part.abs().max() < 0.02)


@pytest.mark.parametrize(
    "changes, why",
    [
        (dict(size=(64, 64)), "their sizes differ"),
        (dict(fps=30), "their frame rates differ"),
        (dict(crf=30), "their encoders' settings differ"),
        (dict(audio=tone(2, 440, 44100)), "their sounds' rates differ"),
        (dict(audio=(tone(2, 440)[0][:1], 48000)), "their sounds' channels differ"),
    ],
    ids=str,
)
def test_what_cannot_be_copied(tmp_path, changes, why):
    first = film(tmp_path / "a.mp4", audio=tone(2, 440))
    assert copy_joined(first, film(tmp_path / "b.mp4", **changes), tmp_path / "ab.mp4") == why
    assert not (tmp_path / "ab.mp4").exists()


def test_another_codec(tmp_path):
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(96, 64, "yuv420p")))
        container.mux(stream.encode())
    assert copy_joined(film(tmp_path / "a.mp4"), tmp_path / "b.mp4", tmp_path / "ab.mp4") == "their codecs differ"


def test_what_is_no_video(tmp_path):
    (tmp_path / "notes.mp4").write_text("hello")
    for pair in (("a.mp4", "notes.mp4"), ("notes.mp4", "a.mp4")):
        film(tmp_path / "a.mp4", 1)
        with pytest.raises(ValueError, match="notes.mp4: cannot be read as a video"):
            copy_joined(*(tmp_path / name for name in pair), tmp_path / "ab.mp4")
    assert not (tmp_path / "ab.mp4").exists()


def test_a_cancel_leaves_nothing(tmp_path):
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_joined(film(tmp_path / "a.mp4", 1), film(tmp_path / "b.mp4", 1), tmp_path / "ab.mp4", check=check)
    assert not (tmp_path / "ab.mp4").exists()


def test_sounds_one_after_another():
    ones = torch.ones(2, 4, dtype=torch.int16)
    assert joined_sound([None, None], [3, 3]) is None
    assert joined_sound([ones, ones * 2], [3, 6])[0].tolist() == [1, 1, 1, 2, 2, 2, 2, 0, 0]
    assert joined_sound([None, ones], [2, 3])[0].tolist() == [0, 0, 1, 1, 1]


def test_a_part_of_the_sound(tmp_path):
    path = film(tmp_path / "a.mp4", audio=tone(2.75, 440))
    assert seconds_of_pictures(path) == pytest.approx(2.75)
    whole, part = read_sound(path, 24000), read_sound(path, 24000, start=1, duration=0.5)
    assert abs(whole.shape[1] - 66000) < 1100 and part.shape == (2, 12000)
    assert torch.equal(part, whole[:, 24000:36000])
    assert read_sound(film(tmp_path / "b.mp4", 1), 24000) is None
