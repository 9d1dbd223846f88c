// Values that workflows of before were saved with, under their names of today.

import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "Helios.OldWorkflows",

  loadedGraphNode(node) {
    const resize = node.comfyClass?.startsWith("Helios") && node.widgets?.find((w) => w.name === "resize");
    if (resize?.value === "fit") resize.value = "stretch";
  },
});
