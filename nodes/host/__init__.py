"""Everything that knows ComfyUI's model classes and folders, and nothing that the core could do.

Differences between ComfyUI versions (0.8.0 and later) are settled here and nowhere else.
"""

from ...helios_core import RECIPES
from ...helios_core.network.checkpoint import file_versions
from . import mistakes as mistakes
from . import routes as routes
from .demo import load_demo
from .film import Autosave, Film, make_film
from .films import CHUNKS, decoded_thumbnails, mark
from .folders import LATEST, find_memory, list_memories, new_output
from .join import join_videos
from .keyframes import Picture
from .loader import WEIGHT_DTYPES, load_model, recipe_of
from .lora import apply_lora
from .model import native_size
from .model_folders import check_model, downloads, find_model, list_models, versions_of
from .pictures import check_pictures, read_pictures, versions_of_pictures
from .queued import queued_value
from .schema import ADVANCED, FIXED_SEED, schema
from .server import NodeText, prompts_are_kept, workflow_of
from .texts import check_finite, encode_texts
from .vae import Tiling, decode, encode_image, encode_video, memory_picture
from .video_input import chunks

__all__ = [
    "ADVANCED",
    "Autosave",
    "CHUNKS",
    "FIXED_SEED",
    "Film",
    "NodeText",
    "Picture",
    "LATEST",
    "RECIPES",
    "Tiling",
    "WEIGHT_DTYPES",
    "apply_lora",
    "check_finite",
    "check_model",
    "check_pictures",
    "chunks",
    "decode",
    "decoded_thumbnails",
    "downloads",
    "encode_image",
    "encode_texts",
    "encode_video",
    "file_versions",
    "find_memory",
    "find_model",
    "join_videos",
    "list_memories",
    "list_models",
    "load_demo",
    "load_model",
    "make_film",
    "mark",
    "memory_picture",
    "native_size",
    "new_output",
    "prompts_are_kept",
    "queued_value",
    "read_pictures",
    "recipe_of",
    "schema",
    "versions_of",
    "versions_of_pictures",
    "workflow_of",
]
