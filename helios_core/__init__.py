"""Helios, the autoregressive video model (arXiv 2603.04379), in plain PyTorch."""

from importlib import import_module

# Imported when first used: torch takes seconds, and the command line has something to say before.
_NAMES = {
    "diffusion.recipe": ("RECIPES", "Recipe", "override", "parse_steps"),
    "film.denoise": ("ModelDenoiser",),
    "film.director": ("Back", "Director", "Go", "Hold", "ScheduleDirector", "Stop"),
    "film.keyframes": ("Keyframe",),
    "film.loop": ("chunk_count", "film_records", "step_count"),
    "film.memory": ("HistoryMemory",),
    "film.prompts": ("PromptSchedule", "SeedChange", "Segment"),
    "film.record": ("Chunk", "Start", "Step"),
    "film.schedule_text": ("parse_schedule",),
    "film.store": ("ChunkStore",),
    "network.checkpoint": ("Checkpoint",),
    "network.config": ("CHUNK_FRAMES", "CHUNK_LATENTS", "FPS", "HeliosConfig"),
    "network.load": ("load_checkpoint", "load_transformer"),
    "network.transformer": ("HeliosTransformer", "History", "Text"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
