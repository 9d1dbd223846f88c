"""The timeline in the page: what hands make there, and that the text in the node is the truth of it."""

import pytest
from PIL import Image

from browser import load_workflow, opened_page
from shipped import shipped
from timeline_page import EDITOR, STRIP, TimelinePage

FILM = "Helios Demo - Prompt Schedule Film"
PROMPTS = [
    "A large yellow star bounces from side to side on a navy background.",
    "A large red triangle bounces from side to side on a navy background.",
    "A large blue square moves up and down on a white background.",
    "A large green bar moves to the left on a black background.",
]
BUILT = f"""0: {PROMPTS[0]}
2: {PROMPTS[1]}
3 image: PICTURE
5 blend 2: {PROMPTS[2]}
6 seed 1234
off 7: {PROMPTS[3]}
"""
FRONTENDS = {
    "1.45 classic": ("server", False),
    "1.45 Nodes 2.0": ("server", True),
    "1.58 Nodes 2.0": ("new_server", True),
}


@pytest.fixture(scope="module", params=FRONTENDS)
def any_page(request, chromium):
    name, vue = FRONTENDS[request.param]
    server = request.getfixturevalue(name)
    Image.new("RGB", (192, 128), (250, 140, 0)).save(server.input_dir / "an orange.png")
    with opened_page(server, chromium, vue) as page:
        page.server, page.vue = server, vue
        yield page


@pytest.fixture
def timeline(any_page):
    load_workflow(any_page, shipped(FILM))
    timeline = TimelinePage(any_page)
    timeline.text = f"0: {PROMPTS[0]}\n"
    any_page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    any_page.wait_for_timeout(500)
    yield timeline
    timeline.close()
    assert any_page.errors == []


def choose_picture(page) -> str:
    """The first of the list."""
    page.locator(".picker option").first.wait_for(state="attached")
    return page.evaluate("() => document.querySelector('.picker select').value")


def build_by_mouse(timeline) -> str:
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
    picture = choose_picture(page)
    page.get_by_role("button", name="Done").click()
    timeline.double_click("seeds", 6.5)
    timeline.double_click("seeds", 6.1)
    page.locator(".entry input.wide").fill("1234")
    page.get_by_role("button", name="Done").click()
    timeline.click("prompts", 8)
    timeline.button("Switch off or on")
    return picture


def build_by_keys(timeline) -> str:
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
    picture = choose_picture(page)
    timeline.press("Enter")
    timeline.go(6)
    timeline.press("e", "Enter")
    timeline.press("Control+a")
    timeline.keys.type("1234")
    timeline.press("Enter", "ArrowUp", "ArrowUp")
    timeline.go(7)
    timeline.press("Escape", "o")
    return picture


@pytest.mark.parametrize("build", [build_by_mouse, build_by_keys])
def test_built_by_hand(timeline, build):
    picture = build(timeline)
    assert timeline.text == BUILT.replace("PICTURE", picture)


def test_undone_step_by_step(timeline):
    first = timeline.text
    build_by_keys(timeline)
    texts = [timeline.text]
    for _ in range(40):
        timeline.press("Control+z")
        if timeline.text != texts[-1]:
            texts.append(timeline.text)
    assert texts[-1] == first and len(texts) == 14  # a burst of typing is one step
    for text in texts[-2::-1]:
        timeline.press("Control+Shift+z")
        assert timeline.text == text
