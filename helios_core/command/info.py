"""`helios info`: what a checkpoint or a film's memory is."""

from pathlib import Path

from ..files import demo_folder
from ..film.loop import film_length
from ..film.memory import HistoryMemory
from ..network.load import load_checkpoint
from .download import checksum
from .output import memory_path
from .requests import InfoRequest


def info(request: InfoRequest) -> None:
    """Print it. Raises ValueError or OSError for files that are neither."""
    for path in request.paths or [demo_folder()]:
        path = memory_path(path) if path.suffix == ".mp4" else path
        try:
            memory, notes = HistoryMemory.load(path) if path.is_file() else (None, {})
        except ValueError:
            memory = None
        files = describe_checkpoint(path) if memory is None else describe_memory(path, memory, notes)
        for file in files:
            digest = f"  sha256 {checksum(file)}" if request.checksums else ""
            print(f"  {file.name}: {file.stat().st_size / 1e6:,.1f} MB{digest}")


def describe_memory(path: Path, memory: HistoryMemory, notes: dict[str, str]) -> list[Path]:
    """Print what it is; returns its files."""
    print(f"{path}: the memory of a film")
    print(f"  {film_length(memory.chunk)} of {memory.width}x{memory.height}, made by {memory.variant or '?'}")
    end = notes.get("end", "")
    if end.isdecimal() and memory.chunk < int(end):
        print(f"  unfinished: it was to have {film_length(int(end))}")
    print(f"  seed {memory.seed}, prompt: {notes.get('prompt', '')}")
    print(f"  model: {notes.get('model', 'unknown')} {notes.get('options', '')}".rstrip())
    return [path]


def describe_checkpoint(path: Path) -> list[Path]:
    """Print what it is; returns its files."""
    checkpoint = load_checkpoint(path)
    config, tensors = checkpoint.config, checkpoint.tensors.values()
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in tensors})
    print(f"{path}: a Helios transformer, {checkpoint.variant or 'variant unknown'}")
    print(f"  {sum(t.numel() for t in tensors) / 1e9:.3g} billion parameters, {', '.join(dtypes)}")
    print(f"  {config.num_layers} layers, {config.num_attention_heads} heads of {config.attention_head_dim}")
    print(f"  text width {config.text_dim}, patch size {config.patch_size}")
    return checkpoint.files
