"""The writer's file, read back: while it grows, after it is closed or killed, its colours and its sound."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from helios_core.media import video
from helios_core.media.frames import read_chunks
from helios_core.media.sound import RATES
from helios_core.media.video import VideoWriter


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


def wait_for(path, frames, seconds=20):
    """How many frames a growing file has, at least so many."""
    end = time.monotonic() + seconds
    while True:
        try:
            count = len(read(path))
        except (av.FFmpegError, FileNotFoundError):
            count = 0
        if count >= frames:
            return count
        assert time.monotonic() < end, f"{count} frames of {frames}"
        time.sleep(0.05)


@pytest.mark.parametrize("audio", [None, (torch.zeros(2, 200_000), 48000)], ids=["silent", "sound"])
def test_plays_while_it_grows(tmp_path, audio):
    writer = VideoWriter(tmp_path / "film.mp4", audio=audio)
    for chunks in (2, 3, 4):
        for _ in range(2 if chunks == 2 else 1):
            writer.write(film(33))
        assert wait_for(writer.path, 33 * (chunks - 1)) <= 33 * chunks  # the last one when the next begins
    writer.close()
    assert len(read(writer.path)) == 132


KILLED = """
import sys, time, torch
from helios_core.media.video import VideoWriter
writer = VideoWriter(sys.argv[1], audio=(torch.zeros(1, 10**6), 48000))
for k in range(1000):
    writer.write(torch.rand(33, 64, 64, 3))
    print(k, flush=True)
    time.sleep(0.05)
"""


def test_a_kill_leaves_what_was_written(tmp_path):
    path, after = tmp_path / "film.mp4", 12
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == after:
                process.send_signal(signal.SIGKILL)
                break
    frames = len(read(path))
    assert frames >= 33 * (after - 3)  # two may have waited, and one was being encoded


def test_what_is_done_is_in_the_file(tmp_path):
    """A copy of it at that moment has the frames: all but the newest chunk's while it is written, in the end all."""
    path, counts = tmp_path / "film.mp4", []
    pictures = film(99)
    pictures[20:50] = 1 - pictures[20:50]  # cuts, at which no fragment may end

    def count():
        shutil.copy(path, tmp_path / "copy.mp4")
        counts.append(len(read(tmp_path / "copy.mp4")))

    with VideoWriter(path) as writer:
        for chunk in pictures.split(33):
            writer.write(chunk, count)
    assert counts == [33, 66, 99]


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


def tone(seconds, rate=48000, channels=1, click=None):
    t = torch.arange(int(seconds * rate)) / rate
    wave = 0.25 * torch.sin(2 * math.pi * 440 * t).repeat(channels, 1)
    if click is not None:
        wave[:, int(click * rate) : int(click * rate) + rate // 1000] = 1.0
    return wave, rate


def sound(path):
    """(samples (C, S), rate, seconds that they begin at)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        begin = float(frames[0].pts * frames[0].time_base)
        return np.concatenate([f.to_ndarray() for f in frames], axis=1), frames[0].sample_rate, begin


@pytest.mark.parametrize(
    "rate, channels, rate_out, channels_out",
    [(48000, 1, 48000, 1), (44100, 2, 44100, 2), (22050, 2, 22050, 2), (50000, 2, 48000, 2), (48000, 6, 48000, 1)],
)
def test_sound(tmp_path, rate, channels, rate_out, channels_out):
    """The note is right, the click where it belongs, and it ends with the pictures: 99 frames are 4.125 s."""
    with VideoWriter(tmp_path / "film.mp4", audio=tone(9, rate, channels, click=2.0)) as writer:
        for chunk in film(99).split(33):
            writer.write(chunk)
    wave, got_rate, begin = sound(writer.path)
    assert (len(wave), got_rate) == (channels_out, rate_out)
    assert begin + wave.shape[1] / got_rate == pytest.approx(4.125, abs=1024 / got_rate + 0.01)
    assert begin + np.abs(wave[0]).argmax() / got_rate == pytest.approx(2.0, abs=0.005)
    second = wave[0][got_rate // 2 : got_rate // 2 + got_rate]
    assert np.abs(np.fft.rfft(second)).argmax() == 440
    assert len(read(writer.path)) == 99


def test_short_sound_ends_before_the_pictures(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", audio=tone(1.0)) as writer:
        writer.write(film(33))
        writer.write(film(33))
    wave, rate, begin = sound(writer.path)
    assert begin + wave.shape[1] / rate == pytest.approx(1.0, abs=0.03)
    assert len(read(writer.path)) == 66


class NoSound(dict):
    """As a clip without sound: looking at it fails."""

    def __getitem__(self, key):
        raise RuntimeError("no audio stream")


def of(waveform, rate=48000):
    return {"waveform": waveform, "sample_rate": rate}


NO_SOUND = {
    "nothing": (None, ""),
    "a lazy track": (NoSound(), r"audio: it has no sound that can be read \(no audio stream\); the film is silent\."),
    "no waveform": ({"sample_rate": 48000}, "it has no sound that can be read"),
    "numbers": (of([0.0, 1.0]), "list is no waveform"),
    "complex": (of(torch.zeros(1, 2, 9, dtype=torch.complex64)), "is no waveform"),
    "four dimensions": (of(torch.zeros(1, 1, 2, 9)), r"\(1, 1, 2, 9\) is no waveform"),
    "no samples": (of(torch.zeros(1, 2, 0)), "it is empty"),
    "no channels": (of(torch.zeros(1, 0, 9)), "it is empty"),
    "no clip": (of(torch.zeros(0, 2, 9)), "it is empty"),
    "rate 0": (of(torch.zeros(1, 2, 9), 0), "its sample rate is 0, not a number from 1000 to 768000"),
    "rate -1": (of(torch.zeros(1, 2, 9), -1), "its sample rate is -1"),
    "rate nan": (of(torch.zeros(1, 2, 9), math.nan), "its sample rate is nan"),
    "rate huge": (of(torch.zeros(1, 2, 9), 10**9), "its sample rate is 1000000000"),
    "rate none": (of(torch.zeros(1, 2, 9), None), "its sample rate is None"),
    "rate text": (of(torch.zeros(1, 2, 9), "high"), "its sample rate is 'high'"),
}


@pytest.mark.parametrize("case", NO_SOUND)
def test_what_is_no_sound_makes_a_silent_film(tmp_path, case):
    """Known before the first frame, and said."""
    audio, note = NO_SOUND[case]
    writer = VideoWriter(tmp_path / "film.mp4", audio=audio)
    assert writer.audio is None and re.search(note, writer.note) and bool(writer.note) == bool(note)
    writer.write(film(33))
    writer.close()
    with av.open(str(writer.path)) as container:
        assert not container.streams.audio and container.streams.video[0].frames == 33


SOUND = {
    "a batch": (of(torch.stack([tone(3)[0], tone(3)[0] * 0, tone(3)[0] * 0])), "3 clips came; the first is used"),
    "a float rate": (of(tone(3)[0][None], 48000.0), ""),
    "half precision": (of(tone(3)[0][None].half()), ""),
    "integers": (of((tone(3)[0][None] * 32767).to(torch.int16)), ""),
    "unsigned": (of((tone(3)[0][None] * 127 + 128).to(torch.uint8)), ""),
    "one dimension": (of(tone(3)[0][0]), ""),
    "with gradients": (of(tone(3)[0][None].requires_grad_()), ""),
    "a few NaN": (of(torch.where(torch.rand(1, 1, 144000) < 0.001, torch.nan, tone(3)[0][None])), "NaN or infinity"),
    "infinity": (of(torch.where(torch.rand(1, 1, 144000) < 0.001, torch.inf, tone(3)[0][None])), "NaN or infinity"),
}


@pytest.mark.parametrize("case", SOUND)
def test_sound_of_any_kind(tmp_path, case):
    """The note is heard as loud as it is."""
    audio, note = SOUND[case]
    with VideoWriter(tmp_path / "film.mp4", audio=audio) as writer:
        writer.write(film(66))
    assert note in writer.note and bool(note) == bool(writer.note)
    wave, rate, _ = sound(writer.path)
    second = np.abs(np.fft.rfft(wave[0][rate // 2 : rate // 2 + rate]))
    assert second.argmax() == 440 and second.max() / rate * 2 == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_the_rates_at_the_ends(tmp_path, rate):
    with VideoWriter(tmp_path / "film.mp4", audio=(torch.rand(1, rate * 2), rate)) as writer:
        writer.write(film(33))
    assert not writer.note and sound(writer.path)[1] == 48000


def test_no_more_than_two_chunks_wait(tmp_path, monkeypatch):
    go, seen = threading.Event(), []
    encode = video._Encoder.write

    def slow(self, frames):
        go.wait(20)
        encode(self, frames)

    monkeypatch.setattr(video._Encoder, "write", slow)
    writer = VideoWriter(tmp_path / "film.mp4")

    def produce():
        for k in range(6):
            writer.write(film(33))
            seen.append(k)

    producer = threading.Thread(target=produce)
    producer.start()
    while len(seen) < 3:
        assert producer.is_alive()
        time.sleep(0.01)
    producer.join(0.5)
    assert len(seen) == 3  # one is being encoded, two wait
    go.set()
    producer.join(20)
    writer.close()
    assert len(read(writer.path)) == 198


@pytest.mark.parametrize("when", ["write", "close"])
def test_what_fails_beside_is_raised(tmp_path, monkeypatch, when):
    def full(self, *args):
        raise OSError("No space left on device")

    monkeypatch.setattr(video._Encoder, when, full)
    with pytest.raises(OSError, match="No space"), VideoWriter(tmp_path / "film.mp4") as writer:
        for _ in range(10):
            writer.write(film(33))
    assert not [t for t in threading.enumerate() if t.name.startswith("encode")]


def test_a_closed_film_takes_no_more(tmp_path):
    writer = VideoWriter(tmp_path / "film.mp4")
    writer.write(film(33))
    writer.close()
    writer.close()  # once more does no harm
    with pytest.raises(ValueError, match="film.mp4: it is closed, and takes no more frames"):
        writer.write(film(33))
    assert len(read(writer.path)) == writer.frames == 33


def test_a_film_closed_before_it_begins(tmp_path):
    writer = VideoWriter(tmp_path / "film.mp4")
    writer.close()
    with pytest.raises(ValueError, match="it is closed"):
        writer.write(film(33))
    assert not (tmp_path / "film.mp4").exists()


def test_nothing_is_written_after_an_error_without_a_word(tmp_path, monkeypatch):
    """Every later write raises it; close does not raise it a second time."""
    monkeypatch.setattr(video._Encoder, "write", lambda *args: 1 / 0)
    writer = VideoWriter(tmp_path / "film.mp4")
    writer.write(film(33))
    writer._over.wait(20)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            writer.write(film(33))
    writer.close()


def test_what_done_raises_is_raised(tmp_path):
    """And what was written is a proper film."""

    def done():
        raise RuntimeError("not kept")

    with pytest.raises(RuntimeError, match="not kept"), VideoWriter(tmp_path / "film.mp4") as writer:
        for _ in range(10):
            writer.write(film(33), done)
    with av.open(str(writer.path)) as container:
        assert container.streams.video[0].frames == len(read(writer.path)) >= 33


def test_frames_of_another_size(tmp_path):
    with pytest.raises(ValueError, match="frames of 64x32: this film is of 96x64"):
        with VideoWriter(tmp_path / "film.mp4") as writer:
            writer.write(film(33))
            writer.write(torch.zeros(33, 32, 64, 3))
    assert len(read(writer.path)) == 33


@pytest.mark.parametrize(
    "settings", [dict(fps=0), dict(fps=-1), dict(fps=math.nan), dict(crf=-1), dict(crf=52)], ids=str
)
def test_settings_that_cannot_be(tmp_path, settings):
    """Before anything is made."""
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}=.*: use"):
        VideoWriter(tmp_path / "film.mp4", **settings)


@pytest.mark.skipif(os.name == "nt", reason="no colons in names there")
def test_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("12:40.mp4")) as writer:
        writer.write(film(33))
    assert [len(frames) for frames in read_chunks("12:40.mp4")] == [33]


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError), VideoWriter(tmp_path / "none" / "film.mp4") as writer:
        writer.write(film(33))


def test_an_error_of_the_caller_leaves_a_proper_film(tmp_path):
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "film.mp4") as writer:
        writer.write(film(33))
        raise ZeroDivisionError
    with av.open(str(writer.path)) as container:
        assert container.streams.video[0].frames == 33


def test_an_interrupt_waits_for_the_file(tmp_path, monkeypatch):
    """Even one that comes while the film is closed."""
    close, done = video._Encoder.close, []

    def slow(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        close(self)

    monkeypatch.setattr(video._Encoder, "close", slow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "film.mp4") as writer:
            writer.write(film(33), lambda: done.append(True))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(read(writer.path)) == 33 and done


FLAT = """
import os, sys, torch
from helios_core.media.video import VideoWriter
torch.set_num_threads(1)
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
with VideoWriter(sys.argv[1], audio=(torch.zeros(1, 48000 * 10), 48000)) as writer:
    for k in range(101):
        writer.write(torch.rand(33, 32, 32, 3))
        if k == 30:
            start = rss()
print(rss() - start)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux' /proc")
def test_length_takes_no_memory(tmp_path):
    run = [sys.executable, "-c", FLAT, str(tmp_path / "film.mp4")]
    more = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert more < 4  # MB; 70 chunks have 7, and as floats 28
