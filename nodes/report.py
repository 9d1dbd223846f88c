"""A film at a glance."""

import json

import numpy as np
import torch
from comfy_api.latest import io

from ..helios_core.media.drawing import draw_report
from ..helios_core.media.measure import measure_chunks
from ..helios_core.media.report import film_report
from . import host
from .limits import within_limits
from .types import CATEGORY, HeliosMemory, HeliosVideo


@within_limits
class HeliosFilmReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosFilmReport",
            display_name="Helios Film Report",
            category=CATEGORY,
            search_aliases=["contact sheet", "thumbnails", "storyboard", "quality check", "seams"],
            description="Shows a whole film in one picture: for each chunk a thumbnail, its prompt and seed, how much "
            "it jumps and drifts, and what it took.",
            inputs=[
                HeliosVideo.Input("video", tooltip="The film, as a video or as frames."),
                HeliosMemory.Input(
                    "memory",
                    optional=True,
                    tooltip="From the film's sampler. Adds prompts, seeds, times and memory use.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The report, to look at or to save."),
                io.String.Output(display_name="json", tooltip="The same numbers as text."),
            ],
        )

    @classmethod
    def execute(cls, video, memory=None) -> io.NodeOutput:
        measures = list(measure_chunks(host.chunks(video)))
        # Without the memory where it is of a shorter film: which of the chunks are its own cannot be known.
        known = memory is not None and len(measures) <= memory.chunk
        log, first = (memory.log, memory.chunk - len(measures)) if known else ((), 0)
        report = film_report(measures, log, first)
        picture = np.asarray(draw_report(report, [m.thumbnail for m in measures]).convert("RGB"), dtype=np.float32)
        return io.NodeOutput(torch.from_numpy(picture / 255)[None], json.dumps(report, ensure_ascii=False, indent=1))
