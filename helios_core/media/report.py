"""A film at a glance: what each chunk looks like, what was said, how it drifts, what it took."""

import math
from collections.abc import Iterable

from ..network.config import CHUNK_FRAMES, FPS
from .measure import ChunkMeasure
from .seams import VISIBLE


def film_report(measures: Iterable[ChunkMeasure], log: Iterable[dict] = (), first_chunk: int = 0) -> dict:
    """Numbers for JSON: of each chunk, and a summary.

    `log` has a record for each chunk of the film from chunk 0 on, as `HistoryMemory.log`; `first_chunk` is the first
    one measured. Drifts are against that one: differences of brightness and saturation, a ratio of sharpness.
    """
    measures, log = list(measures), [entry if isinstance(entry, dict) else {} for entry in log]
    rows, first, said = [], measures[0] if measures else None, []
    for entry in log:
        prompt = entry.get("prompt")
        said.append(prompt if isinstance(prompt, str) else said[-1] if said else None)
    for index, m in enumerate(measures, first_chunk):
        entry = log[index] if index < len(log) else {}
        rows.append(
            {
                "chunk": index,
                "frame": index * CHUNK_FRAMES,
                "time": round(index * CHUNK_FRAMES / FPS, 3),
                "prompt": said[index] if index < len(log) else None,
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


def _number(value, unit: float = 1, least: float = -math.inf):
    """Numbers come out of files too: what is none, or beyond all measure, is left out."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 2**64:
        return None
    return value if unit == 1 and isinstance(value, int) else round(value / unit, 4)


def _summary(rows: list[dict]) -> dict:
    def extreme(key):
        known = [(abs(r[key]), r[key], r["chunk"]) for r in rows if r[key] is not None]
        return {"value": max(known)[1], "chunk": max(known)[2]} if known else None

    seconds = [r["seconds"] for r in rows if r["seconds"] is not None and not r["reused"]]
    return {
        "chunks": len(rows),
        "frames": len(rows) * CHUNK_FRAMES,
        "seconds_of_film": round(len(rows) * CHUNK_FRAMES / FPS, 3),
        "seconds_taken": round(sum(seconds), 3) if seconds else None,
        "frames_per_second": round(len(seconds) * CHUNK_FRAMES / sum(seconds), 3) if sum(seconds) else None,
        "visible_seams": sum(r["seam"] is not None and r["seam"] >= VISIBLE for r in rows),
        "worst_seam": extreme("seam"),
        "brightness_drift": extreme("brightness_drift"),
        "saturation_drift": extreme("saturation_drift"),
    }
