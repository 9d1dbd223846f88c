"""Helios, the autoregressive video model (arXiv 2603.04379), in plain PyTorch."""

from .diffusion.recipe import RECIPES, Recipe, override, parse_steps
from .film.denoise import ModelDenoiser
from .film.director import Back, Director, Go, Hold, ScheduleDirector, Stop
from .film.keyframes import Keyframe
from .film.loop import chunk_count, film_records, step_count
from .film.memory import HistoryMemory
from .film.prompts import PromptSchedule, Segment, parse_schedule
from .film.record import Chunk, Start, Step
from .film.store import ChunkStore
from .network.checkpoint import Checkpoint
from .network.config import CHUNK_FRAMES, CHUNK_LATENTS, FPS, HeliosConfig
from .network.load import load_checkpoint, load_transformer
from .network.transformer import HeliosTransformer, History, Text

__all__ = [
    "Back",
    "CHUNK_FRAMES",
    "CHUNK_LATENTS",
    "Checkpoint",
    "Chunk",
    "ChunkStore",
    "Director",
    "FPS",
    "Go",
    "HeliosConfig",
    "HeliosTransformer",
    "History",
    "HistoryMemory",
    "Hold",
    "Keyframe",
    "ModelDenoiser",
    "PromptSchedule",
    "RECIPES",
    "Recipe",
    "ScheduleDirector",
    "Segment",
    "Start",
    "Step",
    "Stop",
    "Text",
    "chunk_count",
    "film_records",
    "load_checkpoint",
    "load_transformer",
    "override",
    "parse_schedule",
    "parse_steps",
    "step_count",
]
