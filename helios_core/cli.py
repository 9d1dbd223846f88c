"""helios: films from the command line, without ComfyUI.

    helios generate "A red ball moves right on a navy background." --length 4s -o ball.mp4
    helios extend ball.safetensors "A red ball moves left on a navy background." -o more.mp4
    helios generate --schedule story.txt --model models/diffusion_models/Helios-Distilled -o story.mp4

Without --model it is the demo: a tiny Helios that knows coloured shapes on plain grounds and runs anywhere.
"""

import argparse
import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from .checkpoint import load_checkpoint
from .config import CHUNK_FRAMES, CHUNK_LATENTS, FPS, HISTORY_LATENTS, SPATIAL_FACTOR
from .denoise import ModelDenoiser
from .files import demo_folder
from .frames import fit_frames, read_ends
from .memory import HistoryMemory
from .model import HeliosTransformer
from .prompts import PromptSchedule, Segment, parse_schedule
from .recipe import RECIPES, parse_steps
from .sampler import Chunk, chunk_count, film_length, sample_chunks, step_count
from .video import VideoWriter

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status. What a user can mend is said in one line."""
    args = make_parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        print(f"helios: {error.name} is missing: pip install 'helios-video[cli]'", file=sys.stderr)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"helios: {error}", file=sys.stderr)
    return 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="helios", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    command = commands.add_parser("generate", help="make a film from text, an image or a video")
    add_film(command)
    command.add_argument("--image", type=Path, help="go on from this picture")
    command.add_argument("--video", type=Path, help="go on from the end of this video, 33 frames or more")
    command.add_argument("--resize", choices=("crop", "fit", "pad"), default="crop", help="of image and video: crop")
    command.add_argument("--size", type=size, help="WIDTHxHEIGHT in pixels: 640x384, the demo 192x128")
    command.set_defaults(run=generate)

    command = commands.add_parser("extend", help="go on with a film from its memory file")
    command.add_argument("memory", type=Path, help="the .safetensors beside the film")
    add_film(command)
    command.set_defaults(run=extend)

    command = commands.add_parser("info", help="what a checkpoint or a memory file is")
    command.add_argument("path", type=Path, nargs="*", help="files or folders; the demo if there is none")
    command.add_argument("--checksums", action="store_true", help="SHA-256 of every file too (28 GB take minutes)")
    command.set_defaults(run=info)

    command = commands.add_parser("download", help="weights, text encoder and VAE from Hugging Face, 35 GB a model")
    command.add_argument("model", choices=("distilled", "mid", "base"))
    command.add_argument("--to", type=Path, help="a models/ folder as ComfyUI's; found if this pack lies in one")
    command.set_defaults(run=download)

    command = commands.add_parser("estimate", help="what a film will take: time, memory, disk")
    command.add_argument("--length", default="99", help="frames, or seconds as 10s: 99")
    command.add_argument("--size", type=size, help="WIDTHxHEIGHT in pixels: 640x384, the demo 192x128")
    add_model(command)
    command.set_defaults(run=estimate)
    return parser


def add_film(command: argparse.ArgumentParser) -> None:
    what = command.add_argument_group("the film")
    what.add_argument("prompt", nargs="?", help="what is seen, in a sentence or ten")
    what.add_argument("--schedule", type=Path, help="a file of prompts over time, '4 blend 3: ...', one a line")
    what.add_argument("--negative", default="", help="what is not to be seen (Base and Mid)")
    what.add_argument("--length", default="99", help="frames, or seconds as 10s; rounded up to chunks of 33: 99")
    what.add_argument("--seed", type=int, help="0; when extending, the film's own")
    what.add_argument("-o", "--output", type=Path, default=Path("helios.mp4"), help="the film: helios.mp4")
    what.add_argument("--stream", action="store_true", help="the growing mp4 to standard output too: ... | mpv -")
    add_model(command)


def add_model(command: argparse.ArgumentParser) -> None:
    how = command.add_argument_group("the model")
    how.add_argument("--model", type=Path, help="a folder of a checkpoint, as downloaded; the demo without")
    how.add_argument("--variant", choices=RECIPES, help="how to sample, where the model does not tell")
    how.add_argument("--steps", default="auto", help="steps a chunk, as 50 or 2,2,2")
    how.add_argument("--cfg", type=float, help="guidance, 1 is off; the variant's own")
    how.add_argument("--text-encoder", type=Path, help="file or folder; found beside the model")
    how.add_argument("--vae", type=Path, help="file or folder; found beside the model")
    how.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="%(default)s")
    how.add_argument("--dtype", choices=DTYPES, help="of the transformer: bfloat16, on a CPU float32")


def size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: WIDTHxHEIGHT is needed, as 640x384") from None
    return width, height


def frames_of(length: str) -> int:
    """'99' frames, or '10s' seconds."""
    try:
        frames = round(float(length[:-1]) * FPS) if length.endswith("s") else int(length)
    except ValueError:
        frames = 0
    if frames < 1:
        raise ValueError(f"--length {length}: frames as 240, or seconds as 10s")
    return frames


def generate(args) -> None:
    parts = Parts(args)
    width, height = args.size or parts.size
    parts.recipe.check_size(width, height)
    if args.image and args.video:
        raise ValueError("--image and --video: a film goes on from one of them")
    seed, codec = args.seed or 0, parts.codec()

    def fit(frames):
        return fit_frames(frames, width, height, args.resize)

    memory = HistoryMemory.empty(width, height)
    if args.image:
        first, _, _ = read_ends(args.image, fit=fit)
        memory = HistoryMemory.from_image(*codec.encode_image(first), seed=seed)
    elif args.video:
        first, last, count = read_ends(args.video, fit=fit)
        windows = last[len(last) % CHUNK_FRAMES :].split(CHUNK_FRAMES)
        if count < CHUNK_FRAMES:
            raise ValueError(f"{args.video.name}: it has {count} frames, a film goes on from 33 or more")
        latents = torch.cat([codec.encode(window) for window in windows], dim=2)
        memory = HistoryMemory.from_video(codec.encode(first), latents, seed=seed, count=count // CHUNK_FRAMES)
    make(args, parts, codec, memory, seed)


def extend(args) -> None:
    memory, notes = HistoryMemory.load(args.memory)
    parts = Parts(args)
    if args.prompt is None and args.schedule is None:
        args.prompt = notes.get("prompt")
    make(args, parts, parts.codec(), memory, memory.seed if args.seed is None else args.seed)


class Parts:
    """The files of a model and the recipe it is sampled with."""

    def __init__(self, args):
        is_demo = args.model is None
        self.args, self.size = args, (192, 128) if is_demo else (640, 384)
        folder = demo_folder() if is_demo else args.model
        self.checkpoint = load_checkpoint(folder)
        variant = args.variant or self.checkpoint.variant or ("distilled" if is_demo else None)
        if variant is None:
            raise ValueError(f"{folder.name}: Base, Mid or Distilled? Its files do not tell: --variant says it")
        self.variant, self.recipe = variant, parse_steps(args.steps, RECIPES[variant])
        if args.cfg is not None:
            self.recipe = replace(self.recipe, cfg=args.cfg)
        self.text, self.vae = args.text_encoder or beside(folder, "text"), args.vae or beside(folder, "vae")
        small = torch.device(args.device).type == "cpu"
        self.dtype = DTYPES[args.dtype] if args.dtype else torch.float32 if small else torch.bfloat16

    def codec(self):
        from .codecs import VideoCodec

        return VideoCodec(self.vae, self.args.device)

    def prompts(self) -> tuple[PromptSchedule, torch.Tensor | None]:
        """The schedule with embeddings, and the negative prompt's where there is guidance."""
        from .codecs import TextEncoder

        args = self.args
        if args.schedule and args.prompt:
            raise ValueError("a prompt and --schedule: one of them")
        if not args.schedule and not args.prompt:
            raise ValueError("no prompt: write one, or a --schedule")
        schedule = parse_schedule(args.schedule.read_text("utf-8")) if args.schedule else one(args.prompt)
        encoder = TextEncoder(self.text, args.device, torch.bfloat16 if self.dtype == torch.bfloat16 else torch.float32)
        negative = encoder(args.negative).to(self.dtype) if self.recipe.cfg > 1 else None
        return schedule.map(lambda text: encoder(text).to(self.dtype)), negative


def one(prompt: str) -> PromptSchedule:
    return PromptSchedule((Segment(0, prompt, text=prompt),))


def make(args, parts: Parts, codec, memory: HistoryMemory, seed: int) -> None:
    """Sample, decode and write chunk by chunk; the memory is saved behind each, so that a stopped film goes on."""
    schedule, negative = parts.prompts()
    recipe, chunks = parts.recipe, chunk_count(frames_of(args.length))
    keep, text = args.output.with_suffix(".safetensors"), schedule.segments[-1].text
    args.output.parent.mkdir(parents=True, exist_ok=True)
    model = HeliosTransformer.from_checkpoint(parts.checkpoint, args.device, parts.dtype)
    denoise = ModelDenoiser(model, recipe, negative, parts.dtype)
    outputs = [args.output, *([sys.stdout.buffer] if args.stream else [])]
    begun, memory = time.monotonic(), replace(memory.to(args.device), variant=parts.variant)
    print(f"{args.output}: {film_length(chunks)}, {memory.width}x{memory.height}, seed {seed}", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(VideoWriter(output)) for output in outputs]
        bar = stack.enter_context(tqdm(total=step_count(recipe, memory.chunk, chunks), unit="step", file=sys.stderr))
        stack.enter_context(torch.inference_mode())
        for record in sample_chunks(denoise, memory, schedule, recipe, chunks=chunks, seed=seed):
            if isinstance(record, Chunk):
                frames = codec.decode(record.latents)
                for writer in writers:
                    writer.write(frames)
                record.memory.save(keep, {"prompt": text})
                bar.set_description(f"chunk {record.index}")
            else:
                bar.update()
    seconds, frames = time.monotonic() - begun, chunks * CHUNK_FRAMES
    print(f"{args.output}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} a second", file=sys.stderr)
    print(f"{keep}: to go on with it, helios extend {keep}", file=sys.stderr)


def info(args) -> None:
    from .download import checksum

    for path in args.path or [demo_folder()]:
        try:
            memory, notes = HistoryMemory.load(path) if path.is_file() else (None, {})
        except ValueError:
            memory = None
        if memory is not None:
            print(f"{path}: a film's memory")
            print(f"  {film_length(memory.chunk)} of {memory.width}x{memory.height}, made by {memory.variant or '?'}")
            print(f"  seed {memory.seed}, prompt: {notes.get('prompt', '')}")
            files = [path]
        else:
            checkpoint = load_checkpoint(path)
            config, tensors = checkpoint.config, checkpoint.tensors.values()
            kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors})
            print(f"{path}: a Helios transformer, {(checkpoint.variant or 'variant not told')}")
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
    from .estimate import activation_bytes, seconds_per_chunk

    parts = Parts(args)
    width, height = args.size or parts.size
    parts.recipe.check_size(width, height)
    config, chunks = parts.checkpoint.config, chunk_count(frames_of(args.length))
    numbers = sum(tensor.numel() for tensor in parts.checkpoint.tensors.values())
    weights = numbers * parts.dtype.itemsize
    h, w = height // SPATIAL_FACTOR, width // SPATIAL_FACTOR
    chunk = config.in_channels * CHUNK_LATENTS * h * w * 4
    steps = step_count(parts.recipe, 0, chunks)
    print(f"{film_length(chunks)} of {width}x{height} with {parts.variant}, {steps} steps")
    print(f"  memory of {args.device}: weights {weights / 1e9:.2f} GB in {str(parts.dtype).removeprefix('torch.')},")
    print(f"    activations {activation_bytes(config, h, w, parts.dtype.itemsize) / 1e9:.2f} GB (computed)")
    print(f"  before that, the text encoder: {total(parts.text) / 1e9:.2f} GB")
    print(f"  disk: memory file {chunk / CHUNK_LATENTS * (HISTORY_LATENTS + 1) / 1e6:.1f} MB, whatever the length")
    model = HeliosTransformer.from_checkpoint(parts.checkpoint, args.device, parts.dtype)
    first, later = seconds_per_chunk(model, parts.recipe, width, height, args.device, parts.dtype)
    codec, latents = parts.codec(), torch.zeros(1, config.in_channels, CHUNK_LATENTS, h, w)
    begun = time.perf_counter()
    codec.decode(latents)
    decoding = time.perf_counter() - begun
    seconds = first + (chunks - 1) * later + chunks * decoding
    print(f"  time, from a step of each stage: {later:.2f} s a chunk ({first:.2f} the first), decoding {decoding:.2f}")
    print(f"    {seconds:.0f} s in all, {chunks * CHUNK_FRAMES / seconds:.2f} frames a second")


def total(path: Path) -> int:
    """Bytes of a file, or of a folder's weights."""
    return sum(f.stat().st_size for f in ([path] if path.is_file() else path.glob("*.safetensors")))


def beside(folder: Path, what: str) -> Path:
    """Text encoder or VAE of a model: in its own folder (diffusers' or the demo's layout), or in ComfyUI's models/."""
    own = {"text": ("text_encoder", "text_encoder.safetensors"), "vae": ("vae", "vae.safetensors")}[what]
    comfy = {"text": "text_encoders/umt5*xxl*.safetensors", "vae": "vae/wan_2.1_vae*.safetensors"}[what]
    folder = folder if folder.is_dir() else folder.parent
    found = [folder / name for name in own if (folder / name).exists()]
    for above in folder.resolve().parents:
        found += sorted(above.glob(comfy)) if above.name == "models" else []
    if not found:
        option = {"text": "--text-encoder", "vae": "--vae"}[what]
        raise FileNotFoundError(f"no {own[0]} in {folder} or in models/: download one, or say where with {option}")
    return found[0]
