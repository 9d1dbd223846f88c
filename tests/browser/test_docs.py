"""The help pages of the nodes: they say what the nodes have, and ComfyUI shows them."""

import re

from browser import build_workflow
from comfy_server import PACK

DOCS = PACK / "web" / "docs"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SECTIONS = ["Inputs", "Widgets", "Outputs", "How it works", "Examples", "Troubleshooting"]
MORE = {"HeliosPromptSchedule": "The timeline"}  # behind "How it works"


def sections(text: str) -> dict[str, str]:
    """The text of every section, in order; what stands before the first is under ""."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2]))}


def table(text: str) -> dict[str, str]:
    """The first column of a section's first table -> the second."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", text, flags=re.M)
    return dict(rows[1:])


def shown(default) -> str:
    return {True: "true", False: "false"}.get(default, str(default)) if isinstance(default, bool) else str(default)


def test_pages_say_what_nodes_have(server):
    nodes = {name: node for name, node in server.object_info().items() if name.startswith("Helios")}
    assert {path.stem for path in DOCS.glob("*.md")} == set(nodes)
    for name, node in nodes.items():
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        page = sections(text)
        assert page[""].startswith(f"# {node['display_name']}\n") and len(page[""]) > 100, name
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        widgets = {key: options for key, (kind, options) in inputs.items() if kind in WIDGETS}
        sockets = [key for key in inputs if key not in widgets]
        expected = ["", *(SECTIONS if sockets else SECTIONS[1:])]
        if name in MORE:
            expected.insert(expected.index("How it works") + 1, MORE[name])
        assert list(page) == expected, name
        assert list(table(page.get("Inputs", ""))) == sockets, name
        assert list(table(page["Outputs"])) == node["output_name"], name
        rows = table(page["Widgets"])
        assert list(rows) == list(widgets), name
        for key, options in widgets.items():
            default = re.search(r"\*(?:[^*]*\. )?Default: (.*)\.\*$", rows[key])[1]
            if "default" not in options:
                assert default == "the first", f"{name}.{key}"
            else:
                assert default == ("an example" if options.get("multiline") else shown(options["default"])), key
                for option in options.get("options", []):
                    assert f"`{option}`" in rows[key], f"{name}.{key}: {option} is not explained"


def test_help_panel(page):
    """The page of a node opens from its toolbox."""
    build_workflow(page, [{"name": "n", "type": "HeliosChunkSampler", "pos": [200, 200]}])
    x, y = page.evaluate(
        """() => {
            const {ds, graph} = app.canvas, [x, y] = graph.nodes[0].pos;
            return [(x + 60 + ds.offset[0]) * ds.scale, (y - 15 + ds.offset[1]) * ds.scale];
        }"""
    )
    page.mouse.click(x, y)
    page.get_by_test_id("info-button").click()
    page.get_by_role("heading", name="Troubleshooting").wait_for()
    content = page.locator(".markdown-content").first
    assert content.get_by_role("heading", name="Helios Chunk Sampler").count() == 1
    assert content.get_by_role("cell", name="amplify_first_chunk", exact=True).count() == 1
    scroll, client = content.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert scroll <= client + 1, "the tables are wider than the panel"
    # The frontend asks for a page in its own language first, and takes the one there is.
    assert [error for error in page.errors if "/docs/HeliosChunkSampler/en.md" not in error] == []
