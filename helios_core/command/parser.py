"""The arguments of `helios`. torch is not imported here: it takes seconds, and help needs none of it."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from ..diffusion.recipe import RECIPES
from ..network.config import FPS
from .requests import (
    DownloadRequest,
    EstimateRequest,
    ExtendRequest,
    GenerateRequest,
    InfoRequest,
    ModelOptions,
    Request,
)

LONGEST = 10**8  # frames of a film
DTYPES = ("float32", "bfloat16", "float16")
DESCRIPTION = """Make films with Helios from the command line, without ComfyUI.

    helios generate "A red star moves right on a navy background." --length 4s -o star.mp4
    helios extend star.safetensors "A red star moves left on a navy background."
    helios generate --schedule story.txt --model models/diffusion_models/Helios-Distilled -o story.mp4

Without --model you get the demo: a tiny Helios that knows coloured shapes on plain backgrounds. It runs anywhere.
If a film is cut off, run the same command again: it continues with the first missing chunk.
"""


def parse(arguments: Sequence[str] | None = None) -> Request:
    """What is asked for. Exits with a message, as argparse does, where that cannot be understood."""
    parser = make_parser()
    namespace, rest = parser.parse_known_args(arguments)
    values = vars(namespace)
    if len(rest) == 1 and not rest[0].startswith("-") and values.get("prompt", "") is None:
        values["prompt"] = rest.pop()  # argparse does not look for it behind options
    if rest:
        parser.error(f"these arguments are not known: {' '.join(rest)}")
    request = values.pop("request")
    if "options" in {f.name for f in fields(request)}:
        names = [f.name for f in fields(ModelOptions)]
        values["options"] = ModelOptions(**{name: values.pop(name) for name in names if name in values})
    return request(**values)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="helios", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    command = commands.add_parser("generate", help="make a film from text, a picture or a video")
    add_film(command)
    command.add_argument("--image", type=Path, metavar="FILE", help="continue from this picture")
    command.add_argument(
        "--video", type=Path, metavar="FILE", help="continue from the end of this video (33 frames or more)"
    )
    command.add_argument(
        "--video-fps",
        choices=("all", "24"),
        default="all",
        help="24: resample the video to Helios' 24 frames a second; all (default): use every frame, so that a video of "
        "another rate becomes faster or slower",
    )
    add_size(command)
    command.set_defaults(request=GenerateRequest)

    command = commands.add_parser("extend", help="continue a film from its memory file; the new part is its own film")
    command.add_argument("memory", type=Path, help="the .safetensors file beside the film")
    add_film(command)
    command.set_defaults(request=ExtendRequest)

    command = commands.add_parser("info", help="show what a checkpoint or a memory file contains")
    command.add_argument("paths", type=Path, nargs="*", metavar="path", help="files or folders (default: the demo)")
    command.add_argument("--checksums", action="store_true", help="SHA-256 of each file too (minutes for 28 GB)")
    command.set_defaults(request=InfoRequest)

    command = commands.add_parser("download", help="fetch a model, its text encoder and VAE (35 GB) from Hugging Face")
    command.add_argument(
        "model", choices=("distilled", "mid", "base"), help="distilled is the fastest, base the slowest"
    )
    command.add_argument(
        "--to", type=Path, metavar="FOLDER", help="the models folder of a ComfyUI (default: the one around this folder)"
    )
    command.set_defaults(request=DownloadRequest)

    command = commands.add_parser("estimate", help="measure how long a film will take, and how much memory and disk")
    add_length(command)
    add_size(command)
    add_model(command)
    command.set_defaults(request=EstimateRequest)
    return parser


def add_film(command: argparse.ArgumentParser) -> None:
    film = command.add_argument_group("the film")
    film.add_argument("prompt", nargs="?", help="what the film shows, in one sentence or ten")
    film.add_argument(
        "--schedule",
        type=Path,
        metavar="FILE",
        help="a text file with one entry a line, such as '4 blend 3: a storm' or '6 image: boat.png' (the picture's "
        "name as seen from the text's folder); chunks are counted from the beginning of the whole film",
    )
    film.add_argument(
        "--resize",
        choices=("crop", "pad", "stretch", "fit"),  # fit is an older name of stretch
        default="crop",
        metavar="{crop,pad,stretch}",
        help="how pictures and videos get the film's size: cut what sticks out (crop), add black borders (pad), "
        "or change their shape (stretch); default: crop",
    )
    film.add_argument("--negative", metavar="PROMPT", help="what the film must not show (Base and Mid only)")
    add_length(film)
    film.add_argument("--seed", type=seed, help="another seed makes another film (default: 0; for extend the film's)")
    film.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the film, an .mp4 file; its memory is saved beside it (default: the first free of helios.mp4, "
        "helios-2.mp4, ...; for extend the same with the memory's name)",
    )
    film.add_argument("--force", action="store_true", help="replace an existing film")
    film.add_argument("--stream", action="store_true", help="also write the film to standard output: ... | mpv -")
    film.add_argument(
        "--chunks",
        type=Path,
        metavar="FOLDER",
        help="the folder that keeps finished chunks (default: helios-chunks beside the film)",
    )
    film.add_argument(
        "--no-autosave",
        dest="autosave",
        action="store_false",
        help="keep no chunks; a film that is cut off starts over",
    )
    add_model(command)


def add_length(command) -> None:
    command.add_argument(
        "--length",
        type=length,
        default=99,
        help="in frames (99) or seconds (10s), rounded up to chunks of 33 frames; default: 99",
    )


def add_size(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=size, metavar="WxH", help="WIDTHxHEIGHT in pixels (default: 640x384, for the demo 192x128)"
    )


def add_model(command: argparse.ArgumentParser) -> None:
    model = command.add_argument_group("the model")
    model.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="a checkpoint: its folder or file (default: the demo; for extend the film's own model and options)",
    )
    model.add_argument("--variant", choices=RECIPES, help="needed where the name of the model does not say it")
    model.add_argument("--steps", help="steps of a chunk for Base (50), of each stage for the others (2 or 2,2,2)")
    model.add_argument("--cfg", type=guidance, help="guidance; 1 turns it off (default: the variant's own)")
    model.add_argument(
        "--text-encoder", type=Path, metavar="PATH", help="file or folder (default: found beside the model)"
    )
    model.add_argument("--vae", type=Path, metavar="PATH", help="file or folder (default: found beside the model)")
    model.add_argument("--device", help="cuda, cuda:1, mps, cpu (default: cuda if there is one, else cpu)")
    model.add_argument("--dtype", choices=DTYPES, help="of the transformer (default: bfloat16, on a CPU float32)")


def size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write WIDTHxHEIGHT, such as 640x384") from None
    return width, height


def length(text: str) -> int:
    """'99' frames, or '10s' seconds -> frames."""
    try:
        frames = round(float(text[:-1]) * FPS) if text.endswith("s") else int(text)
    except (ValueError, OverflowError):
        frames = 0
    if not 1 <= frames <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: write frames, such as 240, or seconds, such as 10s")
    return frames


def seed(text: str) -> int:
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from 0 to 2^64 - 1")
    return int(text)


def guidance(text: str) -> float:
    """A number that a recipe takes as its cfg."""
    try:
        scale = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number, 1 or more") from None
    try:
        return replace(RECIPES["base"], cfg=scale).cfg
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
