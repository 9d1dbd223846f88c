"""A model that is not downloaded yet is seen on the node, before anything is run."""

import pytest

from browser import build_workflow, export_workflow, load_workflow, opened_page

LABELS = """() => app.graph.nodes[0].widgets.filter(w => w.type === "button").map(w => w.label)"""
PRESS = """() => {
    const node = app.graph.nodes[0], button = node.widgets.find(w => w.type === "button");
    button.callback(button.value, app.canvas, node);
}"""
TOASTS = """() => [...document.querySelectorAll(".p-toast-message, [data-sonner-toast], [role=status], [role=alert]")]
    .map(e => e.innerText).join("\\n")"""
MISSING = ["Not downloaded yet: how to get it"]


@pytest.fixture(params=[("server", False), ("new_frontend_server", True)], ids=["1.45", "1.58, Nodes 2.0"])
def server_and_page(request, chromium):
    name, vue = request.param
    server = request.getfixturevalue(name)
    folder = server.models_dir / "diffusion_models" / "Helios-Base"
    away = server.base_dir / "Helios-Base-away"
    if folder.exists():
        folder.rename(away)
    with opened_page(server, chromium, vue) as page:
        yield server, page
    if away.exists():
        away.rename(folder)


def test_a_model_that_is_not_downloaded(server_and_page):
    server, page = server_and_page
    node = {"name": "load", "type": "HeliosModelLoader", "pos": [100, 100], "widgets": {"model_name": "Helios-Base/"}}
    build_workflow(page, [node])
    assert page.evaluate(LABELS) == MISSING
    workflow = export_workflow(page)
    assert workflow["nodes"][0]["widgets_values"] == ["Helios-Base/", "auto", "default"]

    workflow["nodes"][0]["widgets_values"][0] = "sub\\Helios-Base"  # as another system writes it
    load_workflow(page, workflow)
    assert page.evaluate(LABELS) == MISSING
    page.evaluate(PRESS)
    page.wait_for_function(f"() => ({TOASTS})().includes('--local-dir Helios-Base')", timeout=60_000)

    workflow["nodes"][0]["widgets_values"][0] = "another.safetensors"  # nothing is known of it
    load_workflow(page, workflow)
    assert page.evaluate(LABELS) == []

    workflow["nodes"][0]["widgets_values"][0] = "Helios-Base"
    load_workflow(page, workflow)
    assert page.evaluate(LABELS) == MISSING
    folder = server.models_dir / "diffusion_models" / "Helios-Base"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    try:
        page.evaluate("() => app.refreshComboInNodes()")
        page.wait_for_function(f"() => !({LABELS})().length", timeout=60_000)
    finally:
        (folder / "config.json").unlink()
        folder.rmdir()
    assert not [error for error in page.errors if "ComfyUI-Helios" in error]
