"""The files of a model: transformer, text encoder and VAE, and the recipe that it samples with."""

import filecmp
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion.recipe import DEMO_RECIPES, RECIPES, Recipe, override
from ..files import demo_folder
from ..film.denoise import ModelDenoiser
from ..film.prompts import PromptSchedule
from ..network.checkpoint import Checkpoint, file_versions, read_tensors, snapshot_of
from ..network.load import load_checkpoint, load_transformer
from .requests import ModelOptions

DEMO = "demo"  # as --model, and as a name in a film's notes
DEMO_SIZE, SIZE = (192, 128), (640, 384)


@dataclass(frozen=True)
class ModelFiles:
    """A model that was found. `name` is its folder or file, "demo" for the demo's; `device` is torch's name of it."""

    options: ModelOptions
    name: str
    checkpoint: Checkpoint
    variant: str
    recipe: Recipe
    text_encoder: Path
    vae: Path
    device: str
    dtype: torch.dtype

    @classmethod
    def find(cls, options: ModelOptions, variant: str = "") -> "ModelFiles":
        """The model that `options` name; `variant` counts where neither they nor its files tell.

        Raises ValueError or OSError for what is missing or does not fit.
        """
        demo = is_demo(options.model)
        folder = (demo_folder() if demo else options.model).absolute()  # "." has no name
        checkpoint = load_checkpoint(folder)
        variant = options.variant or checkpoint.variant or variant or ("distilled" if demo else "")
        if not variant:
            raise ValueError(
                f"{folder.name}: this name does not say which Helios it is; add --variant base, mid or distilled"
            )
        recipe = override((DEMO_RECIPES if demo else RECIPES)[variant], steps=options.steps or "auto", cfg=options.cfg)
        text_encoder = options.text_encoder or find_beside(folder, "text_encoder")
        vae = options.vae or find_beside(folder, "vae")
        device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            on_cpu = torch.empty(0, device=device).device.type == "cpu"
        except (RuntimeError, AssertionError) as error:  # the latter where torch is built without it
            raise ValueError(f"--device {device}: {error}") from error
        dtype = getattr(torch, options.dtype or ("float32" if on_cpu else "bfloat16"))
        name = DEMO if demo else str(folder)
        return cls(options, name, checkpoint, variant, recipe, text_encoder, vae, device, dtype)

    @property
    def is_demo(self) -> bool:
        return self.name == DEMO

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels that it was made for."""
        return DEMO_SIZE if self.is_demo else SIZE

    @property
    def on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"

    @property
    def on_cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    @property
    def text_dtype(self) -> torch.dtype:
        return torch.float32 if self.is_demo else torch.bfloat16  # UMT5-XXL: 23 or 11 GB

    def identity(self) -> tuple:
        """All of model and machine that decides the latents that come of a memory and a prompt."""
        device = torch.device(self.device)
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        checkpoint = self.checkpoint
        return (
            checkpoint.file_versions,
            checkpoint.config,
            self.recipe,
            str(self.dtype),
            device.type,
            card,
            str(torch.__version__),
        )

    def load_codec(self):
        from ..media.codecs import VideoCodec

        return VideoCodec(self.vae, self.device)

    def encode_prompts(self, schedule: PromptSchedule) -> tuple[PromptSchedule, Tensor | None]:
        """The schedule with embeddings for its texts, and the negative prompt's where there is guidance."""
        from ..media.text_encoder import TextEncoder

        encoder = TextEncoder(self.text_encoder, self.device, self.text_dtype)
        negative = encoder(self.options.negative or "").to(self.dtype) if self.recipe.guided else None
        return schedule.map(lambda text: encoder(text).to(self.dtype)), negative

    def load_denoiser(self, negative: Tensor | None) -> ModelDenoiser:
        model = load_transformer(self.checkpoint, self.device, self.dtype)
        if file_versions(self.checkpoint.files) != self.checkpoint.file_versions:
            raise ValueError(f"{self.name}: its files were changed while they were read; run the command again")
        return ModelDenoiser(model, self.recipe, negative, self.dtype)


def is_demo(model: Path | None) -> bool:
    """By its name only where no file or folder has it; a checkout's demo/ is known by its weights."""
    if model is None or not model.exists():
        return model in (None, Path(DEMO))
    weights = Path("transformer", "diffusion_pytorch_model.safetensors")
    try:
        return filecmp.cmp(model / weights, demo_folder() / weights, shallow=False)
    except (FileNotFoundError, NotADirectoryError):  # or somebody has deleted the pack's
        return False


def find_beside(folder: Path, what: str) -> Path:
    """A model's "text_encoder" or "vae": in its own folder (of diffusers, the hub's cache or the demo), or in ComfyUI's
    models/."""
    pattern = {"text_encoder": "text_encoders/umt5_xxl*.safetensors", "vae": "vae/wan_2.1_vae*.safetensors"}[what]
    folder = snapshot_of(folder) if folder.is_dir() else folder.parent
    found = [path for path in (folder / what, folder / f"{what}.safetensors") if path.exists()]
    for above in (*folder.absolute().parents, *folder.resolve().parents):  # models are often links to another disk
        found += sorted(above.glob(pattern))
    if not found:
        option = f"--{what.replace('_', '-')}"
        raise FileNotFoundError(f"no {what} in {folder} or in a models folder around it; say where it is with {option}")
    return found[0]


def count_weights(path: Path) -> tuple[int, dict[str, str]]:
    """How many weights a file, or a folder's files, have, and their metadata."""
    from ..media.codecs import weight_files

    tensors, metadata = read_tensors(weight_files(path))
    return sum(tensor.numel() for tensor in tensors.values()), metadata
