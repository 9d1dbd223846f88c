// What is made of a film, told from the chunks on disk and the schedule as it is now. No page needed.
//
// A chunk follows another and is made with a seed, words and perhaps a picture: these four name it. So the chunks of the
// schedule as it stands are found by walking from the film's beginning, and going back to an older text finds them again.

import { EditError, setSeed } from "./edits.js";
import { bareName, used } from "./schedule.js";
import { countWhile } from "./search.js";

/** @import { Edited } from "./edits.js" */
/** @import { Schedule } from "./schedule.js" */
/**
 * @typedef {object} ChunkEntry a chunk on disk
 * @property {number} chunk
 * @property {string | null} parent the chunk it follows, "" at the film's beginning, null where nobody knows
 * @property {string} seed
 * @property {string} prompt
 * @property {[number, string][]} [words] in a blend
 * @property {{file: string, weight: number}} [picture]
 * @property {number} seconds
 * @property {number} made seconds since 1970
 * @property {boolean} starred
 * @property {boolean} thumbnail
 * @property {number} [thumbnail_time] when it was written: rough ones are replaced
 * @property {boolean} clip
 * @typedef {object} Run
 * @property {number} first
 * @property {number} end
 * @property {string} seed
 * @property {string} text
 * @property {"running" | "done" | "stopped" | "failed"} state
 * @property {string} error
 * @property {string[]} chunks names in order
 * @property {string[]} reused names of those that were on disk
 * @property {Record<string, unknown>} settings
 * @typedef {object} FilmState
 * @property {string} film
 * @property {string} revision
 * @property {Run} run
 * @property {Record<string, ChunkEntry>} chunks
 * @property {number | null} now the chunk that is being made
 * @typedef {"done" | "reused" | "running" | "stale" | "missing" | "failed"} ChunkStatus
 * @typedef {{chunk: number, status: ChunkStatus, name: string | null, start: number, end: number}} LaneChunk
 */

/**
 * The seed of a chunk.
 * @param {{start: number, seed: string}[]} seeds in order of time
 * @param {number} chunk
 * @param {string} seed that the film begins with
 */
export function seedAt(seeds, chunk, seed) {
  const line = seeds[countUpTo(seeds, chunk) - 1];
  return line ? line.seed : seed;
}

/**
 * How many of these begin at a chunk or before it.
 * @param {{start: number}[]} items in order of time
 * @param {number} chunk
 */
function countUpTo(items, chunk) {
  return countWhile(items, (item) => item.start <= chunk);
}

/**
 * [weight, words] pairs of a chunk, as `PromptSchedule.words_at` of the core has them.
 * @param {{start: number, prompt: string, blend: number}[]} segments in order of time
 * @param {number} chunk
 * @returns {[number, string][]}
 */
export function wordsAt(segments, chunk) {
  const share = (/** @type {{start: number, blend: number}} */ s) =>
    s.blend ? Math.min(1, (chunk - s.start) / (s.blend - 1)) : 1;
  const end = countUpTo(segments, chunk);
  let first = Math.max(0, end - 1);
  while (first && share(segments[first]) < 1) first -= 1;
  /** @type {[number, string][]} */
  const mixed = [];
  for (const [i, segment] of segments.slice(first, end).entries()) {
    const weight = i ? share(segment) : 1;
    for (const pair of mixed) pair[0] *= 1 - weight;
    mixed.push([weight, segment.prompt]);
  }
  return mixed.filter(([weight]) => weight > 0);
}

/**
 * The picture that a chunk turns to, and how far.
 * @param {{start: number, file: string, blend: number}[]} pictures in order of time
 * @param {number} chunk
 */
export function pictureAt(pictures, chunk) {
  const picture = pictures[countUpTo(pictures, chunk) - 1];
  if (!picture) return null;
  const step = chunk - picture.start;
  if (step >= Math.max(1, picture.blend)) return null;
  const weight = picture.blend ? step / (picture.blend - 1) : 1;
  return weight ? { file: picture.file, weight } : null;
}

/**
 * Whether a prompt is what was said: where it has choices, {a|b}, or notes, // and /* *\/, one of what they may give.
 * @param {string} prompt
 * @param {string} said
 */
export function couldSay(prompt, said) {
  if (prompt === said) return true;
  if (!/[{\\]|\/\/|\/\*/.test(prompt)) return false;
  const bare = prompt.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "").replace(/\s+/g, " ").trim();
  let at = 0;
  let isBalanced = true;
  const choice = () => {
    let pattern = "";
    while (at < bare.length && bare[at] !== "}") {
      const char = bare[at];
      at += 1;
      if (char === "\\" && at < bare.length) pattern += escape(bare[at++]);
      else if (char === "{") {
        pattern += `(?:${choice()})`;
        isBalanced &&= bare[at] === "}";
        at += 1;
      } else pattern += char === "|" ? "|" : escape(char);
    }
    return pattern;
  };
  const escape = (/** @type {string} */ char) => (/\s/.test(char) ? "\\s+" : char.replace(/[^\p{L}\p{N}]/u, "\\$&"));
  const pattern = choice();
  return isBalanced && at === bare.length && new RegExp(`^\\s*(?:${pattern})\\s*$`).test(said);
}

/**
 * @param {ChunkEntry} entry
 * @param {ReturnType<typeof used>} wanted
 * @param {string} seed that the film begins with
 */
function isMadeFrom(entry, wanted, seed) {
  return entry.seed === seedAt(wanted.seeds, entry.chunk, seed) && saysTheSame(entry, wanted);
}

/**
 * @param {ChunkEntry} entry
 * @param {ReturnType<typeof used>} wanted
 */
function saysTheSame(entry, wanted) {
  const said = entry.words ?? [[1, entry.prompt]];
  const words = wordsAt(wanted.segments, entry.chunk);
  const picture = pictureAt(wanted.pictures, entry.chunk);
  // What came from other nodes has no name here.
  const isSamePicture = entry.picture
    ? entry.picture.file === "" ||
      (picture !== null && entry.picture.file === bareName(picture.file) && near(entry.picture.weight, picture.weight))
    : !picture;
  return (
    isSamePicture &&
    words.length === said.length &&
    words.every(([weight, prompt], i) => near(weight, said[i][0]) && (said[i][1] === "" || couldSay(prompt, said[i][1])))
  );
}

/**
 * @param {number} a
 * @param {number} b
 */
function near(a, b) {
  return Math.abs(a - b) < 1e-5;
}

/**
 * The film's chunks from `first` to `end`: which are there for the schedule as it is, which were made for another.
 * @param {FilmState | null} film
 * @param {Schedule} schedule
 * @param {{first: number, end: number, seed: string}} wanted
 * @returns {LaneChunk[]}
 */
export function laneChunks(film, schedule, { first, end, seed }) {
  const wanted = used(schedule.entries);
  const children = childrenOf(film);
  const reused = new Set(film?.run.reused);
  /** @type {LaneChunk[]} */
  const lane = [];
  /** @type {string | null} null behind a chunk that is not there */
  let parent = "";
  for (let chunk = first; chunk < end; chunk += 1) {
    const made = film?.run.chunks[chunk - film.run.first];
    /** @type {string | undefined} */
    const found =
      parent === null
        ? undefined
        : children.get(parent)?.find((name) => film && isMadeFrom(film.chunks[name], wanted, seed));
    parent = found ?? null;
    const shown = found ?? (made && film?.chunks[made] ? made : null);
    /** @type {ChunkStatus} */
    let status = found ? (reused.has(found) ? "reused" : "done") : shown ? "stale" : "missing";
    if (film?.run.state === "running" && film.now === chunk) status = "running";
    else if (!found && film?.run.state === "failed" && chunk === film.run.first + film.run.chunks.length) status = "failed";
    lane.push({ chunk, status, name: shown, start: chunk, end: chunk + 1 });
  }
  return lane;
}

/** @type {WeakMap<FilmState, Map<string, string[]>>} */
const childrenByFilm = new WeakMap();

/**
 * Names of chunks by the chunk that they follow, the newest first.
 * @param {FilmState | null} film
 */
function childrenOf(film) {
  const known = film && childrenByFilm.get(film);
  if (known) return known;
  /** @type {Map<string, string[]>} */
  const children = new Map();
  if (!film) return children;
  childrenByFilm.set(film, children);
  const newest = Object.entries(film.chunks).sort(([, a], [, b]) => b.made - a.made);
  for (const [name, { parent }] of newest) {
    if (parent === null) continue;
    const found = children.get(parent);
    if (found) found.push(name);
    else children.set(parent, [name]);
  }
  return children;
}

/**
 * All takes of a chunk: what followed the same film, the oldest first.
 * @param {FilmState} film
 * @param {string} name
 */
export function takesOf(film, name) {
  const { chunk, parent } = film.chunks[name];
  return Object.keys(film.chunks)
    .filter((other) => other === name || (film.chunks[other].chunk === chunk && film.chunks[other].parent === parent))
    .sort((a, b) => film.chunks[a].made - film.chunks[b].made);
}

/**
 * How many chunks after one go stale with it, and about how many seconds it takes to make it and the film's rest.
 * @param {FilmState} film
 * @param {LaneChunk[]} lane
 * @param {number} chunk
 */
export function costOf(film, lane, chunk) {
  const seconds = Object.values(film.chunks)
    .map((entry) => entry.seconds)
    .filter((s) => s > 0)
    .sort((a, b) => a - b);
  const each = seconds.length ? seconds[seconds.length >> 1] : 0;
  const later = lane.filter((c) => c.chunk > chunk && isValid(c)).length;
  return { later, seconds: each * lane.filter((c) => c.chunk >= chunk).length };
}

/**
 * Whether a chunk is on disk for the schedule as it is.
 * @param {LaneChunk | undefined} chunk
 */
function isValid(chunk) {
  return chunk?.status === "done" || chunk?.status === "reused";
}

/**
 * The text that leads to a take by another seed alone. Throws EditError where it was made with other words or pictures,
 * or follows other chunks.
 * @param {Schedule} schedule
 * @param {FilmState} film
 * @param {string} name
 * @param {{first: number, end: number, seed: string}} wanted as `laneChunks` has it
 * @returns {Edited}
 */
export function useTake(schedule, film, name, wanted) {
  const entry = film.chunks[name];
  const { first, seed } = wanted;
  const told = used(schedule.entries);
  const previous = laneChunks(film, schedule, wanted).find((c) => c.chunk === entry.chunk - 1);
  const follows = entry.chunk === first ? entry.parent === "" : isValid(previous) && previous?.name === entry.parent;
  if (!follows || !saysTheSame(entry, told)) throw new EditError("other_words");
  const before = told.seeds.filter((line) => line.start < entry.chunk);
  return setSeed(schedule, entry.chunk, seedAt(before, entry.chunk, seed) === entry.seed ? null : entry.seed);
}

/**
 * The text that a take was made with, where that is more than another seed: with the seed that its film began with.
 * @param {Schedule} schedule that text
 * @param {FilmState} film
 * @param {string} name
 * @param {string} seed that the film begins with now
 * @returns {Edited}
 */
export function useText(schedule, film, name, seed) {
  let root = film.chunks[name];
  while (root.parent && film.chunks[root.parent]) root = film.chunks[root.parent];
  const { seeds } = used(schedule.entries);
  if (seedAt(seeds, root.chunk, seed) === root.seed) return { schedule, selected: [] };
  return setSeed(schedule, root.chunk, root.seed);
}

/** A seed that nobody has thought of. */
export function newSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return ((BigInt(high & 0x1fffff) << 32n) | BigInt(low)).toString();
}
