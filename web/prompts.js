// What the frontend replaces in a node's texts when it is queued, for those nodes that ask.

import { app } from "../../scripts/app.js";

/** %date:yyyy-MM-dd% and %Node.widget% in names of files, as in Save Image. */
function replaceTokens(widget) {
  const replace = window.comfyAPI?.utils?.applyTextReplacements;
  if (replace)
    widget.serializeValue = () => (typeof widget.value === "string" ? replace(app, widget.value) : widget.value);
}

/** Whether every { has its }; those after a backslash do not count. */
function isBalanced(text) {
  let depth = 0;
  for (const [brace] of text.replace(/\\./gs, "").matchAll(/[{}]/g))
    if ((depth += brace === "{" ? 1 : -1) < 0) return false;
  return depth === 0;
}

/** {a|b} is the host's; but where a brace is left open it would take all that follows for one choice, and lose lines. */
function keepOpenBraces(widget) {
  const choose = widget.serializeValue;
  widget.serializeValue = function (...position) {
    return typeof widget.value === "string" && !isBalanced(widget.value)
      ? widget.value
      : choose.apply(this, position);
  };
}

app.registerExtension({
  name: "Helios.Prompts",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("Helios")) return;
    for (const widget of node.widgets ?? []) {
      if (widget.name === "filename_prefix") replaceTokens(widget);
      if (widget.dynamicPrompts && widget.serializeValue) keepOpenBraces(widget);
    }
  },
});
