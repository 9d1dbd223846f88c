// What a hand can do to a film: each edit takes a schedule and gives the next one. Mouse, keys and tests share these.
//
// A prompt holds from its start to the next prompt's: there are no gaps. Entries are named by their index in
// `schedule.entries`. An edit that cannot be says why in an EditError, for people.

import { edit, EditError, splitValue } from "./draft.js";
import { BLEND_CHUNKS, isSeed, readSchedule, writtenName } from "./schedule.js";

/** @import { Entry, Schedule } from "./schedule.js" */
/** @import { Draft, Meaning } from "./draft.js" */
/** @typedef {{schedule: Schedule, selected: number[]}} Edited */
/** @typedef {{index: number, entry: Entry, start: number, end: number}} Block a prompt in use, `end` not included */

export { EditError };

/**
 * The prompts in use in order of time.
 * @param {Schedule} schedule
 * @param {number} end the chunk that the film ends before
 * @returns {Block[]}
 */
export function blocksOf(schedule, end) {
  const found = schedule.entries
    .map((entry, index) => ({ index, entry, start: entry.chunk, end: 0 }))
    .filter(({ entry }) => entry.kind === "prompt" && !entry.off && !entry.mistake)
    .sort((a, b) => a.start - b.start);
  found.forEach((block, i) => (block.end = found[i + 1]?.start ?? Math.max(end, block.start + 1)));
  return found;
}

/**
 * Entries that stand at a chunk and count, besides prompts.
 * @param {Schedule} schedule
 * @param {"image" | "seed"} kind
 */
function marksOf(schedule, kind) {
  return schedule.entries
    .map((entry, index) => ({ entry, index }))
    .filter(({ entry }) => entry.kind === kind && !entry.off && !entry.mistake);
}

/**
 * Move the beginning of a prompt; the prompt before it gets longer or shorter (a roll), or with `ripple` stays as long
 * as the film's rest moves along.
 * @param {Schedule} schedule
 * @param {number} index
 * @param {number} chunk
 * @param {{end: number, ripple?: boolean}} options
 * @returns {Edited}
 */
export function moveStart(schedule, index, chunk, { end, ripple = false }) {
  const blocks = blocksOf(schedule, end);
  const i = blocks.findIndex((block) => block.index === index);
  if (i < 0) return moveMark(schedule, index, chunk);
  if (i === 0) throw new EditError("first_stays");
  const least = blocks[i - 1].start + 1;
  const most = ripple || !blocks[i + 1] ? Infinity : blocks[i + 1].start - 1;
  const start = Math.min(Math.max(chunk, least), most);
  return edit(schedule, (draft) => {
    if (!ripple) draft.setChunk(index, start);
    else shiftFrom(draft, blocks[i].start, start - blocks[i].start);
    return [draft.rowOfEntry(index)];
  });
}

/**
 * Move everything that begins at `from` or later. What would come to stand on another of its kind is switched off.
 * @param {Draft} draft
 * @param {number} from
 * @param {number} delta
 */
function shiftFrom(draft, from, delta) {
  if (!delta) return;
  const { entries } = draft.schedule;
  entries.forEach((entry, index) => {
    if (!(entry.chunk >= from) || entry.kind === "unknown" || entry.mistake) return;
    const chunk = Math.max(0, entry.chunk + delta);
    draft.setChunk(index, chunk);
    const other = entries.findIndex((e) => e.kind === entry.kind && !e.off && e.chunk === chunk && e.chunk < from);
    if (!entry.off && entry.kind !== "prompt" && other >= 0) draft.setOff(other, true);
  });
}

/**
 * Move a picture, a seed or a prompt that is off.
 * @param {Schedule} schedule
 * @param {number} index
 * @param {number} chunk
 * @returns {Edited}
 */
export function moveMark(schedule, index, chunk) {
  return moveMarks(schedule, [index], chunk - schedule.entries[index].chunk);
}

/**
 * The same for several.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number} delta in chunks
 * @returns {Edited}
 */
export function moveMarks(schedule, indices, delta) {
  const { entries } = schedule;
  const by = Math.max(delta, -Math.min(...indices.map((i) => entries[i].chunk)));
  for (const i of indices) if (!entries[i].off) refuseDouble(schedule, entries[i].kind, entries[i].chunk + by, indices);
  return edit(schedule, (draft) => {
    for (const i of indices) draft.setChunk(i, entries[i].chunk + by);
    return indices.map((i) => draft.rowOfEntry(i));
  });
}

/**
 * @param {Schedule} schedule
 * @param {Entry["kind"]} kind
 * @param {number} chunk
 * @param {number[]} [except]
 */
function refuseDouble(schedule, kind, chunk, except = []) {
  const other = schedule.entries.findIndex((e, i) => e.kind === kind && !e.off && e.chunk === chunk && !except.includes(i));
  if (other >= 0) throw new EditError(`double_${kind}`, { chunk, line: schedule.entries[other].line });
}

/**
 * Move prompts that follow each other, with both their ends: their neighbours trade with them.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number} delta in chunks
 * @param {number} end
 * @returns {Edited}
 */
export function slide(schedule, indices, delta, end) {
  const blocks = blocksOf(schedule, end);
  const chosen = blocks.filter((block) => indices.includes(block.index));
  const first = blocks.indexOf(chosen[0]);
  const after = blocks[first + chosen.length];
  if (first === 0) throw new EditError("first_stays");
  if (blocks[first + chosen.length - 1] !== chosen[chosen.length - 1]) throw new EditError("not_neighbours");
  const least = blocks[first - 1].start + 1 - chosen[0].start;
  const most = after ? after.end - 1 - after.start : Infinity;
  const by = Math.min(Math.max(delta, least), blocks[first + chosen.length + 1] ? most : Infinity);
  return edit(schedule, (draft) => {
    for (const block of after ? [...chosen, after] : chosen) draft.setChunk(block.index, block.start + by);
    return chosen.map((block) => draft.rowOfEntry(block.index));
  });
}

/**
 * Put prompts, each as long as it was, before another one (null: at the end). Pictures and seeds go with them.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number | null} before
 * @param {number} end
 * @returns {Edited}
 */
export function reorder(schedule, indices, before, end) {
  const blocks = blocksOf(schedule, end);
  const chosen = blocks.filter((block) => indices.includes(block.index));
  const rest = blocks.filter((block) => !chosen.includes(block));
  let place = rest.findIndex((block) => block.index === before);
  if (place < 0) place = before === null ? rest.length : rest.filter((b) => b.start < startOf(blocks, before)).length;
  const order = [...rest.slice(0, place), ...chosen, ...rest.slice(place)];
  return edit(schedule, (draft) => {
    arrange(draft, blocks, order);
    const sorted = blocks.every((block, i) => !i || blocks[i - 1].index < block.index);
    if (sorted) draft.reorder(order.map((block) => block.index));
    return chosen.map((block) => draft.rowOfEntry(block.index));
  });
}

/**
 * @param {Block[]} blocks
 * @param {number} index
 */
function startOf(blocks, index) {
  return blocks.find((block) => block.index === index)?.start ?? Infinity;
}

/**
 * Let prompts follow each other in another order, with what stands within each.
 * @param {Draft} draft
 * @param {Block[]} blocks as they are
 * @param {Block[]} order as they are to be
 */
function arrange(draft, blocks, order) {
  const deltas = new Map();
  let start = 0;
  for (const block of order) {
    deltas.set(block, start - block.start);
    start += block.end - block.start;
  }
  draft.schedule.entries.forEach((entry, index) => {
    if (!(entry.chunk >= 0) || entry.kind === "style" || entry.kind === "unknown" || entry.mistake) return;
    const block = blocks.find((b) => b.index === index) ?? blocks.find((b) => b.start <= entry.chunk && entry.chunk < b.end);
    if (block) draft.setChunk(index, entry.chunk + deltas.get(block));
  });
  if (order[0].entry.blend) draft.setBlend(order[0].index, 0);
}

/**
 * Cut the prompt that holds at a chunk in two; both say the same.
 * @param {Schedule} schedule
 * @param {number} chunk
 * @param {number} end
 * @returns {Edited}
 */
export function split(schedule, chunk, end) {
  const blocks = blocksOf(schedule, end);
  const block = blocks.find((b, i) => b.start < chunk && (chunk < b.end || i === blocks.length - 1));
  if (!block) throw new EditError("nothing_to_split", { chunk });
  return edit(schedule, (draft) => [
    draft.insert(block.index, like(schedule, block.entry, { chunk, blend: 0 }), unitOf(schedule)),
  ]);
}

/**
 * An entry's meaning with its value in the lines that it has.
 * @param {Schedule} schedule
 * @param {Entry} entry
 * @param {Partial<Meaning>} [changes]
 * @returns {Meaning}
 */
function like(schedule, entry, changes = {}) {
  const { kind, off, chunk, blend } = entry;
  return { kind, off, chunk, blend, value: valueLines(schedule, entry), ...changes };
}

/**
 * An entry's value as its lines have it.
 * @param {Schedule} schedule
 * @param {Entry} entry
 */
export function valueLines(schedule, entry) {
  return entry.spans.value.map((span) => schedule.text.slice(...span)).join("\n");
}

/**
 * The unit that most starts of a schedule are written in.
 * @param {Schedule} schedule
 */
export function unitOf(schedule) {
  const counts = { "": 0, s: 0, f: 0 };
  for (const { start, chunk } of schedule.entries)
    if (chunk > 0) counts[/** @type {"" | "s" | "f"} */ (/[sf]$/i.exec(start)?.[0].toLowerCase() ?? "")] += 1;
  const most = Math.max(...Object.values(counts));
  return counts[""] === most ? "" : counts.s === most ? "s" : "f";
}

/**
 * Make one prompt of several that follow each other: it says what they said, once each.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number} end
 * @returns {Edited}
 */
export function merge(schedule, indices, end) {
  const blocks = blocksOf(schedule, end);
  const chosen = blocks.filter((block) => indices.includes(block.index));
  const first = blocks.indexOf(chosen[0]);
  if (chosen.length === 1 && blocks[first + 1]) chosen.push(blocks[first + 1]);
  if (chosen.length < 2) throw new EditError("nothing_to_merge");
  if (blocks[first + chosen.length - 1] !== chosen[chosen.length - 1]) throw new EditError("not_neighbours");
  const values = [...new Set(chosen.map((block) => valueLines(schedule, block.entry)))];
  return edit(schedule, (draft) => {
    if (values.length > 1) draft.setValue(chosen[0].index, values.join("\n"));
    for (const block of chosen.slice(1)) draft.remove(block.index);
    return [draft.rowOfEntry(chosen[0].index)];
  });
}

/**
 * Once more what is selected: prompts behind themselves, and what follows moves; pictures and seeds in the next chunk
 * that is free.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number} end
 * @returns {Edited}
 */
export function duplicate(schedule, indices, end) {
  const blocks = blocksOf(schedule, end);
  const chosen = blocks.filter((block) => indices.includes(block.index));
  if (!chosen.length) return duplicateMarks(schedule, indices);
  const last = chosen[chosen.length - 1];
  const length = chosen.reduce((sum, block) => sum + block.end - block.start, 0);
  return edit(schedule, (draft) => {
    shiftFrom(draft, last.end, length);
    let start = last.end;
    /** @type {import("./draft.js").Row[]} */
    const rows = [];
    for (const block of chosen) {
      const blend = block.start ? block.entry.blend : 0;
      const meaning = like(schedule, block.entry, { chunk: start, blend });
      rows.push(draft.insert(rows.length ? lastOf(draft, rows) : last.index, meaning, unitOf(schedule)));
      start += block.end - block.start;
    }
    return rows;
  });
}

/**
 * The row that the latest of these entries ends with.
 * @param {Draft} draft
 * @param {import("./draft.js").Row[]} rows
 */
function lastOf(draft, rows) {
  let at = draft.rows.indexOf(rows[rows.length - 1]);
  while (draft.rows[at + 1] && !draft.rows[at + 1].line && !draft.rows[at + 1].meaning) at += 1;
  return draft.rows[at];
}

/**
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @returns {Edited}
 */
function duplicateMarks(schedule, indices) {
  const taken = new Set(schedule.entries.filter((e) => !e.off).map((e) => `${e.kind} ${e.chunk}`));
  const chosen = indices.filter((i) => !["style", "unknown"].includes(schedule.entries[i].kind));
  if (!chosen.length) throw new EditError("nothing_selected");
  return edit(schedule, (draft) =>
    chosen.map((index) => {
      const entry = schedule.entries[index];
      let chunk = entry.chunk + 1;
      while (!entry.off && taken.has(`${entry.kind} ${chunk}`)) chunk += 1;
      taken.add(`${entry.kind} ${chunk}`);
      return draft.insert(index, like(schedule, entry, { chunk }), unitOf(schedule));
    }),
  );
}

/**
 * Delete entries. The prompt before a deleted one holds on (a lift); with `ripple` the film's rest moves up, and
 * pictures and seeds in the gap go too.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {{end: number, ripple?: boolean}} options
 * @returns {Edited}
 */
export function remove(schedule, indices, { end, ripple = false }) {
  if (!indices.length) throw new EditError("nothing_selected");
  const blocks = blocksOf(schedule, end);
  const chosen = blocks.filter((block) => indices.includes(block.index));
  if (chosen.length && chosen.length === blocks.length) throw new EditError("last_prompt");
  return edit(schedule, (draft) => {
    const gone = new Set(indices);
    const { entries } = schedule;
    if (ripple)
      entries.forEach((entry, index) => {
        const within = chosen.some((b) => b.start <= entry.chunk && entry.chunk < b.end);
        if (within && !entry.off && (entry.kind === "image" || entry.kind === "seed")) gone.add(index);
      });
    for (const index of gone) draft.remove(index);
    const left = blocks.filter((block) => !gone.has(block.index));
    if (ripple)
      entries.forEach((entry, index) => {
        if (gone.has(index) || entry.mistake || !(entry.chunk >= 0)) return;
        const before = chosen.filter((b) => b.start < entry.chunk);
        const by = before.reduce((sum, b) => sum + Math.min(b.end, entry.chunk) - b.start, 0);
        draft.setChunk(index, entry.chunk - by);
      });
    else if (chosen.length && left[0].start) draft.setChunk(left[0].index, 0);
    if (chosen.length && left[0].entry.blend) draft.setBlend(left[0].index, 0);
    const next = left.find((block) => block.start > (chosen[0]?.start ?? Infinity)) ?? (chosen.length ? left[left.length - 1] : null);
    return next ? [draft.rowOfEntry(next.index)] : [];
  });
}

/**
 * Switch entries off, or on again; if some are on, all go off.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @returns {Edited}
 */
export function toggleOff(schedule, indices) {
  const chosen = indices.filter((i) => schedule.entries[i].kind !== "unknown");
  if (!chosen.length) throw new EditError("nothing_selected");
  const off = chosen.some((i) => !schedule.entries[i].off);
  for (const i of chosen) {
    const { kind, chunk } = schedule.entries[i];
    if (off && kind === "prompt" && chunk === 0) throw new EditError("first_stays_on");
    if (!off && schedule.entries[i].off) {
      if (kind === "style") {
        if (schedule.entries.some((e) => e.kind === "style" && !e.off)) throw new EditError("double_style");
      } else refuseDouble(schedule, kind, chunk, [i]);
      const twin = chosen.find((j) => j !== i && schedule.entries[j].kind === kind && schedule.entries[j].chunk === chunk);
      if (twin !== undefined) throw new EditError(`double_${kind}`, { chunk, line: schedule.entries[twin].line });
      if (kind === "prompt" && chunk === 0 && schedule.entries[i].blend) throw new EditError("first_is_cut");
    }
  }
  return edit(schedule, (draft) => {
    for (const index of chosen) draft.setOff(index, off);
    return chosen.map((index) => draft.rowOfEntry(index));
  });
}

/**
 * How many chunks the change to a prompt or picture takes: 0 or 1 is a cut.
 * @param {Schedule} schedule
 * @param {number} index
 * @param {number} chunks
 * @returns {Edited}
 */
export function setBlend(schedule, index, chunks) {
  const { kind, chunk } = schedule.entries[index];
  if (kind !== "prompt" && kind !== "image") throw new EditError("no_blend");
  const blend = chunks < 2 ? 0 : Math.min(Math.round(chunks), 999999999);
  if (blend && kind === "prompt" && chunk === 0) throw new EditError("first_is_cut");
  return edit(schedule, (draft) => {
    draft.setBlend(index, blend);
    return [draft.rowOfEntry(index)];
  });
}

/**
 * @param {Schedule} schedule
 * @param {number} index
 * @returns {Edited}
 */
export function toggleBlend(schedule, index) {
  return setBlend(schedule, index, schedule.entries[index].blend ? 0 : BLEND_CHUNKS);
}

/**
 * Say something else. An empty prompt is a mistake until something is typed.
 * @param {Schedule} schedule
 * @param {number} index
 * @param {string} value
 * @returns {Edited}
 */
export function setValue(schedule, index, value) {
  return edit(schedule, (draft) => {
    draft.setValue(index, value);
    return [draft.rowOfEntry(index)];
  });
}

/**
 * The style that is added to every prompt; "" removes it.
 * @param {Schedule} schedule
 * @param {string} value
 * @returns {Edited}
 */
export function setStyle(schedule, value) {
  const index = schedule.entries.findIndex((e) => e.kind === "style" && !e.off);
  if (index >= 0)
    return edit(schedule, (draft) => (splitValue(value, "style").length ? draft.setValue(index, value) : draft.remove(index)));
  if (!splitValue(value, "style").length) return { schedule, selected: [] };
  return edit(schedule, (draft) => [
    draft.insert(null, { kind: "style", off: false, value, chunk: NaN, blend: 0 }),
  ]);
}

/**
 * @param {Schedule} schedule
 * @param {number} chunk
 * @param {string} value
 * @param {number} [blend]
 * @returns {Edited}
 */
export function addPrompt(schedule, chunk, value, blend = 0) {
  return add(schedule, { kind: "prompt", off: false, chunk, value, blend: chunk ? blend : 0 });
}

/**
 * A picture at a chunk; one that is there already is replaced by it.
 * @param {Schedule} schedule
 * @param {number} chunk
 * @param {string} file
 * @param {number} [blend]
 * @returns {Edited}
 */
export function setPicture(schedule, chunk, file, blend = 0) {
  const index = schedule.entries.findIndex((e) => e.kind === "image" && !e.off && e.chunk === chunk);
  return index >= 0
    ? setValue(schedule, index, writtenName(file))
    : add(schedule, { kind: "image", off: false, chunk, value: writtenName(file), blend });
}

/**
 * The seed from a chunk on; null takes the seed line away.
 * @param {Schedule} schedule
 * @param {number} chunk
 * @param {string | null} seed digits
 * @returns {Edited}
 */
export function setSeed(schedule, chunk, seed) {
  const index = schedule.entries.findIndex((e) => e.kind === "seed" && !e.off && e.chunk === chunk);
  if (seed === null) return index < 0 ? { schedule, selected: [] } : remove(schedule, [index], { end: 0 });
  if (!isSeed(seed)) throw new EditError("no_seed", { seed });
  return index >= 0
    ? setValue(schedule, index, seed)
    : add(schedule, { kind: "seed", off: false, chunk, value: seed, blend: 0 });
}

/**
 * @param {Schedule} schedule
 * @param {Meaning} meaning
 * @returns {Edited}
 */
function add(schedule, meaning) {
  refuseDouble(schedule, meaning.kind, meaning.chunk);
  if (!splitValue(meaning.value, meaning.kind).length) throw new EditError("nothing_to_add");
  return edit(schedule, (draft) => [draft.insert(above(schedule, meaning.chunk), meaning, unitOf(schedule))]);
}

/**
 * The entry to write a new one below: the latest that begins no later.
 * @param {Schedule} schedule
 * @param {number} chunk
 */
function above(schedule, chunk) {
  let found = -1;
  schedule.entries.forEach((entry, index) => {
    const best = found < 0 ? -Infinity : schedule.entries[found].chunk;
    if (entry.kind !== "style" && entry.chunk <= chunk && entry.chunk >= best) found = index;
  });
  return found < 0 ? null : found;
}

/**
 * Entries as a schedule of their own that begins at chunk 0, for the clipboard.
 * @param {Schedule} schedule
 * @param {number[]} indices
 * @param {number} end
 * @returns {{text: string, length: number}} length: how many chunks they take
 */
export function copy(schedule, indices, end) {
  const blocks = blocksOf(schedule, end).filter((block) => indices.includes(block.index));
  const marks = ["image", "seed"].flatMap((kind) => marksOf(schedule, /** @type {"image"} */ (kind)));
  /** @type {Meaning[]} */
  const found = [];
  let start = 0;
  for (const block of blocks) {
    found.push(like(schedule, block.entry, { chunk: start, blend: start ? block.entry.blend : 0 }));
    for (const { entry, index } of marks)
      if (indices.includes(index) && block.start <= entry.chunk && entry.chunk < block.end)
        found.push(like(schedule, entry, { chunk: start + entry.chunk - block.start }));
    start += block.end - block.start;
  }
  if (!blocks.length) {
    const chosen = marks.filter(({ index }) => indices.includes(index)).sort((a, b) => a.entry.chunk - b.entry.chunk);
    for (const { entry } of chosen) found.push(like(schedule, entry, { chunk: entry.chunk - chosen[0].entry.chunk }));
    start = chosen.length ? chosen[chosen.length - 1].entry.chunk - chosen[0].entry.chunk + 1 : 0;
  }
  const empty = readSchedule("", schedule.fps);
  const { schedule: copied } = edit(empty, (draft) => {
    for (const meaning of found) draft.insert(draft.rows[draft.rows.length - 1] ?? null, meaning);
  });
  return { text: copied.text, length: start };
}

/**
 * Put copied entries, or a plain text as a prompt, at a chunk; what begins there or later moves on.
 * @param {Schedule} schedule
 * @param {number} chunk
 * @param {string} text
 * @param {number} end
 * @param {number} [length] how many chunks it takes, where that is known
 * @returns {Edited}
 */
export function paste(schedule, chunk, text, end, length) {
  const pasted = readSchedule(text, schedule.fps);
  const isPlain = !pasted.entries.length || pasted.entries.every((e) => e.kind === "unknown");
  const value = splitValue(text, "prompt").join("\n");
  if (isPlain && !value) throw new EditError("nothing_to_paste");
  const isFirstBlend = (/** @type {Entry} */ e) => e.kind === "prompt" && e.chunk === 0 && e.blend > 0;
  const broken = pasted.entries.find((e) => e.mistake && !isFirstBlend(e));
  if (!isPlain && broken?.mistake) throw new EditError("broken_paste", { message: broken.mistake.message });
  const entries = isPlain ? [] : pasted.entries.filter((e) => e.kind !== "style");
  const origin = Math.min(...entries.map((e) => e.chunk));
  /** @type {Meaning[]} */
  const found = entries.map((entry) => like(pasted, entry, { chunk: entry.chunk - origin }));
  if (isPlain) found.push({ kind: "prompt", off: false, chunk: 0, blend: 0, value });
  else if (!found.length) throw new EditError("nothing_to_paste");
  const prompts = found.filter((m) => m.kind === "prompt" && !m.off);
  const last = Math.max(0, ...found.map((m) => m.chunk));
  const takes = prompts.length ? (length ?? last + BLEND_CHUNKS) : 0;
  if (!prompts.length)
    for (const { kind, off, chunk: at } of found) if (!off) refuseDouble(schedule, kind, chunk + at);
  const holds = blocksOf(schedule, end).find((b) => b.start < chunk && chunk < b.end);
  return edit(schedule, (draft) => {
    shiftFrom(draft, chunk, takes);
    const unit = unitOf(schedule);
    const first = above(schedule, takes ? chunk - 1 : chunk);
    /** @type {import("./draft.js").Row[]} */
    const rows = [];
    const at = (/** @type {Meaning} */ { kind, chunk: offset, blend }) =>
      ({ chunk: chunk + offset, blend: kind === "prompt" && chunk + offset === 0 ? 0 : blend });
    const add = (/** @type {Meaning} */ meaning) =>
      rows.push(draft.insert(rows.length ? lastOf(draft, rows) : first, meaning, unit));
    for (const meaning of found) add({ ...meaning, ...at(meaning) });
    const selected = [...rows];
    // The prompt that it was put into goes on behind it.
    if (takes && holds) add(like(schedule, holds.entry, { chunk: chunk + takes, blend: 0 }));
    return selected;
  });
}

/**
 * Entries that have a text in them in order of time, first the next behind the entry `after`.
 * @param {Schedule} schedule
 * @param {string} text
 * @param {number} [after]
 */
export function find(schedule, text, after = -1) {
  const wanted = text.trim().toLocaleLowerCase();
  const time = (/** @type {number} */ index) => schedule.entries[index].chunk || 0;
  const order = schedule.entries.map((_, index) => index).sort((a, b) => time(a) - time(b) || a - b);
  const next = order.indexOf(after) + 1;
  return [...order.slice(next), ...order.slice(0, next)].filter(
    (index) => wanted && schedule.entries[index].value.toLocaleLowerCase().includes(wanted),
  );
}
