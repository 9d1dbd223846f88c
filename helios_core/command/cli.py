"""helios: films from the command line, without ComfyUI.

    helios generate "A red star moves right on a navy background." --length 4s -o star.mp4
    helios extend star.safetensors "A red star moves left on a navy background."
    helios generate --schedule story.txt --model models/diffusion_models/Helios-Distilled -o story.mp4

Without --model it is the demo: a tiny Helios that knows coloured shapes on plain grounds and runs anywhere.
"""

import argparse
import contextlib
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ..diffusion.recipe import RECIPES
from ..files import INSTALL, demo_folder
from ..film.denoise import ModelDenoiser
from ..film.loop import Chunk, chunk_count, film_length, sample_chunks, step_count
from ..film.memory import HistoryMemory
from ..film.prompts import PromptSchedule, Segment, parse_schedule
from ..media.frames import fit_frames, read_ends, read_image
from ..media.video import VideoWriter
from ..network.config import CHUNK_FRAMES, CHUNK_LATENTS, FPS, HISTORY_LATENTS, SPATIAL_FACTOR
from ..network.load import load_checkpoint, load_transformer
from .model_files import DEMO, DTYPES, Parts, weights_in

BITS = 0.3  # of a film's pixel, assumed: more where much moves
LONGEST = 10**8  # frames of a film
PATIENCE = 2.0  # seconds that a stopped film waits for its player
OPTIONS = ("variant", "steps", "cfg", "negative", "text_encoder", "vae", "dtype")  # that a film's memory tells


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status. What goes wrong is said in one line."""
    parser = make_parser()
    args, rest = parser.parse_known_args(arguments)
    if len(rest) == 1 and not rest[0].startswith("-") and getattr(args, "prompt", "") is None:
        args.prompt = rest.pop()  # argparse looks for it beside the memory file only, not after options
    if rest:
        parser.error(f"not known: {' '.join(rest)}")
    stop = Stop()
    try:
        args.run(args)
        return 0
    except KeyboardInterrupt:
        say("stopped")
        return 130
    except ModuleNotFoundError as error:
        say(f"helios: {error.name} is missing: {INSTALL}")
    except (ValueError, OSError, ArithmeticError, RuntimeError) as error:  # torch's own are RuntimeErrors
        say("stopped" if stop.asked else f"helios: {error}")  # the interrupt itself may get lost
    return 130 if stop.asked else 1


def say(text: str) -> None:
    print(text, file=StandardError())


class StandardError:
    """While somebody can read it: a closed terminal is no reason to leave a film unfinished."""

    def __getattr__(self, name):
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class Stop:
    """Ctrl-C, SIGTERM or a closed terminal: the first one ends a film in good order, for which it needs a moment; the
    third one ends the program."""

    def __init__(self):
        self.asked = 0
        with contextlib.suppress(ValueError):  # outside the main thread there are no signals
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; under nohup it is to be ignored
                if hasattr(signal, name) and signal.getsignal(number := getattr(signal, name)) != signal.SIG_IGN:
                    signal.signal(number, self)

    def __call__(self, number, frame) -> None:
        self.asked += 1
        if self.asked == 1:
            raise KeyboardInterrupt
        if self.asked > 2:
            os._exit(130)
        say("\nfinishing what was begun; once more ends it at once")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="helios", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    command = commands.add_parser("generate", help="make a film from text, an image or a video")
    add_film(command)
    command.add_argument("--image", type=Path, help="go on from this picture")
    command.add_argument("--video", type=Path, help="go on from the end of this video, 33 frames or more")
    command.add_argument(
        "--resize", choices=("crop", "fit", "pad"), default="crop", help="image and video to the size: crop"
    )
    command.add_argument("--size", type=size, help="WIDTHxHEIGHT in pixels: 640x384, the demo 192x128")
    command.set_defaults(run=generate)

    command = commands.add_parser("extend", help="go on with a film from its memory file, in a film of its own")
    command.add_argument("memory", type=Path, help="the .safetensors beside the film")
    add_film(command)
    command.set_defaults(run=extend)

    command = commands.add_parser("info", help="what a checkpoint or a memory file is")
    command.add_argument("path", type=Path, nargs="*", help="files or folders; the demo if there is none")
    command.add_argument("--checksums", action="store_true", help="SHA-256 of its files too (28 GB take minutes)")
    command.set_defaults(run=info)

    command = commands.add_parser("download", help="weights, text encoder and VAE from Hugging Face, 35 GB a model")
    command.add_argument("model", choices=("distilled", "mid", "base"), help="the fastest, in between, the slowest")
    command.add_argument("--to", type=Path, help="a models/ folder as ComfyUI's; found if this pack or you are in one")
    command.set_defaults(run=download)

    command = commands.add_parser("estimate", help="what a film will take: time, memory, disk")
    command.add_argument("--length", type=length, default=99, help="frames, or seconds as 10s (default: 99)")
    command.add_argument("--size", type=size, help="WIDTHxHEIGHT in pixels: 640x384, the demo 192x128")
    add_model(command)
    command.set_defaults(run=estimate)
    return parser


def add_film(command: argparse.ArgumentParser) -> None:
    what = command.add_argument_group("the film")
    what.add_argument("prompt", nargs="?", help="what is seen, in a sentence or ten")
    what.add_argument(
        "--schedule",
        type=Path,
        help="a file of prompts over time, '4 blend 3: ...', one a line; "
        "chunks count from the beginning of the whole film",
    )
    what.add_argument("--negative", help="what is not to be seen (Base and Mid)")
    what.add_argument(
        "--length", type=length, default=99, help="frames, or seconds as 10s, rounded up to chunks of 33 (default: 99)"
    )
    what.add_argument("--seed", type=seed, help="default: 0, when extending the film's own")
    what.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the film, an .mp4; its memory is saved beside it (default: a new helios.mp4, "
        "when extending one beside the memory)",
    )
    what.add_argument("--force", action="store_true", help="replace a film that is there")
    what.add_argument("--stream", action="store_true", help="the growing mp4 to standard output too: ... | mpv -")
    add_model(command)


def add_model(command: argparse.ArgumentParser) -> None:
    how = command.add_argument_group("the model")
    how.add_argument(
        "--model",
        type=Path,
        help="a checkpoint's folder or file (default: the demo; when extending the film's own, with its options)",
    )
    how.add_argument("--variant", choices=RECIPES, help="how to sample, where the model does not tell")
    how.add_argument("--steps", help="of a chunk of Base, as 50; of each stage of the others, as 2 or 2,2,2")
    how.add_argument("--cfg", type=guidance, help="guidance, 1 is off (default: the variant's own)")
    how.add_argument("--text-encoder", type=Path, help="file or folder (default: found beside the model)")
    how.add_argument("--vae", type=Path, help="file or folder (default: found beside the model)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how.add_argument("--device", default=device, help="cuda, cuda:1, mps, cpu (default: %(default)s)")
    how.add_argument("--dtype", choices=DTYPES, help="of the transformer (default: bfloat16, on a CPU float32)")


def size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: WIDTHxHEIGHT is needed, as 640x384") from None
    return width, height


def length(text: str) -> int:
    """'99' frames, or '10s' seconds."""
    try:
        frames = round(float(text[:-1]) * FPS) if text.endswith("s") else int(text)
    except (ValueError, OverflowError):
        frames = 0
    if not 1 <= frames <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: frames as 240, or seconds as 10s")
    return frames


def seed(text: str) -> int:
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 0 to 2^64 - 1")
    return int(text)


def guidance(text: str) -> float:
    if not math.isfinite(scale := float(text)) or scale < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: 1 or more")
    return scale


def generate(args) -> None:
    if args.image and args.video:
        raise ValueError("--image and --video: a film goes on from one of them")
    schedule = read_prompts(args)
    parts = Parts(args)
    width, height = args.size or parts.size
    parts.recipe.check_size(width, height)
    with place(args, Path("helios.mp4")) as output:
        seed, codec = args.seed or 0, parts.codec()
        make(args, schedule, output, parts, codec, begin(args, codec, width, height, seed), seed)


def begin(args, codec, width: int, height: int, seed: int) -> HistoryMemory:
    """What a film goes on from: nothing, a picture or a video."""

    def fit(frames):
        return fit_frames(frames, width, height, args.resize)

    if args.image:
        return HistoryMemory.from_image(*codec.encode_image(fit(read_image(args.image))), seed=seed)
    if args.video:
        ends = read_ends(args.video, fit=fit)
        if ends.count < CHUNK_FRAMES:
            raise ValueError(f"{args.video.name}: it has {ends.count} frames, a film goes on from 33 or more")
        latents = torch.cat([codec.encode(window) for window in ends.windows], dim=2)
        return HistoryMemory.from_video(codec.encode(ends.first), latents, seed=seed, count=ends.count // CHUNK_FRAMES)
    return HistoryMemory.empty(width, height)


def extend(args) -> None:
    args.memory = memory_of(args.memory) if args.memory.suffix == ".mp4" else args.memory
    memory, notes = HistoryMemory.load(args.memory)
    if len(memory.frames) > 1:
        raise ValueError(f"{args.memory.name}: the memory of {len(memory.frames)} films at once; only one can go on")
    if args.prompt is None and args.schedule is None:
        args.prompt = notes.get("prompt")
    schedule = read_prompts(args)
    if args.model is None:
        recall(args, notes, memory.variant)
    parts = Parts(args, memory.variant)
    parts.recipe.check_size(memory.width, memory.height)
    with place(args, args.memory.with_suffix(".mp4")) as output:
        seed = memory.seed or 0 if args.seed is None else args.seed
        make(args, schedule, output, parts, parts.codec(), memory, seed)


class Recalled(argparse.ArgumentParser):
    """What a memory file tells of the model: anybody may have written it."""

    def __init__(self):
        super().__init__(add_help=False, allow_abbrev=False)
        add_model(self)
        self.add_argument("--negative")

    def error(self, message):
        raise ValueError(message)


def recall(args, notes: dict[str, str], variant: str) -> None:
    """Go on with the model that made a film, and as it was told to, but for what is told now."""
    if "model" not in notes:
        raise ValueError(f"{args.memory.name}: what made it is not told: --model says it (demo is the demo)")
    try:
        then, _ = Recalled().parse_known_args([*shlex.split(notes.get("options", "")), f"--model={notes['model']}"])
    except ValueError as error:
        raise ValueError(f"{args.memory.name}: its options: {error}") from error
    then.variant = then.variant or variant or None
    if args.variant not in (None, then.variant):
        then.steps = then.cfg = None  # another variant's
    for name in ("model", *OPTIONS):
        value = getattr(then, name)
        if getattr(args, name) is not None or value is None:
            continue
        if isinstance(value, Path) and str(value).startswith((r"\\", "//")):  # Windows would log in there
            option = name.replace("_", "-")
            raise ValueError(f"{args.memory.name}: it names {value} in a network: say --{option} yourself")
        setattr(args, name, value)
    args.model = None if args.model == DEMO else args.model


def read_prompts(args) -> PromptSchedule:
    """The schedule of texts that was asked for."""
    if args.schedule and args.prompt:
        raise ValueError("a prompt and --schedule: one of them")
    if args.schedule:
        try:
            return parse_schedule(args.schedule.read_text("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{args.schedule.name}: not a text in UTF-8 ({error})") from error
    if not args.prompt:
        raise ValueError("no prompt: write one, or a --schedule")
    return PromptSchedule((Segment(0, args.prompt, text=args.prompt),))


@contextlib.contextmanager
def place(args, wanted: Path) -> Iterator[Path]:
    """Where the film goes: --output, or the first of name.mp4, name-2.mp4, ... that is free.

    Its file is made at once, so that nobody else takes the place; where nothing comes into it, it is not left there.
    """
    output = args.output
    if output is None:
        stem, number = re.fullmatch(r"(.*?)(?:-(\d+))?", wanted.stem, re.S).groups()
        output, number = wanted, int(number or 1)
        while memory_of(output).exists() or not claim(output):
            number += 1
            output = wanted.with_name(f"{stem}-{number}.mp4")
    else:
        if output.suffix != ".mp4" or output.is_dir():
            raise ValueError(f"--output {output}: a film is an .mp4 file")
        if memory_of(output).exists():
            HistoryMemory.load(memory_of(output))  # or somebody's weights would be replaced
        output.parent.mkdir(parents=True, exist_ok=True)
        if args.force:
            output.open("ab").close()  # to know that it can be written
        elif memory_of(output).exists() or not claim(output):
            raise ValueError(
                f"{output} or its memory is there already: --force replaces it, another --output leaves it"
            )
    try:
        yield output
    finally:
        if output.exists() and not output.stat().st_size:
            output.unlink()


def claim(path: Path) -> bool:
    """Make an empty file; False where there is one."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    return True


def memory_of(film: Path) -> Path:
    return film.with_suffix(".safetensors")


def make(args, schedule: PromptSchedule, output: Path, parts: Parts, codec, memory: HistoryMemory, seed: int) -> None:
    """Sample, decode and write chunk by chunk; the memory is saved when a chunk is in the file, so that a stopped film
    goes on without a gap."""
    from tqdm import tqdm

    if args.stream and sys.stdout.isatty():
        raise ValueError("--stream: standard output is a terminal; send it to a player or a file: ... | mpv -")
    end = memory.chunk + chunk_count(args.length)
    for segment in schedule.segments:
        if segment.start >= end:
            say(f"chunk {segment.start} is not reached, the film ends before {end}: {segment.text}")
    if parts.is_demo and (memory.width, memory.height) != parts.size:
        say(f"the demo knows nothing but {parts.size[0]}x{parts.size[1]}")
    schedule, negative = parts.embed(schedule)
    recipe, chunks, keep = parts.recipe, chunk_count(args.length), memory_of(output)
    model = load_transformer(parts.checkpoint, args.device, parts.dtype)
    denoise = ModelDenoiser(model, recipe, negative, parts.dtype)
    noise_device = memory.noise_device if memory.noise_device == torch.device(args.device).type else "cpu"
    if noise_device != memory.noise_device:
        say(f"its random numbers were {memory.noise_device}'s: the seed begins anew here")
    begun, memory = time.monotonic(), replace(memory.to(args.device), variant=parts.variant)
    what = f"{film_length(chunks)}, {memory.width}x{memory.height}, seed {seed}"
    say(f"{output}: {what}, {parts.variant} of {parts.name}")
    bar = tqdm(total=step_count(recipe, memory.chunk, chunks), unit="step", file=StandardError())
    film, total = VideoWriter(output), chunks * CHUNK_FRAMES
    settings = {"chunks": chunks, "seed": seed, "noise_device": noise_device}
    try:
        # The film is the first to be closed: a player that is paused would keep it waiting.
        with player(args.stream) as play, film, bar, torch.inference_mode():
            for record in sample_chunks(denoise, memory, schedule, recipe, **settings):
                if isinstance(record, Chunk):
                    frames = codec.decode(record.latents)
                    if not film.frames:
                        keep.unlink(missing_ok=True)  # another film's, if it is replaced
                    text = [s.text for s in schedule.segments if s.start <= record.index][-1]
                    notes = {"prompt": text, "model": parts.name, "options": options_of(args)}
                    film.write(frames, partial(record.memory.save, keep, notes))
                    play(frames)
                    bar.set_description(f"chunk {record.index}")
                else:
                    bar.update()
        seconds = time.monotonic() - begun
        say(f"{output}: {total} frames in {seconds:.1f} s, {total / seconds:.1f} a second")
    except KeyboardInterrupt:  # what else ends it may have lost some
        say(f"{output}: {film.frames} of {total} frames")
        raise
    finally:
        if film.frames and keep.exists():
            as_module = Path(sys.argv[0]).parent.name == "helios_core"
            words = [sys.executable, "-m", "helios_core"] if as_module else ["helios"]
            words += ["extend", str(keep.absolute())]
            if film.frames < total:
                words += ["--schedule", str(args.schedule.absolute())] if args.schedule else []
                words += ["--length", str(total - film.frames)]
            join = subprocess.list2cmdline if os.name == "nt" else shlex.join
            say(f"to go on with it: {join(words)}")


def options_of(args) -> str:
    """What was told about the model, as it is written on a command line."""
    told = {name.replace("_", "-"): value for name in OPTIONS if (value := getattr(args, name)) is not None}
    return shlex.join(f"--{k}={v.absolute() if isinstance(v, Path) else v}" for k, v in told.items())


@contextlib.contextmanager
def player(wanted: bool) -> Iterator[Callable[[torch.Tensor], None]]:
    """Takes chunks of frames for standard output, if that is wanted and for as long as somebody listens: a player that
    is closed is no reason to stop the film."""
    stream, patience = VideoWriter(StandardOutput()) if wanted else None, PATIENCE

    def play(frames):
        nonlocal stream
        try:
            if stream is not None:
                stream.write(frames)
        except OSError:
            stream = None
            say("nobody listens to the stream any more; the film goes on")

    def close():
        with contextlib.suppress(OSError):
            stream.close()

    try:
        yield play
        patience = None
    finally:
        if stream is not None:
            closing = threading.Thread(target=close, daemon=True)
            closing.start()
            closing.join(patience)


class StandardOutput:
    """Without Python's buffer, which would keep the end of a chunk, and which a paused player would keep locked."""

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
        return len(data)


def info(args) -> None:
    from .download import checksum

    for path in args.path or [demo_folder()]:
        path = memory_of(path) if path.suffix == ".mp4" else path
        try:
            memory, notes = HistoryMemory.load(path) if path.is_file() else (None, {})
        except ValueError:
            memory = None
        if memory is not None:
            print(f"{path}: a film's memory")
            print(f"  {film_length(memory.chunk)} of {memory.width}x{memory.height}, made by {memory.variant or '?'}")
            print(f"  seed {memory.seed}, prompt: {notes.get('prompt', '')}")
            print(f"  model: {notes.get('model', 'not told')} {notes.get('options', '')}".rstrip())
            files = [path]
        else:
            checkpoint = load_checkpoint(path)
            config, tensors = checkpoint.config, checkpoint.tensors.values()
            kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors})
            print(f"{path}: a Helios transformer, {checkpoint.variant or 'variant not told'}")
            print(f"  {sum(t.numel() for t in tensors) / 1e9:.3g} billion parameters, {', '.join(kinds)}")
            print(f"  {config.num_layers} layers, {config.num_attention_heads} heads x {config.attention_head_dim}")
            print(f"  text {config.text_dim} wide, patches {config.patch_size}")
            files = checkpoint.files
        for file in files:
            digest = f"  sha256 {checksum(file)}" if args.checksums else ""
            print(f"  {file.name}: {file.stat().st_size / 1e6:,.1f} MB{digest}")


def download(args) -> None:
    from .download import download, find_models_folder, plan

    models = args.to or find_models_folder()
    if models is None:
        raise ValueError("no ComfyUI found from here: --to says which models/ folder to fill")
    download(plan(args.model, models), models)


def estimate(args) -> None:
    from ..media.codecs import cpu_dtype
    from ..media.text_encoder import text_tokens
    from ..network.sizes import activation_bytes, text_bytes
    from .estimate import seconds_per_chunk

    parts, on_gpu = Parts(args), torch.device(args.device).type == "cuda"
    width, height = args.size or parts.size
    parts.recipe.check_size(width, height)
    config, chunks = parts.checkpoint.config, chunk_count(args.length)
    (text_weights, notes), (vae_weights, _) = weights_in(parts.text), weights_in(parts.vae)
    tokens = text_tokens(notes)
    h, w, wide = height // SPATIAL_FACTOR, width // SPATIAL_FACTOR, parts.dtype.itemsize
    needs = {
        "transformer": sum(tensor.numel() for tensor in parts.checkpoint.tensors.values()) * wide,
        "its activations": activation_bytes(config, h, w, wide),
        "a prompt's keys and values": text_bytes(config, tokens, wide) * (1 + (parts.recipe.cfg > 1)),
        "VAE": vae_weights * (cpu_dtype() if parts.on_cpu else torch.float32).itemsize,
    }
    steps, kept = step_count(parts.recipe, 0, chunks), config.in_channels * (HISTORY_LATENTS + 1) * h * w * 4
    text, film = text_weights * parts.text_dtype.itemsize, width * height * chunks * CHUNK_FRAMES * BITS / 8
    print(f"{film_length(chunks)} of {width}x{height} with {parts.variant}, {steps} steps")
    print(f"  memory of {args.device}, computed: {sum(needs.values()) / 1e9:.2f} GB and what the VAE decodes with")
    print("".join(f"    {what} {size / 1e9:.2f} GB\n" for what, size in needs.items()), end="")
    print(f"    before these, beside the VAE, the text encoder {text / 1e9:.2f} GB")
    if on_gpu:
        print(f"    free now {torch.cuda.mem_get_info(args.device)[0] / 1e9:.2f} GB")
        print(f"  main memory, computed: {text / 1e9:.2f} GB, while the text encoder is read")
    print(f"  disk: the film {film / 1e6:.1f} MB at {BITS} bits a pixel, memory file {kept / 1e6:.1f} MB at any length")
    model = load_transformer(parts.checkpoint, args.device, parts.dtype)
    first, later = seconds_per_chunk(model, parts.recipe, tokens, width, height, args.device, parts.dtype)
    codec, latents = parts.codec(), torch.zeros(1, config.in_channels, CHUNK_LATENTS, h, w)
    for _ in range(2):  # the first one also looks for the fastest convolutions
        begun = time.perf_counter()
        codec.decode(latents)
        decoding = time.perf_counter() - begun
    if on_gpu:
        print(f"  memory, measured: {torch.cuda.max_memory_allocated(args.device) / 1e9:.2f} GB at the most")
    seconds = first + (chunks - 1) * later + chunks * decoding
    print(f"  time, from a step of each stage: {later:.2f} s a chunk ({first:.2f} the first), decoding {decoding:.2f}")
    print(f"    {seconds:.0f} s in all, {chunks * CHUNK_FRAMES / seconds:.2f} frames a second")
