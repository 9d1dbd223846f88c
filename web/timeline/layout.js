// Where things are drawn: chunks to pixels, ticks, and what can be seen. No page needed.

import { CHUNK_FRAMES } from "./schedule.js";
import { countWhile } from "./search.js";

const ZOOM = { least: 0.05, most: 400 }; // pixels of a chunk
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
const SECONDS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000];

/** @typedef {"chunks" | "seconds" | "frames"} Unit */

/** A view of the chunks from `left` on, `zoom` pixels each, `width` pixels wide. */
export class Scale {
  constructor(zoom = 40, left = 0, width = 600) {
    this.zoom = zoom;
    this.left = left;
    this.width = width;
  }

  /** @param {number} chunk */
  x(chunk) {
    return (chunk - this.left) * this.zoom;
  }

  /** @param {number} x */
  chunk(x) {
    return x / this.zoom + this.left;
  }

  get right() {
    return this.left + this.width / this.zoom;
  }

  /**
   * Zoom by a factor, with the chunk at `x` where it is.
   * @param {number} factor
   * @param {number} [x]
   */
  zoomBy(factor, x = this.width / 2) {
    const chunk = this.chunk(x);
    this.zoom = Math.min(Math.max(this.zoom * factor, ZOOM.least), ZOOM.most);
    this.left = Math.max(0, chunk - x / this.zoom);
  }

  /**
   * Show chunks `first` to `end`, and a little more.
   * @param {number} first
   * @param {number} end
   */
  fit(first, end) {
    const count = Math.max(1, end - first);
    this.zoom = Math.min(Math.max(this.width / (count * 1.04), ZOOM.least), 160);
    this.left = first;
  }

  /** @param {number} chunks */
  scrollBy(chunks) {
    this.left = Math.max(0, this.left + chunks);
  }

  /**
   * Scroll as far as is needed to see a chunk.
   * @param {number} chunk
   */
  reveal(chunk) {
    const seen = this.width / this.zoom;
    if (chunk < this.left) this.left = Math.max(0, chunk);
    else if (chunk + 1 > this.left + seen) this.left = Math.max(0, chunk + 1 - seen);
  }
}

/**
 * The ruler's ticks: at which chunk (a fraction with seconds), and what they say.
 * @param {Scale} scale
 * @param {Unit} unit
 * @param {number} fps
 * @returns {{chunk: number, label: string}[]}
 */
export function ticks(scale, unit, fps) {
  const room = 64 / scale.zoom; // chunks that a label takes
  const chunkSeconds = CHUNK_FRAMES / fps;
  const step =
    unit === "seconds"
      ? (SECONDS.find((s) => s / chunkSeconds >= room) ?? 72000) / chunkSeconds
      : (STEPS.find((s) => s >= room) ?? 200000);
  const found = [];
  for (let i = Math.ceil(scale.left / step); i * step <= scale.right; i += 1) {
    const chunk = i * step;
    found.push({ chunk, label: formatTime(chunk, unit, fps) });
  }
  return found;
}

/**
 * A chunk's beginning in a unit.
 * @param {number} chunk
 * @param {Unit} unit
 * @param {number} fps
 */
export function formatTime(chunk, unit, fps) {
  if (unit === "chunks") return String(Math.round(chunk * 100) / 100);
  if (unit === "frames") return String(Math.round(chunk * CHUNK_FRAMES));
  return formatSeconds((chunk * CHUNK_FRAMES) / fps);
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  const tenths = Math.round(seconds * 10);
  const rest = tenths % 600;
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const shown = rest % 10 ? (rest / 10).toFixed(1) : String(rest / 10);
  if (hours) return `${hours}:${String(minutes).padStart(2, "0")}:${shown.padStart(rest % 10 ? 4 : 2, "0")}`;
  return minutes ? `${minutes}:${shown.padStart(rest % 10 ? 4 : 2, "0")}` : `${shown} s`;
}

/**
 * Items that can be seen, in order of time; those too small to be told apart, or to be drawn at all, are one.
 * @template {{start: number, end: number}} T
 * @param {T[]} items in order of time, none over another
 * @param {Scale} scale
 * @param {number} least pixels
 * @returns {{items: T[], start: number, end: number}[]}
 */
export function visible(items, scale, least) {
  /** @type {{items: T[], start: number, end: number}[]} */
  const found = [];
  let i = countWhile(items, (item) => item.end <= scale.left);
  for (; i < items.length && items[i].start <= scale.right; i += 1) {
    const item = items[i];
    const last = found[found.length - 1];
    const isSmall = (item.end - item.start) * scale.zoom < least;
    const isLastSmall = last && (last.end - last.start) * scale.zoom < least;
    if (last && (isSmall || isLastSmall) && (item.end - last.start) * scale.zoom < 2 * least) {
      last.items.push(item);
      last.end = item.end;
    } else found.push({ items: [item], start: item.start, end: item.end });
  }
  return found;
}

/**
 * The chunk that a dragged edge goes to: a whole one, or with snapping one of `targets` that is near.
 * @param {number} chunk a fraction
 * @param {number[]} targets
 * @param {Scale} scale
 * @param {boolean} snap
 */
export function snapped(chunk, targets, scale, snap) {
  const whole = Math.round(chunk);
  if (!snap) return whole;
  let best = whole;
  let near = 8 / scale.zoom;
  for (const target of targets)
    if (Math.abs(target - chunk) < near) {
      near = Math.abs(target - chunk);
      best = target;
    }
  return best;
}

/**
 * Hues for prompts in order of time: neighbours are far apart, the same words have the same. By order and not by what
 * they say, or a colour would change with every letter that is typed.
 * @param {string[]} prompts
 */
export function huesOf(prompts) {
  /** @type {Map<string, number>} */
  const hues = new Map();
  for (const words of prompts) if (!hues.has(words)) hues.set(words, Math.round(205 + hues.size * 137.5) % 360);
  return hues;
}
