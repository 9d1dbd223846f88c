"""Build workflows/ with its thumbnails, and the README's picture, in the real frontend.

    python tools/make_workflows.py

needs what the browser tests need: a ComfyUI, Chromium and playwright. The workflows are data, below; columns are laid
out from left to right, the nodes of a column from top to bottom.
"""

import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK / "tests" / folder) for folder in ("host", "browser")]

from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from browser import build_workflow, load_workflow, screenshot  # noqa: E402
from comfy_server import ComfyServer, find_comfyui  # noqa: E402

HUB = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
TEXT_ENCODER = ("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
VAE = ("vae", "wan_2.1_vae.safetensors")
FILM = "Helios - Prompt Schedule Film"
BLUE, BLACK, GREEN, RED = ("#223", "#335"), ("#222", "#000"), ("#232", "#353"), ("#322", "#533")

NEGATIVE = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, overall "
    "gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn hands, "
    "poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy background, three "
    "legs, many people in the background, walking backwards"
)
FOX = (
    "A red fox trots through fresh snow in a quiet pine forest at first light. Its breath steams in the cold air, "
    "powder lifts from its paws at every step, and the low golden sun breaks through the trunks behind it and rims its "
    "fur. It stops, pricks up its ears, turns its head to the camera and trots on. The camera moves alongside, close, "
    "at the height of the fox's eyes, with the forest softly out of focus. Cinematic nature documentary, natural "
    "colours, fine detail in fur and snow."
)
SHIP = (
    "A three-masted sailing ship runs before the wind across a rough grey-green sea under racing clouds. The bow drops "
    "into a trough and rises again in a burst of white spray, the canvas strains and snaps, ropes swing, foam streams "
    "off the deck. A shaft of sunlight breaks through and sweeps over the sails. Slow aerial shot that circles the "
    "ship from the bow to the stern, horizon level. Cinematic, dramatic light, fine detail in water and rigging."
)
TRAIN = (
    "A black steam locomotive pulls four red carriages over a tall stone viaduct in an autumn valley. Thick white "
    "steam rolls back along the train and drifts between the arches, the driving rods turn steadily, yellow and "
    "copper trees cover the slopes, a river glitters far below. The camera flies beside the train at the same speed "
    "and slowly pulls away until the whole viaduct is in view. Cinematic aerial shot, soft morning light, fine detail."
)
BIRD = (
    "A hummingbird hovers in front of a red trumpet flower in a sunlit garden. Its wings are a blur, its green throat "
    "feathers flash as it turns, it dips its bill into the flower, draws back, and dips it into the next one. Small "
    "drops of dew fall from the petals. Close-up with a long lens, the camera holds still, the garden behind is a soft "
    "wash of green and gold. Nature documentary, morning light, fine detail in the feathers."
)
PAPER_BOAT = """\
# The paper boat: 15 chunks of 33 frames, 20.6 s.
# Each prompt says boat, place, light and camera anew: the model knows only the current one.
0: A small boat folded from a page of newspaper drifts down a rain-filled gutter beside a cobbled street at dusk.
   Raindrops draw rings on the water, wet stones gleam, the warm light of shop windows trembles in the puddles. The
   camera glides along at water level, close to the boat, shallow depth of field. Cinematic, soft blue evening light.

3 blend 3: The small newspaper boat races down the gutter, which has become a rushing stream in a heavy downpour. It
   rocks and spins past fallen leaves, spray flies up, lightning flashes on the wet cobbles. The camera rushes along
   at water level, close to the boat. Cinematic, dark blue storm light.

7 cut: The small newspaper boat slides out onto a wide, calm canal at night. The rain has stopped, the black water is
   smooth, street lamps and the arch of a stone bridge are mirrored in it. The camera slows down behind the boat and
   rises a little. Cinematic, quiet, deep blue night with warm lamps.

10 blend 3: Hundreds of glowing paper lanterns float on the canal at night around the small newspaper boat. Their
   golden light shines through its thin paper and dances on the ripples as they drift together in one direction. The
   camera circles the boat slowly, close to the water. Cinematic, warm golden light, deep shadows.

13 cut: The small newspaper boat floats alone on a wide, still lake at sunrise. Mist lies on the flat water, the sky is
   pink and pale gold, one last lantern goes out beside it. The camera rises slowly until the boat is a white dot on
   the shining water. Cinematic, soft morning light, calm.
""".replace("\n   ", " ").rstrip()

# No `code` in the notes' text: Nodes 2.0 draws it blue on blue.
MODELS_NOTE = """\
**Transformer**, 28 GB: run this in models/diffusion_models, then press R here.

```
hf download BestWishYsh/Helios-{0} --include "transformer/*" --local-dir Helios-{0}
```
The rest of that repository, transformer_ode with it, is not needed.

**Text encoder** and **VAE**: ComfyUI offers to fetch them. By hand: [text encoder]({1}/{2}/{3}) into \
models/{2}, [VAE]({1}/{4}/{5}) into models/{4}."""
FILM_NOTE = """\
**length** is in frames and rounded up to chunks of 33, which are 1.4 s: 99 is 4.1 s, 495 is 20.6 s. With another \
**seed** it is another film.

{0}"""
DISTILLED_NOTE = "**steps** 1,1,1 is faster than the recipe's 2,2,2, with less structure."
BASE_NOTE = """\
Base takes 50 steps for each chunk, with and without the negative prompt: it is the slowest Helios. To try prompts, \
set **steps** to 20."""
MID_NOTE = """\
Mid takes 20 steps at each of three sizes, with and without the negative prompt. To try prompts, set **steps** to \
10,10,10."""
SMALL_GPU_NOTE = """\
For GPUs with little memory:
- **weight_dtype** fp8_e4m3fn: the weights take 14 GB, not 28. What the GPU cannot hold waits in RAM.
- **tiling** on: the VAE decodes a tile at a time.

A long film takes no more GPU memory than a short one."""
SCHEDULE_NOTE = """\
Each line is a prompt: **start transition: prompt**. It starts at a chunk (4), a second (5.5s) or a frame (132f). \
**cut** changes the words at once, **blend 3** over three chunks.

Either way the film goes on from its last frames, so name your subject in every prompt."""

WORKFLOWS = {
    "Helios - Text to Video (Distilled)": dict(variant="Distilled", prompt=FOX, note=DISTILLED_NOTE),
    "Helios - Text to Video (Base)": dict(variant="Base", prompt=SHIP, negative=NEGATIVE, note=BASE_NOTE),
    "Helios - Text to Video (Mid)": dict(variant="Mid", prompt=TRAIN, negative=NEGATIVE, note=MID_NOTE),
    "Helios - Text to Video (8 GB)": dict(variant="Distilled", prompt=BIRD, note=SMALL_GPU_NOTE, small_gpu=True),
    FILM: dict(variant="Distilled", schedule=PAPER_BOAT, note=SCHEDULE_NOTE, length=495),
}


def graph(variant, prompt="", negative="", schedule="", note="", length=99, small_gpu=False):
    """Nodes, links and groups of a text-to-video workflow."""
    loader = {"model_name": f"Helios-{variant}/", **({"weight_dtype": "fp8_e4m3fn"} if small_gpu else {})}
    decode = {"tiling": "on"} if small_gpu else {}
    models = [
        dict(
            name="model", type="HeliosModelLoader", height=200 if small_gpu else 165, widgets=loader, advanced=small_gpu
        ),
        dict(name="vae", type="VAELoader", height=80, widgets={"vae_name": VAE[1]}, properties=source(*VAE)),
        dict(
            name="clip",
            type="CLIPLoader",
            height=140,
            widgets={"clip_name": TEXT_ENCODER[1], "type": "wan"},
            properties=source(*TEXT_ENCODER),
        ),
        markdown("Models", MODELS_NOTE.format(variant, HUB, *TEXT_ENCODER, *VAE), 0),
    ]
    if schedule:
        prompts = [
            dict(name="schedule", type="HeliosPromptSchedule", height=0, widgets={"schedule": schedule}, tint=BLUE)
        ]
    else:
        prompts = [text("positive", "Prompt", prompt, 0, GREEN)]
        prompts += [text("negative", "Negative prompt", negative, 230, RED)] if negative else []
    memory = dict(name="memory", type="HeliosHistoryMemory", height=135, widgets={"width": 640, "height": 384})
    sampler = dict(
        name="sampler",
        type="HeliosChunkSampler",
        height=345,
        widgets={"seed": 42, "control_after_generate": "fixed", "length": length},
    )
    notes = [markdown("Film", FILM_NOTE.format("" if schedule else note).strip(), 0)]
    notes += [markdown("The schedule's text", note, 230)] if schedule else []
    save = [
        [
            dict(
                name="decode",
                type="HeliosVAEDecode",
                height=220 if small_gpu else 155,
                widgets=decode,
                advanced=small_gpu,
            ),
            dict(name="video", type="CreateVideo", height=220 if small_gpu else 155, widgets={"fps": 24}),
        ],
        dict(name="save", type="SaveVideo", height=0, widgets={"filename_prefix": "video/Helios"}),
    ]
    columns = [
        ("Models", 400, models),
        ("Prompts over time" if schedule else "Prompt and size", 520 if schedule else 400, [*prompts, memory]),
        ("Film", 320, [sampler, *notes]),
        ("Decode and save", 480, save),
    ]
    links = [
        ("model", "MODEL", "sampler", "model"),
        ("memory", "memory", "sampler", "memory"),
        ("sampler", "latent", "decode", "samples"),
        ("vae", "VAE", "decode", "vae"),
        ("decode", "IMAGE", "video", "images"),
        ("video", "VIDEO", "save", "video"),
    ]
    for name in (node["name"] for node in prompts):
        output = "schedule" if name == "schedule" else "CONDITIONING"
        links += [("clip", "CLIP", name, "clip"), (name, output, "sampler", name)]
    return *layout(columns), links


def source(folder, file):
    return {"models": [{"name": file, "url": f"{HUB}/{folder}/{file}", "directory": folder}]}


def markdown(title, content, height):
    return dict(name=f"note {title}", type="MarkdownNote", title=title, text=content, height=height, tint=BLACK)


def text(name, title, content, height, tint):
    return dict(name=name, type="CLIPTextEncode", title=title, widgets={"text": content}, height=height, tint=tint)


def layout(columns, height=920, gap=40, title=30, label=40):
    """Place the nodes, those of a list side by side; a node of height 0 takes what its column has left."""
    placed, groups, x = [], [], 0
    for number, (name, width, rows) in enumerate(columns, 1):
        rows = [row if isinstance(row, list) else [row] for row in rows]
        left = height - sum(row[0]["height"] for row in rows) - (title + gap) * len(rows) + gap
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
    shot.save(path, quality=80, optimize=True)
    if path.stat().st_size > limit:
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
            for name, values in WORKFLOWS.items():
                workflow = build(page, *graph(**values))
                target = PACK / "workflows" / f"{name}.json"
                target.write_text(json.dumps(workflow, indent=2) + "\n", encoding="utf-8")
                screenshot(page, Path(folder) / "view.png")
                picture(page, target.with_suffix(".jpg"), [1, 2], 480, 60_000)
                if name == FILM:
                    picture(page, PACK / "web/docs/assets/schedule_film.png", [0, 3], 1600, 200_000)
            chromium.close()


if __name__ == "__main__":
    main()
