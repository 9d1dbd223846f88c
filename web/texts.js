// What a node says: while it runs, and from then on. It stays when the job ends, for a cached node, and over a reload.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NAME = "helios_text";
const ROWS = { least: 6, font: "12px/16px system-ui, sans-serif", height: 16, padding: 8, margin: 10 };
const KEPT = { key: "Helios.texts", workflows: 30, characters: 4000 };

const rootGraph = () => app.rootGraph ?? app.graph;

/** The node of an execution id: "7", or "2:7" for node 7 in the subgraph of node 2. */
function findNode(path) {
  let graph = rootGraph();
  let node;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(Number(id));
    graph = node?.subgraph;
  }
  return node;
}

// In the browser, by workflow: in the workflow itself they would be points of undo, and travel with shared files.

function keptTexts() {
  try {
    return JSON.parse(localStorage.getItem(KEPT.key)) ?? {};
  } catch {
    return {};
  }
}

function keep(workflow, path, text) {
  const { [workflow]: nodes, ...others } = keptTexts();
  const all = Object.entries({ ...others, [workflow]: { ...nodes, [path]: text.slice(0, KEPT.characters) } });
  try {
    localStorage.setItem(KEPT.key, JSON.stringify(Object.fromEntries(all.slice(-KEPT.workflows))));
  } catch (error) {
    console.warn("Helios: texts are not kept over a reload:", error); // the storage is full or forbidden
  }
}

const workflows = new Map(); // of prompt ids

let ruler;

/** Lines that a text takes in a node of this width. */
function countRows(text, width) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = ROWS.font;
  const room = Math.max(width - 48, 60);
  const rows = text.split("\n").map((line) => Math.max(1, Math.ceil(ruler.measureText(line).width / room)));
  return rows.reduce((a, b) => a + b, 0);
}

function addWidget(node) {
  const text = document.createElement("div");
  Object.assign(text.style, {
    boxSizing: "border-box",
    maxHeight: "100%",
    padding: `${ROWS.padding / 2}px 8px`,
    overflowY: "auto",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    font: ROWS.font,
    borderRadius: "6px",
    color: "var(--input-text)",
    background: "var(--comfy-input-bg)",
    userSelect: "text",
    cursor: "text",
  });
  text.dataset.captureWheel = "true";
  text.tabIndex = -1; // so that a click gives it the wheel
  const element = document.createElement("div"); // stretched by the frontend
  element.className = "helios-text";
  element.append(text);
  const height = (most) =>
    Math.min(countRows(text.textContent, node.size[0]), most) * ROWS.height + ROWS.padding + 2 * ROWS.margin;
  const widget = node.addDOMWidget(NAME, "HELIOS_TEXT", element, {
    serialize: false,
    hideOnZoom: false,
    margin: ROWS.margin,
    getValue: () => text.textContent,
    setValue: (value) => (text.textContent = value),
    getMinHeight: () => height(ROWS.least),
    getMaxHeight: () => height(Infinity),
  });
  widget.serialize = false;
  return widget;
}

/**
 * Show a text at the node's foot, which grows where there is no room for it, and does not shrink with the next text.
 * Never HTML: it may come out of a file.
 */
function show(node, text) {
  const widget = node.widgets?.find((w) => w.name === NAME) ?? addWidget(node);
  widget.value = text;
  widget.element.firstChild.hidden = !text;
  if (LiteGraph.vueNodesMode) {
    const { style } = widget.element;
    const height = widget.options.getMinHeight() - 2 * ROWS.margin;
    style.minHeight = `${Math.max(parseInt(style.minHeight) || 0, height)}px`;
    widget.element.firstChild.style.maxHeight = `${ROWS.least * ROWS.height + ROWS.padding}px`; // more is scrolled
  } else {
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  }
  node.setDirtyCanvas?.(true, true);
}

/** A node that ran and had nothing to say has no text of an earlier run. */
function forget({ prompt, path }) {
  const workflow = workflows.get(prompt);
  if (!keptTexts()[workflow]?.[path]) return;
  keep(workflow, path, "");
  const node = workflow === rootGraph().id && findNode(path);
  if (node) show(node, "");
}

function restore() {
  for (const [path, text] of Object.entries(keptTexts()[rootGraph().id] ?? {})) {
    const node = findNode(path);
    if (text && node?.type?.startsWith("Helios")) show(node, text);
  }
}

// In a closed subgraph and in app mode no node is seen: there the job's texts come in one toast, when it ends.

const unseen = new Map();

const isSeen = (node) => node.graph === app.canvas.graph && (app.canvas.canvas.checkVisibility?.() ?? true);

function showUnseen() {
  if (unseen.size) {
    const detail = [...unseen].map(([title, text]) => `${title}: ${text}`).join("\n");
    app.extensionManager.toast.add({ severity: "info", summary: "Helios", detail, life: 15000 });
  }
  unseen.clear();
}

let running; // the node that runs: its prompt and path, and whether it said anything

function said(workflow, path, text) {
  if (running?.path === String(path)) running.said = true;
  const before = keptTexts()[workflow]?.[path];
  keep(workflow, path, text);
  const node = workflow === rootGraph().id && findNode(path);
  if (!node) return;
  show(node, text);
  if (isSeen(node) || node.type === "HeliosPromptSchedule") unseen.delete(node.title); // a table is for the node
  else if (text !== before) unseen.set(node.title, text.split("\n")[0]);
}

// In Nodes 2.0 a node would rather squeeze its text box than grow.
const STYLE = `[data-node-id]:has(.helios-text > :not([hidden])) textarea { min-height: 140px; }`;

app.registerExtension({
  name: "Helios.Texts",

  setup() {
    document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
    const queuePrompt = api.queuePrompt;
    api.queuePrompt = async function (number, data, ...rest) {
      const answer = await queuePrompt.call(this, number, data, ...rest);
      if (answer?.prompt_id) workflows.set(answer.prompt_id, data?.workflow?.id);
      return answer;
    };
    api.addEventListener("helios.text", ({ detail: { workflow, node, text } }) => {
      if (workflow) said(workflow, node, text);
    });
    let prompt;
    const silent = [];
    api.addEventListener("execution_start", ({ detail }) => (prompt = detail.prompt_id));
    api.addEventListener("executing", ({ detail: path }) => {
      if (running && !running.said) silent.push(running);
      running = path == null ? undefined : { prompt, path: String(path), said: false };
      // At the end, since the first nodes may be through before the answer that tells whose prompt it is.
      if (!running) silent.splice(0).forEach(forget);
    });
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
      api.addEventListener(end, showUnseen);
    // The same text again, or that of a cached node.
    api.addEventListener("executed", ({ detail }) => {
      const path = detail.display_node ?? detail.node;
      const workflow = workflows.get(detail.prompt_id) ?? rootGraph().id;
      const text = detail.output?.text?.[0];
      if (text && workflow === rootGraph().id && findNode(path)?.type?.startsWith("Helios"))
        said(workflow, path, text);
    });
  },

  nodeCreated(node) {
    // Room for two lines, so that a node placed by hand does not grow over the next one; rows are higher in Nodes 2.0.
    if (node.comfyClass?.startsWith("Helios") && node.constructor.nodeData?.input?.hidden?.unique_id)
      node.setSize([node.size[0], node.size[1] + (LiteGraph.vueNodesMode ? 104 : 64)]);
  },

  afterConfigureGraph: restore,
});
