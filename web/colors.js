// Wires and sockets of the pack's own types, in colours that no type of the host has, on dark and light.

import { app } from "../../scripts/app.js";

const COLORS = { HELIOS_SCHEDULE: "#1FBF9F", HELIOS_MEMORY: "#B8845A" };

/** The host empties the colours of all types whenever a palette is loaded; a palette's own colour counts. */
function keepColor(table, type, color) {
  let own = "";
  Object.defineProperty(table, type, {
    get: () => own || color,
    set: (value) => (own = value),
    enumerable: true,
    configurable: true,
  });
}

app.registerExtension({
  name: "Helios.Colors",

  setup() {
    const style = document.createElement("style"); // Nodes 2.0; a palette's own are set on the element and count
    for (const [type, color] of Object.entries(COLORS)) {
      keepColor(app.canvas.default_connection_color_byType, type, color); // sockets
      keepColor(app.canvas.constructor.link_type_colors, type, color); // wires
      style.textContent += `:root { --color-datatype-${type}: ${color}; }\n`;
    }
    document.head.append(style);
  },
});
