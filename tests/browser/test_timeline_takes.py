"""The lane of chunks says what is on disk, after edits, a cancel, a kill and a restart; takes are kept and found."""

import json

import pytest

from browser import load_workflow, opened_page, run_workflow
from comfy_server import ComfyServer
from shipped import shipped
from timeline_page import EDITOR, TimelinePage

STAR = "A large yellow star bounces from side to side on a navy background."
SQUARE = "A large blue square moves up and down on a white background."
BAR = "A large green bar moves to the left on a black background."
TEXT = f"0: {STAR}\n2: {SQUARE}\n"
LANE = """() => [...document.querySelectorAll(".helios-timeline .cell")].map(cell =>
    ["done", "reused", "running", "stale", "missing", "failed"].find(status => cell.classList.contains(status)))"""
SET = """([name, value]) => {
    const node = app.graph.nodes.find(n => n.type === "HeliosChunkSampler");
    node.widgets.find(w => w.name === name).value = value;
}"""


@pytest.fixture(scope="module")
def own_server(comfy_path, tmp_path_factory):
    """One that can be killed."""
    with ComfyServer(comfy_path, tmp_path_factory.mktemp("takes")) as server:
        yield server


@pytest.fixture(scope="module")
def timeline(own_server, chromium):
    with opened_page(own_server, chromium) as page:
        load_workflow(page, shipped("Helios Demo - Prompt Schedule Film"))
        for name, value in (("length", 132), ("steps", "8,8,8")):
            page.evaluate(SET, [name, value])
        timeline = TimelinePage(page)
        timeline.text = TEXT
        timeline.open()
        yield timeline
        timeline.close()


def wait_for_lane(timeline, *states: str) -> None:
    timeline.page.wait_for_function(f"states => String(({LANE})()) === String(states)", arg=states, timeout=60_000)


def run_until(timeline, *states: str) -> None:
    """Queue it, and wait for what the lane says meanwhile."""
    timeline.page.evaluate("() => app.queuePrompt(0)")
    wait_for_lane(timeline, *states)


def say(timeline, chunk: int, prompt: str) -> None:
    """In place of the prompt that begins at a chunk."""
    timeline.click("prompts", chunk + 0.5)
    timeline.press("Enter", "Control+a")
    timeline.keys.type(prompt)
    timeline.press("Control+Enter")


def test_what_is_on_disk(own_server, timeline):
    page = timeline.page
    wait_for_lane(timeline, *4 * ["missing"])
    run_workflow(page)
    wait_for_lane(timeline, *4 * ["done"])

    say(timeline, 2, BAR)
    wait_for_lane(timeline, "done", "done", "stale", "stale")
    timeline.press("Control+z")
    wait_for_lane(timeline, *4 * ["done"])
    timeline.press("Control+Shift+z")

    run_until(timeline, "reused", "reused", "done", "running")
    own_server.interrupt()
    wait_for_lane(timeline, "reused", "reused", "done", "missing")

    run_until(timeline, "reused", "reused", "reused", "running")
    own_server.kill()
    own_server.start()
    wait_for_lane(timeline, "reused", "reused", "reused", "missing")
    page.reload()
    page.wait_for_function("() => window.app?.graph?.nodes.length > 3", timeout=60_000)
    timeline.open()
    wait_for_lane(timeline, "reused", "reused", "reused", "missing")
    run_workflow(page)
    wait_for_lane(timeline, "reused", "reused", "reused", "done")


def test_take_again_compare_and_go_back(own_server, timeline):
    page = timeline.page
    before = timeline.text
    timeline.click("chunks", 1.5)
    timeline.press("t")
    assert page.locator(".again p").inner_text().startswith("2 later chunks will be remade too. That takes about ")
    page.get_by_role("button", name="New seed", exact=True).click()
    assert timeline.text.startswith(f"0: {STAR}\n1 seed ") and timeline.text.endswith(before.partition("\n")[2])
    wait_for_lane(timeline, "reused", "stale", "stale", "stale")
    run_workflow(page)
    wait_for_lane(timeline, "reused", *3 * ["done"])

    timeline.press("*")
    page.locator(f"{EDITOR} .cell.starred").wait_for()
    timeline.press("c")
    figures = page.locator(f"{EDITOR} .compare figure")
    figures.first.wait_for()
    assert figures.count() == 2 and "★" in figures.nth(1).inner_text()
    page.wait_for_function(
        """() => [...document.querySelectorAll(".helios-timeline .compare video")].every(v => v.readyState >= 2)"""
    )
    figures.first.get_by_role("button", name="Use this take").click()
    timeline.wait_for_text(before)
    page.wait_for_function(f"() => ({LANE})().every(status => status === 'done' || status === 'reused')")
    made = own_server.log().count("Continuing at chunk")
    run_workflow(page)
    wait_for_lane(timeline, *4 * ["reused"])  # nothing was sampled
    assert own_server.log().rstrip().count("Nothing was left to make.") >= 1
    assert own_server.log().count("Continuing at chunk") == made
    (index,) = (own_server.output_dir / "helios" / "autosave").glob("*/film.json")
    film = json.loads(index.read_text("utf-8"))
    assert len(film["stars"]) == 1 and film["runs"][0]["state"] == "done"
