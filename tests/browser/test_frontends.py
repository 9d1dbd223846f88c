"""What the pack adds to a page, in the frontends it supports and both their renderers."""

import itertools

import pytest

from browser import (
    EMPTY_WORKFLOW,
    api_prompt,
    build_workflow,
    export_workflow,
    load_workflow,
    opened_page,
    run_workflow,
    wait_until_ready,
)

# (server, Nodes 2.0) by names; other tests use the classic renderer of 1.45.
FRONTENDS = {
    "1.35": ("old_server", False),
    "1.45 Nodes 2.0": ("server", True),
    "1.58 classic": ("new_frontend_server", False),
    "1.58 Nodes 2.0": ("new_frontend_server", True),
}
SCHEDULE = '0: it\'s <b>bold</b> & "new"\n1 cut: a red square'
TABLE = [
    'chunk 0 (frame 0, 0.00 s) cut: it\'s <b>bold</b> & "new"',
    "chunk 1 (frame 33, 1.38 s) cut: a red square",
]
number = itertools.count(1)
NODES = [
    {"name": "demo", "type": "HeliosDemoLoader", "pos": [0, 0]},
    {"name": "schedule", "type": "HeliosPromptSchedule", "pos": [0, 200], "widgets": {"schedule": SCHEDULE}},
    {"name": "begin", "type": "HeliosHistoryMemory", "pos": [0, 600], "widgets": {"width": 64, "height": 64}},
    {
        "name": "sample",
        "type": "HeliosChunkSampler",
        "pos": [450, 0],
        "widgets": {"length": 33, "steps": "1,1,1", "autosave": False},
    },
    {"name": "save", "type": "HeliosSaveMemory", "pos": [900, 0], "widgets": {"filename_prefix": "helios/texts"}},
]
LINKS = [
    ("demo", "MODEL", "sample", "model"),
    ("demo", "CLIP", "schedule", "clip"),
    ("schedule", "schedule", "sample", "schedule"),
    ("begin", "memory", "sample", "memory"),
    ("sample", "memory", "save", "memory"),
]
# Node type -> its text, of those that can be read on the canvas in whole.
TEXTS = """() => {
    const graph = app.canvas.graph, found = {};
    for (const node of graph.nodes) {
        const widget = node.widgets?.find(w => w.name === "helios_text");
        const text = widget?.element.firstChild;
        if (text?.clientHeight && text.isConnected) found[node.type] = text.innerText;
        if (text?.scrollHeight > text?.clientHeight + 1) found[node.type] += " (cut off)";
    }
    return found;
}"""
# Whether the nodes are as high as what is in them; the host makes room for pictures itself.
HELD = """() => LiteGraph.vueNodesMode
    || app.graph.nodes.filter(n => n.type !== "HeliosSaveMemory").every(n => n.size[1] >= n.computeSize()[1] - 1)"""
TOASTS = """() => [...document.querySelectorAll(".p-toast-message, [data-sonner-toast], [role=status], [role=alert]")]
    .map(e => e.innerText).join("\\n")"""
# A node as high as a new one, which those of `build_workflow` are not, and a film that is kept.
READY = """() => {
    const node = type => app.graph.nodes.find(n => n.type === type);
    node("HeliosPromptSchedule").setSize(LiteGraph.createNode("HeliosPromptSchedule").size);
    node("HeliosChunkSampler").widgets.find(w => w.name === "autosave").value = true;
}"""
FIT = "() => app.extensionManager.command.execute('Comfy.Canvas.FitView')"
CHANGE = """end => {
    const widget = (type, name) => app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name);
    widget("HeliosPromptSchedule", "schedule").value += end;
    const seed = widget("HeliosChunkSampler", "seed");
    seed.value = Number(end);
    for (const control of seed.linkedWidgets ?? []) control.value = "fixed";
}"""


@pytest.fixture(scope="module", params=FRONTENDS)
def frontend_and_vue(request):
    server, vue = FRONTENDS[request.param]
    return request.getfixturevalue(server), vue


@pytest.fixture(scope="module")
def frontend(frontend_and_vue):
    return frontend_and_vue[0]


@pytest.fixture(scope="module")
def vue(frontend_and_vue):
    return frontend_and_vue[1]


@pytest.fixture(scope="module")
def page(frontend, vue, chromium):
    with opened_page(frontend, chromium, vue) as page:
        yield page


def own_errors(page) -> list[str]:
    return [error for error in page.errors if "ComfyUI-Helios" in error]


def film(page) -> str:
    """A film that was never made before, so that nothing of it is cached; the end of its schedule's text."""
    end = f" {next(number)}"
    build_workflow(page, NODES, LINKS)
    page.evaluate(CHANGE, end)
    return end


def test_texts_stay(page, frontend, vue, chromium):
    end = film(page)
    table = [TABLE[0], TABLE[1] + end]
    values = {node["type"]: node["widgets_values"] for node in export_workflow(page)["nodes"]}
    run_workflow(page)
    page.wait_for_function(f"() => Object.keys(({TEXTS})()).length === 3")
    texts = page.evaluate(TEXTS)
    assert texts["HeliosPromptSchedule"].splitlines() == table
    assert "33 frames" in texts["HeliosChunkSampler"] and "texts_0" in texts["HeliosSaveMemory"]
    assert page.evaluate(HELD)
    saved = export_workflow(page)
    assert {node["type"]: node["widgets_values"] for node in saved["nodes"]} == values
    assert "helios_text" not in str(api_prompt(page))

    load_workflow(page, saved)
    assert page.evaluate(TEXTS) == texts
    page.reload()
    wait_until_ready(page)
    page.wait_for_function(f"() => Object.keys(({TEXTS})()).length === 3")
    assert page.evaluate(TEXTS) == texts

    if "has_intermediate_output" in frontend.object_info("HeliosChunkSampler"):  # the oldest host sends no cached texts
        with opened_page(frontend, chromium, vue) as other:
            load_workflow(other, saved)
            run_workflow(other)
            other.wait_for_function(f"() => Object.keys(({TEXTS})()).length === 3")
            shown = other.evaluate(TEXTS)
            assert shown["HeliosPromptSchedule"].splitlines() == table
            assert shown["HeliosChunkSampler"] == texts["HeliosChunkSampler"]
    assert own_errors(page) == []


def test_texts_in_a_subgraph(page):
    """On the node inside, and in one toast for who does not see it."""
    film(page)
    page.evaluate(
        "() => { app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(n => n.type === 'HeliosChunkSampler'))); }"
    )
    run_workflow(page)
    page.wait_for_function(f"() => ({TOASTS})().includes('Helios Chunk Sampler: ')")
    assert "HeliosChunkSampler" not in page.evaluate(TEXTS)
    page.evaluate(
        "() => { const node = app.graph.nodes.find(n => n.subgraph); app.canvas.openSubgraph(node.subgraph, node); }"
    )
    page.wait_for_function(f"() => ({TEXTS})().HeliosChunkSampler?.includes('33 frames')")


def test_texts_of_another_workflow(page):
    """Nodes have the same numbers in many."""
    film(page)
    page.evaluate("async () => { await app.queuePrompt(0); }")
    film(page)
    page.evaluate("() => new Promise(done => setTimeout(done, 1500))")
    assert page.evaluate(TEXTS) == {}


SAY = """async text => {
    const {api} = await import("/scripts/api.js");
    const [node] = app.graph.nodes;
    const height = () => LiteGraph.vueNodesMode
        ? Math.round(document.querySelector(`[data-node-id="${node.id}"]`).offsetHeight) : node.size[1];
    const frames = async () => { for (let i = 0; i < 5; i++) await new Promise(requestAnimationFrame); };
    await frames();
    const before = height();
    api.dispatchEvent(new CustomEvent("helios.text", {detail: {workflow: app.graph.id, node: String(node.id), text}}));
    await frames();
    return [before, height()];
}"""


STRIP = """() => {
    const node = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule");
    const box = LiteGraph.vueNodesMode ? document.querySelector(`[data-node-id="${node.id}"] textarea`)
        : node.widgets.find(w => w.name === "schedule").element;
    const strip = document.querySelector(".helios-strip");
    return {text: box.clientHeight, strip: strip.offsetHeight,
        blocks: strip.querySelectorAll(".block").length, done: strip.querySelectorAll(".cell.done").length};
}"""


def test_timeline(page):
    """A strip below the text, which leaves it room, and the editor, which writes it."""
    end = film(page)
    page.evaluate(READY)
    page.evaluate(FIT)
    page.wait_for_timeout(800)  # the view moves there in an animation
    shown = page.evaluate(STRIP)
    assert shown["strip"] == 64 and shown["blocks"] == 2 and shown["text"] >= 90, shown
    run_workflow(page)
    page.wait_for_function(f"() => ({STRIP})().done === 1", timeout=10_000)

    page.locator(".helios-strip .helios-lanes").dblclick()
    page.locator(".helios-timeline .cell.done").wait_for()
    page.locator(".helios-timeline .block").first.click()
    page.keyboard.press("o")
    page.locator(".helios-timeline .status", has_text="The first prompt cannot be switched off").wait_for()
    page.keyboard.press("Control+]")
    nodes = {node["class_type"]: node["inputs"] for node in api_prompt(page).values()}
    assert nodes["HeliosChunkSampler"]["length"] == 66
    page.locator(".helios-timeline .block").nth(1).click()
    page.keyboard.press("b")
    text = "() => app.graph.nodes.find(n => n.type === 'HeliosPromptSchedule').widgets[0].value"
    assert page.evaluate(text) == SCHEDULE.replace("1 cut", "1 blend 3") + end
    page.keyboard.press("Control+z")
    assert page.evaluate(text) == SCHEDULE + end
    page.locator(".helios-timeline button[aria-label='Close']").click()
    assert own_errors(page) == []


def test_old_texts_go(page):
    """A node that ran again and says nothing any more."""
    end = film(page)
    page.evaluate(
        """async end => {
            const {api} = await import("/scripts/api.js");
            const node = app.graph.nodes.find(n => n.type === "HeliosHistoryMemory");
            const detail = {workflow: app.graph.id, node: String(node.id), text: "45 frames of a video"};
            api.dispatchEvent(new CustomEvent("helios.text", {detail}));
            node.widgets.find(w => w.name === "seed").value = Number(end); // so that it runs
        }""",
        end,
    )
    page.wait_for_function(f"() => ({TEXTS})().HeliosHistoryMemory")
    run_workflow(page)
    shown = "HeliosChunkSampler,HeliosPromptSchedule,HeliosSaveMemory"
    page.wait_for_function(f"shown => Object.keys(({TEXTS})()).sort().join() === shown", arg=shown)


def test_room_is_left(page):
    """A node placed by hand does not grow over the one below by what it says, if that is short."""
    load_workflow(page, EMPTY_WORKFLOW)
    page.evaluate("() => { app.graph.add(LiteGraph.createNode('HeliosLoraLoader')); }")
    before, after = page.evaluate(SAY, "style.safetensors: 300 modules patched")
    assert after == before
    before, after = page.evaluate(SAY, "\n".join(["one", "two", "three", "four", "five"]))
    assert before < after < before + 100
    assert page.evaluate(SAY, "short again") == [after, after]  # nor does it jump back


def test_colors(page):
    """Also after another palette was loaded, which empties those of all types that it does not know."""
    colors = """type => [app.canvas.default_connection_color_byType[type],
        app.canvas.constructor.link_type_colors[type],
        getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`)]"""
    before = [page.evaluate(colors, type) for type in ("HELIOS_SCHEDULE", "HELIOS_MEMORY")]
    assert [len(set(color)) for color in before] == [1, 1] and before[0] != before[1] and "" not in before[0]
    for palette in ("light", "dark"):
        page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        page.wait_for_timeout(200)
        assert [page.evaluate(colors, type) for type in ("HELIOS_SCHEDULE", "HELIOS_MEMORY")] == before


def test_tokens_and_choices(page):
    film(page)
    prefix, text = "helios/%date:yyyy%-%HeliosChunkSampler.length%", "0: {a|a} fox\n1: {b|b} fox"
    found = []
    for schedule in (text, "0: {a|b fox\n1: b | c"):  # a brace that is left open is a brace
        page.evaluate(
            """([prefix, schedule]) => {
                const value = (type, text) => (app.graph.nodes.find(n => n.type === type).widgets[0].value = text);
                value("HeliosSaveMemory", prefix);
                value("HeliosPromptSchedule", schedule);
            }""",
            [prefix, schedule],
        )
        nodes = {node["class_type"]: node["inputs"] for node in api_prompt(page).values()}
        found.append(nodes["HeliosPromptSchedule"]["schedule"])
        year, length = nodes["HeliosSaveMemory"]["filename_prefix"].removeprefix("helios/").split("-")
        assert year.isdigit() and len(year) == 4 and length == "33"
    assert found == ["0: a fox\n1: b fox", "0: {a|b fox\n1: b | c"]


def test_mistakes_are_said_once(page, frontend):
    nodes = [
        {"name": "sample", "type": "HeliosChunkSampler", "pos": [0, 0]},
        {"name": "stock", "type": "VAEDecode", "pos": [450, 0]},
        {"name": "decode", "type": "HeliosVAEDecode", "pos": [450, 200]},
        {"name": "video", "type": "CreateVideo", "pos": [900, 0], "widgets": {"fps": 30}},
    ]
    build_workflow(page, nodes)
    connect = """() => {
        const node = type => app.graph.nodes.find(n => n.type === type);
        node("HeliosChunkSampler").connect(0, node("VAEDecode"), "samples");
        node("HeliosVAEDecode").connect(0, node("CreateVideo"), "images");
    }"""
    said = ("Use Helios VAE Decode.", "Set fps to 24.")
    assert not any(text in page.evaluate(TOASTS) for text in said)
    page.evaluate(connect)
    for text in said:
        page.wait_for_function(f"text => ({TOASTS})().includes(text)", arg=text)
    count = page.evaluate(f"() => ({TOASTS})().split('Set fps to 24.').length")
    page.evaluate(connect)
    page.wait_for_timeout(300)
    assert page.evaluate(f"() => ({TOASTS})().split('Set fps to 24.').length") == count


def test_an_old_name_of_a_choice(page):
    """What was "fit" is "stretch" today."""
    film(page)
    workflow = export_workflow(page)
    (node,) = [node for node in workflow["nodes"] if node["type"] == "HeliosHistoryMemory"]
    node["widgets_values"] = ["fit" if value == "crop" else value for value in node["widgets_values"]]
    load_workflow(page, workflow)
    nodes = {node["class_type"]: node["inputs"] for node in api_prompt(page).values()}
    assert nodes["HeliosHistoryMemory"]["resize"] == "stretch"


def test_names_of_inputs(page):
    """Two seeds, which the parameters panel and app mode show without their nodes."""
    film(page)
    labels = page.evaluate(
        "() => app.graph.nodes.find(n => n.type === 'HeliosHistoryMemory').widgets.map(w => w.label || w.name)"
    )
    assert "noise seed" in labels and "seed" not in labels


REFUSED = {
    "no start": (
        '0: a\nthe keeper\'s "lamp" & <more> = 1/2',
        24,
        'line 2: no start found in “the keeper\'s "lamp" & <mo',
    ),
    "two at once": (
        "0: a\n1.5s: b\n2: c",
        24,
        "line 3: “2” begins at chunk 2 (2.75 s), and so does “1.5s” in line 2: ",
    ),
    "another rate": ("0: a\n2s: b\n2: c", 30, "line 3: “2” begins at chunk 2 (2.20 s), and so does “2s” in line 2: "),
}
SHOWN_FIRST = "[data-testid=error-overlay], [role=dialog]"


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_schedule_is_explained_at_once(page, case):
    """In the first thing that is shown, by the node's own sentence, once and as it was written."""
    schedule, fps, sentence = REFUSED[case]
    film(page)
    page.evaluate(
        """([schedule, fps]) => {
            const [text, rate] = app.graph.nodes.find(n => n.type === "HeliosPromptSchedule").widgets;
            [text.value, rate.value] = [schedule, fps];
            app.queuePrompt(0);
        }""",
        [schedule, fps],
    )
    page.wait_for_function(
        f"text => [...document.querySelectorAll('{SHOWN_FIRST}')].some(e => e.innerText.includes(text))", arg=sentence
    )
    shown = "\n".join(page.locator(SHOWN_FIRST).all_inner_texts())
    assert shown.count(sentence) == 1
    page.errors[:] = [error for error in page.errors if "PromptExecutionError" not in error]  # the frontend logs it
    assert own_errors(page) == []
    page.keyboard.press("Escape")


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_help_in_any_language(frontend, language):
    for page in ("HeliosChunkSampler", "HeliosVAEDecode"):
        asked = frontend.get(f"/extensions/ComfyUI-Helios/docs/{page}/{language}.md")
        assert asked.text == frontend.get(f"/extensions/ComfyUI-Helios/docs/{page}.md").text
        assert "html" not in asked.headers["Content-Type"]
