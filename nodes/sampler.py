"""The film itself: as latents, or straight into a file."""

from dataclasses import replace

import torch
from comfy_api.latest import InputImpl, io, ui

from ..helios_core import CHUNK_FRAMES, FPS, HistoryMemory, PromptSchedule, Segment, chunk_count, parse_steps
from ..helios_core.film.loop import film_length
from ..helios_core.media.seams import SeamSmoother
from ..helios_core.media.video import VideoWriter
from . import host
from .types import ADVANCED, CATEGORY, HeliosMemory, HeliosSchedule, smooth_input, tiling_inputs


def film_inputs():
    """What both samplers ask for; new ones go to the end."""
    return [
        io.Model.Input("model", tooltip="From Helios Model Loader, with or without patches."),
        HeliosSchedule.Input("schedule", optional=True, tooltip="Prompts over time; or connect positive."),
        io.Conditioning.Input("positive", optional=True, tooltip="One prompt for the whole film."),
        io.Conditioning.Input(
            "negative",
            optional=True,
            tooltip="What to stay away from. Needed by Base and Mid; Distilled has none.",
        ),
        HeliosMemory.Input(
            "memory", optional=True, tooltip="Size of the film and what it goes on from; 640x384 if left open."
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="With the seed its memory was made with a film goes on as one run would have; another seed "
            "begins a new stream of noise; one that the film had before, the same stream again.",
        ),
        io.Int.Input(
            "length",
            default=99,
            min=1,
            max=100_000_000,
            tooltip=f"Frames to make, rounded up to whole chunks of {CHUNK_FRAMES}; {FPS} are a second.",
        ),
        io.String.Input(
            "steps",
            default="auto",
            tooltip="auto is the recipe: 50 for Base, 20,20,20 for Mid, 2,2,2 for Distilled, a number for each "
            "pyramid stage. 1,1,1 is the fastest Distilled, with less structure.",
        ),
        io.Float.Input(
            "cfg",
            default=0.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance scale. 0 is the recipe: 5 for Base and Mid, 1 (none) for Distilled.",
        ),
        io.Combo.Input(
            "solver",
            options=["auto", "unipc", "euler", "dmd"],
            default="auto",
            tooltip="auto is the recipe: unipc for Base and Mid, dmd for Distilled. On Distilled, unipc and "
            "euler want 10 steps or more a stage.",
            extra_dict=ADVANCED,
        ),
        io.Combo.Input(
            "amplify_first_chunk",
            options=["auto", "on", "off"],
            default="auto",
            tooltip="Distilled only: twice the steps in the first chunk, which others build on. auto is on.",
            extra_dict=ADVANCED,
        ),
        io.Boolean.Input(
            "skip_first_chunk",
            default=False,
            tooltip="Take the anchor, the frame that every chunk looks back to, from the second chunk. Drops "
            "nothing; helps where the first is static.",
            extra_dict=ADVANCED,
        ),
        io.Combo.Input(
            "noise_device",
            options=["cpu", "reference"],
            default="cpu",
            tooltip="cpu: a seed means the same film on every machine. reference: random numbers of the GPU, "
            "as the official script draws them; those on an image or a video to begin with are the CPU's.",
            extra_dict=ADVANCED,
        ),
        io.Boolean.Input(
            "autosave",
            default=True,
            optional=True,
            tooltip="Keep each chunk on disk as it is done. The same film, run again after a crash or a cancel, made "
            "longer, or with other prompts from some chunk on, finds the chunks that stay as they were.",
        ),
        io.Int.Input(
            "autosave_films",
            default=20,
            min=1,
            max=100_000,
            optional=True,
            tooltip="Films that the folder of chunks may hold; those used longest ago are removed when one begins.",
            extra_dict=ADVANCED,
        ),
        io.Float.Input(
            "autosave_gb",
            default=20.0,
            min=0.0,
            max=100_000.0,
            step=1.0,
            optional=True,
            tooltip="Gigabytes that the folder of chunks may take; a chunk of 640x384 is 2.2 MB, an hour 5.8 GB. The "
            "film being made is never removed.",
            extra_dict=ADVANCED,
        ),
    ]


def new_film() -> HistoryMemory:
    """Nothing yet, at the size that Helios was trained at."""
    return HistoryMemory.empty(640, 384)


def make_film(
    node_id,
    take,
    model,
    seed,
    length,
    steps,
    cfg,
    solver,
    amplify_first_chunk,
    skip_first_chunk,
    noise_device,
    schedule=None,
    positive=None,
    negative=None,
    memory=None,
    autosave=True,
    autosave_films=20,
    autosave_gb=20.0,
) -> HistoryMemory:
    """Make the film that the widgets ask for, hand its latents to `take` chunk by chunk, and return its memory."""
    recipe = parse_steps(steps, host.recipe_of(model))
    amplify = {"auto": recipe.amplify_first_chunk, "on": True, "off": False}[amplify_first_chunk]
    recipe = replace(
        recipe,
        cfg=cfg or recipe.cfg,
        solver=recipe.solver if solver == "auto" else solver,
        amplify_first_chunk=amplify,
        skip_first_chunk=skip_first_chunk,
    )
    if (schedule is None) == (positive is None):
        raise ValueError("schedule and positive: connect one of them, a schedule or a single prompt.")
    if recipe.cfg != 1 and negative is None:
        raise ValueError(f"negative: cfg={recipe.cfg:g} needs a negative prompt (CLIP Text Encode), or set cfg to 1.")
    memory = memory or new_film()
    recipe.check_size(memory.width, memory.height)
    chunks = chunk_count(length)
    text = f"length={length}: {film_length(chunks)}"
    if recipe.is_zero_init(stage=0, step=recipe.steps[0] - 1):
        text += f"; steps={steps} are too few: CFG-Zero* leaves out {recipe.zero_steps + 1} in the first stage"
    host.show_text(text, node_id)
    return host.make_film(
        host.Film(
            model,
            schedule or PromptSchedule((Segment(0, positive),)),
            negative,
            memory,
            recipe,
            chunks=chunks,
            seed=seed,
            noise_device=noise_device,
        ),
        take,
        host.Autosave(autosave_films, autosave_gb) if autosave else None,
        say=lambda more: host.show_text(f"{text}; {more}", node_id),
    )


class HeliosChunkSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosChunkSampler",
            display_name="Helios Chunk Sampler",
            category=CATEGORY,
            description="Makes a film chunk by chunk: 33 frames at a time, each after the last. Memory does not grow "
            "with its length.",
            inputs=film_inputs(),
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="For Helios VAE Decode."),
                HeliosMemory.Output(display_name="memory", tooltip="To go on from, with another sampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, **film) -> io.NodeOutput:
        latents = []
        memory = make_film(cls.hidden.unique_id, latents.append, **film)
        return io.NodeOutput({"samples": torch.cat(latents, dim=2), "helios_chunk_frames": CHUNK_FRAMES}, memory)


class HeliosSampleToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosSampleToVideo",
            display_name="Helios Sample to Video",
            category=CATEGORY,
            description="Samples, decodes and encodes chunk by chunk into an mp4 that can be watched while it grows. "
            "An hour takes no more memory than a minute.",
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, from VAELoader."),
                io.String.Input(
                    "filename_prefix",
                    default="video/Helios",
                    tooltip="Name of the file in the output folder; a number is added.",
                ),
                io.Float.Input(
                    "fps",
                    default=float(FPS),
                    min=1.0,
                    max=120.0,
                    step=1.0,
                    tooltip="Frames per second that the video is played at. Helios was trained at 24.",
                ),
                io.Int.Input(
                    "crf",
                    default=18,
                    min=0,
                    max=51,
                    tooltip="Quality of the H.264 encoding: a CRF value, 18 looks lossless, more is smaller and worse.",
                    extra_dict=ADVANCED,
                ),
                *tiling_inputs(),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the film, cut at its end."),
                smooth_input(),
                *film_inputs(),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished file."),
                HeliosMemory.Output(display_name="memory", tooltip="To go on from, with another sampler."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        vae,
        filename_prefix,
        fps,
        crf,
        tiling,
        tile_size,
        overlap,
        audio=None,
        smooth_seams=False,
        **film,
    ) -> io.NodeOutput:
        memory = film["memory"] = film.get("memory") or new_film()
        if len(memory.frames) > 1:
            raise ValueError(f"memory: it is of {len(memory.frames)} films at once; only one goes into a file.")
        path, subfolder = host.output_path(filename_prefix, ".mp4", memory.width, memory.height)
        sound = None if audio is None else (audio["waveform"][0], audio["sample_rate"])
        smoother = SeamSmoother()
        with VideoWriter(path, fps=fps, crf=crf, metadata=host.workflow_of(cls.hidden), audio=sound) as writer:

            def take(latents):
                for frames in host.decode(vae, latents, host.Tiling(tiling, tile_size, overlap)):
                    writer.write(smoother.smooth(frames) if smooth_seams else frames)

            memory = make_film(cls.hidden.unique_id, take, **film)
        shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), memory, ui=shown)
