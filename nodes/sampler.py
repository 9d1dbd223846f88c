"""The film itself."""

from dataclasses import replace

from comfy_api.latest import io

from ..helios_core import CHUNK_FRAMES, FPS, HistoryMemory, PromptSchedule, Segment, chunk_count, parse_steps
from ..helios_core.sampler import film_length
from . import host
from .types import ADVANCED, CATEGORY, HeliosMemory, HeliosSchedule


class HeliosChunkSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HeliosChunkSampler",
            display_name="Helios Chunk Sampler",
            category=CATEGORY,
            description="Makes a film chunk by chunk: 33 frames at a time, each after the last. Memory does not grow "
            "with its length.",
            inputs=[
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
                    "begins a new stream of noise.",
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
                    "as the official script draws them.",
                    extra_dict=ADVANCED,
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="For Helios VAE Decode."),
                HeliosMemory.Output(display_name="memory", tooltip="To go on from, with another sampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
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
    ) -> io.NodeOutput:
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
            raise ValueError(
                f"negative: cfg={recipe.cfg:g} needs a negative prompt (CLIP Text Encode), or set cfg to 1."
            )
        memory = memory or HistoryMemory.empty(640, 384)
        recipe.check_size(memory.width, memory.height)
        chunks = chunk_count(length)
        text = f"length={length}: {film_length(chunks)}"
        if recipe.is_zero_init(stage=0, step=recipe.steps[0] - 1):
            text += f"; steps={steps} are too few: CFG-Zero* leaves out {recipe.zero_steps + 1} in the first stage"
        host.show_text(text, cls.hidden.unique_id)
        latents, memory = host.sample(
            model,
            schedule or PromptSchedule((Segment(0, positive),)),
            negative,
            memory,
            recipe,
            chunks=chunks,
            seed=seed,
            noise_device=noise_device,
        )
        return io.NodeOutput({"samples": latents, "helios_chunk_frames": CHUNK_FRAMES}, memory)
