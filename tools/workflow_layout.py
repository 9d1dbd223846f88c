"""Lay out a workflow: columns from left to right, the nodes of a column from top to bottom.

A node is data: {"name" (used in links), "type", and what tests/browser/browser.py's build_workflow takes}; "most" is
the height of a prompt's node at the most. A workflow is its columns, (title, width, rows), and its links; a row that is
a list has its nodes side by side. Sizes are the frontend's own, classic and Nodes 2.0; below a node that grows when it
runs there is room for that.
"""

from browser import EMPTY_WORKFLOW, build_workflow, load_workflow, set_setting

TITLE, LABEL, GAP, MARGIN = 30, 30, 24, 10  # graph units: a node's title, a group's; between nodes, inside groups
SPACE = 8  # between groups
GROUP = "#3f789e"

# What comes into a node while it runs: lines of text, and a preview whose height is a share of the node's width.
LINES = 80
GROWS = {
    "HeliosModelLoader": (LINES, 0),  # how to get the model, where it is missing
    "HeliosChunkSampler": (LINES, 0.67),
    "HeliosSampleToVideo": (LINES, 0.6),
    "HeliosPromptSchedule": (110, 0),
    "HeliosHistoryMemory": (LINES, 0),
    "HeliosLoadMemory": (50, 0.8),
    "HeliosSaveMemory": (LINES, 0.95),
    "HeliosJoinVideos": (LINES, 0),
    "SaveVideo": (62, 0.64),
    "SaveImage": (0, 1),
    "PreviewImage": (0, 1),
}
PICTURES = {"LoadImage": 1.1, "LoadVideo": 0.8}  # shown at once
LONGEST = {"schedule": 325, "text": 190}  # the height of a prompt's node; longer ones are scrolled

# The height that each node wants, without its title, with all of its text in view.
HEIGHTS = """vue => app.graph.nodes.map(node => {
    const text = node.widgets?.find(w => w.element?.matches("textarea, .comfy-markdown"));
    if (vue) {
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        const box = element.querySelector(".comfy-markdown-content") ?? element.querySelector("textarea");
        return element.offsetHeight - 30 + (box ? Math.max(0, box.scrollHeight - box.clientHeight) : 0);
    }
    if (node.flags.collapsed) return 0;
    if (!text) return node.computeSize()[1];
    const copy = text.element.cloneNode(true);
    copy.value = text.element.value;
    Object.assign(copy.style, {display: "block", position: "fixed", width: `${node.size[0] - 20}px`, height: "20px"});
    document.body.append(copy);
    const height = (copy.querySelector(".tiptap") ?? copy).scrollHeight;
    copy.remove();
    return node.computeSize()[1] - text.computeLayoutSize(node).minHeight + height + 12;
})"""


class Sizes:
    """The heights that nodes want at a width, measured once for all in each of `pages`, open frontends."""

    def __init__(self, pages: list, specs: list[dict], widths: list[int]):
        keys = dict.fromkeys((self._key(spec, width), width) for spec, width in zip(specs, widths))
        found = {self._key(spec, width): spec for spec, width in zip(specs, widths)}
        nodes = [
            {**found[key], "name": f"{i}", "pos": [i % 12 * 500, i // 12 * 600], "size": [width, 20]}
            for i, (key, width) in enumerate(keys)
        ]
        measured = [self._measure(page, nodes) for page in pages]
        self._heights = {key: tuple(map(max, zip(*heights))) for (key, _), *heights in zip(keys, *measured)}

    @staticmethod
    def _measure(page, nodes) -> list[tuple[int, int]]:
        """(height in the classic renderer, in Nodes 2.0) of each node."""
        by_renderer = []
        for vue in (False, True):
            set_setting(page, "Comfy.VueNodes.Enabled", vue)
            load_workflow(page, with_advanced(build_workflow(page, nodes), nodes))
            page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.setDirty(true, true); }")
            page.wait_for_timeout(4000)
            by_renderer.append([round(height) for height in page.evaluate(HEIGHTS, vue)])
        set_setting(page, "Comfy.VueNodes.Enabled", False)
        load_workflow(page, EMPTY_WORKFLOW)
        return list(zip(*by_renderer))

    def __call__(self, spec: dict, width: int) -> tuple[int, int]:
        """(height to give the node, height to leave for it)."""
        classic, vue = self._heights[self._key(spec, width)]
        if spec.get("collapsed"):
            return 0, vue + 2 - GAP  # close to its neighbours
        if spec["type"] in PICTURES:
            given = 100 + round(PICTURES[spec["type"]] * width)
            return given, given + 20
        if (
            spec["type"] == "MarkdownNote"
        ):  # Nodes 2.0, whose letters are larger, makes room for all of a note by itself
            return classic, max(classic, vue)
        lines, picture = GROWS.get(spec["type"], (0, 0))
        room = lines + round(picture * width)
        for widget in LONGEST.keys() & spec.get("widgets", {}).keys():
            wanted = round((classic + min(vue, 2 * classic)) / 2)
            given = LONGEST[widget] if widget == "schedule" else min(spec.get("most", LONGEST[widget]), wanted)
            return given, given + room
        # The smaller one: the classic renderer makes room for widgets that Nodes 2.0 hides behind "advanced".
        return min(classic, vue) if room else max(classic, vue), max(classic, vue) + room

    @staticmethod
    def _key(spec, width):
        written = spec.get("text") or [v for k, v in spec.get("widgets", {}).items() if k in LONGEST]
        return spec["type"], width, str(written), bool(spec.get("advanced")), bool(spec.get("collapsed"))


def with_advanced(workflow: dict, specs: list[dict]) -> dict:
    """A workflow built of `specs`, with the advanced widgets in view of those that want it."""
    for node, spec in zip(sorted(workflow["nodes"], key=lambda node: node["id"]), specs):
        if spec.get("advanced"):
            node["showAdvanced"] = True
    return workflow


def as_row(row) -> list[dict]:
    return row if isinstance(row, list) else [row]


def measured(columns) -> list[tuple[dict, int]]:
    """(node, its width) of all."""
    found = []
    for _, width, rows in columns:
        for row in map(as_row, rows):
            found += [(spec, (width - GAP * (len(row) - 1)) // len(row)) for spec in row]
    return found


def layout(columns, sizes: Sizes) -> tuple[list[dict], list[dict]]:
    """(nodes with places and sizes, groups around the columns)."""
    placed, groups, x = [], [], 0
    bottoms = []
    for _, width, rows in columns:
        y = bottom = 0
        for row in map(as_row, rows):
            wide = (width - GAP * (len(row) - 1)) // len(row)
            heights = [sizes(spec, wide) for spec in row]
            tall = max(given for given, _ in heights)
            for i, (spec, (given, _)) in enumerate(zip(row, heights)):
                even = tall if len(row) > 1 and given else given
                node = {**spec, "pos": [x + i * (wide + GAP), y], "size": [wide, even or TITLE]}
                node["color"], node["bgcolor"] = node.pop("tint", (None, None))
                placed.append({key: value for key, value in node.items() if value is not None})
            bottom = y + max(room for _, room in heights)
            y = bottom + TITLE + GAP
        bottoms.append(bottom)
        x += width + 2 * MARGIN + SPACE
    height, x = max(bottoms), 0
    for number, (title, width, _) in enumerate(columns, 1):
        box = [x - MARGIN, -TITLE - LABEL, width + 2 * MARGIN, height + TITLE + LABEL + MARGIN]
        groups.append({"title": f"{number} {title}", "bounding": box, "color": GROUP})
        x += width + 2 * MARGIN + SPACE
    return placed, groups
