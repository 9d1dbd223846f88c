// The lanes: what the schedule and the film look like. Only what can be seen is in the page.

import { h, reconcile, setAttribute, setStyle, setText } from "./dom.js";
import { formatTime, huesOf, Scale, ticks, visible } from "./layout.js";
import { peakBetween } from "./sound.js";
import { CHUNK_FRAMES } from "./schedule.js";
import { laneChunks } from "./takes.js";
import { say } from "./words.js";

/** @import { Block } from "./edits.js" */
/** @import { Session } from "./session.js" */
/** @import { LaneChunk } from "./takes.js" */
/** @typedef {"prompts" | "pictures" | "seeds" | "sound" | "chunks"} LaneName */
/** @typedef {{index: number, start: number, end: number}} Mark a picture or seed, or a prompt that is off */

const SMALLEST = { block: 12, cell: 14, thumbnail: 34 }; // pixels
const WORST = ["failed", "running", "stale", "missing", "reused", "done"];
let count = 0;

export class Lanes {
  /**
   * @param {Session} session
   * @param {{compact?: boolean, seed?: () => string, pictureUrl?: (file: string) => string,
   *   thumbnailUrl?: (name: string) => string}} [options]
   */
  constructor(session, { compact = false, seed = () => "0", pictureUrl = () => "", thumbnailUrl = () => "" } = {}) {
    this.session = session;
    this.compact = compact;
    this.seed = seed;
    this.pictureUrl = pictureUrl;
    this.thumbnailUrl = thumbnailUrl;
    this.scale = new Scale();
    this.id = `helios-lanes-${(count += 1)}`;
    /** @type {LaneName} */
    this.lane = "prompts";
    /** @type {Set<string>} of what is in the page */
    this.ids = new Set();
    /** @type {LaneChunk[]} */
    this.chunks = [];
    /** @type {number | null} the chunk that what is dragged would go to */
    this.target = null;

    this.ruler = h("div", { className: "ruler", "aria-hidden": "true" });
    /** @type {Record<LaneName, HTMLElement>} */
    this.lanes = {
      prompts: this.makeLane("prompts"),
      pictures: this.makeLane("pictures"),
      seeds: this.makeLane("seeds"),
      sound: h("div", { className: "lane sound", "aria-hidden": "true" }, h("canvas")),
      chunks: this.makeLane("chunks"),
    };
    this.playhead = h("div", { className: "playhead", "aria-hidden": "true" });
    this.beyond = h("div", { className: "beyond", "aria-hidden": "true" });
    this.insertion = h("div", { className: "insertion", "aria-hidden": "true" });
    this.element = h(
      "div",
      { className: `helios-lanes${compact ? " compact" : ""}` },
      this.ruler,
      ...Object.values(this.lanes),
      this.beyond,
      this.insertion,
      this.playhead,
    );
  }

  /** @param {LaneName} name */
  makeLane(name) {
    const lane = h("div", { className: `lane ${name}` });
    if (!this.compact) lane.setAttribute("aria-label", say(`lane_${name}`));
    lane.dataset.lane = name;
    return lane;
  }

  /** @param {number} index of an entry */
  idOf(index) {
    return `${this.id}-${index}`;
  }

  render() {
    const { session, scale } = this;
    this.ids.clear();
    this.renderRuler();
    this.renderPrompts();
    this.renderMarks("pictures", "image");
    this.renderMarks("seeds", "seed");
    this.renderSound();
    this.renderChunks();
    if (this.compact) this.describeAll();
    for (const [name, lane] of Object.entries(this.lanes)) {
      if (name === "sound" || this.compact) continue;
      const isEmpty = !lane.childElementCount;
      setAttribute(lane, "role", isEmpty ? "group" : "listbox");
      setAttribute(lane, "aria-multiselectable", isEmpty || name === "chunks" ? null : "true");
      setAttribute(lane, "tabindex", name === this.lane ? "0" : "-1");
      setAttribute(lane, "aria-activedescendant", isEmpty ? null : this.activeIn(/** @type {LaneName} */ (name)));
    }
    setStyle(this.playhead, { transform: `translateX(${scale.x(session.playhead)}px)` });
    this.playhead.hidden = session.playhead < scale.left || session.playhead > scale.right;
    const end = Math.max(0, scale.x(session.end));
    setStyle(this.beyond, { left: `${end}px` });
    this.beyond.hidden = end > scale.width;
    this.insertion.hidden = this.target === null;
    if (this.target !== null) setStyle(this.insertion, { left: `${scale.x(this.target)}px` });
  }

  /** In the node it is one picture, with the button beside it to open what can be read. */
  describeAll() {
    const { film, blocks, schedule } = this.session;
    const n = film.end - film.first;
    const length = say("film_length", { n, seconds: formatTime(n, "seconds", schedule.fps) });
    setAttribute(this.element, "role", "img");
    setAttribute(this.element, "aria-label", `${say("timeline")}: ${say("many", { n: blocks.length })}, ${length}`);
  }

  /** @param {LaneName} name */
  activeIn(name) {
    const { session } = this;
    if (name === "chunks") return session.chunk === null ? null : this.exists(`${this.id}-chunk-${session.chunk}`);
    const kind = { prompts: "prompt", pictures: "image", seeds: "seed", sound: "" }[name];
    const index = session.selected.find((i) => session.schedule.entries[i]?.kind === kind);
    return index === undefined ? null : this.exists(this.idOf(index));
  }

  /** @param {string} id */
  exists(id) {
    return this.ids.has(id) ? id : null;
  }

  renderRuler() {
    const { session, scale } = this;
    const unit = this.compact ? "seconds" : session.unit;
    reconcile(
      this.ruler,
      ticks(scale, unit, session.schedule.fps),
      (tick) => tick.label,
      (element, tick) => {
        setAttribute(element, "class", "tick");
        setText(element, tick.label);
        setStyle(element, { left: `${scale.x(tick.chunk)}px` });
      },
    );
  }

  renderPrompts() {
    const { session, scale } = this;
    const { schedule } = session;
    const { fps } = schedule;
    const { blocks } = session;
    const selected = new Set(session.selected);
    const hues = huesOf(blocks.map((block) => block.entry.value));
    const hueOf = (/** @type {string} */ words) => String(hues.get(words) ?? 0);
    const shown = visible(blocks, scale, SMALLEST.block);
    const before = new Map(blocks.map((block, i) => [block, blocks[i - 1]]));
    /** @type {(Mark & {off: true})[]} */
    const off = schedule.entries.flatMap((entry, index) =>
      entry.kind === "prompt" && entry.off && entry.chunk >= scale.left - 8 && entry.chunk <= scale.right
        ? { index, start: entry.chunk, end: entry.chunk + 1, off: /** @type {const} */ (true) }
        : [],
    );
    reconcile(
      this.lanes.prompts,
      [...shown, ...off.slice(0, 20)],
      (item) => ("items" in item ? `${item.items[0].index}-${item.items.length}` : `off-${item.index}`),
      (element, item) => {
        if (!("items" in item)) return this.updateOff(element, item, selected.has(item.index));
        const { items, start, end } = item;
        const [{ index, entry }] = items;
        const isOne = items.length === 1;
        const isSelected = items.some((block) => selected.has(block.index));
        setAttribute(element, "class", `block${isOne ? "" : " cluster"}${isSelected ? " selected" : ""}${start >= session.end ? " late" : ""}`);
        this.place(element, start, end);
        const from = before.get(items[0]);
        setStyle(element, {
          "--hue": hueOf(entry.value),
          "--from": hueOf(from?.entry.value ?? entry.value),
          "--blend": isOne && entry.blend ? `${Math.min(entry.blend, end - start) * scale.zoom}px` : "0px",
        });
        setText(element, isOne ? entry.value : String(items.length));
        setAttribute(element, "dir", "auto");
        this.option(element, isOne ? this.idOf(index) : `${this.idOf(index)}-c`, isSelected, this.describe(item, fps));
      },
    );
  }

  /**
   * @param {HTMLElement} element
   * @param {Mark} mark
   * @param {boolean} isSelected
   */
  updateOff(element, { index, start, end }, isSelected) {
    const entry = this.session.schedule.entries[index];
    setAttribute(element, "class", `block off${isSelected ? " selected" : ""}`);
    this.place(element, start, end);
    setText(element, entry.value);
    this.option(element, this.idOf(index), isSelected, `${say("is_off")}: ${entry.value}`);
  }

  /**
   * @param {{items: Block[], start: number, end: number}} item
   * @param {number} fps
   */
  describe({ items, start, end }, fps) {
    const from = formatTime(start, "seconds", fps);
    const to = formatTime(end, "seconds", fps);
    const where = `${say("chunks_a_b", { a: start, b: end - 1 })}, ${from} – ${to}`;
    if (items.length > 1) return `${say("many", { n: items.length })}, ${where}`;
    const { entry } = items[0];
    const how = entry.blend ? `${say("blend_n", { n: entry.blend })}, ` : "";
    const late = start >= this.session.end ? `, ${say("beyond")}` : "";
    return `${entry.value}. ${how}${where}${late}`;
  }

  /**
   * @param {"pictures" | "seeds"} name
   * @param {"image" | "seed"} kind
   */
  renderMarks(name, kind) {
    const { session, scale } = this;
    const { entries, fps } = session.schedule;
    const selected = new Set(session.selected);
    const marks = entries
      .flatMap((entry, index) => (entry.kind === kind ? { index, start: entry.chunk, end: entry.chunk + 1 } : []))
      .sort((a, b) => a.start - b.start);
    reconcile(
      this.lanes[name],
      visible(marks, scale, 2).slice(0, 60),
      ({ items }) => String(items[0].index),
      (element, { items, start }) => {
        const [{ index }] = items;
        const entry = entries[index];
        const isSelected = items.some((mark) => selected.has(mark.index));
        setAttribute(element, "class", `mark${entry.off ? " off" : ""}${isSelected ? " selected" : ""}${start >= session.end ? " late" : ""}`);
        setStyle(element, {
          left: `${scale.x(start)}px`,
          "--blend": `${entry.blend * scale.zoom}px`,
        });
        if (kind === "image") {
          const url = this.pictureUrl(entry.value).replace(/"/g, "%22");
          setStyle(element, { "background-image": `url("${url}")` });
          setText(element, entry.value);
          setAttribute(element, "title", entry.value);
        } else setText(element, entry.value);
        const off = entry.off ? `${say("is_off")}: ` : "";
        const how = entry.blend ? `, ${say("blend_n", { n: entry.blend })}` : "";
        const label = `${off}${say(kind === "image" ? "picture" : "seed")} ${entry.value}, ${say("chunk_n", { n: start })}, ${formatTime(start, "seconds", fps)}${how}`;
        this.option(element, this.idOf(index), isSelected, label);
      },
    );
  }

  renderSound() {
    const { sound, schedule } = this.session;
    const lane = this.lanes.sound;
    lane.hidden = !sound;
    if (!sound) return;
    const canvas = /** @type {HTMLCanvasElement} */ (lane.firstElementChild);
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.scale.width * ratio);
    const height = Math.round(lane.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, width, height);
    context.fillStyle = getComputedStyle(lane).color;
    const seconds = CHUNK_FRAMES / schedule.fps;
    for (let x = 0; x < width; x += ratio) {
      const from = this.scale.chunk(x / ratio) * seconds;
      const to = this.scale.chunk(x / ratio + 1) * seconds;
      if (from > sound.seconds) break;
      const tall = Math.max(1, peakBetween(sound, from, to) * height);
      context.fillRect(x, (height - tall) / 2, ratio, tall);
    }
  }

  renderChunks() {
    const { session, scale } = this;
    const { first, end } = session.film;
    this.chunks = laneChunks(session.takes, session.schedule, { first, end, seed: this.seed() });
    reconcile(
      this.lanes.chunks,
      visible(this.chunks, scale, this.compact ? 5 : SMALLEST.cell),
      ({ items }) => `${items[0].chunk}-${items.length}`,
      (element, { items, start, end }) => {
        const isOne = items.length === 1;
        const status = /** @type {string} */ (WORST.find((s) => items.some((c) => c.status === s)));
        const [{ chunk, name }] = items;
        const isSelected = session.chunk !== null && start <= session.chunk && session.chunk < end;
        const entry = name === null ? undefined : session.takes?.chunks[name];
        setAttribute(element, "class", `cell ${status}${isSelected ? " selected" : ""}${isOne && entry?.starred ? " starred" : ""}`);
        this.place(element, start, end);
        const hasThumbnail = !this.compact && isOne && entry?.thumbnail && scale.zoom >= SMALLEST.thumbnail;
        setStyle(element, { "background-image": hasThumbnail && name ? `url("${this.thumbnailUrl(name)}")` : "none" });
        if (this.compact) return;
        const where = isOne ? say("chunk_n", { n: chunk }) : say("chunks_a_b", { a: start, b: end - 1 });
        const label = `${where}: ${say(`status_${status}`)}`;
        setAttribute(element, "title", label);
        this.option(element, isOne ? `${this.id}-chunk-${chunk}` : `${this.id}-chunks-${chunk}`, isSelected, label);
      },
    );
  }

  /**
   * @param {HTMLElement} element
   * @param {number} start
   * @param {number} end
   */
  place(element, start, end) {
    const { scale } = this;
    // What begins far outside is cut there, so that its text is seen, and no element is too wide to be drawn.
    const left = Math.max(scale.x(start), -20);
    const right = Math.min(scale.x(end), scale.width + 20);
    setStyle(element, { left: `${left}px`, width: `${Math.max(2, right - left)}px` });
  }

  /**
   * @param {HTMLElement} element
   * @param {string} id
   * @param {boolean} isSelected
   * @param {string} label
   */
  option(element, id, isSelected, label) {
    if (this.compact) return;
    this.ids.add(id);
    setAttribute(element, "role", "option");
    setAttribute(element, "id", id);
    setAttribute(element, "aria-selected", isSelected ? "true" : "false");
    setAttribute(element, "aria-label", label);
  }
}
