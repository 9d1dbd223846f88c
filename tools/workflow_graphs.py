"""What the workflows contain: their nodes in columns, as workflow_layout.py has them, and their links."""

from pathlib import Path

import workflow_texts as words

PACK = Path(__file__).resolve().parents[1]
HUB = "https://huggingface.co/Comfy-Org/{}/resolve/main/{}/{}"
WAN = "Wan_2.1_ComfyUI_repackaged"
TEXT_ENCODER = (WAN, "text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
VAE = (WAN, "vae", "wan_2.1_vae.safetensors")
UPSCALER = ("SeedVR2", "diffusion_models", "seedvr2_3b_int8_convrot.safetensors")
UPSCALER_VAE = ("SeedVR2", "vae", "seedvr2_ema_vae_fp16.safetensors")
INTERPOLATOR = ("frame_interpolation", "frame_interpolation", "film_net_fp16.safetensors")
YOUR_VIDEO = "your_video.mp4"
LATEST = "latest in output/helios"  # of Helios Load Memory
BLUE, BLACK, GREEN, RED = ("#223", "#335"), ("#222", "#000"), ("#232", "#353"), ("#322", "#533")
MODELS, PROMPTS, STORY, FILM, OUTPUT, KEEP = 235, 300, 370, 260, 260, 230  # widths
BYPASSED = 4  # a node's mode
NARROW = 212  # where many stand side by side

# --- Nodes ---


def node(name, type, /, tint=None, title=None, advanced=False, collapsed=False, properties=None, **widgets):
    extras = dict(tint=tint, title=title, advanced=advanced, collapsed=collapsed, properties=properties)
    return dict(name=name, type=type, widgets=widgets, **{k: v for k, v in extras.items() if v})


def markdown(title, content):
    return dict(name=f"note {title}", type="MarkdownNote", title=title, text=content, tint=BLACK)


def text(name, title, content, tint=GREEN, **most):
    return dict(name=name, type="CLIPTextEncode", title=title, widgets={"text": content}, tint=tint, **most)


def source(repository, folder, file, path=None):
    """What a loader's file is, and where ComfyUI can fetch it."""
    inside = f"split_files/{folder}" if repository == WAN else folder
    return {"models": [{"name": file, "url": HUB.format(repository, inside, file), "directory": path or folder}]}


def models(variant="Distilled", small_gpu=False):
    """The first column."""
    dtype = {"weight_dtype": "fp8_e4m3fn"} if small_gpu else {}
    loader = node("model", "HeliosModelLoader", advanced=small_gpu, model_name=f"Helios-{variant}/", **dtype)
    clip = node("clip", "CLIPLoader", properties=source(*TEXT_ENCODER), clip_name=TEXT_ENCODER[-1], type="wan")
    vae = node("vae", "VAELoader", properties=source(*VAE), vae_name=VAE[-1])
    return "Models", MODELS, [vae, clip, loader, markdown("Models", words.MODELS_NOTE)]


def memory(name="memory", **widgets):
    return node(name, "HeliosHistoryMemory", width=640, height=384, **widgets)


def schedule(content, title=None, name="schedule"):
    return node(name, "HeliosPromptSchedule", BLUE, title, schedule=content)


def sampler(name="sampler", title=None, length=99, seed=42):
    values = dict(seed=seed, length=length)
    return node(name, "HeliosChunkSampler", title=title, **values)


def keep(title, note, width=KEEP):
    """The last column: what the film can go on from another day."""
    saved = node("keep", "HeliosSaveMemory", filename_prefix="helios/film")
    return "Keep for later", width, [saved, markdown(title, note)]


def join(name):
    """Two films' latents one after the other."""
    return node(name, "LatentConcat", collapsed=True, dim="t")


def output(end="", small_gpu=False, prefix="video/Helios", short=False):
    """Rows that decode and save; `end` tells several outputs apart, `short` ones fold what has nothing to set."""
    tiled = {"tiling": "on"} if small_gpu else {}
    decode = node(f"decode{end}", "HeliosVAEDecode", advanced=small_gpu, collapsed=short, **tiled)
    video = node(f"video{end}", "CreateVideo", collapsed=short, fps=24)
    return [decode, video, node(f"save{end}", "SaveVideo", filename_prefix=prefix)]


# --- Links ---

MODEL = ("model", "MODEL", "sampler", "model")
MEMORY = ("memory", "memory", "sampler", "memory")
KEPT = [("sampler", "memory", "keep", "memory"), ("vae", "VAE", "keep", "vae")]
SCHEDULE_MODELS = [("clip", "CLIP", "schedule", "clip"), ("vae", "VAE", "schedule", "vae")]
SCHEDULE = [*SCHEDULE_MODELS, ("schedule", "schedule", "sampler", "schedule")]


def output_links(latent=("sampler", "latent"), end=""):
    return [
        (*latent, f"decode{end}", "samples"),
        ("vae", "VAE", f"decode{end}", "vae"),
        (f"decode{end}", "IMAGE", f"video{end}", "images"),
        (f"video{end}", "VIDEO", f"save{end}", "video"),
    ]


def prompt_links(*names, to):
    links = [("clip", "CLIP", name, "clip") for name in names]
    return links + [(name, "CONDITIONING", to, name) for name in names]


# --- Workflows ---


def text_to_video(variant, prompt, negative=None, note="", small_gpu=False, again=""):
    """`again` says how to go on later; without it there is nothing to go on from."""
    prompts = [text("positive", "Prompt", prompt)]
    prompts += [] if negative is None else [text("negative", "Negative prompt", negative, RED, most=110)]
    film_note = markdown("Film", words.FILM_NOTE.format(note).strip())
    columns = [
        models(variant, small_gpu),
        ("Prompt and size", PROMPTS, [*prompts, memory(), *([film_note] if negative is None else [])]),
        ("Film", FILM, [sampler(), *([] if negative is None else [film_note])]),
        ("Decode and save", OUTPUT, output(small_gpu=small_gpu)),
        *([keep("Going on", again)] if again else []),
    ]
    links = [MODEL, MEMORY, *output_links(), *(KEPT if again else [])]
    return columns, links + prompt_links(*(n["name"] for n in prompts), to="sampler")


def schedule_film(story, chunks):
    columns = [
        models(),
        ("Prompts over time", STORY, [schedule(story), memory()]),
        ("Film", FILM, [sampler(length=33 * chunks)]),
        ("Decode and save", OUTPUT, output()),
        keep("Timeline and text", words.SCHEDULE_NOTE, width=280),
    ]
    return columns, [MODEL, MEMORY, *KEPT, *SCHEDULE, *output_links()]


def from_picture(kind, file, prompt, note):
    """A film that begins with an image or a video of the input folder."""
    loader = {"image": "LoadImage", "video": "LoadVideo"}[kind]
    given = node("given", loader, **{"image": {"image": file}, "video": {"file": file}}[kind])
    columns = [
        models(),
        (f"{kind.title()} and prompt", FILM, [given, text("positive", "Prompt", prompt)]),
        ("Size and beginning", FILM, [memory(), markdown(f"From {kind} to video", note)]),
        ("Film", FILM, [sampler(length=132)]),
        ("Decode and save", OUTPUT, output()),
    ]
    links = [
        MODEL,
        MEMORY,
        ("given", kind.upper(), "memory", kind),
        ("vae", "VAE", "memory", "vae"),
        *prompt_links("positive", to="sampler"),
    ]
    return columns, links + output_links()


def extend(prompt, note):
    """The nodes that join both parts are bypassed until the first part is chosen."""
    load = node("memory", "HeliosLoadMemory", memory_file=LATEST)
    before = node("before", "LoadVideo", title="The first part (bypassed)", file=YOUR_VIDEO)
    whole = node("join", "HeliosJoinVideos", title="The whole film (bypassed)")
    _, _, (saved, _) = keep("", "")
    columns = [
        models(),
        (
            "The film so far",
            PROMPTS,
            [load, text("positive", "How it goes on", prompt, most=160), markdown("Extend a film", note)],
        ),
        ("Film", FILM, [sampler(length=66)]),
        ("Decode and save", OUTPUT, [*output(prefix="video/Helios extended", short=True), {**whole, "mode": BYPASSED}]),
        ("Keep and join", KEEP, [saved, {**before, "mode": BYPASSED}]),
    ]
    links = [MODEL, MEMORY, *KEPT, ("model", "MODEL", "memory", "model"), *prompt_links("positive", to="sampler")]
    links += [("before", "VIDEO", "join", "first"), ("video", "VIDEO", "join", "second")]
    return columns, links + output_links()


def two_endings(beginning, sunny, stormy):
    decode_a, *save_a = output(" sunny", prefix="video/Helios ending A", short=True)
    decode_b, *save_b = output(" stormy", prefix="video/Helios ending B", short=True)
    columns = [
        models(),
        (
            "Prompts and size",
            FILM,
            [
                text("beginning", "Beginning", beginning, most=95),
                text("sunny", "Ending A", sunny, most=95),
                text("stormy", "Ending B", stormy, most=95),
                memory(),
            ],
        ),
        (
            "One beginning",
            NARROW,
            [sampler("first", "Beginning: 3 chunks"), markdown("Two endings", words.ENDINGS_NOTE)],
        ),
        ("Ending A", NARROW, [sampler("ending sunny", "Ending A: 2 chunks", length=66), join("join sunny"), decode_a]),
        (
            "Ending B",
            NARROW,
            [sampler("ending stormy", "Ending B: 2 chunks", length=66), join("join stormy"), decode_b],
        ),
        ("Two films", NARROW, [*save_a, *save_b]),
    ]
    links = [("memory", "memory", "first", "memory")]
    for name, to in (("beginning", "first"), ("sunny", "ending sunny"), ("stormy", "ending stormy")):
        links += [("model", "MODEL", to, "model"), ("clip", "CLIP", name, "clip")]
        links += [(name, "CONDITIONING", to, "positive")]
    for end in ("sunny", "stormy"):
        links += [("first", "memory", f"ending {end}", "memory"), ("first", "latent", f"join {end}", "samples1")]
        links += [(f"ending {end}", "latent", f"join {end}", "samples2")]
        links += output_links((f"join {end}", "LATENT"), f" {end}")
    return columns, links


def reroll(story):
    columns = [
        models(),
        ("Prompts over time", FILM, [schedule(story), memory()]),
        ("Before", NARROW, [sampler("before", "Chunks 0 and 1", length=66)]),
        ("Chunk 2", NARROW, [sampler("chunk", "Chunk 2: re-roll its seed", length=33, seed=7)]),
        ("After", NARROW, [sampler("after", "Chunks 3 to 5", length=99, seed=43)]),
        (
            "Join and save",
            NARROW,
            [
                join("join"),
                join("join all"),
                *output(short=True),
                markdown("Re-roll a chunk", words.REROLL_NOTE),
            ],
        ),
    ]
    links = [*SCHEDULE_MODELS, ("memory", "memory", "before", "memory")]
    for before, name in ((None, "before"), ("before", "chunk"), ("chunk", "after")):
        links += [("model", "MODEL", name, "model"), ("schedule", "schedule", name, "schedule")]
        links += [(before, "memory", name, "memory")] if before else []
    links += [("before", "latent", "join", "samples1"), ("chunk", "latent", "join", "samples2")]
    links += [("join", "LATENT", "join all", "samples1"), ("after", "latent", "join all", "samples2")]
    return columns, links + output_links(("join all", "LATENT"))


def keyframes(story, pictures):
    """`pictures` are two files of the input folder."""

    def keyframe(name, title, **widgets):
        return node(name, "HeliosKeyframe", title=title, **widgets)

    images = [node(f"picture {end}", "LoadImage", image=file) for end, file in zip("ab", pictures)]
    columns = [
        models(),
        ("Prompts over time", FILM, [schedule(story), memory()]),
        ("Pictures", NARROW, images),
        (
            "Keyframes",
            NARROW,
            [
                keyframe("keyframe a", "Chunk 3: cut to the picture", start=3),
                keyframe("keyframe b", "Chunk 6: blend into it", start=6, transition="blend", blend_chunks=3),
                markdown("Keyframes", words.KEYFRAMES_NOTE),
            ],
        ),
        ("Film", NARROW, [sampler(length=330)]),
        (
            "Save and report",
            NARROW,
            [
                *output(short=True),
                node("report", "HeliosFilmReport", collapsed=True),
                node("show", "PreviewImage"),
            ],
        ),
    ]
    links = [MODEL, MEMORY, *SCHEDULE_MODELS, ("schedule", "schedule", "keyframe a", "schedule")]
    links += [("keyframe a", "schedule", "keyframe b", "schedule"), ("keyframe b", "schedule", "sampler", "schedule")]
    for end in "ab":
        links += [("vae", "VAE", f"keyframe {end}", "vae"), (f"picture {end}", "IMAGE", f"keyframe {end}", "image")]
    links += [("decode", "IMAGE", "report", "video"), ("sampler", "memory", "report", "memory")]
    return columns, [*links, ("report", "image", "show", "images"), *output_links()]


def long_film(story, chunks, note):
    values = dict(seed=42, length=33 * chunks, filename_prefix="video/Helios film")
    columns = [
        models(),
        ("Prompts over time", STORY, [schedule(story), memory()]),
        ("Film", 270, [node("sampler", "HeliosSampleToVideo", **values)]),
        (
            "Report",
            OUTPUT,
            [
                node("report", "HeliosFilmReport"),
                node("save", "SaveImage", filename_prefix="video/Helios report"),
                markdown("A long film", note),
            ],
        ),
    ]
    links = [MODEL, MEMORY, *SCHEDULE, ("vae", "VAE", "sampler", "vae")]
    links += [("sampler", "video", "report", "video"), ("sampler", "memory", "report", "memory")]
    return columns, [*links, ("report", "image", "save", "images")]


# --- After the film, by other models of newer hosts ---


def loaded_film():
    """The first column, and its links: a film's frames, sound and rate."""
    column = "The film", MODELS, [node("film", "LoadVideo", file=YOUR_VIDEO), node("parts", "GetVideoComponents")]
    return column, [("film", "VIDEO", "parts", "video"), ("parts", "audio", "video", "audio")]


def upscale():
    film, links = loaded_film()
    model = node("model", "UNETLoader", properties=source(*UPSCALER), unet_name=UPSCALER[-1])
    vae = node("vae", "VAELoader", properties=source(*UPSCALER_VAE), vae_name=UPSCALER_VAE[-1])
    columns = [
        film,
        ("Model", MODELS, [model, vae, markdown("Upscale a film", words.UPSCALE_NOTE)]),
        (
            "Enlarge and encode",
            FILM,
            [
                node("larger", "ImageScaleBy", upscale_method="lanczos", scale_by=2),
                node("padded", "SeedVR2Preprocess", collapsed=True),
                node("latents", "VAEEncodeTiled"),
                node("chunks", "SeedVR2TemporalChunk"),
            ],
        ),
        (
            "Restore",
            FILM,
            [
                node("conditioning", "SeedVR2Conditioning", collapsed=True),
                node("sampler", "KSampler", seed=42, control_after_generate="fixed", steps=1, cfg=1),
                node("merged", "SeedVR2TemporalMerge", collapsed=True),
                node("decode", "VAEDecodeTiled"),
                node("colours", "SeedVR2PostProcessing"),
            ],
        ),
        ("Save", OUTPUT, [node("video", "CreateVideo"), node("save", "SaveVideo", filename_prefix="video/Helios 2x")]),
    ]
    links += [
        ("parts", "images", "larger", "image"),
        ("larger", "IMAGE", "padded", "resized_images"),
        ("padded", "images", "latents", "pixels"),
        ("vae", "VAE", "latents", "vae"),
        ("latents", "LATENT", "chunks", "latent"),
        ("model", "MODEL", "conditioning", "model"),
        ("chunks", "latents", "conditioning", "vae_conditioning"),
        ("model", "MODEL", "sampler", "model"),
        ("conditioning", "positive", "sampler", "positive"),
        ("conditioning", "negative", "sampler", "negative"),
        ("chunks", "latents", "sampler", "latent_image"),
        ("sampler", "LATENT", "merged", "latents"),
        ("chunks", "temporal_overlap", "merged", "temporal_overlap"),
        ("merged", "latent", "decode", "samples"),
        ("vae", "VAE", "decode", "vae"),
        ("decode", "IMAGE", "colours", "images"),
        ("larger", "IMAGE", "colours", "original_resized_images"),
        ("colours", "images", "video", "images"),
        ("parts", "fps", "video", "fps"),
        ("video", "VIDEO", "save", "video"),
    ]
    return columns, links


def smooth():
    film, links = loaded_film()
    model = node(
        "model", "FrameInterpolationModelLoader", properties=source(*INTERPOLATOR), model_name=INTERPOLATOR[-1]
    )
    columns = [
        film,
        ("Frames between", PROMPTS, [model, node("between", "FrameInterpolate", multiplier=2)]),
        (
            "Save",
            OUTPUT,
            [node("video", "CreateVideo", fps=48), node("save", "SaveVideo", filename_prefix="video/Helios 48 FPS")],
        ),
        ("Notes", MODELS, [markdown("Smooth to 48 FPS", words.SMOOTH_NOTE)]),
    ]
    return columns, [
        *links,
        ("model", "INTERP_MODEL", "between", "interp_model"),
        ("parts", "images", "between", "images"),
        ("between", "IMAGE", "video", "images"),
        ("video", "VIDEO", "save", "video"),
    ]


# --- The demo ---


def demo(workflow, variant="distilled"):
    """A workflow with the demo in place of the models, at its size, under names of its own."""
    (_, *columns), links = workflow
    own = {
        "HeliosHistoryMemory": {"width": 192, "height": 128},
        "HeliosSaveMemory": {"filename_prefix": "helios/demo"},
    }
    for spec in nodes_of(columns):
        spec["widgets"] = {**spec.get("widgets", {}), **own.get(spec["type"], {})}
        prefix = spec["widgets"].get("filename_prefix", "")
        if prefix.startswith("video/"):
            spec["widgets"]["filename_prefix"] = prefix.replace("Helios", "Helios demo")
        if "text" in spec:
            spec["text"] = spec["text"].replace("Helios - ", "Helios Demo - ")
        if spec.get("mode") == BYPASSED and spec["type"] == "LoadVideo":
            spec["widgets"]["file"] = "helios_demo_bar.mp4"
    loader = node("demo", "HeliosDemoLoader", variant=variant)
    column = "Demo model", MODELS, [loader, markdown("The demo", words.DEMO_NOTE)]
    links = [("demo" if start in ("model", "clip", "vae") else start, *rest) for start, *rest in links]
    return [column, *columns], links


def nodes_of(columns):
    return [spec for _, _, rows in columns for row in rows for spec in (row if isinstance(row, list) else [row])]


def paper_boat(chunks, *starts):
    """The story at other chunks."""
    return words.PAPER_BOAT.format(*starts, chunks=chunks, seconds=f"{chunks * 1.375:.1f}")


def demo_film():
    return (PACK / "demo" / "film.txt").read_text("utf-8").strip()


WORKFLOWS = {
    "Helios Demo - Text to Video": lambda: demo(
        text_to_video("Distilled", words.STAR, note=words.DISTILLED_NOTE, again=words.MEMORY_NOTE)
    ),
    "Helios Demo - Text to Video (Base)": lambda: demo(
        text_to_video("Base", words.SQUARE, "", note=words.DEMO_BASE_NOTE), variant="base"
    ),
    "Helios Demo - Prompt Schedule Film": lambda: demo(schedule_film(demo_film(), 9)),
    "Helios Demo - Image to Video": lambda: demo(
        from_picture("image", "helios_demo_triangle.png", words.TRIANGLE, words.DEMO_IMAGE_NOTE)
    ),
    "Helios Demo - Video to Video": lambda: demo(
        from_picture("video", "helios_demo_bar.mp4", words.BAR, words.DEMO_VIDEO_NOTE)
    ),
    "Helios Demo - Keyframes": lambda: demo(
        keyframes(words.DEMO_KEYFRAMES, ("helios_demo_square.png", "helios_demo_star.png"))
    ),
    "Helios Demo - Extend a Film": lambda: demo(extend(words.STAR_GOES_ON, words.DEMO_EXTEND_NOTE)),
    "Helios Demo - Two Endings": lambda: demo(two_endings(words.STAR, words.DEMO_ENDING_A, words.DEMO_ENDING_B)),
    "Helios Demo - Re-roll a Chunk": lambda: demo(reroll(words.DEMO_REROLL)),
    "Helios Demo - Long Film to Disk": lambda: demo(long_film(words.DEMO_LONG_FILM, 22, words.DEMO_LONG_NOTE)),
    "Helios - Text to Video (Distilled)": lambda: text_to_video(
        "Distilled", words.FOX, note=words.DISTILLED_NOTE, again=words.MEMORY_NOTE
    ),
    "Helios - Text to Video (Mid)": lambda: text_to_video("Mid", words.TRAIN, words.NEGATIVE, note=words.MID_NOTE),
    "Helios - Text to Video (Base)": lambda: text_to_video("Base", words.SHIP, words.NEGATIVE, note=words.BASE_NOTE),
    "Helios - Text to Video (8 GB)": lambda: text_to_video(
        "Distilled", words.BIRD, note=words.SMALL_GPU_NOTE, small_gpu=True
    ),
    "Helios - Prompt Schedule Film": lambda: schedule_film(paper_boat(15, 3, 7, 10, 13), 15),
    "Helios - Image to Video": lambda: from_picture("image", "example.png", words.PICTURE, words.IMAGE_NOTE),
    "Helios - Video to Video": lambda: from_picture("video", YOUR_VIDEO, words.CLIP, words.VIDEO_NOTE),
    "Helios - Keyframes": lambda: keyframes(words.KEYFRAMES, ("example.png", "example.png")),
    "Helios - Extend a Film": lambda: extend(words.GO_ON, words.EXTEND_NOTE),
    "Helios - Two Endings": lambda: two_endings(words.LAKE, words.SUNNY_END, words.STORMY_END),
    "Helios - Re-roll a Chunk": lambda: reroll("\n\n".join(paper_boat(6, 3, 7, 10, 13).split("\n\n")[:2])),
    "Helios - Long Film to Disk": lambda: long_film(paper_boat(44, 9, 18, 27, 36), 44, words.LONG_NOTE),
    "Helios - Upscale a Film": upscale,
    "Helios - Smooth to 48 FPS": smooth,
}
# Of nodes that only newer hosts have.
NEWER = {"Helios - Upscale a Film"}
# What app mode shows: (node, widget) to fill in, and the nodes whose results are shown.
PROMPT_APP = [("positive", "text"), ("sampler", "length"), ("sampler", "seed")], ["save"]
STORY_APP = [("schedule", "schedule"), ("sampler", "length"), ("sampler", "seed")], ["save"]
APPS = {
    "Helios Demo - Text to Video": PROMPT_APP,
    "Helios Demo - Prompt Schedule Film": STORY_APP,
    "Helios - Text to Video (Distilled)": PROMPT_APP,
    "Helios - Prompt Schedule Film": STORY_APP,
}
