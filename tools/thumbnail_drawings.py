"""Draw a workflow's picture: a film, its chunks in a row below, and what is needed to make it."""

from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, FILM = (360, 360), (360, 240)
SHOWN, RATE = 32, 10  # frames of the animation, and how many a second
QUALITY, LIMIT = 50, 60_000  # bytes
CHUNK = 33  # frames
GROUND, INK, DIM = "#16181d", "#f2f4f8", "#8b93a3"
DEMO = ("Demo: nothing to download", "#2f7d4f")
START = ("START HERE - nothing to download", "#b8860b")
REAL = ("Helios 14B (shown: demo frames)", "#345a8a")
OTHERS = {
    "Helios - Upscale a Film": ("SeedVR2 (shown: demo frames)", "#5b3f86"),
    "Helios - Smooth to 48 FPS": ("FILM model (shown: demo frames)", "#5b3f86"),
}
DEMO_T2V, DEMO_FILM, DEMO_LONG = (
    f"Helios Demo - {name}" for name in ("Text to Video", "Prompt Schedule Film", "Long Film to Disk")
)
KINDS = ("Image to Video", "Video to Video", "Keyframes", "Extend a Film", "Two Endings", "Re-roll a Chunk")
# Which demo's film each picture shows.
SOURCES = {
    **{f"Helios {demo}- {kind}": f"Helios Demo - {kind}" for demo in ("Demo ", "") for kind in KINDS},
    **{f"Helios {demo}- Prompt Schedule Film": DEMO_FILM for demo in ("Demo ", "")},
    **{f"Helios {demo}- Long Film to Disk": DEMO_LONG for demo in ("Demo ", "")},
    DEMO_T2V: DEMO_T2V,
    "Helios Demo - Text to Video (Base)": "Helios Demo - Text to Video (Base)",
    **{f"Helios - Text to Video ({variant})": DEMO_T2V for variant in ("Distilled", "Mid", "8 GB")},
    "Helios - Text to Video (Base)": "Helios Demo - Text to Video (Base)",
    "Helios - Upscale a Film": DEMO_T2V,
    "Helios - Smooth to 48 FPS": DEMO_T2V,
}
# What is written over the film, and below some of its chunks.
OVER = {
    "Text to Video": "a prompt becomes a film",
    "Text to Video (Distilled)": "Distilled: the fast one",
    "Text to Video (Mid)": "Mid: between the two",
    "Text to Video (Base)": "Base: many steps",
    "Text to Video (8 GB)": "for GPUs of 8 GB",
    "Prompt Schedule Film": "prompts over time",
    "Image to Video": "a picture comes to life",
    "Video to Video": "a video goes on",
    "Keyframes": "turns to your pictures",
    "Extend a Film": "goes on another day",
    "Two Endings": "one beginning, two endings",
    "Re-roll a Chunk": "another seed for one chunk",
    "Long Film to Disk": "watch it while it grows",
    "Upscale a Film": "twice the size",
    "Smooth to 48 FPS": "24 to 48 frames a second",
}
MARKS = {
    "Prompt Schedule Film": {3: "cut", 5: "blend", 8: "cut"},
    "Keyframes": {3: "cut", 6: "blend"},
    "Re-roll a Chunk": {2: "new seed"},
    "Two Endings": {3: "A or B"},
    "Long Film to Disk": {5: "blend", 9: "cut", 13: "cut", 17: "blend"},
}


def draw(name: str, films: Path) -> list[Image.Image]:
    """The frames of a workflow's picture; `films` holds the demo's films as "NAME 0.mp4"."""
    kind = name.split(" - ", 1)[1]
    sources = [read(path) for path in sorted(films.glob(f"{glob_safe(SOURCES[name])} [0-9].mp4"))]
    footer = DEMO if name.startswith("Helios Demo") else REAL
    footer = {DEMO_T2V: START, **OTHERS}.get(name, footer)
    film = sources[0]
    times = np.linspace(0, len(film) - 1, min(SHOWN, len(film))).round().astype(int)
    tiles = [film[min(k + CHUNK // 2, len(film) - 1)] for k in range(0, len(film), CHUNK)]
    return [compose(kind, [source[t] for source in sources], tiles, t // CHUNK, footer, i) for i, t in enumerate(times)]


def compose(kind, pictures, tiles, chunk, footer, i) -> Image.Image:
    canvas = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(canvas)
    if len(pictures) > 1:
        for k, picture in enumerate(pictures[:2]):
            canvas.paste(Image.fromarray(picture).resize((176, 117), Image.Resampling.LANCZOS), (2 + k * 180, 62))
            pen.text((90 + k * 180, 48), f"Ending {'AB'[k]}", INK, font(15), anchor="mm")
    else:
        canvas.paste(EFFECTS.get(kind, plain)(pictures[0], i), (0, 0))
    label(pen, (8, FILM[1] - 10), OVER[kind])
    draw_chunks(canvas, pen, tiles, chunk, MARKS.get(kind, {}))
    words, colour = footer
    pen.rectangle((0, 332, 360, 360), fill=colour)
    pen.text((180, 346), words, INK, font(16), anchor="mm")
    return canvas


def draw_chunks(canvas, pen, tiles, chunk, marks):
    """All chunks in a row, the running one framed."""
    wide = min(72, (SIZE[0] - 16) // len(tiles))
    left = (SIZE[0] - wide * len(tiles)) // 2
    tall = max(16, (wide - 3) * 2 // 3)
    top = 258 + (48 - tall) // 2
    for k, tile in enumerate(tiles):
        x = left + k * wide
        small = Image.fromarray(tile).resize((wide - 3, (wide - 3) * 2 // 3), Image.Resampling.LANCZOS)
        canvas.paste(small.resize((wide - 3, tall)), (x + 1, top))
        if k > chunk:
            pen.rectangle((x + 1, top, x + wide - 3, top + tall - 1), fill="#262a33")
        if k == chunk:
            pen.rectangle((x - 1, top - 2, x + wide - 1, top + tall + 1), outline="#ffd24a", width=2)
        if k in marks:
            pen.text((x + wide // 2, top + tall + 11), marks[k], DIM, font(12), anchor="mm")
            pen.line((x - 1, top - 6, x - 1, top + tall + 5), fill="#ffd24a", width=1)


def plain(picture, i) -> Image.Image:
    return Image.fromarray(picture).resize(FILM, Image.Resampling.LANCZOS)


def upscaled(picture, i) -> Image.Image:
    """Coarse on the left, fine on the right of a line that moves."""
    fine = plain(picture, i)
    coarse = Image.fromarray(picture).resize((60, 40), Image.Resampling.BOX).resize(FILM, Image.Resampling.NEAREST)
    x = round(180 + 110 * np.sin(2 * np.pi * i / SHOWN))
    fine.paste(coarse.crop((0, 0, x, FILM[1])), (0, 0))
    ImageDraw.Draw(fine).line((x, 0, x, FILM[1]), fill=INK, width=2)
    return fine


def smoothed(picture, i) -> Image.Image:
    """The film above at half its rate would stand still at every other frame; here two clocks say so."""
    film = plain(picture, i)
    pen = ImageDraw.Draw(film)
    for row, (count, rate) in enumerate(((12, "24"), (24, "48"))):
        y = 18 + row * 22
        pen.rectangle((8, y - 8, 352, y + 8), fill=GROUND)
        pen.text((24, y), rate, INK, font(14), anchor="mm")
        for k in range(count):
            x = 48 + k * 300 // count
            pen.rectangle((x, y - 4, x + 5, y + 4), fill="#ffd24a" if k == i % SHOWN * count // SHOWN else DIM)
    return film


EFFECTS = {"Upscale a Film": upscaled, "Smooth to 48 FPS": smoothed}


def label(pen, corner, words):
    left, top, right, bottom = pen.textbbox(corner, words, font(18), anchor="lb")
    pen.rectangle((left - 6, top - 5, right + 6, bottom + 5), fill=GROUND)
    pen.text(corner, words, INK, font(18), anchor="lb")


def font(size: int):
    return ImageFont.load_default(size)


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def glob_safe(name: str) -> str:
    return name.replace("[", "[[]")


def save(frames: list[Image.Image], path: Path) -> None:
    """An animated WebP of `LIMIT` bytes at the most."""
    for quality in range(QUALITY, 0, -10):
        first, *rest = frames
        options = dict(append_images=rest, duration=1000 // RATE, loop=0, quality=quality, method=4)
        first.save(path, "WEBP", save_all=True, **options)
        if path.stat().st_size <= LIMIT:
            return
    raise SystemExit(f"{path}: {path.stat().st_size} bytes, more than {LIMIT}")
