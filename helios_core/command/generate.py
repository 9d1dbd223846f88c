"""`helios generate` and `helios extend`: from what was asked for to a film."""

import os
from dataclasses import replace
from pathlib import Path

from ..film.beginning import encode_image, encode_video
from ..film.fingerprint import fingerprint
from ..film.loop import chunk_count
from ..film.memory import HistoryMemory
from ..film.prompts import PromptSchedule, Segment
from ..film.schedule_text import parse_schedule
from ..media.frames import fit_frames, read_ends, read_image
from ..media.pictures import not_found, read_pictures
from ..network.checkpoint import file_versions
from ..network.config import CHUNK_FRAMES, FPS
from .film import Film, make_film
from .model_files import ModelFiles
from .output import memory_path, open_output
from .recall import recall_options
from .requests import ExtendRequest, FilmRequest, GenerateRequest
from .stream import check_stream
from .terminal import say


def generate(request: GenerateRequest) -> None:
    """Make a film from text, a picture or a video. Raises ValueError or OSError."""
    if request.image and request.video:
        raise ValueError("--image and --video: a film can only continue from one of them")
    check_stream(request.stream)
    schedule = read_schedule(request.prompt, request.schedule)
    files = ModelFiles.find(request.options)
    width, height = request.size or files.size
    files.recipe.check_size(width, height)
    seed = request.seed or 0
    schedule = add_pictures(schedule, request, width, height)
    source = file_versions([path for path in (request.image, request.video) if path])
    beginning = width, height, source, (request.resize, request.video_fps) if source else None
    film = plan_film(request, files, schedule, seed, 0, beginning)
    with open_output(request, Path("helios.mp4"), film.request_id, seed) as output:
        say("loading the VAE and the text encoder")
        codec = files.load_codec()
        make_film(film, request, output, codec, begin(request, codec, width, height, seed))


def extend(request: ExtendRequest) -> None:
    """Continue a film in a new one. Raises ValueError or OSError."""
    check_stream(request.stream)
    path = memory_path(request.memory) if request.memory.suffix == ".mp4" else request.memory
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; name a film or the .safetensors file beside it")
    memory, notes = HistoryMemory.load(path)
    if len(memory.frames) > 1:
        raise ValueError(
            f"{path.name}: it holds {len(memory.frames)} films at once; only a single film can be extended"
        )
    prompt = notes.get("prompt") if request.prompt is None and request.schedule is None else request.prompt
    schedule = read_schedule(prompt, request.schedule)
    options = recall_options(request.options, notes, memory.variant, path.name)
    files = ModelFiles.find(options, memory.variant)
    files.recipe.check_size(memory.width, memory.height)
    schedule = add_pictures(schedule, request, memory.width, memory.height)
    seed = memory.seed or 0 if request.seed is None else request.seed
    film = plan_film(request, files, schedule, seed, memory.chunk, fingerprint(memory))
    with open_output(request, path.with_suffix(".mp4"), film.request_id, seed) as output:
        say("loading the VAE and the text encoder")
        make_film(film, request, output, files.load_codec(), memory)


def plan_film(
    request: FilmRequest, files: ModelFiles, schedule: PromptSchedule, seed: int, first: int, beginning_id
) -> Film:
    """The film that follows `first` chunks; `beginning_id` says what it begins from, in texts and numbers."""
    encoders = [str(path.absolute()) for path in (files.text_encoder, files.vae)]
    asked_for = replace(schedule, source="")  # comments change nothing
    request_id = fingerprint(files.identity(), encoders, files.options.negative, asked_for, beginning_id)
    return Film(files, schedule, seed, first, first + chunk_count(request.length), request_id)


def begin(request: GenerateRequest, codec, width: int, height: int, seed: int) -> HistoryMemory:
    """What a film continues from: nothing, a picture, or a video."""

    def fit(frames):
        return fit_frames(frames, width, height, request.resize)

    if request.image:
        return HistoryMemory.from_image(*encode_image(codec.encode, fit(read_image(request.image))), seed=seed)
    if request.video:
        ends = read_ends(request.video, fit=fit, fps=FPS if request.video_fps == "24" else None)
        latents = encode_video(codec.encode, ends.first, ends.windows)
        say(f"{request.video}: {ends.describe()}")
        if abs(ends.speed - 1) > 0.02:
            say(f"it will play at {FPS} FPS, {ends.speed:.2g} times as fast; to keep its speed, add --video-fps 24")
        return HistoryMemory.from_video(*latents, seed=seed, count=ends.count // CHUNK_FRAMES)
    return HistoryMemory.empty(width, height)


def read_schedule(prompt: str | None, file: Path | None) -> PromptSchedule:
    """What a film shows: one prompt, or a file that says it, with its pictures' names. Raises ValueError or OSError."""
    if file and prompt:
        raise ValueError("there is a prompt and a --schedule; give only one of them")
    if file:
        try:
            return parse_schedule(file.read_text("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{file.name}: this is not a text file in UTF-8 ({error})") from error
    if not prompt:
        raise ValueError("there is no prompt; write one, or give a --schedule")
    return PromptSchedule((Segment(0, prompt, text=prompt),))


def add_pictures(schedule: PromptSchedule, request: FilmRequest, width: int, height: int) -> PromptSchedule:
    """The schedule with its pictures' frames (1, height, width, 3). Raises ValueError naming line and file."""
    if not schedule.keyframes:
        return schedule
    folder = request.schedule.parent

    def find(name: str) -> Path:
        if name.startswith((r"\\", "//")):  # Windows would log in there, and the text may be anybody's
            raise ValueError(f"“{name}” is in a network; copy the picture into the folder of {request.schedule.name}")
        if not os.path.isfile(path := folder / name):
            raise ValueError(not_found(name, folder, f"the folder of {request.schedule.name}"))
        return path

    images = {
        name: fit_frames(image, width, height, request.resize)
        for name, image in read_pictures(schedule.source, find).items()
    }
    return replace(schedule, keyframes=tuple(replace(k, image=images[k.name]) for k in schedule.keyframes))
