"""The pack's nodes. Their ids, inputs and the order of their widgets are for ever: saved workflows depend on them."""

from comfy_api.latest import ComfyExtension

from .decode import HeliosVAEDecode
from .loaders import HeliosLoraLoader, HeliosModelLoader
from .memory import HeliosHistoryMemory
from .sampler import HeliosChunkSampler
from .schedule import HeliosPromptSchedule, HeliosPromptSegment

NODES = [
    HeliosModelLoader,
    HeliosLoraLoader,
    HeliosPromptSchedule,
    HeliosPromptSegment,
    HeliosHistoryMemory,
    HeliosChunkSampler,
    HeliosVAEDecode,
]


class HeliosExtension(ComfyExtension):
    async def get_node_list(self):
        return NODES
