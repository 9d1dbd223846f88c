"""Make the timeline's pictures in the README and the help pages: the demo's film, half made, in the real frontend.

    python tools/make_timeline_pictures.py [FOLDER]

needs what the browser tests need: a ComfyUI, Chromium and playwright.
"""

import shutil
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK), *(str(PACK / "tests" / folder) for folder in ("core", "host", "browser"))]

from playwright.sync_api import sync_playwright  # noqa: E402

from browser import load_workflow, opened_page, run_workflow  # noqa: E402
from comfy_server import ComfyServer, find_comfyui  # noqa: E402
from shipped import shipped  # noqa: E402
from timeline_page import EDITOR, TimelinePage  # noqa: E402

ASSETS = PACK / "web" / "docs" / "assets"
TEXT = """style: Seen from afar.
0: A large yellow star bounces from side to side on a navy background.
2 blend 2: A large red triangle bounces from side to side on a navy background.
5: A medium orange star stays still on a white background.
5 image: helios_demo_star.png
7: A large purple square moves back and forth in front of a black wall.
off 6: A large green bar moves to the left on a black background.
"""
NODE = """() => {
    const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
    const sampler = app.graph.nodes.find(n => n.type === "HeliosChunkSampler");
    sampler.widgets.find(w => w.name === "length").value = 297;
    app.canvas.ds.scale = 1.3;
    app.canvas.ds.offset = [120 - node.pos[0], 140 - node.pos[1]];
    app.canvas.setDirty(true, true);
    const [w, h] = node.size;
    return {x: 110 * 1.3, y: 102 * 1.3, width: (w + 20) * 1.3, height: (h + 50) * 1.3};
}"""
MADE = "count => document.querySelectorAll('.helios-timeline .cell.done').length >= count"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as base:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with ComfyServer(find_comfyui(), Path(base)) as server:
            for file in (PACK / "web" / "demo").iterdir():
                shutil.copy(file, server.input_dir)
            with opened_page(server, chromium, vue=True) as page:
                page.set_viewport_size({"width": 1280, "height": 860})
                load_workflow(page, shipped("Helios Demo - Prompt Schedule Film"))
                picture(page, TimelinePage(page), server, folder)


def picture(page, timeline, server, folder: Path) -> None:
    timeline.text = TEXT
    timeline.open()
    run_workflow(page)
    page.wait_for_function(MADE, arg=9)
    page.wait_for_timeout(2500)  # the clips of decoded frames
    timeline.click("chunks", 6.5)
    timeline.press("t")
    page.get_by_role("button", name="New seed", exact=True).click()
    page.wait_for_timeout(500)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => document.querySelector('.helios-timeline .cell.running')")
    timeline.click("chunks", 4.5)
    page.wait_for_timeout(700)
    page.locator(EDITOR).screenshot(path=folder / "timeline_editor.png")
    page.wait_for_function("() => app.ui.lastQueueSize === 0", timeout=60_000)
    page.wait_for_timeout(4000)
    timeline.click("chunks", 6.2)
    timeline.press("c")
    page.wait_for_timeout(1500)
    page.locator(EDITOR).screenshot(path=folder / "timeline_compare.png")
    timeline.press("Escape")
    timeline.close()
    page.set_viewport_size({"width": 1280, "height": 1100})
    clip = page.evaluate(NODE)
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / "timeline_strip.png", clip=clip)


if __name__ == "__main__":
    main()
