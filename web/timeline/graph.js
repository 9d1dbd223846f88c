// The graph around a schedule: whose text it is, which samplers it feeds, how long their films are.
//
// A place is a node and the subgraph nodes that lead to it: `path` "2:7" is node 7 in the subgraph of node 2.

import { CHUNK_FRAMES, FPS } from "./schedule.js";

/**
 * @typedef {any} Node of the host's graph library, which differs from version to version
 * @typedef {{node: Node, parents: Node[]}} Place `parents`: the subgraph nodes from the outermost to the innermost
 */

export const SCHEDULE = "HeliosPromptSchedule";
const SAMPLERS = ["HeliosChunkSampler", "HeliosSampleToVideo"];
const CHAIN = ["HeliosPromptSegment", "HeliosKeyframe"]; // hand a schedule on
const INPUT = -10; // the id, a number or since 1.58 a text, of a subgraph's inputs, seen from inside
const OUTPUT = -20;

/** @param {Place} place */
export function pathOf({ node, parents }) {
  return [...parents, node].map((n) => n.id).join(":");
}

/**
 * All places of nodes of a type, also in subgraphs.
 * @param {any} graph
 * @param {string} type
 * @returns {Place[]}
 */
export function placesOf(graph, type) {
  return placesWhere(graph, (node) => node.comfyClass === type || node.type === type);
}

/**
 * All places of nodes that pass a test, also in subgraphs.
 * @param {any} graph
 * @param {(node: Node) => boolean} passes
 * @param {Node[]} [parents]
 * @returns {Place[]}
 */
export function placesWhere(graph, passes, parents = []) {
  /** @type {Place[]} */
  const found = [];
  for (const node of graph?.nodes ?? []) {
    if (passes(node)) found.push({ node, parents });
    if (node.subgraph && parents.length < 8) found.push(...placesWhere(node.subgraph, passes, [...parents, node]));
  }
  return found;
}

/**
 * @param {any} graph
 * @param {number | string | null | undefined} id
 */
function linkOf(graph, id) {
  if (id === null || id === undefined) return null;
  return graph?.getLink?.(id) ?? graph?.links?.get?.(id) ?? graph?.links?.[id] ?? null;
}

/**
 * @param {Node} node
 * @param {string} name
 */
export function widgetOf(node, name) {
  return node.widgets?.find((/** @type {any} */ w) => w.name === name) ?? null;
}

/**
 * Where an input's value comes from: the output of a node, through reroutes and out of subgraphs; null where nothing is
 * connected, or, with `widget`, the widget of a subgraph node that stands for it.
 * @param {Place} place
 * @param {string} name
 * @returns {{place: Place, slot: number, widget?: any} | null}
 */
export function sourceOf(place, name) {
  const { node, parents } = place;
  const input = node.inputs?.find((/** @type {any} */ i) => i.name === name);
  const link = linkOf(node.graph, input?.link);
  if (!link) return null;
  if (Number(link.origin_id) === INPUT) {
    const outer = parents[parents.length - 1];
    if (!outer) return null;
    const around = { node: outer, parents: parents.slice(0, -1) };
    const slot = outer.inputs?.[link.origin_slot];
    if (!slot) return null;
    if (slot.link !== null && slot.link !== undefined) return sourceOf(around, slot.name);
    const widget = slot._widget ?? outer.widgets?.find((/** @type {any} */ w) => w.name === (slot.widget?.name ?? slot.name));
    return widget ? { place: around, slot: -1, widget } : null;
  }
  const origin = node.graph.getNodeById(link.origin_id);
  if (!origin) return null;
  if (origin.type === "Reroute") return sourceOf({ node: origin, parents }, origin.inputs[0].name);
  if (origin.subgraph) {
    const inner = linkOf(origin.subgraph, origin.subgraph.outputNode?.slots?.[link.origin_slot]?.linkIds?.[0]);
    const inside = inner && origin.subgraph.getNodeById(inner.origin_id);
    return inside ? { place: { node: inside, parents: [...parents, origin] }, slot: inner.origin_slot } : null;
  }
  return { place: { node: origin, parents }, slot: link.origin_slot };
}

/**
 * The inputs that a node's output feeds, through reroutes and in and out of subgraphs.
 * @param {Place} place
 * @param {number} slot
 * @returns {{place: Place, name: string}[]}
 */
function targetsOf(place, slot) {
  const { node, parents } = place;
  return (node.outputs?.[slot]?.links ?? []).flatMap((/** @type {any} */ id) => followLink(node.graph, parents, linkOf(node.graph, id)));
}

/**
 * @param {any} graph
 * @param {Node[]} parents
 * @param {any} link
 * @returns {{place: Place, name: string}[]}
 */
function followLink(graph, parents, link) {
  if (!link) return [];
  if (Number(link.target_id) === OUTPUT) {
    const outer = parents[parents.length - 1];
    return outer ? targetsOf({ node: outer, parents: parents.slice(0, -1) }, link.target_slot) : [];
  }
  const target = graph.getNodeById(link.target_id);
  if (!target) return [];
  if (target.type === "Reroute") return targetsOf({ node: target, parents }, 0);
  if (target.subgraph) {
    const inner = target.subgraph.inputNode?.slots?.[link.target_slot]?.linkIds ?? [];
    return inner.flatMap((/** @type {any} */ id) =>
      followLink(target.subgraph, [...parents, target], linkOf(target.subgraph, id)),
    );
  }
  return [{ place: { node: target, parents }, name: target.inputs?.[link.target_slot]?.name ?? "" }];
}

/**
 * The samplers that make films of a schedule.
 * @param {Place} place
 * @returns {Place[]}
 */
export function samplersOf(place) {
  /** @type {Place[]} */
  const found = [];
  const seen = new Set();
  const walk = (/** @type {Place} */ from) => {
    for (const { place: to, name } of targetsOf(from, 0)) {
      if (name !== "schedule" || seen.has(pathOf(to))) continue;
      seen.add(pathOf(to));
      const type = to.node.comfyClass ?? to.node.type;
      if (SAMPLERS.includes(type)) found.push(to);
      else if (CHAIN.includes(type)) walk(to);
    }
  };
  walk(place);
  const isOff = (/** @type {Place} */ { node }) => node.mode === 2 || node.mode === 4; // muted, bypassed
  return [...found.filter((p) => !isOff(p)), ...found.filter(isOff)];
}

/**
 * A widget's value, or that of the widget it comes from: on a subgraph node, or on a node that holds one value.
 * @param {Place} place
 * @param {string} name
 */
export function valueOf(place, name) {
  const widget = widgetFor(place, name);
  if (widget) return widget.value;
  const widgets = sourceOf(place, name)?.place.node.widgets ?? [];
  return (widgets.find((/** @type {any} */ w) => w.name === "value" || w.name === name) ?? widgets[0])?.value;
}

/**
 * The widget that holds an input's value; null where it comes by a link.
 * @param {Place} place
 * @param {string} name
 */
export function widgetFor(place, name) {
  const input = place.node.inputs?.find((/** @type {any} */ i) => i.name === name);
  if (input?.link === null || input?.link === undefined) return widgetOf(place.node, name);
  return sourceOf(place, name)?.widget ?? null;
}

/**
 * Which chunks a sampler makes: from `first` to `end`, as its widgets say, or else as its last run went.
 * @param {Place} place
 * @param {number} lastStart of the schedule's prompts
 * @param {{first: number, end: number} | null} [run]
 * @returns {{first: number, end: number}}
 */
export function filmOf(place, lastStart, run = null) {
  const first = firstOf(place, run?.first ?? 0);
  const length = Number(valueOf(place, "length"));
  const unit = valueOf(place, "length_in") ?? "frames";
  if (!(length >= 1)) return run ?? { first, end: first + 3 };
  if (unit === "frames of the last prompt") return { first, end: Math.max(first + 1, lastStart + chunksOf(length)) };
  const chunks = unit === "chunks" ? length : chunksOf(unit === "seconds" ? length * FPS : length);
  return { first, end: first + chunks };
}

/** @param {number} frames */
function chunksOf(frames) {
  return Math.max(1, Math.ceil(frames / CHUNK_FRAMES));
}

/**
 * @param {Place} place
 * @param {number} known
 * @returns {number}
 */
function firstOf(place, known) {
  const source = sourceOf(place, "memory");
  if (!source) return 0;
  const type = source.place.node.comfyClass ?? source.place.node.type;
  const isCounted = SAMPLERS.includes(type) && valueOf(source.place, "length_in") !== "frames of the last prompt";
  return isCounted ? filmOf(source.place, 0).end : known;
}

/**
 * What the widget `length` is to say for a film of `chunks` chunks that begins at `first`.
 * @param {Place} place
 * @param {number} first
 * @param {number} chunks
 * @param {number} lastStart
 */
export function lengthFor(place, first, chunks, lastStart) {
  const unit = valueOf(place, "length_in") ?? "frames";
  if (unit === "chunks") return chunks;
  if (unit === "seconds") return Math.max(1, Math.floor((chunks * CHUNK_FRAMES) / FPS));
  if (unit === "frames of the last prompt") return Math.max(1, first + chunks - lastStart) * CHUNK_FRAMES;
  return chunks * CHUNK_FRAMES;
}
