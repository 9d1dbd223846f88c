"""Helios, the autoregressive video model (arXiv 2603.04379), in plain PyTorch."""

from .diffusion.recipe import RECIPES, Recipe, parse_steps
from .film.keyframes import Keyframe
from .film.loop import Chunk, Step, chunk_count, sample_chunks, step_count
from .film.memory import HistoryMemory
from .film.prompts import PromptSchedule, Segment, parse_schedule
from .network.checkpoint import Checkpoint
from .network.config import CHUNK_FRAMES, CHUNK_LATENTS, FPS, HeliosConfig
from .network.load import load_checkpoint, load_transformer
from .network.transformer import HeliosTransformer, History, Text

__all__ = [
    "CHUNK_FRAMES",
    "CHUNK_LATENTS",
    "FPS",
    "RECIPES",
    "Checkpoint",
    "Chunk",
    "HeliosConfig",
    "HeliosTransformer",
    "History",
    "HistoryMemory",
    "Keyframe",
    "PromptSchedule",
    "Recipe",
    "Segment",
    "Step",
    "Text",
    "chunk_count",
    "load_checkpoint",
    "load_transformer",
    "parse_schedule",
    "parse_steps",
    "sample_chunks",
    "step_count",
]
