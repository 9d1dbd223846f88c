// Lossless edits of a schedule's text: what is not changed stays byte for byte, comments, units and line breaks too.

import { CHUNK_FRAMES, LINE_BREAK, readSchedule, splitLines, STARTS_WITH_NUMBER, trimBlank } from "./schedule.js";
import { countWhile } from "./search.js";

/** @import { Entry, Line, Schedule, Span } from "./schedule.js" */

export class EditError extends Error {
  /**
   * @param {string} key of the message in the translations
   * @param {Record<string, string | number>} [values]
   */
  constructor(key, values = {}) {
    super(key);
    this.name = "EditError";
    this.key = key;
    this.values = values;
  }
}

/**
 * @typedef {Pick<Entry, "kind" | "off" | "value" | "chunk" | "blend">} Meaning
 * @typedef {{text: string, line: Line | null, changes: {from: number, to: number, text: string}[] | null, removed: boolean,
 *   meaning: Meaning | null}} Row a line of the text, or a new one; `meaning` where an entry begins
 */

/**
 * Change a schedule. `change` gets a Draft, names entries by their index, and returns those that are to be selected.
 * Throws EditError where the text would not mean what was asked for.
 * @param {Schedule} schedule
 * @param {(draft: Draft) => (Row | undefined)[] | void} change
 * @returns {{schedule: Schedule, selected: number[]}} selected: indices of entries
 */
export function edit(schedule, change) {
  const first = attempt(schedule, change);
  // What a line means hangs on the indentation of all others: where a line more or less would change it, they are
  // indented anew first.
  const done = first ?? attempt(readSchedule(reindent(schedule), schedule.fps), change);
  if (!done) throw new EditError("would_change");
  return done;
}

/**
 * @param {Schedule} schedule
 * @param {(draft: Draft) => (Row | undefined)[] | void} change
 */
function attempt(schedule, change) {
  const draft = new Draft(schedule);
  const rows = change(draft) ?? [];
  return draft.finish(rows.filter((row) => row !== undefined));
}

/** @param {Schedule} schedule */
function reindent(schedule) {
  const indents = new Map();
  for (const entry of schedule.entries)
    entry.lines.forEach((line, i) => indents.set(line.number, i ? "    " : ""));
  return splitLines(schedule.text)
    .map((line) => {
      const indent = indents.get(line.number);
      return (indent ?? schedule.text.slice(line.start, line.from)) + schedule.text.slice(line.from, line.end);
    })
    .join("");
}

export class Draft {
  /** @param {Schedule} schedule */
  constructor(schedule) {
    this.schedule = schedule;
    /** @type {Row[]} */
    this.rows = splitLines(schedule.text).map((line) => ({
      text: schedule.text.slice(line.start, line.end),
      line,
      changes: null,
      removed: false,
      meaning: null,
    }));
    this.written = [...this.rows]; // in the order of their numbers, for good
    for (const entry of schedule.entries) this.row(entry.line).meaning = entry;
    this.lineBreak = /\r\n|\n|\r/.exec(schedule.text)?.[0] ?? "\n";
  }

  /**
   * The row of a line's number.
   * @param {number} number
   */
  row(number) {
    return this.written[number - 1];
  }

  /** @param {number} index */
  rowOfEntry(index) {
    return this.row(this.schedule.entries[index].line);
  }

  /**
   * What an entry is to mean, to be changed.
   * @param {number} index
   */
  meaning(index) {
    const row = this.rowOfEntry(index);
    const { kind, off, value, chunk, blend } = /** @type {Meaning} */ (row.meaning);
    return (row.meaning = { kind, off, value, chunk, blend });
  }

  /**
   * @param {Span} span in one line
   * @param {string} text
   */
  replace([from, to], text) {
    const number = countWhile(this.written, (row) => /** @type {Line} */ (row.line).start <= from);
    (this.row(number).changes ??= []).push({ from, to, text });
  }

  /**
   * @param {number} index
   * @param {number} chunk
   */
  setChunk(index, chunk) {
    const entry = this.schedule.entries[index];
    if (chunk === entry.chunk) return;
    const unit = /[sf]$/i.exec(entry.start)?.[0] ?? "";
    this.replace(/** @type {Span} */ (entry.spans.number), formatStart(chunk, unit, this.schedule.fps, ""));
    this.meaning(index).chunk = chunk;
  }

  /**
   * @param {number} index
   * @param {number} blend in chunks, 0 for a cut
   */
  setBlend(index, blend) {
    const entry = this.schedule.entries[index];
    if (blend === entry.blend) return;
    const { transition, count, image, start } = entry.spans;
    const isInOneLine = (/** @type {Span} */ [from], /** @type {Span} */ [, to]) =>
      entry.lines.some((line) => line.from <= from && to <= line.to);
    if (!transition) {
      const after = (image ?? /** @type {Span} */ (start))[1];
      this.replace([after, after], ` blend ${blend}`);
    } else if (blend && count) this.replace(count, String(blend));
    else if (blend) this.replace(transition, `blend ${blend}`);
    else if (count && !isInOneLine(transition, count)) {
      this.replace(transition, "cut");
      this.replace(count, "");
    } else {
      const end = (count ?? transition)[1];
      let from = transition[0];
      const line = /** @type {Line} */ (entry.lines.find((l) => l.from <= from && from < l.to));
      while (from > line.from && trimBlank(this.schedule.text[from - 1]) === "") from -= 1;
      this.replace([from, end], "");
    }
    this.meaning(index).blend = blend;
  }

  /**
   * @param {number} index
   * @param {boolean} off
   */
  setOff(index, off) {
    const entry = this.schedule.entries[index];
    if (off === entry.off) return;
    const head = /** @type {Span} */ (entry.spans.head);
    const { from, soft } = entry.lines[0];
    // Behind a soft break only a number begins an entry.
    if (off) this.replace([from, from], soft ? `${this.lineBreak}off ` : "off ");
    else if (head[0] <= entry.lines[0].to) this.replace([from, head[0]], "");
    else {
      // "off" has a line of its own: what comes next takes its place, or that would seem to continue another entry.
      this.replace(/** @type {Span} */ (entry.spans.off), this.schedule.text.slice(...head));
      this.replace(head, "");
    }
    this.meaning(index).off = off;
  }

  /**
   * @param {number} index
   * @param {string} value in as many lines as wanted
   */
  setValue(index, value) {
    const entry = this.schedule.entries[index];
    const before = entry.spans.value.map((span) => this.schedule.text.slice(...span));
    const after = splitValue(value, entry.kind);
    this.meaning(index).value = after.join(" ");
    let same = 0; // lines at the beginning, then at the end
    while (same < before.length && same < after.length && before[same] === after[same]) same += 1;
    let tail = 0;
    const most = Math.min(before.length, after.length) - same;
    // The first line stays beside the start.
    while (tail < most - (same ? 0 : 1) && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
    const spans = entry.spans.value.slice(same, before.length - tail);
    const lines = after.slice(same, after.length - tail);
    const rowAt = (/** @type {Span} */ [from]) =>
      this.row(/** @type {Line} */ (entry.lines.find((l) => l.from <= from && from <= l.to)).number);
    const headRow = before.length ? rowAt(entry.spans.value[0]) : this.row(entry.lines[entry.lines.length - 1].number);
    const [place] = spans;
    if (place && !same && lines.length && isOther(lines[0]) && rowAt(place).line?.from === place[0]) {
      // At a line's beginning it would be read as something else: it goes behind the colon, in the line above.
      const above = entry.lines[entry.lines.findIndex((l) => l.from === place[0]) - 1];
      this.replace([above.to, above.to], ` ${lines.shift()}`);
    }
    spans.forEach((span, i) => {
      const row = rowAt(span);
      if (i < lines.length) this.replace(span, this.spaced(span[0], lines[i]));
      else if (row.line?.from !== span[0]) this.replace(span, "");
      else row.removed = true;
    });
    const more = lines.slice(spans.length);
    if (!more.length) return;
    let above = headRow; // the line that new ones come below
    if (spans.length) above = rowAt(spans[spans.length - 1]);
    else if (same) above = rowAt(entry.spans.value[same - 1]);
    if (!before.length) {
      const { to, end } = /** @type {Line} */ (above.line);
      const blanks = this.schedule.text.slice(to, end).split(LINE_BREAK)[0].length;
      this.replace([to, to + blanks], this.spaced(to, /** @type {string} */ (more.shift())));
    }
    const first = /** @type {Line} */ (this.row(entry.line).line);
    const indent = `${this.schedule.text.slice(first.start, first.from)}    `;
    this.insertBelow(above, more.map((line) => indent + line));
  }

  /**
   * A number right behind a start's colon would be read as minutes and seconds.
   * @param {number} offset
   * @param {string} text
   */
  spaced(offset, text) {
    return /[:\uff1a]/.test(this.schedule.text[offset - 1] ?? "") ? ` ${text}` : text;
  }

  /** @param {number} index */
  remove(index) {
    for (const line of this.schedule.entries[index].lines) this.row(line.number).removed = true;
    this.rowOfEntry(index).meaning = null;
  }

  /**
   * A new entry below another, or before all others.
   * @param {number | Row | null} above
   * @param {Meaning} meaning its value in as many lines as wanted
   * @param {string} [unit] of its start
   */
  insert(above, meaning, unit = "") {
    const { entries, text, fps } = this.schedule;
    const like = entries[typeof above === "number" ? above : 0];
    const indent = like ? text.slice(like.lines[0].start, like.lines[0].from) : "";
    const [first = "", ...more] = splitValue(meaning.value, meaning.kind);
    const head = writeHead(meaning, unit, fps);
    const colon = meaning.kind === "seed" ? " " : ": ";
    const lines = [indent + head + colon + first, ...more.map((line) => `${indent}    ${line}`)];
    let row = null;
    if (typeof above === "number") {
      const all = entries[above].lines;
      row = this.row(all[all.length - 1].number);
    } else row = above ?? (like ? this.rowAbove(like) : this.rows[this.rows.length - 1] ?? null);
    const inserted = this.insertBelow(row, lines);
    inserted[0].meaning = { ...meaning, value: [first, ...more].join(" ") };
    return inserted[0];
  }

  /**
   * The row before an entry; null where there is none.
   * @param {Entry} entry
   */
  rowAbove(entry) {
    return this.rows[this.rows.indexOf(this.row(entry.line)) - 1] ?? null;
  }

  /**
   * @param {Row | null} above
   * @param {string[]} lines
   */
  insertBelow(above, lines) {
    const rows = lines.map((text) => ({
      text: text + this.lineBreak,
      line: null,
      changes: null,
      removed: false,
      meaning: null,
    }));
    const at = above ? this.rows.indexOf(above) + 1 : 0;
    this.rows.splice(at, 0, ...rows);
    return /** @type {Row[]} */ (rows);
  }

  /**
   * Put the lines of entries, and the comments right above them, in this order into the places that they have together.
   * @param {number[]} order indices of entries
   */
  reorder(order) {
    const blocks = new Map(order.map((index) => [index, this.block(index)]));
    const places = [...order].sort((a, b) => a - b);
    const moved = new Set([...blocks.values()].flat());
    const next = [...order];
    /** @type {Row[]} */
    const rows = [];
    const starts = new Map(places.map((index) => [blocks.get(index)?.[0], index]));
    for (const row of this.rows) {
      if (starts.has(row)) rows.push(...(blocks.get(/** @type {number} */ (next.shift())) ?? []));
      if (!moved.has(row)) rows.push(row);
    }
    this.rows = rows;
  }

  /**
   * An entry's rows from its first line to its last, with the comments right above.
   * @param {number} index
   */
  block(index) {
    const { lines } = this.schedule.entries[index];
    let first = this.rows.indexOf(this.row(lines[0].number));
    const last = this.rows.indexOf(this.row(lines[lines.length - 1].number));
    const isComment = (/** @type {Row} */ row) => row.line && this.schedule.text[row.line.from] === "#";
    while (first && isComment(this.rows[first - 1])) first -= 1;
    return this.rows.slice(first, last + 1);
  }

  /**
   * The new text, read; null where it does not mean what was asked for.
   * @param {Row[]} selected
   */
  finish(selected) {
    const rows = this.rows.filter((row) => !row.removed);
    let text = "";
    rows.forEach((row, i) => {
      let line = row.text;
      for (const { from, to, text } of (row.changes ?? []).sort((a, b) => b.from - a.from || b.to - a.to)) {
        const start = /** @type {Line} */ (row.line).start;
        line = line.slice(0, from - start) + text + line.slice(to - start);
      }
      const isHard = /[\n\r]$/.test(line);
      const isNew = (/** @type {Row | undefined} */ other) => other && other.line?.number !== (row.line?.number ?? -9) + 1;
      if (i + 1 < rows.length && !isHard && (isNew(rows[i + 1]) || !/[\v\f\x1c-\x1e\x85\u2028\u2029]$/.test(line)))
        line += this.lineBreak;
      text += line;
    });
    const schedule = readSchedule(text, this.schedule.fps);
    const wanted = rows.filter((row) => row.meaning);
    if (wanted.length !== schedule.entries.length) return null;
    const agrees = wanted.every((row, i) => means(schedule.entries[i], /** @type {Meaning} */ (row.meaning)));
    return agrees ? { schedule, selected: selected.map((row) => wanted.indexOf(row)).filter((i) => i >= 0) } : null;
  }
}

/**
 * @param {Entry} entry
 * @param {Meaning} wanted
 */
function means(entry, wanted) {
  if (wanted.kind === "unknown" || !wanted.value) return true; // has a mistake, or gets one while it is typed
  const { kind, off, value, chunk, blend } = entry;
  return (
    kind === wanted.kind &&
    off === wanted.off &&
    value === wanted.value &&
    blend === wanted.blend &&
    (chunk === wanted.chunk || kind === "style")
  );
}

/**
 * A value's lines as the text can have them: without blanks around them, and none that would be read as something else.
 * @param {string} value
 * @param {Entry["kind"]} kind
 */
export function splitValue(value, kind) {
  /** @type {string[]} */
  const lines = [];
  for (const line of value.split(LINE_BREAK).map(trimBlank)) {
    if (!line) continue;
    if (lines.length && (isOther(line) || (kind !== "prompt" && kind !== "style"))) lines[lines.length - 1] += ` ${line}`;
    else lines.push(line);
  }
  return lines;
}

/**
 * Whether a line would be read as a comment or a start.
 * @param {string} line
 */
function isOther(line) {
  return line.startsWith("#") || STARTS_WITH_NUMBER.test(line);
}

/**
 * An entry's text up to its colon.
 * @param {Meaning} meaning
 * @param {string} unit
 * @param {number} fps
 */
function writeHead({ kind, off, chunk, blend }, unit, fps) {
  const start = kind === "style" ? "style" : formatStart(chunk, unit, fps);
  const word = kind === "image" ? " image" : kind === "seed" ? " seed" : "";
  return `${off ? "off " : ""}${start}${word}${blend ? ` blend ${blend}` : ""}`;
}

/**
 * A start that is rounded up to a chunk.
 * @param {number} chunk
 * @param {string} unit "", "s" or "f"
 * @param {number} fps
 * @param {string} [written] the unit behind the number
 */
export function formatStart(chunk, unit, fps, written = unit) {
  const kind = unit.toLowerCase();
  if (kind === "f") return chunk * CHUNK_FRAMES + written;
  if (kind !== "s") return chunk + written;
  // Rounded down: a start between two chunks begins with the later one.
  return Math.floor((chunk * CHUNK_FRAMES * 1000) / fps + 1e-6) / 1000 + written;
}
