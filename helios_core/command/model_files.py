"""The files of a model, as the command line finds them: transformer, text encoder, VAE and how to sample."""

import filecmp
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ..diffusion.recipe import DEMO_RECIPES, RECIPES, parse_steps
from ..files import demo_folder
from ..film.prompts import PromptSchedule
from ..network.checkpoint import read_tensors
from ..network.load import load_checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEMO = Path("demo")  # as --model


class Parts:
    """The files of a model and the recipe it is sampled with."""

    def __init__(self, args, variant: str | None = None):
        """`variant` where neither arguments nor files tell."""
        self.is_demo = is_demo(args.model)
        self.args, self.size = args, (192, 128) if self.is_demo else (640, 384)
        folder = demo_folder() if self.is_demo else args.model
        folder = folder.absolute()  # "." has no name
        self.checkpoint, self.name = load_checkpoint(folder), str(DEMO if self.is_demo else folder)
        variant = args.variant or self.checkpoint.variant or variant or ("distilled" if self.is_demo else None)
        if variant is None:
            raise ValueError(f"{folder.name}: Base, Mid or Distilled? Its files do not tell: --variant says it")
        recipes = DEMO_RECIPES if self.is_demo else RECIPES
        self.variant, self.recipe = variant, parse_steps(args.steps or "auto", recipes[variant])
        if args.cfg is not None:
            self.recipe = replace(self.recipe, cfg=args.cfg)
        self.text, self.vae = args.text_encoder or beside(folder, "text"), args.vae or beside(folder, "vae")
        try:
            self.on_cpu = torch.empty(0, device=args.device).device.type == "cpu"
        except (RuntimeError, AssertionError) as error:  # the latter where torch is built without it
            raise ValueError(f"--device {args.device}: {error}") from error
        self.dtype = DTYPES[args.dtype] if args.dtype else torch.float32 if self.on_cpu else torch.bfloat16
        self.text_dtype = torch.float32 if self.is_demo else torch.bfloat16  # UMT5-XXL: 23 or 11 GB

    def codec(self):
        if sys.stderr.isatty():
            print("loading", file=sys.stderr)  # diffusers alone takes seconds
        from ..media.codecs import VideoCodec

        return VideoCodec(self.vae, self.args.device)

    def embed(self, schedule: PromptSchedule) -> tuple[PromptSchedule, torch.Tensor | None]:
        """The schedule with embeddings, and the negative prompt's where there is guidance."""
        from ..media.text_encoder import TextEncoder

        encoder = TextEncoder(self.text, self.args.device, self.text_dtype)
        negative = encoder(self.args.negative or "").to(self.dtype) if self.recipe.cfg > 1 else None
        return schedule.map(lambda text: encoder(text).to(self.dtype)), negative


def is_demo(model: Path | None) -> bool:
    """By its name only where no file or folder of one's own has it; a checkout's is one's own where the pack is
    installed too, and is known by its weights."""
    if model is None or not model.exists():
        return model in (None, DEMO)
    weights = Path("transformer", "diffusion_pytorch_model.safetensors")
    try:
        return filecmp.cmp(model / weights, demo_folder() / weights, shallow=False)
    except (FileNotFoundError, NotADirectoryError):  # or somebody has deleted the pack's
        return False


def beside(folder: Path, what: str) -> Path:
    """Text encoder or VAE of a model: in its own folder (diffusers' or the demo's layout), or in ComfyUI's models/."""
    own = {"text": ("text_encoder", "text_encoder.safetensors"), "vae": ("vae", "vae.safetensors")}[what]
    comfy = {"text": "text_encoders/umt5_xxl*.safetensors", "vae": "vae/wan_2.1_vae*.safetensors"}[what]
    folder = folder if folder.is_dir() else folder.parent
    found = [folder / name for name in own if (folder / name).exists()]
    for above in (*folder.absolute().parents, *folder.resolve().parents):  # models are often links to another disk
        found += sorted(above.glob(comfy))
    if not found:
        option = {"text": "--text-encoder", "vae": "--vae"}[what]
        raise FileNotFoundError(f"no {own[0]} in {folder} or in models/: download one, or say where with {option}")
    return found[0]


def weights_in(path: Path) -> tuple[int, dict[str, str]]:
    """How many weights are in a file, or in a folder's files, and their metadata."""
    from ..media.codecs import weight_files

    tensors, metadata = read_tensors(weight_files(path))
    return sum(tensor.numel() for tensor in tensors.values()), metadata
