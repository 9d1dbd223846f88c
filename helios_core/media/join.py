"""Two videos as one file, one after the other: copied as they are where they agree."""

from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import torch
from torch import Tensor

from .frames import name_of, open_video

Source = str | Path | BytesIO


def copy_joined(
    first: Source,
    second: Source,
    target: str | Path,
    metadata: dict[str, str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Write both into the mp4 `target` without encoding anything anew: every frame stays as it is, bit for bit.

    Returns "", or why that is not possible; then nothing is written. The second begins where the first one's pictures
    end, and so does its sound. `check` is called for each packet, what it raises ends the work. Raises ValueError for
    what is no video, OSError where it cannot be written.
    """
    with open_video(first) as a, open_video(second) as b, _errors(first, second):
        streams = [_streams(container, source) for container, source in ((a, first), (b, second))]
        if why := _disagreement(*streams):
            return why
        if _turned(first) or _turned(second):
            return "one is stored lying on its side"
        target = Path(target)
        try:
            options = {"movflags": "use_metadata_tags"}
            with av.open(str(target.absolute()), "w", format="mp4", options=options) as out:
                out.metadata.update(metadata or {})
                template = {kind: stream for pair in reversed(streams) for kind, stream in pair.items()}
                into = {kind: out.add_stream_from_template(stream) for kind, stream in template.items()}
                offset = Fraction(0)
                for container, pair in zip((a, b), streams):
                    offset = _copy(container, pair, out, into, offset, check)
        except _NoTimes as why:
            target.unlink(missing_ok=True)
            return str(why)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return ""


class _NoTimes(Exception):
    """A packet that does not say when it is decoded, as in Matroska and raw streams."""


@contextmanager
def _errors(*sources: Source):
    """What FFmpeg finds in them later, as a ValueError; what the disk refuses stays an OSError."""
    try:
        yield
    except av.error.InvalidDataError as error:
        names = " or ".join(map(name_of, sources))
        raise ValueError(f"{names}: damaged, it cannot be read to its end ({error})") from error


def _streams(container, source: Source) -> dict:
    found = {"video": container.streams.best("video"), "audio": container.streams.best("audio")}
    if found["video"] is None:
        raise ValueError(f"{name_of(source)}: there is no video in it")
    return {kind: stream for kind, stream in found.items() if stream is not None}


def _turned(source: Source) -> bool:
    """As phones do; the note how to turn it is not copied."""
    with open_video(source) as container:
        frame = next(container.decode(container.streams.best("video")), None)
        return bool(frame is not None and getattr(frame, "rotation", 0))


def _disagreement(a: dict, b: dict) -> str:
    """Why packets of the two cannot follow each other in one stream; "" where they can."""

    def video_traits(stream):
        codec = stream.codec_context
        rate = stream.average_rate and float(stream.average_rate)
        return {
            "codecs": codec.name,
            "sizes": (codec.width, codec.height),
            "pixel formats": codec.pix_fmt,
            "frame rates": rate and round(rate, 2),
            "colour spaces": (codec.colorspace, codec.color_range),
            "encoders' settings": codec.extradata,
        }

    def audio_traits(stream):
        codec = stream.codec_context
        return {
            "sounds' codecs": codec.name,
            "sounds' rates": codec.sample_rate,
            "sounds' channels": codec.layout.name,
            "sounds' settings": codec.extradata,
        }

    for kind, describe in (("video", video_traits), ("audio", audio_traits)):
        if kind in a and kind in b:
            one, other = describe(a[kind]), describe(b[kind])
            for what, value in one.items():
                if value != other[what]:
                    return f"their {what} differ"
    for stream in (*a.values(), *b.values()):
        if stream.codec_context.name not in ("h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "opus", "ac3"):
            return f"{stream.codec_context.name} does not go into an mp4"
    return ""


def _copy(container, streams: dict, out, into: dict, offset: Fraction, check) -> Fraction:
    """Copy all packets, `offset` seconds later; where the pictures end."""
    video, end = streams["video"], Fraction(0)
    begin = (video.start_time or 0) * video.time_base
    length = 1 / Fraction(video.average_rate or 24)
    sounds = []
    for packet in container.demux(list(streams.values())):
        check()
        if not packet.size:  # the end
            continue
        if packet.dts is None or packet.pts is None:
            raise _NoTimes("one lists its frames without their times")
        time = packet.pts * packet.time_base - begin
        kind = packet.stream.type
        shift = round((offset - begin) / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = into[kind]
        if kind == "video":
            end = max(end, time + (packet.duration * packet.time_base if packet.duration else length))
            out.mux(packet)
        elif time >= 0:
            sounds.append((time, packet))
        # Sound beyond the last picture would lie over the next video's.
        while sounds and sounds[0][0] < end:
            out.mux(sounds.pop(0)[1])
    return offset + end


def seconds_of_pictures(source: Source) -> float:
    """When a file's last picture ends, counted from its first; its sound may be longer."""
    with open_video(source) as container, _errors(source):
        video, end = _streams(container, source)["video"], Fraction(0)
        begin, length = (video.start_time or 0) * video.time_base, 1 / Fraction(video.average_rate or 24)
        for packet in container.demux(video):
            if packet.pts is not None:
                end = max(end, packet.pts * packet.time_base - begin + length)
        return float(end)


def read_sound(source: Source, rate: int, start: float = 0, duration: float = 0) -> Tensor | None:
    """A file's sound as int16 (2, S) at `rate`, all or `duration` seconds from `start` on; None where there is none."""
    with open_video(source) as container, _errors(source):
        stream = container.streams.best("audio")
        if stream is None:
            return None
        video = container.streams.best("video")
        begin = (video.start_time or 0) * video.time_base if video is not None else Fraction(0)
        resampler, pieces, first = av.AudioResampler(format="s16p", layout="stereo", rate=rate), [], None
        for frame in container.decode(stream):
            if first is None:
                first = float((frame.pts or 0) * frame.time_base - begin)
            pieces += [torch.from_numpy(piece.to_ndarray()) for piece in resampler.resample(frame)]
        pieces += [torch.from_numpy(piece.to_ndarray()) for piece in resampler.resample(None)]
    if not pieces:
        return None
    sound = shifted(torch.cat(pieces, dim=1), round((first - start) * rate))
    return sound[:, : round(duration * rate)] if duration else sound


def shifted(sound: Tensor, samples: int) -> Tensor:
    """Sound (C, S) so many samples later, with silence before it; below 0, without its first ones."""
    return torch.nn.functional.pad(sound, (samples, 0)) if samples >= 0 else sound[:, -samples:]


def joined_sound(sounds: list[Tensor | None], lengths: list[int]) -> Tensor | None:
    """Sounds (2, S) one after another, each cut or filled with silence to its length in samples; None for none."""
    if all(sound is None for sound in sounds):
        return None
    whole = torch.zeros(2, sum(lengths), dtype=torch.int16)
    at = 0
    for sound, length in zip(sounds, lengths):
        if sound is not None:
            part = sound[:, :length]
            whole[:, at : at + part.shape[1]] = part
        at += length
    return whole
