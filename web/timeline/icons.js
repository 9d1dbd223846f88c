// Icons of the bar, drawn on 16 x 16: fonts have some of their signs and lack others.

/** @type {Record<string, string>} */
const PATHS = {
  undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "m10 3 3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
  new_prompt: "M2 4h7M5.5 4v8M11 11h4M13 9v4",
  new_picture: "M2 3h9v8H2zM4 9l2-2 1.5 1.5L9 7l2 2M12 12h4M14 10v4",
  new_seed: "M2 3h9v9H2zM4.5 5.5h.01M8.5 9.5h.01M6.5 7.5h.01M12 12h4M14 10v4",
  split: "M8 2v12M2 5h4v6H2zM10 5h4v6h-4z",
  merge: "M2 5h12v6H2zM6 8h4M8.5 6.5 10 8 8.5 9.5",
  duplicate: "M2 2h8v8H2zM6 12v2h8V6h-2",
  blend: "M2 13 14 3v10z",
  off: "M8 8m-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M4 12l8-8",
  delete: "M3 4h10M6 4V2h4v2M4.5 4l.5 10h6l.5-10",
  ripple_delete: "M6 4h9M9 4V2h3v2M7.5 4l.5 10h5l.5-10M5 8H1M3 6 1 8l2 2",
  play: "M4 2.5v11l9-5.5z",
  take_again: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
  snap: "M3 3v5a5 5 0 0 0 10 0V3M3 5h3V3H3M13 5h-3V3h3M6 5v3a2 2 0 0 0 4 0V5",
  zoom_out: "M3 8h10",
  zoom_in: "M3 8h10M8 3v10",
  fit: "M2 3v10M14 3v10M4 8h8M6 6 4 8l2 2M10 6l2 2-2 2",
  help: "M6 6a2 2 0 1 1 3 1.7c-.7.4-1 .8-1 1.8M8 12.5h.01",
  fullscreen: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  close: "m3 3 10 10M13 3 3 13",
  star: "m8 2 1.8 3.9 4.2.5-3.1 2.9.8 4.2L8 11.4l-3.7 2.1.8-4.2L2 6.4l4.2-.5z",
  compare: "M2 3h5v10H2zM9 3h5v10H9z",
  open: "M2 3h12M2 8h7M2 13h9",
};

/** @param {string} name */
export function icon(name) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", width: "16", height: "16", "aria-hidden": "true" }))
    element.setAttribute(key, value);
  const d = PATHS[name];
  if (d === undefined) throw new Error(`no icon ${name}`);
  const shape = { d, fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linecap": "round", "stroke-linejoin": "round" };
  for (const [key, value] of Object.entries(shape)) path.setAttribute(key, value);
  element.append(path);
  return element;
}
