"""A film of 2,000 chunks and 500 prompts: what the timeline puts into the page, how long a drag and a letter take."""

import json
from bisect import bisect_right

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
    run = {"first": 0, "end": CHUNKS, "seed": "0", "text": "", "state": "done", "error": "", "chunks": names}
    run |= {"reused": [], "settings": {}}
    return {"film": "0" * 32, "revision": "1", "run": run, "chunks": chunks, "now": None}


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
        yield timeline


def p95_of(page, kind: str, act) -> float:
    """What events of a kind cost the page while `act` makes them, in milliseconds: the task that hears of each, and the
    task of the frame that shows what came of it, in time of the processor. As Chromium traced them, the least of three
    tries."""
    found = []
    for _ in range(3):
        browser = page.context.browser
        browser.start_tracing(page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"])
        act()
        took = sorted(tasks_of(json.loads(browser.stop_tracing())["traceEvents"], kind))
        found.append(took[int(len(took) * 0.95)])
        print(f"{len(took)} times {kind}: median {took[len(took) // 2]:.1f} ms, p95 {found[-1]:.1f} ms")
        assert len(took) >= 60
        if found[-1] < 16:
            break
    return min(found)


def tasks_of(events: list[dict], kind: str) -> list[float]:
    main = {
        (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    events = sorted((e for e in events if e.get("ph") == "X" and (e["pid"], e["tid"]) in main), key=lambda e: e["ts"])
    tasks = [e for e in events if e["name"] == "RunTask"]
    begins = [task["ts"] for task in tasks]
    heard = [e for e in events if e["name"] == "EventDispatch" and e["args"]["data"]["type"] == kind]
    frames = [e for e in events if e["name"] == "FireAnimationFrame"]
    drawn = [
        e["ts"]
        for e in events
        if e["name"] == "FunctionCall"
        and "timeline/editor.js" in e["args"]["data"].get("url", "")
        and within(e, frames)
    ]

    def task_at(time):
        return tasks[bisect_right(begins, time) - 1]

    took = []
    for event in heard:
        at = bisect_right(drawn, event["ts"])
        if at < len(drawn):
            both = {id(task): task.get("tdur", task["dur"]) for task in (task_at(event["ts"]), task_at(drawn[at]))}
            took.append(sum(both.values()) / 1000)
    return took


def within(event: dict, frames: list[dict]) -> bool:
    frame = frames[bisect_right(frames, event["ts"], key=lambda f: f["ts"]) - 1] if frames else None
    return frame is not None and frame["ts"] <= event["ts"] <= frame["ts"] + frame["dur"]


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
    page = timeline.page
    for _ in range(6):
        timeline.press("+")
    page.wait_for_timeout(100)

    def drag():
        x, y = timeline.at("prompts", 8)
        page.mouse.move(x, y)
        page.mouse.down()
        for i in range(80):
            page.mouse.move(x + 4 * (i % 10) - 20, y)
            page.wait_for_timeout(12)
        page.mouse.move(x, y)
        page.mouse.up()

    assert p95_of(page, "pointermove", drag) < 16


def test_typing(timeline):
    timeline.press("Home", "Enter")
    timeline.page.wait_for_timeout(100)
    words = " and a red boat comes in, slowly, with its lamp lit and gulls behind it, at dusk."
    assert p95_of(timeline.page, "input", lambda: timeline.keys.type(words, delay=40)) < 16
    timeline.press("Escape", "Control+z")


def test_opened_a_hundred_times(timeline):
    """Nothing is left behind."""
    page = timeline.page
    session = page.context.new_cdp_session(page)

    def open_and_close(times):
        for _ in range(times):
            timeline.close()
            page.evaluate("() => app.extensionManager.command.execute('Helios.OpenTimeline')")
            page.locator(EDITOR).wait_for()
        for _ in range(3):
            session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    before = open_and_close(10)
    after = open_and_close(100)
    print(f"heap {before / 1e6:.1f} MB, after 100 times open and close {after / 1e6:.1f} MB")
    assert after < 1.05 * before
