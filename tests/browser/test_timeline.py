"""The timeline in the page: what hands make there, and that the text in the node is the truth of it."""

import io
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from browser import (
    api_prompt,
    export_workflow,
    load_workflow,
    opened_page,
    run_workflow,
    set_setting,
    wait_until_ready,
)
from seen import distance, drawn, seen
from shipped import shipped
from timeline_page import EDITOR, STRIP, TimelinePage
from training.world import Thing

ROOT = Path(__file__).parents[2]
FILM = "Helios Demo - Prompt Schedule Film"
PROMPTS = [
    "A large yellow star bounces from side to side on a navy background.",
    "A medium cyan triangle stays still on a brown background.",
    "A large blue square moves up and down on a white background.",
    "A large green bar moves to the left on a black background.",
]
PICTURE = "0 triangle.png"  # the first of the list
BUILT = f"""0: {PROMPTS[0]}
2: {PROMPTS[1]}
3 image: {PICTURE}
5 blend 2: {PROMPTS[2]}
6 seed 1234
off 7: {PROMPTS[3]}
"""
FRONTENDS = {
    "1.45 classic": ("server", False),
    "1.45 Nodes 2.0": ("server", True),
    "1.58 Nodes 2.0": ("new_server", True),
}


@pytest.fixture(scope="module", params=["1.45 classic", "1.58 Nodes 2.0"])  # where a test names no others
def any_page(request, chromium):
    name, vue = FRONTENDS[request.param]
    server = request.getfixturevalue(name)
    picture = 255 * drawn(Thing("triangle", "cyan", "medium", "still"), "brown", right=20)[0].numpy()
    Image.fromarray(picture.round().astype(np.uint8)).save(server.input_dir / PICTURE)
    with opened_page(server, chromium, vue) as page:
        page.server, page.vue = server, vue
        yield page


@pytest.fixture
def timeline(any_page):
    """On a film of one prompt and nine chunks."""
    load_workflow(any_page, shipped(FILM))
    timeline = TimelinePage(any_page)
    timeline.text = f"0: {PROMPTS[0]}\n"
    any_page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    any_page.wait_for_timeout(500)
    yield timeline
    timeline.close()
    assert any_page.errors == []


def wait_for_pictures(page) -> None:
    page.locator(".picker option").first.wait_for(state="attached")


def build_by_mouse(timeline) -> None:
    page = timeline.page
    page.locator(f"{STRIP} .helios-lanes").dblclick()
    page.locator(EDITOR).wait_for()
    page.wait_for_timeout(200)
    for chunk, prompt in zip((2, 4, 7), PROMPTS[1:]):
        timeline.click("ruler", chunk)
        timeline.button("New prompt at the playhead")
        timeline.keys.type(prompt)
        page.get_by_role("button", name="Done").click()
    timeline.drag(timeline.at("prompts", 4), timeline.at("prompts", 5))
    x, y = timeline.at("prompts", 5, 0.06)
    timeline.drag((x + 12, y), timeline.at("prompts", 7, 0.06))
    timeline.click("ruler", 3)
    timeline.button("Picture at the playhead")
    wait_for_pictures(page)
    page.get_by_role("button", name="Done").click()
    timeline.double_click("seeds", 6.5)
    timeline.double_click("seeds", 6.1)
    page.locator(".entry input.wide").fill("1234")
    page.get_by_role("button", name="Done").click()
    timeline.click("prompts", 8)
    timeline.button("Switch off or on")


def build_by_keys(timeline) -> None:
    page = timeline.page
    timeline.press("Alt+t")
    page.locator(EDITOR).wait_for()
    page.wait_for_timeout(200)
    for chunk, prompt in zip((2, 4, 7), PROMPTS[1:]):
        timeline.go(chunk)
        timeline.press("n")
        timeline.keys.type(prompt)
        timeline.press("Control+Enter")
    timeline.press("Control+ArrowLeft", "Alt+ArrowRight", "b", "[")
    timeline.go(3)
    timeline.press("i")
    wait_for_pictures(page)
    timeline.press("Enter")
    timeline.go(6)
    timeline.press("e", "Enter")
    timeline.press("Control+a")
    timeline.keys.type("1234")
    timeline.press("Enter", "ArrowUp", "ArrowUp")
    timeline.go(7)
    timeline.press("Escape", "o")


@pytest.mark.parametrize("any_page", FRONTENDS, indirect=True)
@pytest.mark.parametrize("build", [build_by_mouse, build_by_keys])
def test_built_by_hand(timeline, build):
    build(timeline)
    timeline.wait_for_text(BUILT)


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_undone_step_by_step(timeline):
    first = timeline.text
    build_by_keys(timeline)
    timeline.wait_for_text(BUILT)
    texts = [BUILT]
    for _ in range(40):
        timeline.press("Control+z")
        if timeline.text != texts[-1]:
            texts.append(timeline.text)
    print(*texts, sep="\n--\n")
    assert texts[-1] == first and len(texts) == 14  # a burst of typing is one step
    for text in texts[-2::-1]:
        timeline.press("Control+Shift+z")
        assert timeline.text == text


def connect_vae(page):
    page.evaluate("""() => {
        const find = type => app.graph.nodes.find(n => n.type === type);
        const demo = find("HeliosDemoLoader"), schedule = find("HeliosPromptSchedule");
        demo.connect(demo.findOutputSlot("VAE"), schedule, schedule.findInputSlot("vae"));
    }""")


def film_of(page) -> dict:
    return page.evaluate("""async () => {
        const node = app.graph.nodes.find(n => n.type === "HeliosChunkSampler");
        return (await fetch(`/helios/films?workflow=${app.rootGraph.id}&node=${node.id}`)).json();
    }""")


def frames_of(server) -> np.ndarray:
    """Of the newest video."""
    path = max((server.output_dir / "video").glob("*.mp4"), key=lambda p: p.stat().st_mtime_ns)
    with av.open(path) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]).astype(np.float32) / 255


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_what_was_built_is_the_film(timeline):
    """Each prompt, the picture and the seed, in the right chunk; what is off is nowhere."""
    page = timeline.page
    connect_vae(page)
    build_by_keys(timeline)
    timeline.press("Control+[")  # eight chunks
    run_workflow(page)
    frames = frames_of(page.server)
    assert len(frames) == 8 * 33
    sights = [seen(chunk).still for chunk in np.split(frames, 8)]
    star, triangle, square = ("navy", "yellow", "star"), ("brown", "cyan", "triangle"), ("white", "blue", "square")
    assert sights[:2] == [star, star] and sights[3:5] == [triangle, triangle] and sights[6:] == [square, square]
    picture = np.asarray(Image.open(page.server.input_dir / PICTURE)) / 255
    assert distance(frames[99], picture, "cyan") < 10 < 25 < distance(frames[98], picture, "cyan")
    film = film_of(page)
    made = [film["chunks"][name] for name in film["run"]["chunks"]]
    assert [chunk["seed"] for chunk in made] == ["42"] * 6 + ["1234"] * 2
    assert [chunk.get("picture", {}).get("file") for chunk in made] == [None] * 3 + [PICTURE] + [None] * 4
    page.wait_for_function("() => document.querySelectorAll('.helios-timeline .cell.done').length === 8")


def test_saved_copied_and_loaded(timeline):
    page = timeline.page
    timeline.text = BUILT
    saved = export_workflow(page)
    (node,) = [n for n in saved["nodes"] if n["type"] == "HeliosPromptSchedule"]
    assert node["widgets_values"] == [BUILT, 24]  # nothing of the strip is saved
    texts = page.evaluate("""async () => {
        const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
        app.canvas.selectNode ? app.canvas.selectNode(node) : app.canvas.select(node);
        app.canvas.copyToClipboard();
        app.canvas.pasteFromClipboard();
        await new Promise(r => setTimeout(r, 400));
        return app.graph.nodes.filter(n => n.type === "HeliosPromptSchedule").map(n => n.widgets[0].value);
    }""")
    assert texts == [BUILT, BUILT]
    assert page.locator(f"{STRIP} .block").count() >= 8  # each has its strip
    load_workflow(page, saved)
    assert timeline.text == BUILT
    timeline.open()
    assert page.locator(f"{EDITOR} .prompts .block").count() == 4
    page.reload()
    wait_until_ready(page)
    timeline.wait_for_text(BUILT)


def test_the_host_can_undo_it(timeline):
    """One point for each step; the editor stays open, with its own undo."""
    page = timeline.page
    first = timeline.text
    page.evaluate("""() => {
        const { changeTracker } = app.extensionManager.workflow.activeWorkflow;
        changeTracker.captureCanvasState ? changeTracker.captureCanvasState() : changeTracker.checkState();
    }""")
    timeline.open()
    timeline.go(2)
    timeline.press("s")
    page.wait_for_timeout(200)
    timeline.go(5)
    timeline.press("s")
    page.wait_for_timeout(200)
    split = timeline.text
    assert split.count(PROMPTS[0]) == 3
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    timeline.wait_for_text(f"0: {PROMPTS[0]}\n2: {PROMPTS[0]}\n")
    page.wait_for_timeout(500)
    assert page.locator(f"{EDITOR} .prompts .block").count() == 2
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    timeline.wait_for_text(first)
    page.wait_for_timeout(500)
    page.locator(f"{EDITOR} .prompts").focus()
    timeline.press("Control+z")
    timeline.wait_for_text(split)  # what the host did in a row is one step here


def test_another_tab_and_back(timeline):
    page = timeline.page
    timeline.text = BUILT
    timeline.open()
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.locator(EDITOR).wait_for(state="detached")
    page.evaluate("""async () => {
        const workflow = app.extensionManager.workflow.openWorkflows.at(-2);
        await app.loadGraphData(workflow.activeState, true, true, workflow);
    }""")
    timeline.wait_for_text(BUILT)
    timeline.open()
    assert page.locator(f"{EDITOR} .prompts .block").count() == 4


def test_in_a_subgraph(timeline):
    """Opened from the outside."""
    page = timeline.page
    timeline.text = BUILT
    page.evaluate("""() => {
        const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
        const { node: made } = app.graph.convertToSubgraph(new Set([node]));
        app.canvas.selectNode ? app.canvas.selectNode(made) : app.canvas.select(made);
    }""")
    page.wait_for_timeout(500)
    inner = "() => app.graph.nodes.find(n => n.subgraph).subgraph.nodes.find(n => n.type === 'HeliosPromptSchedule')"
    assert page.evaluate(f"() => ({inner})().widgets[0].value") == BUILT
    page.evaluate("() => app.extensionManager.command.execute('Helios.OpenTimeline')")
    page.locator(EDITOR).wait_for()
    page.wait_for_timeout(300)
    assert page.locator(f"{EDITOR} .prompts .block").count() == 4
    assert "9 chunks" in page.locator(f"{EDITOR} .status").inner_text()
    timeline.go(1)
    timeline.press("s")
    page.wait_for_timeout(300)
    assert page.evaluate(f"() => ({inner})().widgets[0].value").count(PROMPTS[0]) == 2
    (queued,) = [n for n in api_prompt(page).values() if n["class_type"] == "HeliosPromptSchedule"]
    assert queued["inputs"]["schedule"].count(PROMPTS[0]) == 2


def test_in_two_copies_of_a_blueprint(timeline):
    """Where text and length are on the outside: those of the copy that is chosen."""
    page = timeline.page
    load_workflow(page, json.loads((ROOT / "subgraphs/Helios Text to Video.json").read_text("utf-8")))
    page.evaluate("""async () => {
        const [first] = app.graph.nodes;
        app.canvas.selectNode ? app.canvas.selectNode(first) : app.canvas.select(first);
        app.canvas.copyToClipboard();
        app.canvas.pasteFromClipboard();
        await new Promise(r => setTimeout(r, 600));
        const second = app.graph.nodes[1];
        app.canvas.deselectAll?.();
        app.canvas.selectNode ? app.canvas.selectNode(second) : app.canvas.select(second);
    }""")
    timeline.open()
    page.wait_for_timeout(300)
    timeline.go(2)
    timeline.press("s", "Control+]")
    page.wait_for_timeout(300)
    values = page.evaluate("""() => app.graph.nodes.map(n => ["schedule", "length"].map(
        name => n.widgets.find(w => w.name === name).value))""")
    assert [(text.count("A red fox"), length) for text, length in values] == [(1, 99), (2, 132)]
    queued = [n["inputs"] for n in api_prompt(page).values() if n["class_type"] == "HeliosPromptSchedule"]
    assert sorted(inputs["schedule"].count("A red fox") for inputs in queued) == [1, 2]


def test_in_app_mode(timeline):
    """Its key opens it there too."""
    page = timeline.page
    timeline.text = BUILT
    page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
    page.wait_for_timeout(1500)
    try:
        if page.get_by_role("button", name="Skip").count():
            page.get_by_role("button", name="Skip").click()
        timeline.open()
        assert page.locator(f"{EDITOR} .prompts .block").count() == 4
        timeline.go(1)
        timeline.press("s")
        timeline.wait_for_text(BUILT.replace("\n2:", f"\n1: {PROMPTS[0]}\n2:"))
    finally:
        page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
        page.wait_for_timeout(1000)


@pytest.mark.parametrize("zoom", [0.3, 1, 2])
def test_the_strip_is_dragged_at_any_zoom(timeline, zoom):
    page = timeline.page
    timeline.text = f"0: {PROMPTS[0]}\n3: {PROMPTS[1]}\n6: {PROMPTS[2]}\n"
    page.evaluate(
        """zoom => {
            const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
            app.canvas.ds.scale = zoom;
            app.canvas.ds.offset = [-node.pos[0] + 200 / zoom, -node.pos[1] + 80 / zoom];
            app.canvas.setDirty(true, true);
        }""",
        zoom,
    )
    page.wait_for_timeout(500)
    edges = (
        "() => [...document.querySelectorAll('.helios-strip .prompts .block')].map(b => b.getBoundingClientRect().left)"
    )
    begin, end = timeline.at("prompts", 3, root=STRIP), timeline.at("prompts", 5, root=STRIP)
    assert abs(page.evaluate(edges)[1] - begin[0]) <= 1
    timeline.drag(begin, end)
    timeline.wait_for_text(f"0: {PROMPTS[0]}\n5: {PROMPTS[1]}\n6: {PROMPTS[2]}\n")
    page.wait_for_timeout(400)
    assert abs(page.evaluate(edges)[1] - end[0]) <= 1


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_an_input_method_is_left_alone(timeline):
    """Letters that are not words yet do not go into the text; the caret stays."""
    page = timeline.page
    timeline.open()
    timeline.press("Enter")
    cdp = page.context.new_cdp_session(page)
    timeline.keys.type(" and ")
    page.wait_for_timeout(300)
    before = timeline.text
    assert before == f"0: {PROMPTS[0]} and\n"
    for letters in ("y", "yo", "yor", "よる"):
        at = len(letters)
        cdp.send("Input.imeSetComposition", {"text": letters, "selectionStart": at, "selectionEnd": at})
        page.wait_for_timeout(200)
        assert timeline.text == before
    cdp.send("Input.insertText", {"text": "夜"})
    timeline.wait_for_text(f"0: {PROMPTS[0]} and 夜\n")
    caret = page.evaluate("() => document.querySelector('.helios-timeline .entry textarea').selectionStart")
    assert caret == len(f"{PROMPTS[0]} and 夜")
    timeline.keys.type("!")
    timeline.wait_for_text(f"0: {PROMPTS[0]} and 夜!\n")


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_nobody_is_left_out(timeline):
    """axe-core finds nothing, in any of its panels, dark and light."""
    page = timeline.page
    axe = ROOT / ".venv/npm/node_modules/axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("no axe-core: make setup fetches it where there is npm")
    timeline.text = BUILT
    timeline.open()
    page.evaluate(axe.read_text("utf-8"))

    def violations():
        page.wait_for_timeout(250)
        return page.evaluate(f"""async () => (await axe.run({{include: [["{EDITOR}"], ["{STRIP}"]]}})).violations
            .map(v => `${{v.id}}: ${{v.nodes[0].html.slice(0, 200)}}`)""")

    for palette in ("dark", "light"):
        set_setting(page, "Comfy.ColorPalette", palette)
        assert violations() == []
        for key in ("Enter", "i", "t", "?"):
            timeline.press("Home", key)
            assert violations() == [], key
            timeline.press("Escape")
        timeline.click("chunks", 2.5)
        assert violations() == []
    set_setting(page, "Comfy.ColorPalette", "dark")


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_it_speaks_chinese(timeline):
    page = timeline.page
    set_setting(page, "Comfy.Locale", "zh")
    try:
        page.reload()
        wait_until_ready(page)
        load_workflow(page, shipped(FILM))
        page.wait_for_timeout(500)
        page.evaluate("() => app.extensionManager.command.execute('Helios.OpenTimeline')")
        page.locator(EDITOR).wait_for()
        assert page.locator(f"{EDITOR} button[aria-label='撤销']").count() == 1
        assert page.locator(f"{EDITOR} .labels").inner_text().split() == ["提示词", "图片", "种子", "块"]
        page.locator(f"{EDITOR} button[aria-label='关闭']").click()
    finally:
        set_setting(page, "Comfy.Locale", "en")
        page.reload()
        wait_until_ready(page)


def test_fingers_on_a_fine_screen(server, chromium):
    """A finger drags an edge, two fingers zoom; nothing moves by itself where that is not wanted."""
    with opened_page(server, chromium, device_scale_factor=2, has_touch=True, reduced_motion="reduce") as page:
        load_workflow(page, shipped(FILM))
        timeline = TimelinePage(page)
        timeline.text = f"0: {PROMPTS[0]}\n3: {PROMPTS[1]}\n6: {PROMPTS[2]}\n"
        timeline.open()
        cdp = page.context.new_cdp_session(page)

        def touch(kind, *points):
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        (x, y), (to, _) = timeline.at("prompts", 3), timeline.at("prompts", 5)
        touch("touchStart", (x + 4, y))
        for share in (0.2, 0.6, 1):
            touch("touchMove", (x + 4 + (to - x) * share, y))
        touch("touchEnd")
        timeline.wait_for_text(f"0: {PROMPTS[0]}\n5: {PROMPTS[1]}\n6: {PROMPTS[2]}\n")
        edge = "() => document.querySelectorAll('.helios-timeline .prompts .block')[1].getBoundingClientRect().left"
        page.wait_for_timeout(200)
        assert abs(page.evaluate(edge) - to) <= 1

        zoom = timeline.at("ruler", 1)[0] - timeline.at("ruler", 0)[0]
        x, y = timeline.at("pictures", 4)
        touch("touchStart", (x - 40, y), (x + 40, y))
        for spread in (60, 90, 120):
            touch("touchMove", (x - spread, y), (x + spread, y))
        touch("touchEnd")
        page.wait_for_timeout(200)
        assert timeline.at("ruler", 5)[0] - timeline.at("ruler", 4)[0] > 1.5 * zoom
        assert page.errors == []


FOUR = "0: a star\n2: a bar\n4 blend 2: a square\n7: the end\n3 image: 0 triangle.png\n5 seed 7\n"
# What a hand does by mouse and what it does by keys, for the same text; in each the second prompt is selected.
EDITS = {
    "roll": (lambda t: t.drag(t.at("prompts", 2), t.at("prompts", 3)), ["Alt+ArrowRight"]),
    "ripple": (lambda t: t.drag(t.at("prompts", 2), t.at("prompts", 3), key="Alt"), ["Alt+Shift+ArrowRight"]),
    "move": (lambda t: t.drag(t.at("prompts", 2.5), t.at("prompts", 3.5)), ["."]),
    "reorder": (lambda t: t.drag(t.at("prompts", 2.5), t.at("prompts", 6.8)), [">"]),
    "split": (lambda t: (t.click("ruler", 3), t.button("Split at the playhead")), ["ArrowRight", "s"]),
    "merge": (lambda t: t.button("Merge with the next"), ["m"]),
    "duplicate": (lambda t: t.button("Duplicate"), ["d"]),
    "delete": (lambda t: t.button("Delete (the prompt before extends)"), ["Delete"]),
    "ripple delete": (lambda t: t.button("Delete, and close the gap"), ["Shift+Delete"]),
    "off": (lambda t: t.button("Switch off or on"), ["o"]),
    "blend": (lambda t: t.button("Cut or blend"), ["b"]),
    "longer film": (lambda t: t.drag(t.at("ruler", 9), t.at("ruler", 10)), ["Control+]"]),
}


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_mouse_and_keys_make_the_same(timeline):
    page = timeline.page
    length = (
        "() => app.graph.nodes.find(n => n.type === 'HeliosChunkSampler').widgets.find(w => w.name === 'length').value"
    )
    timeline.text = FOUR
    timeline.open()
    made = {}
    for name, (mouse, keys) in EDITS.items():
        found = []
        for act in (lambda: mouse(timeline), lambda: timeline.press(*keys)):  # noqa: B023
            timeline.click("prompts", 2.6)
            timeline.go(2)
            timeline.press("Control+a")
            timeline.click("prompts", 2.6)
            timeline.go(2)
            act()
            page.wait_for_timeout(120)
            found.append((timeline.text, page.evaluate(length)))
            if timeline.text != FOUR:
                timeline.press("Control+z")
            page.evaluate(
                "() => (app.graph.nodes.find(n => n.type === 'HeliosChunkSampler').widgets"
                ".find(w => w.name === 'length').value = 297)"
            )
            timeline.wait_for_text(FOUR)
            page.wait_for_timeout(250)
        assert found[0] == found[1] != (FOUR, 297), name
        made[name] = found[0][0]
    assert made["roll"] == FOUR.replace("2: a bar", "3: a bar")
    assert made["ripple"].startswith("0: a star\n3: a bar\n5 blend 2: a square\n8: the end\n4 image")
    assert made["move"] == FOUR.replace("2: a bar", "3: a bar").replace("4 blend", "5 blend")
    assert made["reorder"].startswith("0: a star\n2 blend 2: a square\n5: a bar\n7: the end\n6 image")


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_several_at_once_and_the_clipboard(timeline):
    page = timeline.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    timeline.text = FOUR
    timeline.open()
    timeline.click("prompts", 2.5)
    page.keyboard.down("Shift")
    timeline.click("prompts", 5.5)
    page.keyboard.up("Shift")
    timeline.press("Control+c")
    assert page.evaluate("() => navigator.clipboard.readText()") == "0: a bar\n2 blend 2: a square\n"
    timeline.press("End", "Control+v")
    timeline.wait_for_text(FOUR.replace("7: the end\n", "7: the end\n8: a bar\n10 blend 2: a square\n13: the end\n"))
    timeline.press("Control+z", "Control+a", "o")
    page.locator(f"{EDITOR} .wrong", has_text="The first prompt cannot be switched off").wait_for()
    timeline.wait_for_text(FOUR)
    page.locator(f"{EDITOR} input[type=search]").fill("SQUARE")
    page.keyboard.press("Enter")
    page.locator(f"{EDITOR} .block.selected", has_text="a square").wait_for()
    page.wait_for_timeout(100)
    assert page.locator(f"{EDITOR} .block.selected").all_inner_texts() == ["a square"]


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_dropped_files(timeline):
    """A picture goes to the chunk it was dropped on, a sound into a lane; the canvas gets neither."""
    page = timeline.page
    timeline.text = FOUR
    timeline.open()
    x, y = timeline.at("prompts", 6.5)
    drop = """async ([x, y, name, type, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type }));
        const target = document.elementFromPoint(x, y);
        for (const kind of ["dragover", "drop"])
            target.dispatchEvent(new DragEvent(kind,
                { bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer: data }));
    }"""
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (250, 140, 0)).save(picture, "PNG")
    page.evaluate(drop, [x, y, "dropped here.png", "image/png", list(picture.getvalue())])
    timeline.wait_for_text(FOUR.replace("5 seed 7\n", "5 seed 7\n6 image: dropped here.png\n"))
    assert (page.server.input_dir / "dropped here.png").read_bytes() == picture.getvalue()
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((20000 * np.sin(np.arange(16000))).astype("<i2").tobytes())
    assert not page.locator(f"{EDITOR} .lane.sound").is_visible()
    page.evaluate(drop, [x, y, "beat.wav", "audio/wav", list(sound.getvalue())])
    page.locator(f"{EDITOR} .lane.sound").wait_for(state="visible")
    page.wait_for_timeout(200)
    painted = """() => {
        const canvas = document.querySelector(".helios-timeline .sound canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const columns = [];
        for (let x = 0; x < canvas.width; x += 1) {
            let tall = 0;
            for (let y = 0; y < canvas.height; y += 1) tall += data[4 * (y * canvas.width + x) + 3] > 0;
            columns.push(tall / canvas.height);
        }
        return columns;
    }"""
    columns = page.evaluate(painted)
    seconds = 9 * 1.04 * 33 / 24  # what the whole width shows
    heard = len([c for c in columns if c > 0.4]) / len(columns) * seconds
    assert 1.7 < heard < 2.3  # two seconds of it


def test_the_text_box_stays_where_there_is_no_timeline(server, chromium):
    """A page of another version says so; one whose script does not load has the box alone."""
    shown = """() => {
        const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
        return [node.widgets[0].value, document.querySelector(".helios-strip") !== null, document.body.innerText];
    }"""
    script = (ROOT / "web/timeline/extension.js").read_text("utf-8").replace("const VERSION = 1;", "const VERSION = 2;")
    answers = [lambda route: route.fulfill(body=script, content_type="text/javascript"), lambda route: route.abort()]
    with opened_page(server, chromium) as page:
        load_workflow(page, shipped(FILM))
        for answer, is_said in zip(answers, (True, False), strict=True):
            page.route("**/timeline/extension.js", answer)
            page.reload()
            wait_until_ready(page)
            load_workflow(page, shipped(FILM))
            page.wait_for_timeout(300)
            text, has_strip, words = page.evaluate(shown)
            assert "large yellow star" in text and not has_strip
            assert ("The timeline is not shown: the page is of another version" in words) == is_said
            page.unroute("**/timeline/extension.js")


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_a_linked_text_is_looked_at(timeline):
    page = timeline.page
    page.evaluate(
        """text => {
            const node = LiteGraph.createNode("PrimitiveStringMultiline");
            app.graph.add(node);
            node.widgets[0].value = text;
            const schedule = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
            node.connect(0, schedule, schedule.findInputSlot("schedule"));
        }""",
        FOUR,
    )
    page.wait_for_timeout(500)
    timeline.open()
    assert page.locator(f"{EDITOR} .prompts .block").count() == 4
    assert "comes from another node" in page.locator(f"{EDITOR} .wrong").inner_text()
    timeline.drag(timeline.at("prompts", 2), timeline.at("prompts", 3))
    timeline.press("Home", "s", "Delete", "o")
    assert page.locator(f"{EDITOR} .prompts .block").count() == 4
    assert (
        page.evaluate("() => app.graph.nodes.find(n => n.type === 'PrimitiveStringMultiline').widgets[0].value") == FOUR
    )


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_the_form_stays_with_its_prompt(timeline):
    """Whatever is done beside it; an emptied prompt gets its words back."""
    page = timeline.page
    timeline.text = FOUR
    timeline.open()
    box = page.locator(f"{EDITOR} .entry textarea")
    timeline.double_click("prompts", 2.5)
    page.locator(f"{EDITOR} .style").fill("film grain")
    page.wait_for_timeout(250)
    assert box.input_value() == "a bar"
    box.fill("two bars")
    timeline.wait_for_text("style: film grain\n" + FOUR.replace("a bar", "two bars"))
    timeline.press("Control+z", "Control+y", "Control+z")
    page.wait_for_timeout(250)
    assert box.input_value() == "a bar"
    timeline.button("Delete (the prompt before extends)")
    box.wait_for(state="detached")
    timeline.press("Control+z")
    timeline.double_click("prompts", 2.5)
    box.fill("")
    timeline.button("Close")
    timeline.wait_for_text("style: film grain\n" + FOUR)


@pytest.mark.parametrize("any_page", ["1.58 Nodes 2.0"], indirect=True)
def test_keys_stay_where_they_belong(timeline):
    """After a click on the ruler or the bar they are still the timeline's; to save and to run stay the host's."""
    page = timeline.page
    timeline.text = FOUR
    timeline.open()
    timeline.click("ruler", 6)
    timeline.press("s")
    timeline.wait_for_text(FOUR.replace("7: the end\n", "6: a square\n7: the end\n"))
    timeline.press("Control+z", "Control+z", "Control+z")  # the button of undo goes grey
    page.locator(f"{EDITOR} .status").click()
    timeline.press("n")
    assert page.locator(f"{EDITOR} .entry textarea").count() == 1
    timeline.press("Escape", "Control+z")
    timeline.wait_for_text(FOUR)
    page.evaluate("""() => {
        window.heard = [];
        document.addEventListener("keydown", e => { window.heard.push(e.key); e.preventDefault(); }, true);
    }""")
    timeline.click("seeds", 5.1)
    timeline.press("Delete")
    timeline.wait_for_text(FOUR.replace("5 seed 7\n", ""))
    timeline.press("Delete")  # nothing is selected in the lane of seeds any more
    page.locator(f"{EDITOR} .wrong", has_text="Nothing is selected").wait_for()
    timeline.press("Control+z", "Control+s", "Control+Enter")
    timeline.wait_for_text(FOUR)
    assert [key for key in page.evaluate("() => window.heard") if key != "Control"] == ["s", "Enter"]
