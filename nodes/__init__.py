"""The pack's nodes. Their ids, inputs and the order of their widgets are for ever: saved workflows depend on them."""

from comfy_api.latest import ComfyExtension

from .decode import HeliosVAEDecode
from .join import HeliosJoinVideos
from .loaders import HeliosDemoLoader, HeliosLoraLoader, HeliosModelLoader
from .memory import HeliosHistoryMemory, HeliosLoadMemory, HeliosSaveMemory
from .report import HeliosFilmReport
from .sampler import HeliosChunkSampler, HeliosSampleToVideo
from .schedule import HeliosKeyframe, HeliosPromptSchedule, HeliosPromptSegment

NODES = [
    HeliosModelLoader,
    HeliosDemoLoader,
    HeliosLoraLoader,
    HeliosPromptSchedule,
    HeliosPromptSegment,
    HeliosKeyframe,
    HeliosHistoryMemory,
    HeliosSaveMemory,
    HeliosLoadMemory,
    HeliosChunkSampler,
    HeliosSampleToVideo,
    HeliosVAEDecode,
    HeliosFilmReport,
    HeliosJoinVideos,
]


class HeliosExtension(ComfyExtension):
    async def get_node_list(self):
        return NODES
