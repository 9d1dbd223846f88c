"""What a stopped training goes on from."""

import io
from pathlib import Path

import torch

from helios_core.files import write_whole


def save_state(state: dict, path: Path) -> None:
    """For torch.load: all of it, or what was there before."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())
