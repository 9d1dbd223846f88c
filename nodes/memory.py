"""What a film continues from: how it begins, and how it is saved and loaded."""

import base64
import io as bytes_io
from dataclasses import replace

import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image

from ..helios_core import FPS, HistoryMemory
from ..helios_core.media.frames import VideoEnds, rgb
from ..helios_core.network.config import CHUNK_FRAMES
from . import host
from .limits import within_limits
from .types import CATEGORY, HeliosMemory, HeliosVideo, check_resize, noise_inputs, noise_range, resize_input

THUMBNAIL = 320  # pixels; a header is no place for more
EVERY_FRAME, RESAMPLE = VIDEO_FPS = ["take every frame", "resample to 24"]


@within_limits
class HeliosHistoryMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosHistoryMemory",
            display_name="Helios History Memory",
            category=CATEGORY,
            search_aliases=["image to video", "video to video", "i2v", "v2v", "video size", "first frame"],
            description="How a film begins: from nothing (text to video), from an image, or from a video that it "
            "continues.",
            inputs=[
                io.Int.Input(
                    "width",
                    default=640,
                    min=64,
                    max=4096,
                    step=16,
                    tooltip="Pixels. 640x384 is the size that Helios was trained at; other sizes drift and jump more. "
                    "Use a multiple of 64 for Mid and Distilled, of 16 for Base.",
                ),
                io.Int.Input(
                    "height",
                    default=384,
                    min=64,
                    max=4096,
                    step=16,
                    tooltip="Pixels. Use a multiple of 64 for Mid and Distilled, of 16 for Base.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The Wan 2.1 VAE. An image or a video needs it."),
                io.Image.Input(
                    "image", optional=True, tooltip="Image to video: the film begins right after this picture."
                ),
                HeliosVideo.Input(
                    "video",
                    optional=True,
                    tooltip="Video to video: the film continues this video, or this batch of images. It needs 33 "
                    "frames or more. Its first frame and its last 33, 66 or 99 are used.",
                ),
                resize_input(),
                io.Int.Input(
                    "seed",
                    display_name="noise seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    optional=True,
                    tooltip="For the noise on the image or the video. Give the sampler the same seed and it continues "
                    "this stream of noise.",
                ),
                *noise_inputs(),
                io.Combo.Input(
                    "video_fps",
                    options=VIDEO_FPS,
                    default=EVERY_FRAME,
                    optional=True,
                    tooltip="Helios plays 24 frames a second. take every frame: a video at 30 FPS comes out slower, "
                    "one at 12 FPS faster. resample to 24: it keeps its speed.",
                ),
            ],
            outputs=[HeliosMemory.Output(display_name="memory", tooltip="For Helios Chunk Sampler.")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, resize="crop"):
        return check_resize(resize)

    @classmethod
    def execute(
        cls,
        width,
        height,
        vae=None,
        image=None,
        video=None,
        resize="crop",
        seed=0,
        anchor_noise_min=0.111,
        anchor_noise_max=0.135,
        history_noise_min=0.111,
        history_noise_max=0.135,
        video_fps=EVERY_FRAME,
    ) -> io.NodeOutput:
        empty, text = HistoryMemory.empty(width, height), host.NodeText(cls.hidden.unique_id)
        if image is None and video is None:
            return io.NodeOutput(empty)
        if image is not None and video is not None:
            raise ValueError("image and video: a film begins with one of them; disconnect the other.")
        if vae is None:
            raise ValueError("vae: connect the Wan 2.1 VAE (Load VAE); an image or a video is encoded with it.")
        noise = {
            "anchor_noise": noise_range("anchor_noise", anchor_noise_min, anchor_noise_max),
            "history_noise": noise_range("history_noise", history_noise_min, history_noise_max),
        }
        if image is not None:
            memory = HistoryMemory.from_image(*host.encode_image(vae, image, width, height, resize), seed=seed, **noise)
        else:
            fps = FPS if video_fps == RESAMPLE else None
            first, windows, found = host.encode_video(vae, video, width, height, resize, fps)
            text.say(describe_video(found))
            memory = HistoryMemory.from_video(first, windows, count=found.count // CHUNK_FRAMES, seed=seed, **noise)
        return io.NodeOutput(memory, ui=text.ui())


@within_limits
class HeliosSaveMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosSaveMemory",
            display_name="Helios Save Memory",
            category=CATEGORY,
            search_aliases=["save video state", "continue video", "resume"],
            description="Saves what a film needs to be continued, tomorrow or on another computer. The file has a few "
            "megabytes, however long the film is.",
            inputs=[
                HeliosMemory.Input("memory", tooltip="From a Helios sampler."),
                io.String.Input(
                    "filename_prefix",
                    default="helios/film",
                    tooltip="Name of the file in the output folder. A number is added. Helios Load Memory finds it "
                    "when it begins with helios/.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Frames of the film. The last one becomes the file's thumbnail.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Makes the thumbnail when no image is connected: it decodes the film's last frame. With "
                    "neither, the thumbnail is rough, and its colours fit Wan's VAE only.",
                ),
            ],
            outputs=[HeliosMemory.Output(display_name="memory", tooltip="The same memory.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, memory, filename_prefix, image=None, vae=None) -> io.NodeOutput:
        text = host.NodeText(cls.hidden.unique_id)
        picture = host.memory_picture(memory, vae, text.say) if image is None else rgb(image[-1:])
        kept = memory if host.prompts_are_kept() else without_prompts(memory)
        prompts = [entry["prompt"] for entry in kept.log if "prompt" in entry]
        notes = {"prompt": str(prompts[-1]) if prompts else "", "thumbnail": to_thumbnail(picture)}
        with host.new_output(filename_prefix, ".safetensors", memory.width, memory.height) as (path, _):
            kept.save(path, notes)
        text.say(f"{path.name}: {describe(memory)}")
        return io.NodeOutput(memory, ui=text.ui(ui.PreviewImage(picture, cls=cls)))


@within_limits
class HeliosLoadMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosLoadMemory",
            display_name="Helios Load Memory",
            category=CATEGORY,
            search_aliases=["extend video", "continue video", "resume", "longer video"],
            description="Loads what Helios Save Memory saved. The film continues as if it had never stopped.",
            inputs=[
                io.Combo.Input(
                    "memory_file",
                    options=host.list_memories(),
                    tooltip="A file in output/helios or in the input folder, newest first. Press R to see new ones. "
                    "latest: whichever is the newest at each run, so that every run continues the one before.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Connect it to be warned when the film was made with another variant. Without it any "
                    "variant may continue the film.",
                ),
            ],
            outputs=[HeliosMemory.Output(display_name="memory", tooltip="For Helios Chunk Sampler.")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, memory_file=None):
        try:
            return memory_file is None or bool(host.find_memory(memory_file))
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, memory_file=None, model=None):
        if memory_file is None:
            return None
        path = host.find_memory(memory_file)
        return str(path), path.stat().st_mtime_ns

    @classmethod
    def execute(cls, memory_file, model=None) -> io.NodeOutput:
        path = host.find_memory(memory_file)
        memory, notes = HistoryMemory.load(path)
        if model is not None:
            host.recipe_of(model).check_size(memory.width, memory.height)
            variant = model.model.variant
            if memory.variant and memory.variant != variant:
                raise ValueError(
                    f"memory_file={memory_file}: this film was made with {memory.variant.capitalize()}, the model is "
                    f"{variant.capitalize()}. Load that variant, or disconnect model here to continue with this one."
                )
        text = host.NodeText(cls.hidden.unique_id)
        text.say(f"{path.name if memory_file == host.LATEST else memory_file}: {describe(memory)}")
        if prompt := notes.get("prompt"):
            text.say(prompt)
        picture = from_thumbnail(notes.get("thumbnail", ""))
        preview = None if picture is None else ui.PreviewImage(picture, cls=cls)
        return io.NodeOutput(memory, ui=text.ui(preview))


def describe(memory: HistoryMemory) -> str:
    """In words: "3 chunks (99 frames, 4.1 s) of 640x384, distilled"."""
    frames = memory.chunk * CHUNK_FRAMES
    size = f"{memory.width}x{memory.height}" + (f", {memory.variant}" if memory.variant else "")
    return f"{memory.chunk} chunk{'s' * (memory.chunk != 1)} ({frames} frames, {frames / FPS:.1f} s) of {size}"


def describe_video(video: VideoEnds) -> str:
    """In words: "video: 50 frames at 30 FPS; the last 33 are used (1.4 s)." """
    text = f"video: {video.describe()}."
    if abs(video.speed - 1) > 0.02:
        speed = f"{video.speed:.2g} times as fast"
        text += f" They play at {FPS} FPS, {speed}; to keep the speed, set video_fps to {RESAMPLE!r}."
    return text


def without_prompts(memory: HistoryMemory) -> HistoryMemory:
    log = tuple({key: value for key, value in entry.items() if key != "prompt"} for entry in memory.log)
    return replace(memory, log=log)


def to_thumbnail(picture: torch.Tensor) -> str:
    """A picture (1, H, W, 3) as a data URI."""
    image = Image.fromarray((picture[0].float().cpu().nan_to_num().clamp(0, 1) * 255).to(torch.uint8).numpy())
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = bytes_io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def from_thumbnail(uri: str) -> torch.Tensor | None:
    """The picture (1, H, W, 3) of a data URI; None for anything but a small JPEG: files can be made up."""
    head, _, data = uri.partition(",")
    if head != "data:image/jpeg;base64" or len(data) > 200_000:
        return None
    try:
        image = Image.open(bytes_io.BytesIO(base64.b64decode(data)), formats=["JPEG"])
        if max(image.size) > THUMBNAIL:
            return None
        return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255)[None]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
