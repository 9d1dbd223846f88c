// Everything that can be done, with its keys. The bar's buttons, the keyboard and the list of keys come from here.

import * as edits from "./edits.js";
import { newSeed } from "./takes.js";

/** @import { Editor } from "./editor.js" */
/**
 * @typedef {{id: string, keys: string[], inBar?: boolean, edits?: boolean, byEvent?: boolean,
 *   run: (editor: Editor) => void}} Command `inBar`: has a button; `byEvent`: the browser tells of it by an event of its
 *   own, without which the clipboard is closed; `edits`: not where the text is read-only
 */

/** @type {Command[]} */
export const COMMANDS = [
  { id: "undo", keys: ["Ctrl+z"], inBar: true, edits: true, run: ({ session }) => session.undo() },
  { id: "redo", keys: ["Ctrl+Shift+z", "Ctrl+y"], inBar: true, edits: true, run: ({ session }) => session.redo() },
  { id: "new_prompt", keys: ["n"], inBar: true, edits: true, run: newPrompt },
  { id: "new_picture", keys: ["i"], inBar: true, edits: true, run: (editor) => editor.choosePicture(editor.session.playhead) },
  { id: "new_seed", keys: ["e"], inBar: true, edits: true, run: newSeedLine },
  {
    id: "split",
    keys: ["s"],
    inBar: true,
    edits: true,
    run: ({ session }) => session.edit((s) => edits.split(s, session.playhead, session.end)),
  },
  { id: "merge", keys: ["m"], inBar: true, edits: true, run: merge },
  {
    id: "duplicate",
    keys: ["d", "Ctrl+d"],
    inBar: true,
    edits: true,
    run: (editor) => editor.session.edit((s) => edits.duplicate(s, chosen(editor), editor.session.end)),
  },
  { id: "off", keys: ["o"], inBar: true, edits: true, run: (editor) => editor.session.edit((s) => edits.toggleOff(s, chosen(editor))) },
  { id: "blend", keys: ["b"], inBar: true, edits: true, run: (editor) => blendBy(editor, null) },
  { id: "blend_longer", keys: ["]"], edits: true, run: (editor) => blendBy(editor, 1) },
  { id: "blend_shorter", keys: ["["], edits: true, run: (editor) => blendBy(editor, -1) },
  { id: "delete", keys: ["Delete", "Backspace"], inBar: true, edits: true, run: (editor) => remove(editor, false) },
  { id: "ripple_delete", keys: ["Shift+Delete", "Shift+Backspace"], inBar: true, edits: true, run: (editor) => remove(editor, true) },
  { id: "edit", keys: ["Enter", "F2"], run: (editor) => editor.openEntry(chosen(editor)[0] ?? null) },
  { id: "start_earlier", keys: ["Alt+ArrowLeft"], edits: true, run: (editor) => moveStart(editor, -1, false) },
  { id: "start_later", keys: ["Alt+ArrowRight"], edits: true, run: (editor) => moveStart(editor, 1, false) },
  { id: "ripple_earlier", keys: ["Alt+Shift+ArrowLeft"], edits: true, run: (editor) => moveStart(editor, -1, true) },
  { id: "ripple_later", keys: ["Alt+Shift+ArrowRight"], edits: true, run: (editor) => moveStart(editor, 1, true) },
  { id: "slide_earlier", keys: [","], edits: true, run: (editor) => slide(editor, -1) },
  { id: "slide_later", keys: ["."], edits: true, run: (editor) => slide(editor, 1) },
  { id: "order_earlier", keys: ["<"], edits: true, run: (editor) => reorder(editor, -1) },
  { id: "order_later", keys: [">"], edits: true, run: (editor) => reorder(editor, 1) },
  { id: "copy", keys: ["Ctrl+c"], byEvent: true, run: (editor) => editor.copy() },
  { id: "cut_out", keys: ["Ctrl+x"], byEvent: true, edits: true, run: (editor) => editor.copy() && remove(editor, false) },
  { id: "paste", keys: ["Ctrl+v"], byEvent: true, edits: true, run: (editor) => editor.paste() },
  { id: "select_all", keys: ["Ctrl+a"], run: (editor) => editor.session.select(entriesOfLane(editor)) },
  { id: "shorter", keys: ["Ctrl+["], run: (editor) => editor.setEnd(editor.session.end - 1) },
  { id: "longer", keys: ["Ctrl+]"], run: (editor) => editor.setEnd(editor.session.end + 1) },
  { id: "left", keys: ["ArrowLeft"], run: (editor) => step(editor, -1) },
  { id: "right", keys: ["ArrowRight"], run: (editor) => step(editor, 1) },
  { id: "left_far", keys: ["Shift+ArrowLeft"], run: (editor) => step(editor, -10) },
  { id: "right_far", keys: ["Shift+ArrowRight"], run: (editor) => step(editor, 10) },
  { id: "home", keys: ["Home"], run: (editor) => step(editor, -Infinity) },
  { id: "end", keys: ["End"], run: (editor) => step(editor, Infinity) },
  { id: "previous", keys: ["Ctrl+ArrowLeft"], run: (editor) => walk(editor, -1, false) },
  { id: "next", keys: ["Ctrl+ArrowRight"], run: (editor) => walk(editor, 1, false) },
  { id: "previous_more", keys: ["Ctrl+Shift+ArrowLeft"], run: (editor) => walk(editor, -1, true) },
  { id: "next_more", keys: ["Ctrl+Shift+ArrowRight"], run: (editor) => walk(editor, 1, true) },
  { id: "lane_up", keys: ["ArrowUp"], run: (editor) => changeLane(editor, -1) },
  { id: "lane_down", keys: ["ArrowDown"], run: (editor) => changeLane(editor, 1) },
  { id: "play", keys: ["l", " "], inBar: true, run: (editor) => editor.player.toggle() },
  { id: "pause", keys: ["k"], run: (editor) => editor.player.pause() },
  { id: "play_back", keys: ["j"], run: (editor) => step(editor, -1) },
  { id: "take_again", keys: ["t"], inBar: true, edits: true, run: (editor) => editor.takeAgain() },
  { id: "compare", keys: ["c"], run: (editor) => editor.compare() },
  { id: "star", keys: ["*"], run: (editor) => editor.star() },
  { id: "find", keys: ["Ctrl+f"], run: (editor) => editor.find.focus() },
  { id: "find_next", keys: ["F3", "Ctrl+g"], run: (editor) => editor.findNext() },
  { id: "snap", keys: ["g"], inBar: true, run: (editor) => editor.toggleSnap() },
  { id: "zoom_out", keys: ["-"], inBar: true, run: (editor) => zoom(editor, 1 / 1.5) },
  { id: "zoom_in", keys: ["+", "="], inBar: true, run: (editor) => zoom(editor, 1.5) },
  { id: "fit", keys: ["f"], inBar: true, run: (editor) => editor.fit() },
  { id: "help", keys: ["?"], inBar: true, run: (editor) => editor.toggleKeys() },
  { id: "fullscreen", keys: ["Shift+f", "F11"], inBar: true, run: (editor) => editor.toggleFull() },
  { id: "escape", keys: ["Escape"], run: (editor) => editor.escape() },
  { id: "close", keys: [], inBar: true, run: (editor) => editor.host.close() },
];

/**
 * The name of a key with what is held: "Ctrl+Shift+z". Ctrl is the Mac's Command too.
 * @param {KeyboardEvent} event
 */
export function nameOfKey(event) {
  const isSymbol = event.key.length === 1 && event.key.toLowerCase() === event.key.toUpperCase() && event.key !== " ";
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isTyped = event.getModifierState("AltGraph"); // it is Ctrl and Alt too, on keyboards that need it for a [
  const held = [
    !isTyped && (event.ctrlKey || event.metaKey) ? "Ctrl+" : "",
    !isTyped && event.altKey ? "Alt+" : "",
    event.shiftKey && !isSymbol ? "Shift+" : "",
  ];
  return held.join("") + key;
}

const BY_KEY = new Map(COMMANDS.flatMap((command) => command.keys.map((key) => [key, command])));

/** @param {KeyboardEvent} event */
export function commandOf(event) {
  return event.isComposing ? undefined : BY_KEY.get(nameOfKey(event));
}

/** @type {Record<string, string>} */
const KINDS = { prompts: "prompt", pictures: "image", seeds: "seed" };

// With Ctrl, what a text is edited with; all else with Ctrl is the host's, such as to save and to run.
const EDITING = new Set([..."acvxzyfgdbiu[]", "Home", "End", "Backspace", "Delete", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/**
 * Whether a key pressed in the editor is still the host's.
 * @param {KeyboardEvent} event
 */
export function isForHost(event) {
  const isField = event.target instanceof HTMLElement && event.target.closest(".entry") !== null;
  if (isField && event.key === "Enter") return false;
  return nameOfKey(event).startsWith("Ctrl+") && !EDITING.has(event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

/**
 * What an edit is for: what is selected in the lane, or else in the lane of prompts the one at the playhead.
 * @param {Editor} editor
 */
export function chosen({ session, lanes }) {
  const { entries } = session.schedule;
  const selected = session.selected.filter((index) => entries[index]?.kind === KINDS[lanes.lane]);
  if (selected.length || lanes.lane !== "prompts") return selected;
  const block = session.blocks.find((b) => b.start <= session.playhead && session.playhead < b.end);
  return block ? [block.index] : [];
}

/** @param {Editor} editor */
function entriesOfLane({ session, lanes }) {
  return session.schedule.entries
    .map((entry, index) => ({ entry, index }))
    .filter(({ entry }) => entry.kind === KINDS[lanes.lane])
    .sort((a, b) => a.entry.chunk - b.entry.chunk || a.index - b.index)
    .map(({ index }) => index);
}

/** @param {Editor} editor */
function newPrompt(editor) {
  const { session } = editor;
  const there = session.blocks.find((b) => b.start === session.playhead);
  if (there) session.select([there.index]);
  else if (!session.edit((s) => edits.split(s, session.playhead, session.end))) return;
  editor.openEntry(session.selected[0], true);
}

/** @param {Editor} editor */
function newSeedLine(editor) {
  const { session } = editor;
  if (session.edit((s) => edits.setSeed(s, session.playhead, newSeed()))) editor.focusLane("seeds");
}

/** @param {Editor} editor */
function merge(editor) {
  editor.session.edit((s) => edits.merge(s, chosen(editor), editor.session.end));
}

/**
 * @param {Editor} editor
 * @param {boolean} ripple
 */
function remove(editor, ripple) {
  const { session } = editor;
  session.edit((s) => edits.remove(s, chosen(editor), { end: session.end, ripple }));
}

/**
 * @param {Editor} editor
 * @param {number | null} by null: cut or blend
 */
function blendBy(editor, by) {
  const [index] = chosen(editor);
  if (index === undefined) return;
  editor.session.edit((s) => {
    if (by === null) return edits.toggleBlend(s, index);
    const { blend } = s.entries[index];
    return edits.setBlend(s, index, blend ? blend + by : by > 0 ? 2 : 0);
  });
}

/**
 * @param {Editor} editor
 * @param {number} by
 * @param {boolean} ripple
 */
function moveStart(editor, by, ripple) {
  const [index] = chosen(editor);
  const { session } = editor;
  if (index !== undefined)
    session.edit((s) => edits.moveStart(s, index, s.entries[index].chunk + by, { end: session.end, ripple }), "");
}

/**
 * @param {Editor} editor
 * @param {number} by
 */
function slide(editor, by) {
  const indices = chosen(editor);
  const { session } = editor;
  const isPrompt = indices.some((i) => session.blocks.some((b) => b.index === i));
  if (isPrompt) session.edit((s) => edits.slide(s, indices, by, session.end));
  else moveStart(editor, by, false);
}

/**
 * @param {Editor} editor
 * @param {number} by
 */
function reorder(editor, by) {
  const { session } = editor;
  const indices = chosen(editor);
  const { blocks } = session;
  const places = blocks.flatMap((b, i) => (indices.includes(b.index) ? [i] : []));
  if (!places.length) return;
  const before = by < 0 ? blocks[places[0] - 1] : blocks[places[places.length - 1] + 2];
  if (by < 0 && !before) return;
  if (by > 0 && !blocks[places[places.length - 1] + 1]) return;
  session.edit((s) => edits.reorder(s, indices, before ? before.index : null, session.end));
}

/**
 * @param {Editor} editor
 * @param {number} by
 */
function step(editor, by) {
  const { session, lanes } = editor;
  const last = Math.max(session.end - 1, session.blocks.at(-1)?.start ?? 0);
  const at = by === -Infinity ? 0 : by === Infinity ? last : Math.max(0, session.playhead + by);
  lanes.scale.reveal(at);
  session.movePlayhead(at);
}

/**
 * @param {Editor} editor
 * @param {number} by
 * @param {boolean} more
 */
function walk(editor, by, more) {
  const { session, lanes } = editor;
  if (lanes.lane === "chunks") return step(editor, by);
  const all = entriesOfLane(editor);
  if (!all.length) return;
  const places = all.flatMap((index, i) => (session.selected.includes(index) ? [i] : []));
  const { entries } = session.schedule;
  let next = by > 0 ? Math.max(...places) + 1 : Math.min(...places) - 1;
  if (!places.length) {
    const here = all.filter((index) => entries[index].chunk <= session.playhead).length - 1;
    next = by > 0 && here < 0 ? 0 : Math.max(0, here);
  }
  const index = all[Math.min(Math.max(next, 0), all.length - 1)];
  const selected = more ? [...new Set([...session.selected, index])] : [index];
  lanes.scale.reveal(entries[index].chunk);
  session.movePlayhead(entries[index].chunk);
  session.select(selected);
}

/**
 * @param {Editor} editor
 * @param {number} by
 */
function changeLane(editor, by) {
  const { lanes } = editor;
  const order = /** @type {const} */ (["prompts", "pictures", "seeds", "chunks"]);
  const at = order.indexOf(/** @type {"prompts"} */ (lanes.lane)) + by;
  editor.focusLane(order[Math.min(Math.max(at, 0), order.length - 1)]);
}

/**
 * @param {Editor} editor
 * @param {number} factor
 */
function zoom({ lanes, session }, factor) {
  const x = lanes.scale.x(session.playhead);
  lanes.scale.zoomBy(factor, x >= 0 && x <= lanes.scale.width ? x : undefined);
  session.changed();
}
