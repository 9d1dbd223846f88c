"""A film at a glance: what each chunk looks like, what was said, how it drifts, what it took."""

import math
from collections.abc import Iterable

from ..network.config import CHUNK_FRAMES, FPS
from .measure import ChunkMeasure
from .seams import VISIBLE

CHANGES = ("cut", "blend", "image")


def film_report(measures: Iterable[ChunkMeasure], log: Iterable[dict] = (), first_chunk: int = 0) -> dict:
    """Numbers for JSON: of each chunk, and a summary.

    `log` has records of the film's chunks with their numbers, as `HistoryMemory.log`; `first_chunk` is the first one
    measured. Drifts are against that one: differences of brightness and saturation, a ratio of sharpness.

    A row's "change" is "cut", "blend" or "image" where the film was told to change: such a jump is meant, and no fault.
    """
    measures, rows = list(measures), []
    first, records = measures[0] if measures else None, _by_chunk(log)
    for chunk, m in enumerate(measures, first_chunk):
        entry = records.get(chunk, {})
        rows.append(
            {
                "chunk": chunk,
                "frame": chunk * CHUNK_FRAMES,
                "time": round(chunk * CHUNK_FRAMES / FPS, 3),
                "prompt": entry.get("prompt"),
                "change": entry.get("change"),
                "seed": _number(entry.get("seed"), least=0),
                "seam": _number(m.seam),
                "brightness": _number(m.brightness),
                "saturation": _number(m.saturation),
                "sharpness": _number(m.sharpness),
                "motion": _number(m.motion),
                "brightness_drift": _number(m.brightness - first.brightness),
                "saturation_drift": _number(m.saturation - first.saturation),
                "sharpness_drift": _number(m.sharpness / first.sharpness if first.sharpness else None),
                "seconds": _number(entry.get("seconds"), least=0),
                "vram_gb": _number(entry.get("vram"), 1e9, least=0),
                "ram_gb": _number(entry.get("ram"), 1e9, least=0),
                "reused": entry.get("reused") is True,
            }
        )
    return {"chunks": rows, "summary": _summary(rows)}


def _by_chunk(log: Iterable[dict]) -> dict[int, dict]:
    """Records by their chunk's number, each with its prompt and its change. They come out of files too: what is none
    is left out."""
    found, prompt = {}, None
    known = [entry for entry in log if isinstance(entry, dict) and type(entry.get("chunk")) is int]
    for entry in sorted(known, key=lambda entry: entry["chunk"]):
        said, change = entry.get("prompt"), entry.get("change")
        said = said if isinstance(said, str) else prompt
        if not (isinstance(change, str) and change in CHANGES):
            # Files of before have none: another prompt is a cut or a blend.
            change = "cut" if prompt is not None and said != prompt else None
        found[entry["chunk"]] = {**entry, "prompt": said, "change": change}
        prompt = said
    return found


def _number(value, unit: float = 1, least: float = -math.inf):
    """Numbers come out of files too: what is none, or beyond all measure, is left out."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 2**64:
        return None
    return value if unit == 1 and isinstance(value, int) else round(value / unit, 4)


def _summary(rows: list[dict]) -> dict:
    def extreme(key, rows=rows):
        known = [(abs(r[key]), r[key], r["chunk"]) for r in rows if r[key] is not None]
        return {"value": max(known)[1], "chunk": max(known)[2]} if known else None

    unmeant = [r for r in rows if r["change"] is None]
    seconds = [r["seconds"] for r in rows if r["seconds"] is not None and not r["reused"]]
    return {
        "chunks": len(rows),
        "frames": len(rows) * CHUNK_FRAMES,
        "seconds_of_film": round(len(rows) * CHUNK_FRAMES / FPS, 3),
        "seconds_taken": round(sum(seconds), 3) if seconds else None,
        "frames_per_second": round(len(seconds) * CHUNK_FRAMES / sum(seconds), 3) if sum(seconds) else None,
        "visible_seams": sum(r["seam"] is not None and r["seam"] >= VISIBLE for r in unmeant),
        "worst_seam": extreme("seam", unmeant),
        "changes": len(rows) - len(unmeant),
        "brightness_drift": extreme("brightness_drift"),
        "saturation_drift": extreme("saturation_drift"),
    }
