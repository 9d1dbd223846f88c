"""Pictures brought to a size, and videos read from their ends, whatever their length."""

import io
import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace
from PIL import Image

from helios_core.media.frames import fit_frames, moments, read_chunks, read_ends, read_image, rgb

RED, GREEN, BLUE = (torch.eye(3)[i] for i in range(3))


def thirds(height, width, dim):
    """Red, green, blue from left to right (dim 2) or from top to bottom (dim 1)."""
    size = (width if dim == 2 else height) // 3
    shape = (height, size) if dim == 2 else (size, width)
    return torch.cat([c.expand(1, *shape, 3) for c in (RED, GREEN, BLUE)], dim=dim)


def test_the_same_size_stays_as_it_is():
    frames = torch.rand(3, 64, 96, 3)
    for mode in ("crop", "pad", "stretch"):
        assert torch.equal(fit_frames(frames, 96, 64, mode), frames)


@pytest.mark.parametrize("mode, colours", [("crop", "ggg"), ("pad", "rgb"), ("stretch", "rgb"), ("fit", "rgb")])
def test_a_wide_picture(mode, colours):
    """Three times as wide as high, for a square: cut to its middle, squeezed, or between bars."""
    got = fit_frames(thirds(60, 180, dim=2), 90, 90, mode)[0]
    assert got.shape == (90, 90, 3)
    for x, colour in zip((15, 45, 75), colours):
        assert torch.allclose(got[45, x], dict(r=RED, g=GREEN, b=BLUE)[colour], atol=1e-3)
    bars = torch.cat([got[:28], got[-28:]])
    assert (bars == 0).all() if mode == "pad" else (bars.sum(dim=-1) > 0.99).all()


@pytest.mark.parametrize("mode, colours", [("crop", "ggg"), ("pad", "rgb"), ("stretch", "rgb"), ("fit", "rgb")])
def test_a_tall_picture(mode, colours):
    got = fit_frames(thirds(180, 60, dim=1), 90, 90, mode)[0]
    for y, colour in zip((15, 45, 75), colours):
        assert torch.allclose(got[y, 45], dict(r=RED, g=GREEN, b=BLUE)[colour], atol=1e-3)
    bars = torch.cat([got[:, :28], got[:, -28:]], dim=1)
    assert (bars == 0).all() if mode == "pad" else (bars.sum(dim=-1) > 0.99).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (2000, 3), (65, 63), (1080, 1920)], ids=str)
@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_any_size(size, mode):
    got = fit_frames(torch.rand(1, *size, 3), 64, 32, mode)
    assert got.shape == (1, 32, 64, 3) and got.isfinite().all() and got.min() >= 0 and got.max() <= 1


def test_fine_patterns_do_not_alias():
    stripes = (torch.arange(512) % 2).float().view(1, 1, 512, 1).expand(1, 64, 512, 3)
    assert (fit_frames(stripes, 64, 64, "stretch")[:, :, 8:-8] - 0.5).abs().max() < 0.05


def test_other_channels():
    rgba = torch.rand(1, 8, 8, 4)
    assert torch.equal(fit_frames(rgba, 8, 8, "crop"), rgba[..., :3])
    grey = torch.rand(1, 8, 8, 1)
    assert torch.equal(fit_frames(grey, 8, 8, "crop"), grey.expand(1, 8, 8, 3))
    grey_and_alpha = torch.cat([grey, torch.rand(1, 8, 8, 1)], dim=-1)
    assert torch.equal(fit_frames(grey_and_alpha, 8, 8, "crop"), grey.expand(1, 8, 8, 3))
    assert [rgb(torch.rand(2, 3, c)).shape for c in (1, 2, 3, 4)] == [(2, 3, 3)] * 4


def test_unknown_mode():
    with pytest.raises(ValueError, match="resize='zoom': use 'crop', 'pad' or 'stretch'"):
        fit_frames(torch.zeros(1, 8, 8, 3), 4, 4, "zoom")


def numbered(count, width=96, height=32):
    """Frames that show their number: ten columns, white where its bit is set."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for t in range(count):
        for bit in range(10):
            if t >> bit & 1:
                frames[t, :, bit * 8 : bit * 8 + 8] = 255
    return frames


def numbers(frames):
    middles = frames[:, frames.shape[1] // 2, 4:80:8].mean(dim=-1) > 0.5
    return [int(sum(2**bit for bit, on in enumerate(row) if on)) for row in middles.tolist()]


def write(path, frames, rate=24, times=None, format=None):
    """An mp4; `times` are the frames' milliseconds."""
    with av.open(path, "w", format=format) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10"}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for t, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[t], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("count", [1, 33, 40, 99, 100, 200])
def test_both_ends(tmp_path, count):
    ends = read_ends(write(str(tmp_path / "v.mp4"), numbered(count)))
    assert ends.first.shape == (1, 32, 96, 3) and numbers(ends.first) == [0]
    assert (ends.count, ends.frames, ends.fps) == (count, count, 24) and numbers(ends.last) == [*range(count)][-99:]
    assert ends.last.dtype == torch.float32 and 0 <= ends.last.min() and ends.last.max() <= 1
    assert len(ends.windows) == min(3, count // 33)


def test_from_memory(tmp_path):
    file = io.BytesIO()
    write(file, numbered(40), format="mp4")
    for _ in range(2):  # wherever it was left
        ends = read_ends(file)
        assert ends.count == 40 and numbers(ends.last) == list(range(40))


@pytest.mark.parametrize(
    "start, duration, wanted",
    [(0, 0, range(72)), (1, 0, range(24, 72)), (0, 1, range(24)), (0.5, 1.5, range(12, 48)), (2.75, 9, range(66, 72))],
)
def test_a_part(tmp_path, start, duration, wanted):
    path = write(str(tmp_path / "v.mp4"), numbered(72))
    ends = read_ends(path, start=start, duration=duration)
    assert numbers(ends.first) == [wanted[0]] and numbers(ends.last) == list(wanted) and ends.count == len(wanted)
    parts = list(read_chunks(path, 20, start=start, duration=duration))
    assert [n for part in parts for n in numbers(part)] == list(wanted)


@pytest.mark.parametrize("count, sizes", [(1, [1]), (33, [33]), (70, [33, 33, 4])])
def test_in_chunks(tmp_path, count, sizes):
    parts = list(read_chunks(write(str(tmp_path / "v.mp4"), numbered(count))))
    assert [len(p) for p in parts] == sizes and numbers(torch.cat(parts)) == list(range(count))


def test_uneven_times(tmp_path):
    times = np.cumsum([20, 80] * 20).tolist()
    ends = read_ends(write(str(tmp_path / "v.mp4"), numbered(40), times=times))
    assert ends.count == 40 and numbers(ends.last) == list(range(40))


def test_a_phones_video_is_turned_upright(tmp_path):
    """Stored lying on its side, with a note to turn it."""
    plain, turned = str(tmp_path / "plain.mp4"), str(tmp_path / "turned.mp4")
    frames = np.zeros((3, 32, 64, 3), np.uint8)
    frames[:, :, :32] = 255  # the left half
    write(plain, frames)
    command = ["ffmpeg", "-v", "error", "-i", plain, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs an ffmpeg that writes display rotations")
    upright = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", turned, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        check=True,
        capture_output=True,
    ).stdout
    wanted = torch.frombuffer(bytearray(upright), dtype=torch.uint8).view(64, 32, 3).float() / 255
    first = read_ends(turned).first
    assert first.shape == (1, 64, 32, 3) and (first[0] - wanted).abs().mean() < 0.02


def test_colours(tmp_path):
    frames = np.empty((3, 32, 32, 3), np.uint8)
    frames[:] = (200, 80, 30)
    first = read_ends(write(str(tmp_path / "v.mp4"), frames)).first
    assert (first * 255 - torch.tensor([200.0, 80, 30])).abs().max() < 4


@pytest.mark.parametrize("matrix", [Colorspace.ITU601, Colorspace.ITU709])
def test_colours_by_the_videos_own_matrix(tmp_path, matrix):
    """Whatever the version of PyAV."""
    pixels = np.full((32, 32, 3), (200, 40, 60), np.uint8)
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height = stream.width = 32
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "1"}
        stream.codec_context.colorspace = matrix.value
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        container.mux(stream.encode())
    first = read_ends(tmp_path / "v.mp4").first
    assert (first * 255 - torch.tensor([200.0, 40, 60])).abs().max() < 4


def test_what_is_no_video(tmp_path):
    text, empty = tmp_path / "notes.mp4", tmp_path / "empty.mp4"
    text.write_text("hello")
    empty.touch()
    for path in (text, empty, tmp_path / "none.mp4"):
        with pytest.raises(ValueError, match=rf"{path.name}: cannot be read as a video"):
            read_ends(path)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"sound\.mp4: there is no video in it"):
        read_ends(tmp_path / "sound.mp4")
    with pytest.raises(ValueError, match=r"v\.mp4: no frames between 9 s and 10 s"):
        read_ends(write(str(tmp_path / "v.mp4"), numbered(10)), start=9, duration=1)


PEAKS = """
import re, sys
from helios_core.media.frames import read_ends
for path in sys.argv[1:]:
    read_ends(path)
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux' /proc")
def test_length_takes_no_memory(tmp_path):
    """800 frames of 320x256 more would be 200 MB as bytes, and 800 MB as floats."""
    frame, paths = np.random.randint(0, 255, (1, 256, 320, 3), np.uint8), []
    for count in (200, 1000):
        paths.append(write(str(tmp_path / f"{count}.mp4"), frame.repeat(count, 0)))
    run = subprocess.run([sys.executable, "-c", PEAKS, *paths], capture_output=True, text=True, check=True)
    short, long = (int(peak) / 1000 for peak in run.stdout.split())  # MB
    assert long - short < 100  # two equal runs differ by up to 50: threads, allocators


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(tmp_path, orientation):
    """However the camera lay or mirrored it; a name may hold what is a pattern to FFmpeg."""
    wanted = np.zeros((6, 10, 3), np.uint8)
    wanted[:3, :5], wanted[3:, 5:] = (255, 0, 0), (0, 255, 0)
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what Image.transpose does to it before it is saved
    stored = Image.fromarray(wanted)
    if orientation in turned:
        stored = stored.transpose(Image.Transpose(turned[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p%03d.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "p%03d.png"), torch.from_numpy(wanted)[None] / 255)


def test_pictures_of_other_kinds(tmp_path):
    """16 bits are not cut off, grey has three channels, transparency is left away."""
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, 0, :, 1].tolist() == pytest.approx([0, 0.5, 1], abs=1e-4)
    Image.fromarray(np.array([[[9, 8, 7, 0]]], np.uint8)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") * 255).round().flatten().tolist() == [9, 8, 7]
    (tmp_path / "none.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="none.png"):
        read_image(tmp_path / "none.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "deep.png").read_bytes()[:-30])
    with pytest.raises(OSError, match="^cut.png: cannot be read as a picture"):
        read_image(tmp_path / "cut.png")
    for pixels in (np.full((2, 2), 2**30, np.int32), np.full((2, 2), 0.5, np.float32)):
        Image.fromarray(pixels).save(tmp_path / "deeper.tif")
        with pytest.raises(ValueError, match="^deeper.tif: a picture of more than 16 bits"):
            read_image(tmp_path / "deeper.tif")


def test_a_cover_is_no_film(tmp_path):
    """A picture that music players show, in front of the film's own stream; Matroska does not mark it."""
    film, path = write(str(tmp_path / "film.mp4"), numbered(40)), str(tmp_path / "covered.mkv")
    with av.open(film) as source, av.open(path, "w") as container:
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
        stream = container.add_stream_from_template(source.streams.video[0])
        container.mux(picture.encode(av.VideoFrame(64, 64, "yuvj420p")))
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.name == "mjpeg"
    ends = read_ends(path)
    assert ends.count == 40 and numbers(ends.last) == list(range(40))


def test_a_song_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("png", rate=1)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=48000, layout="mono")
        container.mux(picture.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64)))))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pytest.raises(ValueError, match="there is no video in it"):
        read_ends(path)


def test_a_stream_that_changes_size(tmp_path):
    """Raw H.264 of two sizes, one after the other: all in the first one's size."""
    path = tmp_path / "film.h264"
    frames = numbered(20), numbered(20).repeat(2, axis=1).repeat(2, axis=2)
    parts = [write(str(tmp_path / f"{i}.h264"), part, format="h264") for i, part in enumerate(frames)]
    path.write_bytes(b"".join(open(part, "rb").read() for part in parts))
    ends = read_ends(path)
    assert ends.last.shape == (40, 32, 96, 3) and numbers(ends.last) == [*range(20)] * 2
    assert [tuple(part.shape) for part in read_chunks(path)] == [(33, 32, 96, 3), (7, 32, 96, 3)]


@pytest.mark.parametrize("rate", [12, 24, 25, 30, 60])
def test_resampled(tmp_path, rate):
    """Each moment shows what was on the screen then, and the film is as long as before."""
    wanted = [min(int((k / 24 + 1e-3) * rate), 2 * rate - 1) for k in range(48)]
    ends = read_ends(write(str(tmp_path / "v.mp4"), numbered(2 * rate), rate=rate), fps=24)
    assert (ends.count, ends.frames, ends.fps) == (48, 2 * rate, rate)
    assert numbers(ends.last) == wanted and numbers(ends.first) == [0]
    assert moments(2 * rate, rate, 24).tolist() == wanted
    assert [len(window) for window in ends.windows] == [33] and numbers(ends.windows[0]) == wanted[-33:]


def test_resampled_of_uneven_times(tmp_path):
    """A still of half a second, and a burst."""
    times = [0, 500, 510, 520, 600]
    ends = read_ends(write(str(tmp_path / "v.mp4"), numbered(5), times=times), fps=24)
    assert numbers(ends.last)[:16] == [0] * 12 + [1, 3, 3, 4]


def test_a_clock_that_jumps_is_not_waited_for(tmp_path):
    times = [0, 40, 10**8, 10**8 + 40]
    ends = read_ends(write(str(tmp_path / "v.mp4"), numbered(4), times=times), fps=24)
    assert ends.count < 10_000 and numbers(ends.first) == [0]
