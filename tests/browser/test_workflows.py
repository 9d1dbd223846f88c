"""The workflows that come with the pack: their files, and how they open in the real frontend."""

import json
import re
from contextlib import contextmanager

import pytest
from PIL import Image

from browser import api_prompt, export_workflow, load_workflow, missing_nodes, set_setting
from shipped import ALL_WORKFLOWS, DEMO, WORKFLOWS, shipped

pytestmark = pytest.mark.usefixtures("shipped_models")
NOTES = {"MarkdownNote", "Note"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
FILES = {"model_name", "vae_name", "clip_name"}
URL = re.compile(r"[a-z]+://([^/\s)\"]*)")
ABSOLUTE_PATH = re.compile(r"(?<![\w./:*~-])/\w+/|\b[A-Za-z]:\\|~/")

# The rectangles of all nodes and groups, [x, y, right, bottom], in the graph's own units; in Nodes 2.0 as drawn.
LAYOUT = """vue => {
    const {ds, graph} = app.canvas;
    const rect = (x, y, w, h) => [x, y, x + w, y + h];
    const drawn = node => {
        const box = document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
        return rect(box.x / ds.scale - ds.offset[0], box.y / ds.scale - ds.offset[1], box.width / ds.scale,
                    box.height / ds.scale);
    };
    const title = LiteGraph.NODE_TITLE_HEIGHT, height = node => (node.flags.collapsed ? 0 : node.size[1]);
    return {
        nodes: Object.fromEntries(graph.nodes.map(node => [`${node.id} ${node.title}`, vue ? drawn(node)
            : rect(node.pos[0], node.pos[1] - title, node.size[0], height(node) + title)])),
        groups: graph.groups.map(group => rect(...group.pos, ...group.size)),
    };
}"""


def widgets(schema: dict) -> list[tuple[str, list]]:
    """(name, options of a combo) of a node's widgets, in the order of widgets_values."""
    found = []
    for group in ("required", "optional"):
        for name, (kind, *rest) in schema["input"].get(group, {}).items():
            if isinstance(kind, list) or kind in WIDGETS:
                found.append((name, kind if isinstance(kind, list) else (rest[0] if rest else {}).get("options", [])))
                if rest and rest[0].get("control_after_generate"):
                    found.append(("control_after_generate", ["fixed", "increment", "decrement", "randomize"]))
                if rest and any(key.endswith("_upload") for key in rest[0]):
                    found.append(("upload", ["image"]))
    return found


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


@contextmanager
def busy(server):
    """While this holds, the server validates prompts but runs none; then they are gone."""
    latent = {"class_type": "EmptyHunyuanLatentVideo", "inputs": {"width": 16, "height": 16, "length": 1}}
    latent["inputs"]["batch_size"] = 1
    steps = {"samples": ["1", 0], "steps": 600, "seconds": 0.1, "preview": False}
    save = {"samples": ["2", 0], "path": str(server.base_dir / "never.safetensors")}
    prompt_id = server.queue(
        {
            "1": latent,
            "2": {"class_type": "TestSteps", "inputs": steps},
            "3": {"class_type": "TestSaveLatent", "inputs": save},
        }
    )
    try:
        yield
    finally:
        server.post("/queue", {"clear": True})
        server.interrupt(prompt_id)
        server.wait(prompt_id, check=False)


def test_they_are_templates(server):
    """ComfyUI lists them, serves them, and has a moving picture for each."""
    listed = server.get("/workflow_templates").json()["ComfyUI-Helios"]
    assert set(listed) == set(ALL_WORKFLOWS) and len(listed) >= 20
    for name, path in ALL_WORKFLOWS.items():
        assert server.get(f"/api/workflow_templates/ComfyUI-Helios/{name}.json").json() == shipped(name)
        thumbnail = path.with_suffix(".jpg")
        assert server.get(f"/api/workflow_templates/ComfyUI-Helios/{name}.jpg").content == thumbnail.read_bytes()
        with Image.open(thumbnail) as picture:
            assert picture.size == (360, 360) and picture.n_frames > 10
    sizes = [path.with_suffix(".jpg").stat().st_size for path in ALL_WORKFLOWS.values()]
    assert max(sizes) <= 60_000 and sum(sizes) <= 1_500_000


@pytest.mark.parametrize("name", WORKFLOWS)
def test_files(server, name):
    check_file(shipped(name), server.object_info())


def check_file(workflow, schemas):
    """Types, widgets and links are those of the nodes; nothing points to somebody's disk or to elsewhere on the net."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) and workflow["groups"]
    assert [node["type"] for node in nodes.values() if node["type"] not in {*schemas, *NOTES}] == []
    for node in nodes.values():
        if node["type"] in NOTES:
            continue
        schema = schemas[node["type"]]
        assert len(node["widgets_values"]) == len(widgets(schema)), node["type"]
        for value, (widget, options) in zip(node["widgets_values"], widgets(schema)):
            assert widget in FILES or not options or value in options, f"{node['type']}.{widget} = {value!r}"
        known = [*schema["input"].get("required", {}), *schema["input"].get("optional", {})]
        assert [socket["name"] for socket in node["inputs"] if socket["name"] not in known] == []
        assert [socket["name"] for socket in node["outputs"]] == schema["output_name"]
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"] and model["url"].endswith(f"/{model['name']}")
            assert model["directory"] in ("vae", "text_encoders", "diffusion_models", "frame_interpolation")
    for number, source, output, target, entry, kind in workflow["links"]:
        start, end = nodes[source]["outputs"][output], nodes[target]["inputs"][entry]
        assert (
            start["type"] == kind
            and kind in end["type"].split(",")
            and number in start["links"]
            and end["link"] == number
        )
    for text in texts(workflow):
        assert set(URL.findall(text)) <= {"huggingface.co"}
        assert not ABSOLUTE_PATH.search(URL.sub("", text)), text


DEMOS = [name for name in WORKFLOWS if name.startswith(DEMO)]
REAL = [name for name in WORKFLOWS if name not in DEMOS]
LOADERS = {"HeliosModelLoader", "CLIPLoader", "VAELoader", "HeliosDemoLoader"}


@pytest.mark.parametrize("name", [name.removeprefix(DEMO) for name in DEMOS])
def test_the_demos_are_the_same_graphs(name):
    """So that what test_demo_workflows.py sees of them counts for both."""
    real = "Text to Video (Distilled)" if name == "Text to Video" else name
    assert graph_of(shipped(DEMO + name)) == graph_of(shipped(f"Helios - {real}"))


def graph_of(workflow) -> list[tuple]:
    """(node, output, node, input) of all links; loaders are known by what they give."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = []
    for _, source, output, target, entry, _ in workflow["links"]:
        start, end = nodes[source], nodes[target]
        loaded = start["type"] in LOADERS
        title = "loader" if loaded else start.get("title", start["type"])
        slots = start["outputs"][output]["name"], end["inputs"][entry]["name"]
        links.append((title, slots[0], end.get("title", end["type"]), slots[1]))
    return sorted(links)


@pytest.mark.parametrize(("names", "vue"), [(WORKFLOWS, False), (REAL, True)], ids=["classic", "Nodes 2.0"])
def test_they_open(server, page, names, vue):
    """The demos open in Nodes 2.0 in test_new_frontend.py."""
    set_setting(page, "Comfy.VueNodes.Enabled", vue)
    check_opening(server, page, names, vue)


def check_opening(server, page, names, vue):
    """Nodes, values and layout survive loading and saving; what would be queued is valid where the models are."""
    crowded = []
    with busy(server):
        for name in names:
            workflow = shipped(name)
            load_workflow(page, workflow)
            assert missing_nodes(page) == []
            saved = export_workflow(page)
            values = {node["id"]: node["widgets_values"] for node in workflow["nodes"] if "widgets_values" in node}
            assert survive(values, values_of(saved)), name
            prompt = without_previews(api_prompt(page))
            server.queue(prompt)

            load_workflow(page, json.loads(json.dumps(saved)))
            assert without_previews(api_prompt(page)) == prompt
            assert survive(values, values_of(export_workflow(page))), name
            crowded += [f"{name}: {fault}" for fault in layout_faults(page, vue)]
    assert crowded == []
    assert page.errors == []


def survive(values, saved) -> bool:
    """Each node's values are there, in their places; a newer host's node may have more behind them."""
    return all((saved.get(node) or [])[: len(known)] == known for node, known in values.items())


def values_of(workflow) -> dict:
    return {node["id"]: node.get("widgets_values") for node in workflow["nodes"]}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_they_fit_a_laptop(name):
    """All of a graph in view of a screen of 1440x900, as ComfyUI fits it, is large enough to show the nodes' titles."""
    groups = [group["bounding"] for group in shipped(name)["groups"]]
    width = max(x + w for x, _, w, _ in groups) - min(x for x, *_ in groups)
    height = max(y + h for _, y, _, h in groups) - min(y for _, y, *_ in groups)
    assert min(1440 / width, 900 / height) * 0.75 > 0.69  # ComfyUI leaves a quarter free


def test_app_mode(page):
    """What app mode asks for and shows is in the graph."""
    apps = [name for name in ALL_WORKFLOWS if "linearData" in shipped(name)["extra"]]
    assert {"Helios Demo - Text to Video", "Helios - Text to Video (Distilled)"} <= set(apps)
    for name in apps:
        workflow = shipped(name)
        load_workflow(page, workflow)
        shown = workflow["extra"]["linearData"]
        found = page.evaluate(
            """({inputs, outputs}) => [inputs.map(([id, name]) => app.graph.getNodeById(id).widgets.some(
                w => w.name === name)), outputs.map(id => app.graph.getNodeById(id).type)]""",
            shown,
        )
        assert found == [[True] * 3, ["SaveVideo"]], name


def without_previews(prompt: dict) -> dict:
    """Load Video has one more input from the moment that its preview has loaded."""
    for node in prompt.values():
        node["inputs"].pop("video-preview", None)
    return prompt


def layout_faults(page, vue) -> list[str]:
    """Nodes over each other or out of their groups."""
    if vue:
        page.wait_for_function("() => app.graph.nodes.every(n => document.querySelector(`[data-node-id='${n.id}']`))")
    layout = page.evaluate(LAYOUT, vue)
    nodes, faults = list(layout["nodes"].items()), []
    for i, (name, a) in enumerate(nodes):
        if not any(contains(group, a) for group in layout["groups"]):
            faults.append(f"{name} is in no group")
        faults += [f"{name} covers {other}" for other, b in nodes[:i] if overlap(a, b)]
    return faults


def contains(group, node, slack=10):
    return all(group[i] - slack <= node[i] for i in (0, 1)) and all(node[i] <= group[i] + slack for i in (2, 3))


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
