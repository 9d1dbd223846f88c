// Two ways to connect a film that run, and show it wrong: said once, when a wire is drawn and when it is queued.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const MISTAKES = await (await fetch(new URL("mistakes.json", import.meta.url))).json();

const told = new Set();

function tell(node, text) {
  const key = `${node} ${text}`;
  if (told.has(key)) return;
  told.add(key);
  app.extensionManager.toast.add({ severity: "warn", summary: "Helios", detail: text, life: 15000 });
}

app.registerExtension({
  name: "Helios.Mistakes",

  setup() {
    api.addEventListener("helios.mistake", ({ detail: { node, text } }) => tell(node, text));
  },

  nodeCreated(node) {
    const mistakes = MISTAKES.filter(({ into }) => into.includes(node.comfyClass));
    if (!mistakes.length) return;
    const before = node.onConnectInput; // asked for wires that a person draws, not for those of a loaded workflow
    node.onConnectInput = function (slot, type, socket, origin, output) {
      for (const { from, output: ours, input, widgets, text } of mistakes) {
        const set = ([name, value]) => this.widgets?.find((w) => w.name === name)?.value === value;
        const wire = origin?.comfyClass === from && output === ours && this.inputs[slot]?.name === input;
        if (wire && Object.entries(widgets).every(set)) tell(this.id, text);
      }
      return before?.apply(this, arguments) ?? true;
    };
  },
});
