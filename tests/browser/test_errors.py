"""What a person reads first when a value is refused: the node's own sentence, once, and whole."""

import pytest

from browser import build_workflow, set_setting

SCHEDULE = '0: a lighthouse\nthe keeper\'s "lamp" & <more> = 1/2'
NO_START = 'line 2: no start found in “the keeper\'s "lamp" & <more> = 1/2”; write “0: your prompt”'
REFUSED = {
    "schedule": ({"schedule": SCHEDULE}, NO_START),
    "seconds": ({"schedule": "0: a\n1.5s: b\n2: c"}, "line 3: “2” begins at chunk 2 (2.75 s), and so does “1.5s” in l"),
    "another rate": ({"schedule": "0: a\n2s: b\n2: c", "fps": 30}, "“2” begins at chunk 2 (2.20 s), and so does “2s”"),
}


def queue(page, schedule: dict) -> None:
    nodes = [
        {"name": "demo", "type": "HeliosDemoLoader", "pos": [0, 0]},
        {"name": "schedule", "type": "HeliosPromptSchedule", "pos": [300, 0], "widgets": schedule},
        {"name": "film", "type": "HeliosChunkSampler", "pos": [700, 0]},
        {"name": "frames", "type": "HeliosVAEDecode", "pos": [1000, 0]},
        {"name": "save", "type": "PreviewImage", "pos": [1300, 0]},
    ]
    links = [
        ("demo", "CLIP", "schedule", "clip"),
        ("demo", "MODEL", "film", "model"),
        ("demo", "VAE", "frames", "vae"),
        ("schedule", "schedule", "film", "schedule"),
        ("film", "latent", "frames", "samples"),
        ("frames", "IMAGE", "save", "images"),
    ]
    build_workflow(page, nodes, links)
    page.evaluate("() => app.queuePrompt(0)")


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "Nodes 2.0"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_schedule(page, case, vue):
    set_setting(page, "Comfy.VueNodes.Enabled", vue)
    widgets, sentence = REFUSED[case]
    queue(page, widgets)
    overlay = page.get_by_test_id("error-overlay")
    overlay.wait_for()
    text = overlay.inner_text()
    assert sentence in text and text.count(sentence) == 1
    assert "1 ERROR" in text.upper() or "Validation failed" in text
    errors = [error for error in page.errors if "400 (Bad Request)" not in error and "PromptExecution" not in error]
    assert errors == []


def test_without_the_errors_tab_the_dialog_says_it(page):
    set_setting(page, "Comfy.RightSidePanel.ShowErrorsTab", False)
    try:
        queue(page, REFUSED["schedule"][0])
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        assert dialog.inner_text().count(NO_START) == 1
    finally:
        set_setting(page, "Comfy.RightSidePanel.ShowErrorsTab", True)
