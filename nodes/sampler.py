"""The film itself: as latents, or straight into a file."""

import torch
from comfy_api.latest import InputImpl, io, ui

from ..helios_core import CHUNK_FRAMES, FPS, HistoryMemory, PromptSchedule, Segment, chunk_count, override
from ..helios_core.film.loop import film_length
from ..helios_core.media.seams import SeamSmoother
from ..helios_core.media.video import VideoWriter
from . import host
from .limits import within_limits
from .types import CATEGORY, HeliosMemory, HeliosSchedule, smooth_input, tiling_inputs

LENGTHS = "frames", "seconds", "chunks", "frames of the last prompt"


def film_inputs():
    """What both samplers ask for; new ones go to the end."""
    return [
        io.Model.Input(
            "model", tooltip="From Helios Model Loader or Helios Demo Loader. Patches and LoRAs may follow it."
        ),
        HeliosSchedule.Input("schedule", optional=True, tooltip="Prompts over time. Connect this or positive."),
        io.Conditioning.Input("positive", optional=True, tooltip="One prompt for the whole film."),
        io.Conditioning.Input(
            "negative",
            optional=True,
            tooltip="What the film should not show. Base and Mid need it. Distilled does not use it.",
        ),
        HeliosMemory.Input(
            "memory",
            optional=True,
            tooltip="The film to continue, or how a new one begins. Without it a new film begins at the model's own "
            "size: 640x384, the demo 192x128 pixels.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=host.FIXED_SEED,
            tooltip="Which noise the film is made from. Another seed makes another film. Keep it to continue "
            "a film exactly as one long run would.",
        ),
        io.Int.Input(
            "length",
            default=99,
            min=1,
            max=100_000_000,
            tooltip=f"How much film to make, in frames or in what length_in says. {FPS} frames are a second. It is "
            f"rounded up to whole chunks of {CHUNK_FRAMES} frames.",
        ),
        io.String.Input(
            "steps",
            default="auto",
            tooltip="Steps for each chunk. auto: 50 for Base, 20,20,20 for Mid, 2,2,2 for Distilled. Mid and Distilled "
            "take one number for each of three stages. 1,1,1 is the fastest Distilled; shapes get worse.",
        ),
        io.Float.Input(
            "cfg",
            default=0.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance scale: how strongly the negative prompt pushes away, from 1 (off) up. 0 uses the model's "
            "own: 5 for Base and Mid, 1 for Distilled.",
        ),
        io.Combo.Input(
            "solver",
            options=["auto", "unipc", "euler", "dmd"],
            default="auto",
            tooltip="auto: unipc for Base and Mid, dmd for Distilled. With unipc or euler, give Distilled 10 steps or "
            "more in each stage.",
            extra_dict=host.ADVANCED,
        ),
        io.Combo.Input(
            "amplify_first_chunk",
            options=["auto", "on", "off"],
            default="auto",
            tooltip="Give the first chunk twice the steps, because all others build on it. For Distilled; auto is on.",
            extra_dict=host.ADVANCED,
        ),
        io.Boolean.Input(
            "skip_first_chunk",
            default=False,
            tooltip="Every chunk looks back to one frame, the film's first. This takes the second chunk's first frame "
            "instead, which helps when the first chunk hardly moves. No frame is dropped.",
            extra_dict=host.ADVANCED,
        ),
        io.Combo.Input(
            "noise_device",
            options=["cpu", "reference"],
            default="cpu",
            tooltip="cpu: a seed makes the same film on every computer. reference: the GPU's random numbers, as in the "
            "official script. Noise on an image or a video always comes from the CPU.",
            extra_dict=host.ADVANCED,
        ),
        io.Boolean.Input(
            "autosave",
            default=True,
            optional=True,
            tooltip="Keep each finished chunk on disk. Run the film again after a crash or a cancel, make it longer, "
            "or change a later prompt: chunks that stay the same are not made again.",
        ),
        io.Int.Input(
            "autosave_films",
            default=20,
            min=1,
            max=100_000,
            optional=True,
            tooltip="How many films to keep on disk. The oldest go when a new one begins; films of the last day or of "
            "this workflow always stay.",
            extra_dict=host.ADVANCED,
        ),
        io.Float.Input(
            "autosave_gb",
            default=20.0,
            min=0.0,
            max=100_000.0,
            step=1.0,
            optional=True,
            tooltip="How many gigabytes the kept films may take. A chunk of 640x384 takes 2.2 MB, an hour of film 5.8 "
            "GB. Films of the last day or of this workflow always stay.",
            extra_dict=host.ADVANCED,
        ),
        io.Combo.Input(
            "length_in",
            options=list(LENGTHS),
            default=LENGTHS[0],
            optional=True,
            tooltip="What length counts. With 'frames of the last prompt' the film is as long as the schedule, and its "
            "last prompt gets that many frames.",
        ),
    ]


def make_film(
    text,
    write,
    model,
    seed,
    length,
    steps,
    cfg,
    solver,
    amplify_first_chunk,
    skip_first_chunk,
    noise_device,
    memory,
    schedule=None,
    positive=None,
    negative=None,
    autosave=True,
    autosave_films=20,
    autosave_gb=20.0,
    length_in=LENGTHS[0],
) -> HistoryMemory:
    """Make the film that the widgets ask for, hand its chunks to `write` one by one, and return its memory."""
    recipe = override(
        host.recipe_of(model),
        steps=steps,
        cfg=cfg or None,
        solver=solver,
        amplify_first_chunk=amplify_first_chunk,
        skip_first_chunk=skip_first_chunk,
    )
    if (schedule is None) == (positive is None):
        raise ValueError("schedule and positive: connect one of them, a schedule or a single prompt.")
    if recipe.guided and negative is None:
        raise ValueError(f"negative: cfg={recipe.cfg:g} needs a negative prompt (CLIP Text Encode), or set cfg to 1.")
    schedule = schedule or PromptSchedule((Segment(0, positive),))
    chunks = count_chunks(length, length_in, memory, schedule)
    text.say(f"{film_length(chunks)} of {memory.width}x{memory.height}.")
    if recipe.is_zero_init(stage=0, step=recipe.steps[0] - 1):
        text.say(
            f"steps={steps} are too few: CFG-Zero* leaves out the first {recipe.zero_steps + 1} steps, and the first "
            "stage has no more."
        )
    if unused := schedule.describe_unreached(memory.chunk + chunks):
        text.say(unused)
    settings = dict(steps=steps, cfg=cfg, solver=solver, amplify_first_chunk=amplify_first_chunk)
    settings |= dict(skip_first_chunk=skip_first_chunk, noise_device=noise_device)
    film = host.Film(model, schedule, negative, memory, recipe, chunks, seed, noise_device, settings)
    kept = host.Autosave(autosave_films, autosave_gb) if autosave else None
    return host.make_film(film, write, kept, text)


def count_chunks(length: int, unit: str, memory: HistoryMemory, schedule: PromptSchedule) -> int:
    """How many chunks to make: `length` in `unit`, or so many frames of the schedule's last prompt."""
    frames, seconds, chunks, after = LENGTHS
    made = {frames: chunk_count(length), seconds: chunk_count(length * FPS), chunks: length}
    if unit != after:
        return made[unit]
    end = schedule.segments[-1].start + chunk_count(length)
    if end <= memory.chunk:
        raise ValueError(
            f"length: the schedule ends before chunk {end}, and the film has {memory.chunk} chunks already; add a "
            "prompt that begins later, or set length_in to frames."
        )
    return end - memory.chunk


def new_film(model) -> HistoryMemory:
    """Nothing yet, at the size that the model was trained at."""
    host.recipe_of(model)  # which says what another model is
    return HistoryMemory.empty(*host.native_size(model))


@within_limits
class HeliosChunkSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosChunkSampler",
            display_name="Helios Chunk Sampler",
            category=CATEGORY,
            search_aliases=["long video", "infinite video", "wan", "text to video", "t2v", "video sampler", "ksampler"],
            description="Makes a film chunk by chunk, 33 frames at a time. A longer film takes more time, not more "
            "memory.",
            inputs=film_inputs(),
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="For Helios VAE Decode."),
                HeliosMemory.Output(display_name="memory", tooltip="To continue the film with another sampler."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, model, memory=None, **film) -> io.NodeOutput:
        latents, names = [], {}
        begin, text = memory or new_film(model), host.NodeText(cls.hidden.unique_id)

        def write(chunk, name):
            latents.append(chunk)
            if name:
                names[host.mark(chunk)] = name

        memory = make_film(text, write, model, memory=begin, **film)
        latent = {"samples": torch.cat(latents, dim=2), "helios_chunk_frames": CHUNK_FRAMES}
        if names:
            latent[host.CHUNKS] = {"node": text.node, "names": names}
        return io.NodeOutput(latent, memory, ui=text.ui())


@within_limits
class HeliosSampleToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return host.schema(
            node_id="HeliosSampleToVideo",
            display_name="Helios Sample to Video",
            category=CATEGORY,
            search_aliases=["long video", "infinite video", "endless", "stream to disk", "save mp4", "low memory"],
            description="Samples, decodes and encodes chunk by chunk into an mp4 that can be watched while it grows. "
            "An hour takes no more memory than a minute.",
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, from Load VAE."),
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
                    extra_dict=host.ADVANCED,
                ),
                *tiling_inputs(),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the film, cut at its end."),
                smooth_input(),
                *film_inputs(),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished file."),
                HeliosMemory.Output(display_name="memory", tooltip="To continue the film with another sampler."),
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
        *,
        model,
        memory=None,
        **film,
    ) -> io.NodeOutput:
        begin = memory or new_film(model)
        if len(begin.frames) > 1:
            raise ValueError(f"memory: it is of {len(begin.frames)} films at once; only one goes into a file.")
        smoother, text = SeamSmoother(), host.NodeText(cls.hidden.unique_id)
        settings = dict(fps=fps, crf=crf, metadata=host.workflow_of(cls.hidden), audio=audio)
        settings["chunks_are_kept"] = film.get("autosave", True)

        def write(latents, name):
            (frames,) = host.decode(vae, latents, host.Tiling(tiling, tile_size, overlap))
            writer.write(smoother.smooth(frames) if smooth_seams else frames)
            return frames

        with host.new_output(filename_prefix, ".mp4", begin.width, begin.height) as (path, subfolder):
            with VideoWriter(path, **settings) as writer:
                if writer.note:
                    text.say(writer.note)
                memory = make_film(text, write, model, memory=begin, **film)
        shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), memory, ui=text.ui(shown))
