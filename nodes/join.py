"""A film and its continuation as one video."""

from comfy_api.latest import InputImpl, io, ui

from . import host
from .limits import within_limits
from .types import CATEGORY


@within_limits
class HeliosJoinVideos(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosJoinVideos",
            display_name="Helios Join Videos",
            category=CATEGORY,
            search_aliases=["concatenate videos", "merge videos", "extend video"],
            description="Puts two videos into one file, one after the other: a film and its continuation become the "
            "whole film. Where both were made alike nothing is encoded anew, and no quality is lost.",
            inputs=[
                io.Video.Input("first", tooltip="The film so far, from Load Video for example."),
                io.Video.Input("second", tooltip="What follows, from Helios Sample to Video for example."),
                io.String.Input(
                    "filename_prefix",
                    default="video/Helios_whole",
                    tooltip="Name of the file in the output folder. A number is added.",
                ),
                io.Int.Input(
                    "crf",
                    default=18,
                    min=0,
                    max=51,
                    tooltip="Quality if the videos must be encoded anew: a CRF value. 18 looks lossless; a higher one "
                    "makes a smaller, worse file.",
                    extra_dict=host.ADVANCED,
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The whole film.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, first, second, filename_prefix, crf) -> io.NodeOutput:
        with host.new_output(filename_prefix, ".mp4", *first.get_dimensions()) as (path, subfolder):
            done = host.join_videos(first, second, path, host.workflow_of(cls.hidden), crf)
        video = InputImpl.VideoFromFile(str(path))
        text = host.NodeText(cls.hidden.unique_id)
        text.say(f"{path.name}: {video.get_duration():.1f} s, {done}.")
        shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        return io.NodeOutput(video, ui=text.ui(shown))
