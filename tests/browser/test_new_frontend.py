"""The shipped workflows and blueprints in the newest ComfyUI and frontend."""

import json

import pytest

from browser import load_workflow, missing_nodes, opened_page
from comfy_server import PACK
from shipped import ALL_WORKFLOWS, NEWER, install_models
from test_workflows import DEMOS, check_opening

BLUEPRINTS = sorted((PACK / "subgraphs").glob("*.json"))


@pytest.fixture(scope="module")
def new_page(new_server, chromium):
    """In Nodes 2.0, which new users have."""
    install_models(new_server)
    with opened_page(new_server, chromium, vue=True) as page:
        yield page


def test_workflows_open(new_server, new_page):
    """The demos, and those of newer nodes."""
    assert NEWER < set(ALL_WORKFLOWS)
    check_opening(new_server, new_page, [*DEMOS, *NEWER], vue=True)


def test_blueprints(new_server, new_page):
    """They are listed, hold one node whose widgets are its own, and would run."""
    names = {entry["name"] for entry in new_server.get("/global_subgraphs").json().values()}
    assert {path.stem for path in BLUEPRINTS} <= names and len(BLUEPRINTS) == 2
    for path in BLUEPRINTS:
        load_workflow(new_page, json.loads(path.read_text("utf-8")))
        assert missing_nodes(new_page) == []
        (outer,) = new_page.evaluate("() => app.graph.nodes.map(node => node.widgets.map(widget => widget.name))")
        assert {"length", "seed", "model_name"} < set(outer), path.stem
    assert new_page.errors == []
