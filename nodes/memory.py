"""How a film begins."""

from comfy_api.latest import io

from ..helios_core import HistoryMemory
from .types import CATEGORY, HeliosMemory


class HeliosHistoryMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosHistoryMemory",
            display_name="Helios History Memory",
            category=CATEGORY,
            description="What a film goes on from. Empty, as here, it begins a text-to-video film of this size.",
            inputs=[
                io.Int.Input(
                    "width",
                    default=640,
                    min=64,
                    max=4096,
                    step=16,
                    tooltip="Pixels. Helios was trained at 640x384 only; other sizes drift and jump more. Multiples of "
                    "64 for Mid and Distilled, of 16 for Base.",
                ),
                io.Int.Input(
                    "height",
                    default=384,
                    min=64,
                    max=4096,
                    step=16,
                    tooltip="Pixels. Multiples of 64 for Mid and Distilled, of 16 for Base.",
                ),
            ],
            outputs=[HeliosMemory.Output(display_name="memory", tooltip="For Helios Chunk Sampler.")],
        )

    @classmethod
    def execute(cls, width, height) -> io.NodeOutput:
        return io.NodeOutput(HistoryMemory.empty(width, height))
