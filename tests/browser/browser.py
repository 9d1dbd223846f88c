"""Drive the ComfyUI frontend in a page: load, read and build workflows."""

import re
from contextlib import contextmanager
from pathlib import Path

# Console errors of the stock frontend on a fresh and offline ComfyUI.
STOCK_NOISE = re.compile(
    r"404 \(Not Found\).*/(user\.css|favicon\.ico|api/userdata[/?].*)$"
    r"|^ComfyApp graph accessed before initialization"
    r"|^subgraph poofed after load"
    r"|Content Security Policy.*/assets/missingModelDownload"
    r"|^(Connecting to|Fetch API cannot load) .?https://huggingface.co/Comfy-Org"
)

EMPTY_WORKFLOW = {"version": 0.4, "nodes": [], "links": [], "last_node_id": 0, "last_link_id": 0}

LOAD = """async workflow => {
    await app.loadGraphData(workflow);
    for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
}"""

MISSING = """() => {
    const root = app.rootGraph ?? app.graph;
    const graphs = [root, ...(root.subgraphs?.values() ?? [])];
    const types = graphs.flatMap(graph => graph.nodes.map(node => node.type));
    return [...new Set(types)].filter(type => !(type in LiteGraph.registered_node_types)).sort();
}"""

BUILD = """async ({nodes, links, groups}) => {
    const graph = app.rootGraph ?? app.graph;
    const known = (what, value) => { if (value == null || value === -1) throw new Error(what); return value; };
    const made = {};
    for (const spec of nodes) {
        const node = known(`no node type ${spec.type}`, LiteGraph.createNode(spec.type));
        graph.add(node);
        made[spec.name] = node;
        for (const key of ["title", "pos", "mode", "color", "bgcolor"]) if (key in spec) node[key] = spec[key];
        Object.assign(node.properties, spec.properties);
        for (const [name, value] of Object.entries(spec.widgets ?? {})) {
            const widget = known(`${spec.name} has no widget ${name}`, node.widgets?.find(w => w.name === name));
            widget.value = value;
            widget.callback?.(value, app.canvas, node);
        }
        if ("text" in spec) node.widgets[0].value = spec.text;
        node.setSize(spec.size ?? node.computeSize());
        if (spec.collapsed) node.collapse();
    }
    for (const [from, output, to, input] of links) {
        const [source, target] = [from, to].map(name => known(`no node ${name}`, made[name]));
        const start = known(`${from} has no output ${output}`, source.findOutputSlot(output));
        const end = known(`${to} has no input ${input}`, target.findInputSlot(input));
        known(`${from}.${output} does not fit ${to}.${input}`, source.connect(start, target, end));
    }
    for (const {title, bounding, color} of groups) {
        const group = new LiteGraph.LGraphGroup(title);
        [group.pos, group.size] = [bounding.slice(0, 2), bounding.slice(2)];
        if (color) group.color = color;
        graph.add(group);
    }
    await new Promise(requestAnimationFrame);
}"""

# By way of text, as in a download or a POST, so that undefined values are left out.
EXPORT = "async what => JSON.parse(JSON.stringify((await app.graphToPrompt())[what]))"


RUN = """async () => {
    const {api} = await import("/scripts/api.js");
    window.isThrough = false;
    const end = ({detail}) => {
        if (detail != null) return;
        api.removeEventListener("executing", end);
        setTimeout(() => (window.isThrough = true), 100);
    };
    api.addEventListener("executing", end);
    await app.queuePrompt(0);
}"""


@contextmanager
def opened_page(server, chromium, vue: bool = False, **screen):
    """A page of a server's frontend, as of somebody who was never there; `vue` is for Nodes 2.0.

    `screen`: a device_scale_factor, has_touch, reduced_motion.
    """
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue})
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, locale="en-US", **screen)
    page = context.new_page()
    page.errors = []

    def on_console(message):
        text = f"{message.text} {message.location['url']}"
        if message.type == "error" and not STOCK_NOISE.search(text):
            page.errors.append(text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: page.errors.append(f"{error.message}\n{error.stack}"))
    page.goto(server.url)
    wait_until_ready(page)
    load_workflow(page, EMPTY_WORKFLOW)
    yield page
    context.close()


def wait_until_ready(page) -> None:
    """After the page was opened or loaded anew."""
    page.wait_for_function(
        "() => window.app?.extensionManager?.workflow?.activeWorkflow && app.graph.nodes.length", timeout=120_000
    )


def run_workflow(page) -> None:
    """Run the open workflow as the button does, and wait until the page knows that it is through."""
    page.evaluate(RUN)
    page.wait_for_function("() => window.isThrough", timeout=120_000)


def load_workflow(page, workflow: dict) -> None:
    """Open a workflow as if it had been dropped on the page."""
    page.evaluate(LOAD, workflow)


def api_prompt(page) -> dict:
    """What the frontend would queue for the open workflow."""
    return page.evaluate(EXPORT, "output")


def export_workflow(page) -> dict:
    """The open workflow as the frontend's Export writes it."""
    return page.evaluate(EXPORT, "workflow")


def missing_nodes(page) -> list[str]:
    """The node types in the open workflow that this ComfyUI does not have."""
    return page.evaluate(MISSING)


def set_setting(page, name: str, value) -> None:
    """Change a frontend setting, e.g. Comfy.VueNodes.Enabled for Nodes 2.0."""
    page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])


def screenshot(page, path: Path) -> Path:
    """A picture of the page with the whole graph in view."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_timeout(800)  # the view moves there in an animation
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    return Path(path)


def build_workflow(page, nodes: list[dict], links: list[tuple] = (), groups: list[dict] = ()) -> dict:
    """Make a workflow in the page, save it, load it there and export it.

    nodes: {"name": used in links only, "type", and optionally "title", "pos", "size", "widgets": {name: value},
    "text" (of a Note or MarkdownNote), "properties", "mode", "color", "bgcolor", "collapsed"}; ids count from 1.
    links: (name, output slot, name, input slot). groups: {"title", "bounding": [x, y, w, h], optionally "color"}.
    """
    load_workflow(page, EMPTY_WORKFLOW)
    page.evaluate(BUILD, {"nodes": nodes, "links": list(links), "groups": list(groups)})
    load_workflow(page, export_workflow(page))
    return export_workflow(page)
