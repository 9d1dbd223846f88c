"""Helios, the autoregressive video model (arXiv 2603.04379), in plain PyTorch."""

from .checkpoint import Checkpoint, load_checkpoint
from .config import CHUNK_FRAMES, CHUNK_LATENTS, FPS, HeliosConfig
from .keyframes import Keyframe
from .memory import HistoryMemory
from .model import HeliosTransformer, History, Text
from .prompts import PromptSchedule, Segment, parse_schedule
from .recipe import RECIPES, Recipe, parse_steps
from .sampler import Chunk, Step, chunk_count, sample_chunks, step_count

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
    "parse_schedule",
    "parse_steps",
    "sample_chunks",
    "step_count",
]
