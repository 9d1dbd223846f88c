// The schedule's text: the twin of helios_core/film/schedule_text.py, which says what it means.
//
// This one also knows where each part of an entry stands in the text, so that an edit changes that part and no other
// byte, and it reads on behind a mistake, so that a line that is being typed does not empty the timeline.

/**
 * @typedef {[number, number]} Span offsets in the text, the second not included
 * @typedef {{number: number, start: number, end: number, from: number, to: number, soft: boolean}} Line
 *   `start` to `end` with its line break, `from` to `to` without blanks around it; `soft`: a soft break is before it
 * @typedef {{line: number, message: string}} Mistake line 0: the whole text
 * @typedef {object} Entry
 * @property {number} line number of its first line
 * @property {Line[]} lines without the comments between them
 * @property {"prompt" | "image" | "seed" | "style" | "unknown"} kind "unknown" where it has a mistake
 * @property {boolean} off kept in the text and not used
 * @property {string} value the prompt in one line, the file's name, the seed's digits or the style
 * @property {string} start as written
 * @property {number} chunk where it begins; NaN where it begins nowhere
 * @property {number} blend in chunks, 0 for a cut
 * @property {Mistake | null} mistake
 * @property {{off?: Span, head?: Span, start?: Span, number?: Span, image?: Span, transition?: Span, count?: Span, value: Span[]}} spans
 *   `head` begins after `off`; `value` has a span for each line
 * @typedef {{text: string, fps: number, entries: Entry[], mistakes: Mistake[]}} Schedule
 */

export const CHUNK_FRAMES = 33;
export const FPS = 24;
export const BLEND_CHUNKS = 3; // where a blend does not say
export const MOST_SEED = 2n ** 64n - 1n;
const KINDS = { prompt: "prompt", image: "picture", seed: "seed" };

// Python's white space, which has a few more than this language's, and what nobody sees in pasted text.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const INVISIBLE =
  "\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff";
const GAP = `[${SPACE}${INVISIBLE}]`;
const WORD = "[A-Za-z][\\p{L}\\p{N}_]*";
const START = `(?<start>(?<number>\\p{Nd}{1,9}(?:[.\\uff0e]\\p{Nd}{1,9})?)(?:${GAP}*(?<unit>[sSfF]))?)`;
const TIMED = new RegExp(
  `^${START}(?:${GAP}+(?<word>${WORD})(?:${GAP}+(?<second>${WORD}))?` +
    `(?:${GAP}+(?<count>[-+]?\\p{Nd}{1,9}(?:\\.\\p{Nd}+)?))?)?${GAP}*[:\\uff1a](?<value>.*)`,
  "dsu",
);
const SEED = new RegExp(`^${START}${GAP}+(?<word>[sS][eE][eE][dD])(?![\\p{L}\\p{N}_])(?<value>.*)`, "dsu");
const STYLE = new RegExp(`^[sS][tT][yY][lL][eE]${GAP}*[:\\uff1a](?<value>.*)`, "dsu");
const OFF = new RegExp(`^[oO][fF][fF]${GAP}+`, "u");
export const STARTS_WITH_NUMBER = /^[.\uff0e]?\p{Nd}/u;
const CLOCK = new RegExp(
  `^(\\p{Nd}{1,4}):(\\p{Nd}{1,2})(?::(\\p{Nd}{1,2}))?[${SPACE}]{0,9}` +
    `(?:cut|blend[${SPACE}]{0,9}\\p{Nd}{0,9})?[${SPACE}]{0,9}[:\\uff1a]`,
  "u",
);
const ENDS_SENTENCE = ".,;:!?\u2026\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001";
export const LINE_BREAK = /\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/g;
const ALL_INVISIBLE = new RegExp(`[${INVISIBLE}]`, "gu");
const SPACES = new RegExp(`[${SPACE}]+`, "u");
const LONE_SURROGATE = /\p{Surrogate}/u;

export class ScheduleError extends Error {
  /** @param {Mistake} mistake */
  constructor({ line, message }) {
    super(message);
    this.name = "ScheduleError";
    this.line = line;
  }
}

/**
 * What a schedule's text means, as `parse_schedule` of the core has it. Throws ScheduleError for its first mistake.
 * @param {string} text
 * @param {number} [fps]
 */
export function parseSchedule(text, fps = FPS) {
  const { entries, mistakes } = readSchedule(text, fps);
  if (mistakes.length) throw new ScheduleError(mistakes[0]);
  return used(entries);
}

/**
 * What is used of a schedule's entries, each kind in order of time.
 * @param {Entry[]} entries
 */
export function used(entries) {
  /** @param {Entry["kind"]} kind */
  const of = (kind) => entries.filter((e) => e.kind === kind && !e.off).sort((a, b) => a.chunk - b.chunk);
  const style = of("style")[0]?.value ?? "";
  return {
    style,
    segments: of("prompt").map((e) => ({ start: e.chunk, prompt: addStyle(e.value, style), blend: e.blend })),
    pictures: of("image").map((e) => ({ start: e.chunk, file: e.value, blend: e.blend })),
    seeds: of("seed").map((e) => ({ start: e.chunk, seed: BigInt(asciiDigits(e.value)).toString() })),
  };
}

/**
 * A schedule's entries in the order of its lines, with all that is wrong in the order in which the core finds it.
 * @param {string} text
 * @param {number} [fps]
 * @returns {Schedule}
 */
export function readSchedule(text, fps = FPS) {
  const broken = LONE_SURROGATE.exec(text);
  const entries = splitEntries(text).map((lines) => readEntry(text, lines, fps));
  const mistakes = entries.flatMap((e) => e.mistake ?? []);
  if (broken) {
    const line = [...text.slice(0, broken.index).matchAll(LINE_BREAK)].length + 1;
    mistakes.unshift(at(line, "half of a character, perhaps of an emoji; type it again or remove it"));
  }
  if (!entries.length) mistakes.push(whole("schedule is empty: write for instance “0: a lighthouse at dawn”"));
  else mistakes.push(...disagreements(entries, fps));
  return { text, fps, entries, mistakes };
}

/**
 * What is wrong between entries. Those that come second stay in the list, marked.
 * @param {Entry[]} entries
 * @param {number} fps
 * @returns {Mistake[]}
 */
function disagreements(entries, fps) {
  /** @type {Mistake[]} */
  const mistakes = [];
  /** @type {Map<string, Entry>} */
  const first = new Map();
  for (const entry of entries) {
    if (entry.off || entry.kind === "unknown") continue;
    const key = entry.kind === "style" ? "style" : `${entry.kind} ${entry.chunk}`;
    const other = first.get(key);
    if (!other) first.set(key, entry);
    if (other)
      entry.mistake =
        entry.kind === "style"
          ? at(entry.line, `line ${other.line} has a style too; keep one of them`)
          : twoAtOnce(other, entry, fps);
    else if (entry.kind === "prompt" && entry.chunk === 0 && entry.blend)
      entry.mistake = at(entry.line, "the first prompt has nothing to blend from; write “0: ...”");
    if (entry.mistake) mistakes.push(entry.mistake);
  }
  const prompts = [...first.values()].filter((e) => e.kind === "prompt").sort((a, b) => a.chunk - b.chunk);
  if (!prompts.length)
    mistakes.push(whole("schedule has no prompt that is used: write for instance “0: a lighthouse at dawn”"));
  else if (prompts[0].chunk)
    mistakes.push(
      at(
        prompts[0].line,
        `the first prompt begins at chunk ${prompts[0].chunk}; one at chunk 0 is needed (“0: ...”)`,
      ),
    );
  return mistakes;
}

/**
 * @param {Entry} first
 * @param {Entry} second
 * @param {number} fps
 */
function twoAtOnce(first, second, fps) {
  const { chunk } = second;
  const rounded = [first, second].some((e) => Math.abs(exactChunk(e.start, fps) - chunk) > 1e-6);
  if (!rounded) {
    const kind = KINDS[/** @type {keyof KINDS} */ (first.kind)];
    return at(second.line, `line ${first.line} has a ${kind} at chunk ${chunk} too; move or remove one of them`);
  }
  return at(
    second.line,
    `“${second.start}” begins at chunk ${chunk} (${describeSeconds(chunk, fps)}), and so does “${first.start}” in line ` +
      `${first.line}: starts are rounded up to whole chunks of ${CHUNK_FRAMES} frames; move or remove one of them`,
  );
}

/**
 * All lines of a text, with their line breaks.
 * @param {string} text
 * @returns {Line[]}
 */
export function splitLines(text) {
  /** @type {Line[]} */
  const lines = [];
  let start = 0;
  let soft = false;
  const add = (/** @type {number} */ end, /** @type {string} */ lineBreak) => {
    const [from, to] = trimSpan(text, start, end);
    lines.push({ number: lines.length + 1, start, end: end + lineBreak.length, from, to, soft });
    start = end + lineBreak.length;
    soft = lineBreak !== "\n" && lineBreak !== "\r\n" && lineBreak !== "\r";
  };
  for (const found of text.matchAll(LINE_BREAK)) add(found.index, found[0]);
  if (start < text.length) add(text.length, "");
  return lines;
}

/**
 * The lines of each entry: those indented more than the least indented one continue it, and so do lines after a word
 * processor's line breaks, if no number begins them.
 * @param {string} text
 * @returns {(Line & {indented: boolean})[][]}
 */
function splitEntries(text) {
  const lines = splitLines(text).filter((line) => line.from < line.to);
  const isComment = (/** @type {Line} */ line) => text[line.from] === "#";
  const indent = (/** @type {Line} */ line) => text.slice(line.start, line.from).replace(ALL_INVISIBLE, "").length;
  let margin = Infinity;
  for (const line of lines) if (!isComment(line) && !line.soft) margin = Math.min(margin, indent(line));
  if (margin === Infinity) margin = 0;
  /** @type {(Line & {indented: boolean})[][]} */
  const entries = [];
  let comment = false;
  for (const line of lines) {
    const goesOn = line.soft && !isComment(line) && !STARTS_WITH_NUMBER.test(text.slice(line.from, line.from + 4));
    if (goesOn && comment) continue;
    comment = isComment(line);
    if (comment) continue;
    const indented = !line.soft && indent(line) > margin;
    if (entries.length && (goesOn || indented)) entries[entries.length - 1].push({ ...line, indented });
    else entries.push([{ ...line, indented: false }]);
  }
  return entries;
}

/**
 * @param {string} text
 * @param {(Line & {indented: boolean})[]} lines
 * @param {number} fps
 * @returns {Entry}
 */
function readEntry(text, lines, fps) {
  const found = parseEntry(lines.length === 1 ? contentOf(text, lines[0]) : lines.map((l) => contentOf(text, l)).join(" "));
  const line = lines[0].number;
  let mistake = found.message ? at(line, found.message) : null;
  for (const l of lines)
    if (l.indented && looksLikePrompt(contentOf(text, l))) {
      mistake = at(
        l.number,
        `${quote(contentOf(text, l))} looks like a prompt of its own but is indented, which continues the prompt above; ` +
          "begin it at the line’s start",
      );
      break;
    }
  return new ReadEntry(lines, found, mistake, found.start ? Math.ceil(exactChunk(found.start, fps) - 1e-6) + 0 : NaN); // never -0
}

/** An entry of a text. Where its parts stand is looked up when it is asked for: while a text is typed, only for one. */
class ReadEntry {
  /**
   * @param {Line[]} lines
   * @param {Parsed} found
   * @param {Mistake | null} mistake
   * @param {number} chunk
   */
  constructor(lines, found, mistake, chunk) {
    this.found = found;
    this.line = lines[0].number;
    this.lines = lines;
    /** @type {Entry["kind"]} */
    this.kind = mistake ? "unknown" : found.kind;
    this.off = found.off;
    this.value = found.value;
    this.start = found.start;
    this.chunk = chunk;
    this.blend = found.blend;
    this.mistake = mistake;
  }

  /** @returns {Entry["spans"]} */
  get spans() {
    const { spans } = this.found;
    const one = (/** @type {Span | undefined} */ span) => (span ? place(this.lines, span)[0] : undefined);
    const start = spans.start ? place(this.lines, spans.start) : [];
    return {
      off: one(spans.off),
      head: one(spans.head),
      start: start.length ? [start[0][0], start[start.length - 1][1]] : undefined, // a unit may stand in the next line
      number: one(spans.number),
      image: one(spans.image),
      transition: one(spans.transition),
      count: one(spans.count),
      value: place(this.lines, spans.value),
    };
  }
}

/**
 * @param {string} text
 * @param {Line} line
 */
function contentOf(text, line) {
  return text.slice(line.from, line.to);
}

/** @param {string} content of a line */
function looksLikePrompt(content) {
  const timed = STARTS_WITH_NUMBER.test(content) ? TIMED.exec(content)?.groups : null;
  return timed && ["cut", "blend"].includes((timed.word ?? "cut").toLowerCase()) && !timed.second;
}

/**
 * @typedef {Pick<Entry, "kind" | "off" | "value" | "start" | "blend"> & {message: string,
 *   spans: {[name in "off" | "head" | "start" | "number" | "image" | "transition" | "count"]?: Span} & {value: Span}}} Parsed
 *   an entry wherever it stands, with offsets in its joined lines
 */

/** @type {Map<string, Parsed>} */
const parsed = new Map();

/**
 * While a text is edited, all of its entries but one are those of before.
 * @param {string} written
 */
function parseEntry(written) {
  let found = parsed.get(written);
  if (!found) {
    if (parsed.size > 5000) parsed.clear();
    parsed.set(written, (found = parseNewEntry(written)));
  }
  return found;
}

/**
 * @param {string} written the lines of an entry, joined
 * @returns {Parsed}
 */
function parseNewEntry(written) {
  const off = OFF.exec(written)?.[0].length ?? 0;
  const said = written.slice(off);
  const style = STYLE.exec(said);
  const seed = style ? null : SEED.exec(said);
  const match = style ?? seed ?? TIMED.exec(said);
  const groups = match?.groups ?? {};
  const indices = /** @type {Record<string, Span | undefined>} */ (match?.indices?.groups ?? {});
  const span = (/** @type {string} */ name) => {
    const found = indices[name];
    return found && /** @type {Span} */ ([found[0] + off, found[1] + off]);
  };
  const whole = span("value") ?? [written.length, written.length];
  const value = trimSpan(written, whole[0], whole[1]);
  /** @type {Parsed} */
  const entry = {
    kind: "unknown",
    off: off > 0,
    value: written.slice(...value),
    start: groups.start ?? "",
    blend: 0,
    message: "",
    spans: {
      off: off ? trimSpan(written, 0, off) : undefined,
      head: match ? (span("start") ?? [off, off + "style".length]) : undefined,
      start: span("start"),
      number: span("number"),
      value,
    },
  };
  const quoted = quote(written);
  const refuse = (/** @type {string} */ message) => ({ ...entry, message });
  if (style) return entry.value ? { ...entry, kind: "style" } : refuse("the style is empty; write it after the colon");
  if (!match && STARTS_WITH_NUMBER.test(said))
    return refuse(
      `${quoted} is not “start: prompt”, “start cut: prompt” or “start blend 3: prompt”; a start is a chunk (4), seconds ` +
        "(5.5s) or frames (132f)",
    );
  if (!match)
    return refuse(
      `no start found in ${quoted}; write “0: your prompt”, with the chunk, seconds (5.5s) or frames (132f) it begins ` +
        "at, and indent the lines that continue a prompt",
    );
  const clock = CLOCK.exec(said);
  if (clock) {
    const parts = clock.slice(1).filter((part) => part !== undefined);
    const total = parts.reduce((sum, part) => sum * 60 + Number(asciiDigits(part)), 0);
    return refuse(`${quoted} looks like minutes and seconds; write seconds, “${total}s: ...”`);
  }
  const number = groups.number.replace("\uff0e", ".");
  if (!groups.unit && number.includes(".")) {
    const up = Math.ceil(Number(asciiDigits(number)));
    return refuse(`chunk ${number} is not a whole number; write “${up}” or “${number}s”`);
  }
  if (seed)
    return isSeed(entry.value)
      ? { ...entry, kind: "seed" }
      : refuse(`${quoted} is no seed; write “${entry.start} seed 1234”, with a whole number from 0 to ${MOST_SEED}`);
  const { word, second, count } = groups;
  const isImage = word?.toLowerCase() === "image" && Boolean(second || !count);
  entry.spans.image = isImage ? span("word") : undefined;
  entry.spans.transition = isImage ? span("second") : span("word");
  entry.spans.count = span("count");
  const transition = [isImage ? undefined : word, second].filter(Boolean).join(" ").toLowerCase();
  const blend = readTransition(transition, count);
  if (blend === null)
    return refuse(
      `${quote(count ? `${transition} ${count}` : transition)} is no transition; write “cut”, or “blend 3” with the ` +
        "number of chunks, 2 or more",
    );
  entry.blend = blend;
  if (!entry.value) {
    const missing = isImage ? "the name of the picture’s file is missing" : "the prompt is empty";
    return refuse(`${missing}; write it after the colon`);
  }
  return { ...entry, kind: isImage ? "image" : "prompt" };
}

/**
 * The chunks of a blend, 0 for a cut, null for what is neither.
 * @param {string} name
 * @param {string | undefined} count
 */
function readTransition(name, count) {
  if ((name === "" || name === "cut") && !count) return 0;
  if (name !== "blend") return null;
  if (!count) return BLEND_CHUNKS;
  const number = /^\p{Nd}+$/u.test(count) ? Number(asciiDigits(count)) : 0;
  return number >= 2 ? number : null;
}

/** @param {string} digits */
export function isSeed(digits) {
  return /^\p{Nd}{1,20}$/u.test(digits) && BigInt(asciiDigits(digits)) <= MOST_SEED;
}

/**
 * A prompt and the style of the film in one.
 * @param {string} prompt
 * @param {string} style
 */
export function addStyle(prompt, style) {
  if (!style) return prompt;
  return prompt + (ENDS_SENTENCE.includes(prompt[prompt.length - 1]) ? " " : ", ") + style;
}

/**
 * A start as written, in chunks, before it is rounded up.
 * @param {string} start
 * @param {number} fps
 */
function exactChunk(start, fps) {
  const unit = /[sf]$/i.exec(start)?.[0].toLowerCase();
  const number = unit ? trimBlank(start.slice(0, -1)) : start;
  const count = /^[\d.]+$/.test(number) ? Number(number) : Number(asciiDigits(number.replace("\uff0e", ".")));
  return unit ? (count * (unit === "s" ? fps : 1)) / CHUNK_FRAMES : count;
}

/**
 * Digits of any script as 0 to 9.
 * @param {string} text
 */
function asciiDigits(text) {
  return text.replace(/\p{Nd}/gu, (digit) => {
    // A script's digits stand in order behind its zero, and runs of them behind each other.
    let code = /** @type {number} */ (digit.codePointAt(0));
    let value = 0;
    while (/\p{Nd}/u.test(String.fromCodePoint(code - 1))) {
      code -= 1;
      value += 1;
    }
    return String(value % 10);
  });
}

/**
 * From a span in the joined lines of an entry to spans in the text, one for each line.
 * @param {Line[]} lines
 * @param {Span} span
 */
function place(lines, [a, b]) {
  /** @type {Span[]} */
  const spans = [];
  let begin = 0;
  for (const { from, to } of lines) {
    const first = Math.max(a, begin);
    const last = Math.min(b, begin + to - from);
    if (first < last) spans.push([from + first - begin, from + last - begin]);
    begin += to - from + 1;
    if (begin > b) break;
  }
  return spans;
}

/**
 * White space, and what nobody sees.
 * @param {number} code
 */
function isBlank(code) {
  if (code <= 0x20) return true;
  if (code < 0x7f) return false;
  return (
    code <= 0xa0 ||
    code === 0xad ||
    code === 0x61c ||
    code === 0x1680 ||
    code === 0x180e ||
    (code >= 0x2000 && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202f) ||
    (code >= 0x205f && code <= 0x206f) ||
    code === 0x3000 ||
    code === 0xfeff
  );
}

/**
 * A span without the blanks at both its ends.
 * @param {string} text
 * @param {number} from
 * @param {number} to
 * @returns {Span}
 */
function trimSpan(text, from, to) {
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return [from, to];
}

/**
 * Without white space and what nobody sees at both ends.
 * @param {string} text
 */
export function trimBlank(text) {
  return text.slice(...trimSpan(text, 0, text.length));
}

/**
 * @param {number} line
 * @param {string} message
 * @returns {Mistake}
 */
function at(line, message) {
  return { line, message: `schedule, line ${line}: ${message}` };
}

/**
 * @param {string} message
 * @returns {Mistake}
 */
function whole(message) {
  return { line: 0, message };
}

/**
 * When a chunk begins.
 * @param {number} chunk
 * @param {number} fps
 */
export function describeSeconds(chunk, fps) {
  return `${toFixed2((chunk * CHUNK_FRAMES) / fps)} s`;
}

/**
 * Two decimals, where halves go to the even neighbour as in Python.
 * @param {number} x
 */
function toFixed2(x) {
  const eighths = x * 8;
  const isHalf = Number.isInteger(eighths) && eighths % 2;
  return isHalf && Math.floor(x * 100) % 2 === 0 ? (Math.floor(x * 100) / 100).toFixed(2) : x.toFixed(2);
}

/**
 * Its beginning in quotation marks.
 * @param {string} text
 */
export function quote(text) {
  return `“${shorten(firstCharacters(text, 100).join("").replace(ALL_INVISIBLE, ""), 40)}”`;
}

/**
 * Its beginning in one line, up to the end of a word where that is near.
 * @param {string} text
 * @param {number} width in characters
 */
export function shorten(text, width) {
  const begin = firstCharacters(text, 2 * width);
  let start = Array.from(begin.join("").split(SPACES).filter(Boolean).join(" "));
  if (start.length <= width && begin.length === firstCharacters(text, 2 * width + 1).length) return start.join("");
  start = start.slice(0, width - 3);
  const space = start.lastIndexOf(" ");
  const cut = start.slice(0, space > Math.floor(width / 2) ? space : undefined).join("");
  return `${cut.replace(new RegExp(`[${SPACE}]+$`, "u"), "")}...`;
}

/**
 * @param {string} text
 * @param {number} count
 */
function firstCharacters(text, count) {
  return Array.from(text.slice(0, 2 * count)).slice(0, count);
}

/**
 * A file's name as the text has it: in braces the host would see choices.
 * @param {string} file
 */
export function writtenName(file) {
  return file.replace(/[{}]/g, "\\$&");
}

/**
 * The file's name behind it.
 * @param {string} written
 */
export function bareName(written) {
  return written.replace(/\\([{}])/g, "$1");
}
