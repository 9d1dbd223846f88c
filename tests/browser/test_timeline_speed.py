"""A film of 2,000 chunks and 500 prompts: what the timeline puts into the page, and how long a drag and a letter take."""

import json

import pytest

from browser import load_workflow, opened_page
from shipped import shipped
from timeline_page import EDITOR, TimelinePage

CHUNKS, PROMPTS = 2000, 500
TEXT = "style: film grain\n" + "".join(
    f"{4 * i}{' blend 3' if i % 3 == 2 else ''}: A wide shot of the harbour number {i}, boats rocking softly,\n"
    "    late light on the water\n"
    for i in range(PROMPTS)
)
# How long each event keeps the page busy: its listeners, and the frame that shows what came of it, without the wait for
# that frame's turn.
MEASURE = """() => {
    window.took = [];
    const soon = run => {
        const channel = new MessageChannel(); // behind what is under way
        channel.port1.onmessage = run;
        channel.port2.postMessage(0);
    };
    for (const type of ["pointermove", "input"])
        window.addEventListener(type, () => {
            const begin = performance.now();
            let listeners = 0;
            soon(() => (listeners ||= performance.now() - begin));
            requestAnimationFrame(() => {
                const frame = performance.now();
                listeners ||= frame - begin;
                soon(() => window.took.push(listeners + performance.now() - frame));
            });
        }, true);
}"""


def film():
    """2,000 chunks on disk, as the server would tell of them."""
    names = [f"{k:032x}" for k in range(CHUNKS)]
    chunks = {
        name: {
            "chunk": k,
            "parent": names[k - 1] if k else "",
            "seed": "0",
            "prompt": "a harbour",
            "seconds": 41.0,
            "made": 1e9 + k,
            "starred": False,
            "thumbnail": False,
            "clip": False,
        }
        for k, name in enumerate(names)
    }
    run = {"first": 0, "end": CHUNKS, "seed": "0", "text": "", "state": "done", "error": "", "chunks": names, "reused": []}
    return {"film": "0" * 32, "revision": "1", "run": {**run, "settings": {}}, "chunks": chunks, "now": None}


@pytest.fixture(scope="module")
def timeline(server, chromium):
    with opened_page(server, chromium) as page:
        body = json.dumps(film())
        page.route("**/helios/films?*", lambda route: route.fulfill(body=body, content_type="application/json"))
        workflow = shipped("Helios Demo - Prompt Schedule Film")
        for node in workflow["nodes"]:
            if node["type"] == "HeliosChunkSampler":
                values = node["widgets_values"]
                values[values.index("frames")] = "chunks"
                values[values.index(297)] = CHUNKS
        load_workflow(page, workflow)
        timeline = TimelinePage(page)
        timeline.text = TEXT
        timeline.open()
        page.evaluate(MEASURE)
        yield timeline


def p95(timeline) -> float:
    timeline.page.wait_for_timeout(100)
    took = sorted(timeline.page.evaluate("() => window.took.splice(0)"))
    print(f"{len(took)} events, median {took[len(took) // 2]:.1f} ms, p95 {took[int(len(took) * 0.95)]:.1f} ms")
    assert len(took) >= 60
    return took[int(len(took) * 0.95)]


def count(timeline) -> int:
    return timeline.page.evaluate("() => document.querySelectorAll('.helios-timeline .helios-lanes *').length")


def test_elements(timeline):
    counts = [count(timeline)]
    for _ in range(12):
        timeline.press("+")
        timeline.page.wait_for_timeout(30)
        counts.append(count(timeline))
    print("elements from the whole film to a few chunks:", counts)
    assert 60 < max(counts) <= 200
    timeline.press("f")


def test_drag(timeline):
    for _ in range(6):
        timeline.press("+")
    timeline.page.wait_for_timeout(100)
    timeline.page.evaluate("() => (window.took.length = 0)")
    x, y = timeline.at("prompts", 8)
    timeline.page.mouse.move(x, y)
    timeline.page.mouse.down()
    for i in range(100):
        timeline.page.mouse.move(x + 40 * (i % 10) / 10 - 20, y)
        timeline.page.wait_for_timeout(12)
    timeline.page.mouse.up()
    assert p95(timeline) < 16


def test_typing(timeline):
    timeline.press("Home", "Enter")
    timeline.page.wait_for_timeout(100)
    timeline.page.evaluate("() => (window.took.length = 0)")
    timeline.keys.type(" and a red boat comes in, slowly, with its lamp lit and gulls behind it, at dusk.", delay=40)
    assert p95(timeline) < 16
    timeline.press("Escape", "Control+z")


def test_opened_a_hundred_times(timeline):
    """Nothing is left behind."""
    page = timeline.page
    session = page.context.new_cdp_session(page)

    def open_and_close(times):
        for _ in range(times):
            timeline.close()
            page.evaluate("() => app.extensionManager.command.execute('Helios.OpenTimeline')")
            page.wait_for_selector(EDITOR)
        for _ in range(3):
            session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    before = open_and_close(10)
    after = open_and_close(100)
    print(f"heap {before / 1e6:.1f} MB, after 100 times open and close {after / 1e6:.1f} MB")
    assert after < 1.05 * before
