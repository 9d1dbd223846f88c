"""Build workflows/ with its thumbnails, and the README's picture, in the real frontend.

    python tools/make_workflows.py [folder for screenshots]

needs what the browser tests need: a ComfyUI, Chromium and playwright. Workflows are laid out in columns from left to
right, the nodes of a column from top to bottom.
"""

import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK), *(str(PACK / "tests" / folder) for folder in ("host", "browser"))]

import workflow_texts as words  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from browser import build_workflow, load_workflow, screenshot  # noqa: E402
from comfy_server import ComfyServer, find_comfyui  # noqa: E402
from helios_core.network.config import CHUNK_FRAMES  # noqa: E402

HUB = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
TEXT_ENCODER = ("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
VAE = ("vae", "wan_2.1_vae.safetensors")
FILM = "Helios - Prompt Schedule Film"
BLUE, BLACK, GREEN, RED = ("#223", "#335"), ("#222", "#000"), ("#232", "#353"), ("#322", "#533")

WORKFLOWS = {
    "Helios - Text to Video (Distilled)": lambda: text_to_video(
        "Distilled", words.FOX, note=words.DISTILLED_NOTE, keep_memory=words.MEMORY_NOTE.format("Helios")
    ),
    "Helios - Text to Video (Base)": lambda: text_to_video("Base", words.SHIP, words.NEGATIVE, note=words.BASE_NOTE),
    "Helios - Text to Video (Mid)": lambda: text_to_video("Mid", words.TRAIN, words.NEGATIVE, note=words.MID_NOTE),
    "Helios - Text to Video (8 GB)": lambda: text_to_video(
        "Distilled", words.BIRD, note=words.SMALL_GPU_NOTE, small_gpu=True
    ),
    FILM: lambda: schedule_film(paper_boat(15, 3, 7, 10, 13), 15),
    "Helios - Image to Video": lambda: from_picture(loaded("image"), words.PICTURE, words.IMAGE_NOTE),
    "Helios - Video to Video": lambda: from_picture(loaded("video"), words.CLIP, words.VIDEO_NOTE),
    "Helios - Extend a Film": lambda: extend(words.GO_ON, words.EXTEND_NOTE),
    "Helios - Two Endings": lambda: two_endings(),
    "Helios - Re-roll a Chunk": lambda: reroll(),
    "Helios - Keyframes": lambda: keyframes(words.KEYFRAMES, loaded_pictures()),
    "Helios - Long Film to Disk": lambda: long_film(),
    "Helios Demo - Text to Video": lambda: demo(
        text_to_video(
            "Distilled", words.STAR, note=words.DISTILLED_NOTE, keep_memory=words.MEMORY_NOTE.format("Helios Demo")
        )
    ),
    "Helios Demo - Text to Video (Base)": lambda: demo(
        text_to_video("Base", words.SQUARE, "", note=words.DEMO_BASE_NOTE), variant="base"
    ),
    "Helios Demo - Prompt Schedule Film": lambda: demo(
        schedule_film((PACK / "demo" / "film.txt").read_text("utf-8").strip(), 9)
    ),
    "Helios Demo - Image to Video": lambda: demo(
        from_picture(drawn("image", words.TRIANGLE), words.TRIANGLE, words.DEMO_IMAGE_NOTE)
    ),
    "Helios Demo - Video to Video": lambda: demo(
        from_picture(drawn("video", words.BAR), words.BAR, words.DEMO_VIDEO_NOTE)
    ),
    "Helios Demo - Extend a Film": lambda: demo(extend(words.STAR_GOES_ON, words.DEMO_EXTEND_NOTE)),
    "Helios Demo - Keyframes": lambda: demo(keyframes(words.DEMO_KEYFRAMES, drawn_pictures())),
}


def paper_boat(chunks, *starts):
    """The story at other chunks."""
    return words.PAPER_BOAT.format(*starts, chunks=chunks, seconds=f"{chunks * 1.375:.1f}")


# A node is data: {"name" (used in links), "type", "height" and what tests/browser/browser.py's build_workflow takes}. A
# workflow is its columns, (title, width, rows), and its links; a row that is a list has its nodes side by side.


def node(name, type, height, /, tint=None, title=None, advanced=False, properties=None, **widgets):
    extras = dict(tint=tint, title=title, advanced=advanced, properties=properties)
    return dict(name=name, type=type, height=height, widgets=widgets, **{k: v for k, v in extras.items() if v})


def models(variant="Distilled", small_gpu=False):
    """The first column."""
    dtype = {"weight_dtype": "fp8_e4m3fn"} if small_gpu else {}
    height = 200 if small_gpu else 165
    loader = node("model", "HeliosModelLoader", height, advanced=small_gpu, model_name=f"Helios-{variant}/", **dtype)
    clip = node("clip", "CLIPLoader", 140, properties=source(*TEXT_ENCODER), clip_name=TEXT_ENCODER[1], type="wan")
    vae = node("vae", "VAELoader", 80, properties=source(*VAE), vae_name=VAE[1])
    note = markdown("Models", words.MODELS_NOTE.format(variant, HUB, *TEXT_ENCODER, *VAE), 0)
    return "Models", 400, [loader, vae, clip, note]


def memory(name="memory", **widgets):
    return node(name, "HeliosHistoryMemory", 270, width=640, height=384, **widgets)


def sampler(name="sampler", height=410, title=None, length=99, seed=42):
    values = dict(seed=seed, control_after_generate="fixed", length=length)
    return node(name, "HeliosChunkSampler", height, title=title, **values)


def keep(name="keep", prefix="helios/film"):
    return node(name, "HeliosSaveMemory", 400, filename_prefix=prefix)


def output(end="", small_gpu=False, prefix="video/Helios"):
    """Rows that decode and save; `end` tells several outputs apart."""
    tall, tiled = (220, {"tiling": "on"}) if small_gpu else (180, {})
    decode = node(f"decode{end}", "HeliosVAEDecode", tall, advanced=small_gpu, **tiled)
    video = node(f"video{end}", "CreateVideo", tall, fps=24)
    return [[decode, video], node(f"save{end}", "SaveVideo", 0, filename_prefix=prefix)]


def output_links(latent, end=""):
    return [
        (*latent, f"decode{end}", "samples"),
        ("vae", "VAE", f"decode{end}", "vae"),
        (f"decode{end}", "IMAGE", f"video{end}", "images"),
        (f"video{end}", "VIDEO", f"save{end}", "video"),
    ]


def prompt_links(*names, to):
    links = [("clip", "CLIP", name, "clip") for name in names]
    return links + [(name, "CONDITIONING", to, name) for name in names]


MODEL = ("model", "MODEL", "sampler", "model")
MEMORY = ("memory", "memory", "sampler", "memory")
KEEP = ("sampler", "memory", "keep", "memory")
DRAWN = ("drawn", "IMAGE")  # what a film that serves as image or video is decoded by
SCHEDULE = [("clip", "CLIP", "schedule", "clip"), ("schedule", "schedule", "sampler", "schedule")]


def text_to_video(variant, prompt, negative=None, note="", small_gpu=False, keep_memory=""):
    prompts = [text("positive", "Prompt", prompt, 0, GREEN)]
    prompts += [] if negative is None else [text("negative", "Negative prompt", negative, 200, RED)]
    note = f"{note}\n\n{keep_memory}" if keep_memory else note
    film = [
        sampler(),
        *([keep()] if keep_memory else []),
        markdown("Film", words.FILM_NOTE.format(note).strip(), 260 if keep_memory else 0),
    ]
    columns = [
        models(variant, small_gpu),
        ("Prompt and size", 400, [*prompts, memory()]),
        ("Film", 440 if keep_memory else 320, film),
        ("Decode and save", 480, output(small_gpu=small_gpu)),
    ]
    links = [MODEL, MEMORY, *output_links(("sampler", "latent")), *([KEEP] if keep_memory else [])]
    return columns, links + prompt_links(*(n["name"] for n in prompts), to="sampler")


def schedule_node(schedule):
    return node("schedule", "HeliosPromptSchedule", 0, BLUE, schedule=schedule)


def schedule_film(schedule, chunks):
    notes = [
        markdown("Film", words.FILM_NOTE.format("").strip(), 150),
        markdown("The schedule's text", words.SCHEDULE_NOTE, 0),
    ]
    columns = [
        models(),
        ("Prompts over time", 520, [schedule_node(schedule), memory()]),
        ("Film", 320, [sampler(length=33 * chunks), keep(), *notes]),
        ("Decode and save", 480, output()),
    ]
    return columns, [MODEL, MEMORY, KEEP, *SCHEDULE, *output_links(("sampler", "latent"))]


def loaded(kind):
    """What a film begins with: the memory's input, the nodes that give it, their output, columns before, links."""
    given = {
        "image": node("given", "LoadImage", 300, image="example.png"),
        "video": node("given", "LoadVideo", 430, file="your_video.mp4"),
    }[kind]
    return kind, [given], ("given", kind.upper()), [], []


def drawn(kind, prompt):
    """The same made by the demo itself, so that there is nothing to bring."""
    prompt = text("drawing", f"What the {kind} shows", prompt, 0, GREEN)
    column, links = makers(kind, prompt, ("CONDITIONING", "draw", "positive"), CHUNK_FRAMES)
    if kind == "video":
        return kind, [], DRAWN, [column], links
    first = node("given", "ImageFromBatch", 110, batch_index=0, length=1)
    return kind, [first], ("given", "IMAGE"), [column], [*links, (*DRAWN, "given", "image")]


def makers(what, prompt, prompt_link, length):
    """A column that samples and decodes a film from nothing, and its links; `prompt` is the node "drawing"."""
    nodes = [prompt, memory("canvas"), sampler("draw", title=f"Makes the {what}", length=length, seed=7)]
    links = [
        ("clip", "CLIP", "drawing", "clip"),
        ("drawing", *prompt_link),
        ("model", "MODEL", "draw", "model"),
        ("canvas", "memory", "draw", "memory"),
        ("draw", "latent", "drawn", "samples"),
        ("vae", "VAE", "drawn", "vae"),
    ]
    return (f"Make the {what}", 400, [*nodes, node("drawn", "HeliosVAEDecode", 180)]), links


def from_picture(given, prompt, note):
    """A film that begins with an image or a video, `given` as `loaded` has it."""
    kind, nodes, output_of, before, given_links = given
    columns = [
        models(),
        *before,
        ("Beginning and prompt", 400, [*nodes, text("positive", "Prompt", prompt, 0, GREEN), memory()]),
        ("Film", 320, [sampler(length=132), keep(), markdown(f"From {kind} to video", note, 0)]),
        ("Decode and save", 480, output()),
    ]
    links = [
        MODEL,
        MEMORY,
        KEEP,
        *given_links,
        (*output_of, "memory", kind),
        ("vae", "VAE", "memory", "vae"),
        *prompt_links("positive", to="sampler"),
    ]
    return columns, links + output_links(("sampler", "latent"))


def extend(prompt, note):
    load = node("memory", "HeliosLoadMemory", 400, memory_file="helios/film_00001_.safetensors [output]")
    columns = [
        models(),
        ("The film so far", 400, [load, text("positive", "How it goes on", prompt, 0, GREEN)]),
        ("Film", 320, [sampler(length=66), keep(), markdown("Extend", note, 0)]),
        ("Decode and save", 480, output(prefix="video/Helios extended")),
    ]
    links = [MODEL, MEMORY, KEEP, ("model", "MODEL", "memory", "model"), *prompt_links("positive", to="sampler")]
    return columns, links + output_links(("sampler", "latent"))


def two_endings():
    prompts = [
        ("beginning", "Beginning", words.LAKE),
        ("sunny", "Ending A", words.SUNNY_END),
        ("stormy", "Ending B", words.STORMY_END),
    ]
    samplers = [
        sampler("first", 410, "Beginning: 3 chunks"),
        sampler("ending sunny", 410, "Ending A: 2 chunks", length=66),
        sampler("ending stormy", 410, "Ending B: 2 chunks", length=66),
    ]
    texts = [text(name, title, prompt, 0 if name == "stormy" else 240, GREEN) for name, title, prompt in prompts]
    columns = [
        models(),
        ("Prompts and size", 400, [*texts, memory()]),
        ("One beginning, two endings", 320, samplers),
        (
            "Two films",
            480,
            [
                node("join sunny", "LatentConcat", 110, dim="t"),
                *output(" sunny", prefix="video/Helios ending A"),
                node("join stormy", "LatentConcat", 110, dim="t"),
                *output(" stormy", prefix="video/Helios ending B"),
            ],
        ),
        ("Notes", 320, [markdown("Two endings", words.ENDINGS_NOTE, 260)]),
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


def reroll():
    storm = "\n\n".join(paper_boat(6, 3, 7, 10, 13).split("\n\n")[:2])  # the story's first two prompts
    chain = [
        sampler("before", 410, "Chunks 0 and 1", length=66),
        sampler("chunk", 410, "Chunk 2: re-roll its seed", length=33, seed=7),
        sampler("after", 410, "Chunks 3 to 5", length=99, seed=43),
    ]
    columns = [
        models(),
        ("Prompts over time", 520, [schedule_node(storm), memory()]),
        ("Three samplers in a chain", 320, chain),
        (
            "Join, decode and save",
            480,
            [
                [node("join", "LatentConcat", 110, dim="t"), node("join all", "LatentConcat", 110, dim="t")],
                *output(),
                markdown("Re-roll", words.REROLL_NOTE, 300),
            ],
        ),
    ]
    links = [("clip", "CLIP", "schedule", "clip"), ("memory", "memory", "before", "memory")]
    for before, name in ((None, "before"), ("before", "chunk"), ("chunk", "after")):
        links += [("model", "MODEL", name, "model"), ("schedule", "schedule", name, "schedule")]
        links += [(before, "memory", name, "memory")] if before else []
    links += [("before", "latent", "join", "samples1"), ("chunk", "latent", "join", "samples2")]
    links += [("join", "LATENT", "join all", "samples1"), ("after", "latent", "join all", "samples2")]
    return columns, links + output_links(("join all", "LATENT"))


def loaded_pictures():
    """The nodes of two pictures, columns before, links."""
    return [node(f"picture {end}", "LoadImage", 320, image="example.png") for end in "ab"], [], []


def drawn_pictures():
    """The same made by the demo itself: a frame of each of two chunks."""
    frames = {"a": CHUNK_FRAMES // 2, "b": CHUNK_FRAMES + CHUNK_FRAMES // 2}
    pictures = [node(f"picture {end}", "ImageFromBatch", 110, batch_index=at, length=1) for end, at in frames.items()]
    prompts = node("drawing", "HeliosPromptSchedule", 0, BLUE, title="What they show", schedule=words.PICTURES)
    column, links = makers("pictures", prompts, ("schedule", "draw", "schedule"), 2 * CHUNK_FRAMES)
    return pictures, [column], links + [(*DRAWN, picture["name"], "image") for picture in pictures]


def keyframes(schedule, given):
    pictures, before, links = given

    def keyframe(name, title, **widgets):
        return node(name, "HeliosKeyframe", 300, title=title, **widgets)

    columns = [
        models(),
        *before,
        ("Prompts over time", 520, [schedule_node(schedule), memory()]),
        (
            "Pictures",
            320,
            [
                pictures[0],
                keyframe("keyframe a", "Chunk 3: cut to the picture", start=3),
                pictures[1],
                keyframe("keyframe b", "Chunk 6: blend into the picture", start=6, transition="blend", blend_chunks=3),
            ],
        ),
        ("Film", 320, [sampler(length=330), markdown("Keyframes", words.KEYFRAMES_NOTE, 0)]),
        (
            "Decode, save and report",
            480,
            [
                *output(),
                [node("report", "HeliosFilmReport", 90), node("show", "PreviewImage", 320)],
            ],
        ),
    ]
    columns[-1][2][-1][0]["height"] = 320
    links = [*links, MODEL, MEMORY, SCHEDULE[0], ("schedule", "schedule", "keyframe a", "schedule")]
    links += [("keyframe a", "schedule", "keyframe b", "schedule"), ("keyframe b", "schedule", "sampler", "schedule")]
    for end in "ab":
        links += [("vae", "VAE", f"keyframe {end}", "vae"), (f"picture {end}", "IMAGE", f"keyframe {end}", "image")]
    links += [("decode", "IMAGE", "report", "video"), ("sampler", "memory", "report", "memory")]
    return columns, [*links, ("report", "image", "show", "images"), *output_links(("sampler", "latent"))]


def long_film():
    values = dict(seed=42, control_after_generate="fixed", length=1452, filename_prefix="video/Helios film")
    columns = [
        models(),
        ("Prompts over time", 520, [schedule_node(paper_boat(44, 9, 18, 27, 36)), memory()]),
        ("Film", 480, [node("sampler", "HeliosSampleToVideo", 0, **values)]),
        (
            "Report",
            400,
            [
                node("report", "HeliosFilmReport", 90),
                node("save", "SaveImage", 300, filename_prefix="video/Helios report"),
                keep(),
                markdown("A long film", words.LONG_NOTE, 0),
            ],
        ),
    ]
    links = [MODEL, MEMORY, KEEP, *SCHEDULE, ("vae", "VAE", "sampler", "vae")]
    links += [("sampler", "video", "report", "video"), ("sampler", "memory", "report", "memory")]
    return columns, [*links, ("report", "image", "save", "images")]


def source(folder, file):
    return {"models": [{"name": file, "url": f"{HUB}/{folder}/{file}", "directory": folder}]}


def markdown(title, content, height):
    return dict(name=f"note {title}", type="MarkdownNote", title=title, text=content, height=height, tint=BLACK)


def text(name, title, content, height, tint):
    return dict(name=name, type="CLIPTextEncode", title=title, widgets={"text": content}, height=height, tint=tint)


def demo(workflow, variant="distilled"):
    """A workflow with the demo in place of the models, at its size, under names of its own."""
    (_, *columns), links = workflow
    own = {
        "HeliosHistoryMemory": {"width": 192, "height": 128},
        "HeliosSaveMemory": {"filename_prefix": "helios/demo"},
        "HeliosLoadMemory": {"memory_file": "helios/demo_00001_.safetensors [output]"},
    }
    for spec in nodes_of(columns):
        spec["widgets"] = {**spec.get("widgets", {}), **own.get(spec["type"], {})}
        if spec["type"] == "SaveVideo":
            spec["widgets"]["filename_prefix"] = spec["widgets"]["filename_prefix"].replace("Helios", "Helios demo")
    loader = node("demo", "HeliosDemoLoader", 140, variant=variant)
    column = "Demo model", 320, [loader, markdown("Demo", words.DEMO_NOTE, 0)]
    links = [("demo" if start in ("model", "clip", "vae") else start, *rest) for start, *rest in links]
    return [column, *columns], links


def layout(columns, height=920, gap=40, title=30, label=40):
    """Place the nodes, those of a list side by side; nodes of height 0 share what their column has left."""
    columns = [(name, width, [as_row(r) for r in rows]) for name, width, rows in columns]
    height = max(height, *(sum((r[0]["height"] or 210) + title + gap for r in rows) - gap for _, _, rows in columns))
    placed, groups, x = [], [], 0
    for number, (name, width, rows) in enumerate(columns, 1):
        left = height + gap - sum(row[0]["height"] + title + gap for row in rows)
        left //= max(1, sum(not row[0]["height"] for row in rows))
        y = 0
        for row in rows:
            tall = row[0]["height"] or left
            wide = (width - gap * (len(row) - 1)) // len(row)
            for i, node in enumerate(row):
                node = {**node, "pos": [x + i * (wide + gap), y], "size": [wide, tall]}
                node["color"], node["bgcolor"] = node.pop("tint", (None, None))
                placed.append({key: value for key, value in node.items() if value is not None})
            y += tall + title + gap
        bounding = [x - gap // 2, -title - label, width + gap, height + label + gap // 2]
        groups.append({"title": f"{number} {name}", "bounding": bounding, "color": "#3f789e"})
        x += width + 2 * gap
    return placed, groups


def as_row(row):
    return row if isinstance(row, list) else [row]


def nodes_of(columns):
    return [spec for _, _, rows in columns for row in rows for spec in as_row(row)]


def build(page, nodes, groups, links):
    workflow = build_workflow(page, nodes, links, groups)
    for node, spec in zip(sorted(workflow["nodes"], key=lambda n: n["id"]), nodes):
        if spec.get("advanced"):
            node["showAdvanced"] = True
    workflow.pop("id", None)
    workflow["extra"] = {}
    load_workflow(page, workflow)
    return workflow


def picture(page, path, groups, width, limit):
    """These groups of the graph as a picture `width` pixels wide, of `limit` bytes at the most."""
    left, top, right, bottom = page.evaluate(
        """([first, last]) => {
            const {ds, graph} = app.canvas, {pos: from} = graph.groups[first], {pos: to, size} = graph.groups[last];
            const at = (x, y) => [(x + ds.offset[0]) * ds.scale, (y + ds.offset[1]) * ds.scale];
            return [...at(from[0], from[1]), ...at(to[0] + size[0], to[1] + size[1])];
        }""",
        groups,
    )
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        scale = shot.width / page.viewport_size["width"]
        shot = shot.convert("RGB").crop([round(v * scale) for v in (left, top, right, bottom)])
    shot = shot.resize((width, round(shot.height * width / shot.width)), Image.Resampling.LANCZOS)
    if path.suffix == ".png":
        shot = shot.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4)
    for quality in (80, 60, 40):
        shot.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= limit:
            return
    raise SystemExit(f"{path}: {path.stat().st_size} bytes, more than {limit}")


def main():
    with tempfile.TemporaryDirectory() as folder, ComfyServer(find_comfyui(), Path(folder)) as server:
        for directory, name in (TEXT_ENCODER, VAE):
            (server.models_dir / directory).mkdir(exist_ok=True)
            (server.models_dir / directory / name).touch()
        for variant in ("Base", "Mid", "Distilled"):
            transformer = server.models_dir / "diffusion_models" / f"Helios-{variant}" / "transformer"
            transformer.mkdir(parents=True)
            (transformer / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
        Image.new("RGB", (640, 384), "#567").save(server.input_dir / "example.png")
        (server.input_dir / "your_video.mp4").touch()
        (server.output_dir / "helios").mkdir()
        for name in ("film", "demo"):
            (server.output_dir / "helios" / f"{name}_00001_.safetensors").touch()
        server.post(
            "/settings",
            {
                "Comfy.TutorialCompleted": True,
                "Comfy.VueNodes.Enabled": False,
                "Comfy.Minimap.Visible": False,
                "Comfy.TextareaWidget.FontSize": 14,
            },
        )
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = chromium.new_page(viewport={"width": 1600, "height": 1000}, device_scale_factor=2)
            page.goto(server.url)
            page.wait_for_function(
                "() => window.app?.extensionManager?.workflow?.activeWorkflow && app.graph.nodes.length"
            )
            page.evaluate("() => app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
            for name, make in WORKFLOWS.items():
                columns, links = make()
                workflow = build(page, *layout(columns), links)
                target = PACK / "workflows" / f"{name}.json"
                target.write_text(json.dumps(workflow, indent=2) + "\n", encoding="utf-8")
                screenshot(page, Path(sys.argv[1] if len(sys.argv) > 1 else folder) / f"{name}.png")
                picture(page, target.with_suffix(".jpg"), [1, 2], 480, 60_000)
                if name == FILM:
                    picture(page, PACK / "web/docs/assets/schedule_film.png", [0, 3], 1600, 200_000)
            chromium.close()


if __name__ == "__main__":
    main()
