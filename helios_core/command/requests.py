"""What each command was asked to do: its arguments, read once and never changed."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it samples. None: as its files say; for `extend`, as the film was made so far."""

    model: Path | None = None
    variant: str | None = None
    steps: str | None = None
    cfg: float | None = None
    negative: str | None = None
    text_encoder: Path | None = None
    vae: Path | None = None
    device: str | None = None
    dtype: str | None = None


@dataclass(frozen=True, kw_only=True)
class FilmRequest:
    """A film: its words, its length in frames, where it goes, and whether its chunks are kept (in `chunks`).

    `resize` is how pictures and videos get its size.
    """

    options: ModelOptions = field(default_factory=ModelOptions)
    prompt: str | None = None
    schedule: Path | None = None
    length: int = 99
    seed: int | None = None
    output: Path | None = None
    force: bool = False
    stream: bool = False
    chunks: Path | None = None
    autosave: bool = True
    resize: str = "crop"


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(FilmRequest):
    image: Path | None = None
    video: Path | None = None
    video_fps: str = "all"  # frames are used, or "24" a second
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class ExtendRequest(FilmRequest):
    memory: Path


@dataclass(frozen=True)
class InfoRequest:
    paths: tuple[Path, ...] = ()
    checksums: bool = False


@dataclass(frozen=True)
class DownloadRequest:
    model: str
    to: Path | None = None


@dataclass(frozen=True)
class EstimateRequest:
    options: ModelOptions
    length: int = 99
    size: tuple[int, int] | None = None


Request = GenerateRequest | ExtendRequest | InfoRequest | DownloadRequest | EstimateRequest
