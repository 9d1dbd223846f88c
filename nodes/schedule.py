"""Prompts and pictures over time."""

from dataclasses import replace

from comfy_api.latest import io

from ..helios_core import FPS, Keyframe, PromptSchedule, Segment, parse_schedule
from ..helios_core.film.schedule_text import read_entries
from . import host
from .limits import within_limits
from .types import CATEGORY, HeliosSchedule, check_resize, noise_inputs, noise_range, resize_input

TIMELINE = 1  # what web/timeline/extension.js has to agree on: a page that was loaded before an update is older
EXAMPLE = """0: A lighthouse on a rocky coast at dawn, calm sea, wide shot
1 blend 2: The lighthouse in a storm, waves breaking over the rocks"""


@within_limits
class HeliosPromptSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosPromptSchedule",
            display_name="Helios Prompt Schedule",
            category=CATEGORY,
            search_aliases=["timeline", "storyboard", "prompt travel", "batch prompt", "scenes", "keyframe prompts"],
            description="All prompts of a film in one text, with the pictures that it turns to, seeds and a style. One "
            "line each, such as 4 blend 3: a storm, or 6 image: boat.png",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder: UMT5-XXL from Load CLIP, type wan."),
                io.String.Input(
                    "schedule",
                    multiline=True,
                    dynamic_prompts=True,
                    default=EXAMPLE,
                    tooltip="One line each: a prompt (4 blend 3: a storm), a picture of the input folder (6 image: "
                    "boat.png), a seed (8 seed 7), words for every prompt (style: film grain). A start is a chunk (4), "
                    "seconds (5.5s) or frames (132f), rounded up to a whole chunk of 33 frames. cut changes at once, "
                    "blend 3 over three chunks. Indented lines continue a prompt. off turns a line off, # starts a "
                    "comment.",
                    extra_dict={"helios_timeline": TIMELINE},
                ),
                io.Float.Input(
                    "fps",
                    default=float(FPS),
                    min=1.0,
                    max=120.0,
                    step=1.0,
                    tooltip="Frames per second, to turn starts like 5.5s into frames. Helios was trained at 24.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The Wan 2.1 VAE. Only needed for pictures in the text: it encodes them.",
                ),
            ],
            outputs=[HeliosSchedule.Output(display_name="schedule", tooltip="For a Helios sampler.")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, schedule=None):
        if schedule is None:  # linked: checked when it runs
            return True
        fps = host.queued_value(cls.hidden.unique_id, "fps")
        try:
            # Without a frame rate to count with, what hangs on it is checked when it runs.
            parse_schedule(schedule, fps) if isinstance(fps, int | float) and fps > 0 else read_entries(schedule)
            host.check_pictures(schedule, cls.hidden.unique_id)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, clip=None, schedule=None, fps=None, vae=None):
        return host.versions_of_pictures(schedule, cls.hidden.unique_id)

    @classmethod
    def execute(cls, clip, schedule, fps, vae=None) -> io.NodeOutput:
        parsed = parse_schedule(schedule, fps)
        if clip is None:
            raise ValueError("clip: no text encoder came; load UMT5-XXL with Load CLIP, type wan.")
        pictures = host.read_pictures(schedule, vae, cls.hidden.unique_id)
        keyframes = tuple(replace(keyframe, image=pictures[keyframe.name]) for keyframe in parsed.keyframes)
        text = host.NodeText(cls.hidden.unique_id)
        text.say(parsed.describe(fps))
        encoded = host.encode_texts(clip, [segment.text for segment in parsed.segments])
        return io.NodeOutput(replace(parsed.map(encoded.__getitem__), keyframes=keyframes), ui=text.ui())


@within_limits
class HeliosPromptSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosPromptSegment",
            display_name="Helios Prompt Segment",
            category=CATEGORY,
            search_aliases=["timeline", "storyboard", "prompt travel", "scene"],
            description="Adds one prompt to a schedule, made from ordinary CONDITIONING. Chain several of these.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The prompt, from CLIP Text Encode or another node."),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Chunk at which the prompt begins; the first is 0. A chunk is 33 frames, 1.375 s at 24 "
                    "FPS.",
                ),
                io.Combo.Input(
                    "transition",
                    options=["cut", "blend"],
                    default="cut",
                    tooltip="cut changes the words at once, blend in steps over blend_chunks.",
                ),
                io.Int.Input(
                    "blend_chunks",
                    default=3,
                    min=2,
                    max=1000,
                    tooltip="Chunks that a blend takes. The first of them still follows the old prompt. A cut ignores "
                    "this.",
                ),
                HeliosSchedule.Input(
                    "schedule", optional=True, tooltip="The prompts before this one. Leave it open for the first."
                ),
            ],
            outputs=[HeliosSchedule.Output(display_name="schedule", tooltip="For the next segment, or a sampler.")],
        )

    @classmethod
    def execute(cls, conditioning, start, transition, blend_chunks, schedule=None) -> io.NodeOutput:
        host.check_finite(conditioning, f"conditioning: the prompt at chunk {start}")
        segment = Segment(start, conditioning, blend_chunks if transition == "blend" else 0)
        if schedule is None:
            return io.NodeOutput(PromptSchedule((segment,)))
        # The text that it was read from no longer says all of it.
        return io.NodeOutput(replace(schedule, segments=(*schedule.segments, segment), source=""))


@within_limits
class HeliosKeyframe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosKeyframe",
            display_name="Helios Keyframe",
            category=CATEGORY,
            search_aliases=["timeline", "reference image", "image at time", "storyboard", "scene picture"],
            description="Makes the film turn to a picture at a chunk you choose. Chain several of these for several "
            "pictures.",
            inputs=[
                HeliosSchedule.Input("schedule", tooltip="The prompts, and the keyframes before this one."),
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE. It encodes the picture."),
                io.Image.Input("image", tooltip="The picture. Any size will do."),
                io.Int.Input(
                    "start",
                    default=1,
                    min=0,
                    max=1_000_000,
                    tooltip="Chunk at which the film turns to the picture; the first is 0. A chunk is 33 frames, "
                    "1.375 s at 24 FPS.",
                ),
                io.Combo.Input(
                    "transition",
                    options=["cut", "blend"],
                    default="cut",
                    tooltip="cut turns to the picture at once, blend in steps over blend_chunks.",
                ),
                io.Int.Input(
                    "blend_chunks",
                    default=3,
                    min=2,
                    max=1000,
                    tooltip="Chunks that a blend takes. The first of them does not know the picture yet. A cut ignores "
                    "this.",
                ),
                resize_input(),
                *noise_inputs(),
            ],
            outputs=[HeliosSchedule.Output(display_name="schedule", tooltip="For another keyframe, or a sampler.")],
        )

    @classmethod
    def validate_inputs(cls, resize="crop"):
        return check_resize(resize)

    @classmethod
    def execute(
        cls,
        schedule,
        vae,
        image,
        start,
        transition,
        blend_chunks,
        resize="crop",
        anchor_noise_min=0.111,
        anchor_noise_max=0.135,
        history_noise_min=0.111,
        history_noise_max=0.135,
    ) -> io.NodeOutput:
        keyframe = Keyframe(
            start,
            host.Picture(vae, image, resize),
            blend=blend_chunks if transition == "blend" else 0,
            anchor_noise=noise_range("anchor_noise", anchor_noise_min, anchor_noise_max),
            history_noise=noise_range("history_noise", history_noise_min, history_noise_max),
        )
        return io.NodeOutput(replace(schedule, keyframes=(*schedule.keyframes, keyframe), source=""))
