"""Everything that knows ComfyUI's model classes and folders, and nothing that the core could do.

Differences between ComfyUI versions (0.8.0 and later) are settled here and nowhere else.
"""

from ...helios_core import RECIPES
from .demo import load_demo
from .film import Autosave, Film, make_film
from .keyframes import Picture
from .loader import WEIGHT_DTYPES, check_model, find_model, list_models, load_model, recipe_of
from .lora import apply_lora
from .model import native_size
from .server import caller_of, find_memory, list_memories, output_path, prompts_are_kept, show_text, workflow_of
from .vae import Tiling, decode, encode_image, encode_video, latent_picture
from .video_input import chunks

__all__ = [
    "RECIPES",
    "WEIGHT_DTYPES",
    "Autosave",
    "Film",
    "Picture",
    "Tiling",
    "apply_lora",
    "caller_of",
    "check_model",
    "chunks",
    "decode",
    "encode_image",
    "encode_video",
    "find_memory",
    "find_model",
    "latent_picture",
    "list_memories",
    "list_models",
    "load_demo",
    "load_model",
    "make_film",
    "native_size",
    "output_path",
    "prompts_are_kept",
    "recipe_of",
    "show_text",
    "workflow_of",
]
