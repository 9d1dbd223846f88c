"""Build subgraphs/, blueprints that ComfyUI lists in its node library: a film's nodes as one node.

    python tools/make_subgraphs.py

needs what make_workflows.py needs.
"""

import json
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

from make_workflows import PACK, frontends, hosts
from workflow_graphs import LATEST, SCHEDULE, memory, models, node, output, output_links, sampler, schedule, text
from workflow_layout import Sizes, layout, measured
from workflow_texts import EXTEND_BLUEPRINT, FOX, GO_ON, TEXT_TO_VIDEO_BLUEPRINT

from browser import BUILD, EMPTY_WORKFLOW, export_workflow, load_workflow

FOLDED = """async ({widgets, outputs, title}) => {
    const graph = app.rootGraph ?? app.graph;
    const {subgraph, node} = graph.convertToSubgraph(new Set(graph.nodes));
    subgraph.name = node.title = title;
    const inner = subgraph.nodes;
    for (const [number, name] of widgets) {
        const slot = inner[number].inputs.find(input => input.name === name);
        const input = subgraph.addInput(name, slot.type);
        input.connect(slot, inner[number]);
    }
    for (const [number, name] of outputs) {
        const slot = inner[number].outputs.find(output => output.name === name);
        subgraph.addOutput(name, slot.type).connect(slot, inner[number]);
    }
    node.setSize(node.computeSize());
    await new Promise(requestAnimationFrame);
}"""


def text_to_video():
    columns = [
        models(),
        ("Prompts and size", 385, [schedule(f"0: {FOX}"), memory()]),
        ("Film", 260, [sampler()]),
        ("Video", 260, output()[:2]),
    ]
    links = [
        ("model", "MODEL", "sampler", "model"),
        ("memory", "memory", "sampler", "memory"),
        *SCHEDULE,
        *output_links()[:3],
    ]
    widgets = [("schedule", "schedule"), ("memory", "width"), ("memory", "height"), ("sampler", "length")]
    return columns, links, [*widgets, ("sampler", "seed"), ("model", "model_name")]


def extend():
    load = node("memory", "HeliosLoadMemory", memory_file=LATEST)
    columns = [
        models(),
        ("The film so far", 300, [load, text("positive", "How it goes on", GO_ON)]),
        ("Film", 260, [sampler(length=66)]),
        ("Video", 260, output()[:2]),
    ]
    links = [
        ("model", "MODEL", "sampler", "model"),
        ("model", "MODEL", "memory", "model"),
        ("memory", "memory", "sampler", "memory"),
        ("clip", "CLIP", "positive", "clip"),
        ("positive", "CONDITIONING", "sampler", "positive"),
        *output_links()[:3],
    ]
    widgets = [("memory", "memory_file"), ("positive", "text"), ("sampler", "length"), ("sampler", "seed")]
    return columns, links, [*widgets, ("model", "model_name")]


SUBGRAPHS = {
    "Helios Text to Video": (text_to_video, TEXT_TO_VIDEO_BLUEPRINT),
    "Helios Extend a Film": (extend, EXTEND_BLUEPRINT),
}


def blueprint(pages, title, columns, links, widgets, description) -> dict:
    page, sizes = pages[0], Sizes(pages, *zip(*measured(columns)))
    nodes, _ = layout(columns, sizes)
    nodes = [spec for spec in nodes if spec["type"] != "MarkdownNote"]
    numbers = {spec["name"]: i for i, spec in enumerate(nodes)}
    load_workflow(page, EMPTY_WORKFLOW)
    page.evaluate(BUILD, {"nodes": nodes, "links": links, "groups": []})
    shown = {
        "title": title,
        "widgets": [(numbers[name], widget) for name, widget in widgets],
        "outputs": [(numbers["video"], "VIDEO"), (numbers["sampler"], "memory")],
    }
    page.evaluate(FOLDED, shown)
    workflow = export_workflow(page)
    (subgraph,) = workflow["definitions"]["subgraphs"]
    subgraph |= {"category": "Helios", "description": description}
    (outer,) = workflow["nodes"]
    promoted = [[str(number + 1), widget] for number, widget in shown["widgets"]]
    outer["properties"]["proxyWidgets"] = promoted  # the frontend adds every seed
    workflow.pop("id", None)
    workflow["extra"] = {"BlueprintDescription": description, "BlueprintSearchAliases": ["long video", "wan"]}
    # The same blueprint has the same id each time that it is made.
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, f"ComfyUI-Helios/{title}"))
    return json.loads(json.dumps(workflow).replace(subgraph["id"], own))


def main():
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = [stack.enter_context(server) for server in hosts(Path(folder))]
        pages = stack.enter_context(frontends(servers))
        for title, (make, description) in SUBGRAPHS.items():
            workflow = blueprint(pages, title, *make(), description)
            target = PACK / "subgraphs" / f"{title}.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(workflow, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
