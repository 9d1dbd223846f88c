"""Films as pictures: rows of frames with what was asked over them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, LINE = 4, 16  # pixels between frames; height of a caption


def sheet(path: Path, rows: list[tuple[str, list[np.ndarray]]], width: int = 144) -> None:
    """Each row a caption and its frames (H, W, 3) in 0..1, `width` pixels wide each."""
    height = round(width * rows[0][1][0].shape[0] / rows[0][1][0].shape[1])
    columns, font = max(len(frames) for _, frames in rows), ImageFont.load_default(12)
    size = columns * (width + GAP) + GAP, len(rows) * (height + LINE + GAP) + GAP
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for i, (caption, frames) in enumerate(rows):
        top = GAP + i * (height + LINE + GAP)
        draw.text((GAP, top), caption, "black", font)
        for j, frame in enumerate(frames):
            small = Image.fromarray((np.clip(frame, 0, 1) * 255).round().astype(np.uint8))
            small = small.resize((width, height), Image.Resampling.LANCZOS)
            picture.paste(small, (GAP + j * (width + GAP), top + LINE))
    picture.save(path, optimize=True)
