"""Build workflows/ and the README's picture in the real frontend.

    python tools/make_workflows.py [--screenshots FOLDER] [NAME ...]

needs what the browser tests need: a ComfyUI, Chromium and playwright, and for the workflows of newer hosts the newest
ComfyUI. Names choose some workflows; without them all are made. Their pictures are made by make_thumbnails.py.
"""

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK), *(str(PACK / "tests" / folder) for folder in ("core", "host", "browser"))]

from playwright.sync_api import sync_playwright  # noqa: E402
from workflow_graphs import APPS, NEWER, TEXT_ENCODER, VAE, WORKFLOWS  # noqa: E402
from workflow_layout import Sizes, layout, measured, with_advanced  # noqa: E402

from browser import build_workflow, load_workflow, screenshot  # noqa: E402
from comfy_process import PlainProcess  # noqa: E402
from comfy_server import ComfyServer, find_comfyui, find_new_comfyui, find_new_frontend  # noqa: E402

LAPTOP = {"width": 1440, "height": 900}
# The README's picture, and the workflow that it shows.
PICTURE, SHOWN = PACK / "web" / "docs" / "assets" / "schedule_film.png", "Helios - Prompt Schedule Film"


def frontend(server, chromium):
    """A page with the frontend of a server where all models and files of the workflows seem to be there."""
    for _, directory, name in (TEXT_ENCODER, VAE):
        (server.models_dir / directory).mkdir(exist_ok=True)
        (server.models_dir / directory / name).touch()
    for variant in ("Base", "Mid", "Distilled"):
        transformer = server.models_dir / "diffusion_models" / f"Helios-{variant}" / "transformer"
        transformer.mkdir(parents=True)
        (transformer / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    for file in (PACK / "web" / "demo").iterdir():
        shutil.copy(file, server.input_dir)
    shutil.copy(PACK / "web" / "demo" / "helios_demo_bar.mp4", server.input_dir / "your_video.mp4")
    shutil.copy(PACK / "web" / "demo" / "helios_demo_star.png", server.input_dir / "example.png")
    (server.output_dir / "helios").mkdir()
    for name in ("film", "demo"):
        (server.output_dir / "helios" / f"{name}_00001_.safetensors").touch()
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False, "Comfy.Minimap.Visible": False}
    server.post("/settings", settings)
    page = chromium.new_page(viewport=LAPTOP, locale="en-US")
    page.goto(server.url)
    page.wait_for_function("() => window.app?.extensionManager?.workflow?.activeWorkflow", timeout=120_000)
    return page


@contextmanager
def frontends(servers):
    """A page of each of these servers, in one Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield [frontend(server, chromium) for server in servers]
        chromium.close()


def build(page, name, columns, links, sizes) -> dict:
    nodes, groups = layout(columns, sizes)
    workflow = with_advanced(build_workflow(page, nodes, links, groups), nodes)
    ids = {spec["name"]: node["id"] for spec, node in zip(nodes, sorted(workflow["nodes"], key=lambda n: n["id"]))}
    for node, spec in zip(sorted(workflow["nodes"], key=lambda n: n["id"]), nodes):
        node["size"] = [round(side) for side in spec["size"]]  # what the classic renderer adds it adds again
    workflow.pop("id", None)
    workflow["extra"] = {}
    if name in APPS:
        inputs, outputs = APPS[name]
        shown = {"inputs": [[ids[node], widget] for node, widget in inputs], "outputs": [ids[node] for node in outputs]}
        workflow["extra"] = {"linearMode": False, "linearData": shown}
    load_workflow(page, workflow)
    return workflow


def make(servers, names, screenshots):
    """In the first of the servers; all of them say how much room nodes need."""
    if not names:
        return
    graphs = {name: WORKFLOWS[name]() for name in names}
    with ExitStack() as stack:
        pages = stack.enter_context(frontends([stack.enter_context(server) for server in servers]))
        specs, widths = zip(*(found for columns, _ in graphs.values() for found in measured(columns)))
        page, sizes = pages[0], Sizes(pages, specs, widths)
        for name, (columns, links) in graphs.items():
            workflow = build(page, name, columns, links, sizes)
            target = PACK / "workflows" / f"{name}.json"
            target.write_text(json.dumps(workflow, indent=2) + "\n", encoding="utf-8")
            if name == SHOWN:
                screenshot(page, PICTURE)
            if screenshots:
                screenshot(page, screenshots / f"{name}.png")
                print(f"{name}: fits at {page.evaluate('() => app.canvas.ds.scale'):.0%}")


def hosts(folder: Path) -> list[ComfyServer]:
    """The ComfyUI of the tests, with its own frontend and with the newest."""
    here = [ComfyServer(find_comfyui(), folder / "host")]
    if newest := find_new_frontend():
        here.append(ComfyServer(find_comfyui(), folder / "newest", ("--front-end-root", str(newest))))
    return here


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="workflows to make")
    parser.add_argument("--screenshots", type=Path, help="a folder for a picture of each graph")
    args = parser.parse_args()
    names = args.names or list(WORKFLOWS)
    with tempfile.TemporaryDirectory() as folder:
        make(hosts(Path(folder)), [name for name in names if name not in NEWER], args.screenshots)
        newer = [name for name in names if name in NEWER]
        if newer and not find_new_comfyui():
            raise SystemExit(f"{', '.join(newer)}: no newer ComfyUI found; see find_new_comfyui")
        if newer:
            path, python = find_new_comfyui()
            process = partial(PlainProcess, python=python)
            make([ComfyServer(path, Path(folder) / "new", process=process)], newer, args.screenshots)


if __name__ == "__main__":
    main()
