// A loader whose model is not downloaded yet says so on the node, before anything is run, and how to get it. The host's
// panel of missing models knows single files only, and this one is a folder.

import { app } from "../../scripts/app.js";

const NODE = "HeliosModelLoader";
const NAME = "helios_download";
let spec; // of the widget model_name: its options, and commands by the names of what can be downloaded

const plain = (name) => String(name).replaceAll("\\", "/").replace(/\/+$/, "");

/** The command that downloads what this node names, unless it is there. */
function commandFor(node) {
  const name = plain(node.widgets?.find((w) => w.name === "model_name")?.value ?? "");
  const there = spec?.options?.some((option) => plain(option) === name);
  return there ? undefined : spec?.helios_downloads?.[name.split("/").at(-1)];
}

async function tell(command) {
  const copied = await navigator.clipboard?.writeText(command).then(
    () => " (it is copied)",
    () => "",
  );
  const detail = `Open a terminal in ComfyUI's folder models/diffusion_models and run this command${copied ?? ""}, then press R here:\n${command}`;
  app.extensionManager.toast.add({ severity: "info", summary: "28 GB to download", detail, life: 60000 });
}

function update(node) {
  const command = commandFor(node);
  const button = node.widgets?.find((w) => w.name === NAME);
  if (command && !button) {
    const added = node.addWidget("button", NAME, "", () => tell(commandFor(node)), { serialize: false });
    added.label = "Not downloaded yet: how to get it";
    added.serialize = false;
  } else if (!command && button) {
    if (node.removeWidget) node.removeWidget(button);
    else node.widgets.splice(node.widgets.indexOf(button), 1);
  } else return;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  node.setDirtyCanvas?.(true, true);
}

function loaders() {
  const root = app.rootGraph ?? app.graph;
  const graphs = [root, ...(root.subgraphs?.values() ?? [])];
  return graphs.flatMap((graph) => graph.nodes.filter((node) => node.type === NODE));
}

const told = new Set();

/** Once for each model: the button is on a node that may be small, or in a subgraph. */
function warn() {
  for (const node of loaders()) {
    const command = commandFor(node);
    if (!command || told.has(command)) continue;
    told.add(command);
    const name = plain(node.widgets.find((w) => w.name === "model_name").value);
    const detail = `${name} is not downloaded yet (28 GB). Press the button on ${node.title}.`;
    app.extensionManager.toast.add({ severity: "warn", summary: "Helios", detail, life: 20000 });
  }
}

app.registerExtension({
  name: "Helios.MissingModel",

  beforeRegisterNodeDef(_, definition) {
    if (definition.name === NODE) spec = definition.input.required.model_name[1];
  },

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const widget = node.widgets.find((w) => w.name === "model_name");
    const { callback } = widget;
    widget.callback = function (...args) {
      const answer = callback?.apply(this, args);
      update(node);
      return answer;
    };
    setTimeout(() => update(node)); // when it has its saved values
  },

  afterConfigureGraph() {
    loaders().forEach(update);
    warn();
  },

  refreshComboInNodes(definitions) {
    spec = definitions[NODE]?.input.required.model_name[1] ?? spec;
    loaders().forEach(update);
  },
});
