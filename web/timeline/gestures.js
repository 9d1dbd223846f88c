// What the pointer does on the lanes: mouse, pen and fingers. A drag shows what it would make, and is one edit at its end.

import * as edits from "./edits.js";
import { snapped } from "./layout.js";

/** @import { Block } from "./edits.js" */
/** @import { Lanes, LaneName } from "./lanes.js" */
/** @import { Session } from "./session.js" */
/** @typedef {{move: (chunk: number, event: PointerEvent) => void, end: () => void, cancel: () => void}} Drag */

const NEAR = { mouse: 6, touch: 14 }; // pixels around an edge
const HANDLE = 14; // pixels from a block's top, where its blend is dragged
const STILL = 4; // pixels that are no drag yet

export class Gestures {
  /**
   * @param {Session} session
   * @param {Lanes} lanes
   * @param {{onEdit: (index: number | null) => void, onChunk: (chunk: number) => void, onFilmEnd: (end: number) => void,
   *   onAdd: (lane: LaneName, chunk: number) => void}} handlers
   */
  constructor(session, lanes, handlers) {
    this.session = session;
    this.lanes = lanes;
    this.handlers = handlers;
    /** @type {Drag | null} */
    this.drag = null;
    /** @type {Map<number, number>} x of each finger */
    this.fingers = new Map();
    /** @type {{x: number, y: number, isDrag: boolean} | null} */
    this.pressed = null;
    const { element } = lanes;
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", () => this.cancel());
    element.addEventListener("dblclick", (event) => this.doubleClick(event));
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /**
   * Where an event is, in the lanes' own pixels: in a node they are drawn larger or smaller.
   * @param {MouseEvent} event
   */
  point(event) {
    const { element } = this.lanes;
    const box = element.getBoundingClientRect();
    const zoom = box.width / (element.offsetWidth || 1);
    return { x: (event.clientX - box.left) / zoom, y: (event.clientY - box.top) / zoom };
  }

  /** @param {MouseEvent} event */
  laneAt(event) {
    const lane = event.target instanceof Element ? event.target.closest("[data-lane], .ruler") : null;
    if (!lane) return null;
    return /** @type {LaneName | "ruler"} */ (/** @type {HTMLElement} */ (lane).dataset.lane ?? "ruler");
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    const { x, y } = this.point(event);
    this.fingers.set(event.pointerId, x);
    if (this.fingers.size > 1) return this.cancelDrag();
    const lane = this.laneAt(event);
    if (lane && lane !== "ruler") {
      this.lanes.lane = lane;
      if (!this.lanes.compact) this.lanes.lanes[lane].focus({ preventScroll: true });
    }
    this.pressed = { x, y, isDrag: false };
    this.drag = this.begin(event, lane, x);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { x, y } = this.point(event);
    if (this.fingers.size === 2 && this.fingers.has(event.pointerId)) return this.pinch(event, x);
    if (!this.pressed) return this.hover(event, x);
    if (!event.buttons) return this.cancel(); // let go outside
    if (!this.pressed.isDrag && Math.hypot(x - this.pressed.x, y - this.pressed.y) < STILL) return;
    // Not before: what is captured gets the double clicks of all its parts.
    if (!this.pressed.isDrag) this.lanes.element.setPointerCapture(event.pointerId);
    this.pressed.isDrag = true;
    event.stopPropagation();
    this.drag?.move(this.lanes.scale.chunk(x), event);
  }

  /** @param {PointerEvent} event */
  up(event) {
    this.fingers.delete(event.pointerId);
    if (!this.pressed) return;
    event.stopPropagation();
    const { isDrag } = this.pressed;
    this.pressed = null;
    const { drag } = this;
    this.drag = null;
    if (isDrag) drag?.end();
    else drag?.cancel();
  }

  cancel() {
    this.fingers.clear();
    this.cancelDrag();
  }

  cancelDrag() {
    this.drag?.cancel();
    this.drag = null;
    this.pressed = null;
  }

  /**
   * @param {PointerEvent} event
   * @param {number} x
   */
  pinch(event, x) {
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1] ?? x;
    const before = this.fingers.get(event.pointerId) ?? x;
    const [was, is] = [Math.abs(before - other), Math.abs(x - other)];
    this.fingers.set(event.pointerId, x);
    const { scale } = this.lanes;
    scale.scrollBy((before - x) / 2 / scale.zoom);
    if (was > 10 && is > 10) scale.zoomBy(is / was, (x + other) / 2);
    this.session.changed();
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if (this.lanes.compact) return; // the canvas' own
    event.preventDefault();
    event.stopPropagation();
    const { scale } = this.lanes;
    if (event.ctrlKey || event.metaKey) scale.zoomBy(Math.exp(-event.deltaY / 300), this.point(event).x);
    else scale.scrollBy((event.deltaX || event.deltaY) / scale.zoom);
    this.session.changed();
  }

  /**
   * What is under a point of the prompts lane.
   * @param {number} x
   * @param {MouseEvent} event
   * @returns {{block: Block, part: "start" | "blend" | "body"} | null}
   */
  hit(x, event) {
    const { scale, lanes } = this.lanes;
    const near = "pointerType" in event && event.pointerType === "touch" ? NEAR.touch : NEAR.mouse;
    const { blocks } = this.session;
    const edge = blocks.find((b, i) => i > 0 && Math.abs(scale.x(b.start) - x) <= near);
    if (edge) return { block: edge, part: "start" };
    const chunk = scale.chunk(x);
    const block = blocks.find((b) => b.start <= chunk && chunk < b.end);
    if (!block) return null;
    const box = lanes.prompts.getBoundingClientRect();
    const top = ((event.clientY - box.top) * lanes.prompts.offsetHeight) / (box.height || 1);
    const ramp = scale.x(block.start) + Math.max(block.entry.blend * scale.zoom, 18);
    const onHandle = !this.lanes.compact && block.start > 0 && top < HANDLE && x > scale.x(block.start) && x < ramp + near;
    return { block, part: onHandle ? "blend" : "body" };
  }

  /**
   * @param {PointerEvent} event
   * @param {number} x
   */
  hover(event, x) {
    const lane = this.laneAt(event);
    let cursor = "";
    if (lane === "ruler" && this.isAtEnd(x)) cursor = "ew-resize";
    else if (lane === "prompts" && !this.session.readOnly) {
      const part = this.hit(x, event)?.part;
      cursor = part === "start" ? "col-resize" : part === "blend" ? "ew-resize" : "";
    }
    if (this.lanes.element.style.cursor !== cursor) this.lanes.element.style.cursor = cursor;
  }

  /** @param {number} x */
  isAtEnd(x) {
    const { film } = this.session;
    return film.canSetEnd && Math.abs(this.lanes.scale.x(film.end) - x) <= NEAR.mouse;
  }

  /**
   * @param {PointerEvent} event
   * @param {LaneName | "ruler" | null} lane
   * @param {number} x
   * @returns {Drag | null}
   */
  begin(event, lane, x) {
    const { session } = this;
    const chunk = this.lanes.scale.chunk(x);
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    if (lane === "ruler") {
      if (this.isAtEnd(x)) return this.dragEnd();
      session.movePlayhead(chunk);
      return { move: (to) => session.movePlayhead(to), end() {}, cancel() {} };
    }
    if (lane === "chunks") {
      this.handlers.onChunk(Math.floor(chunk));
      return null;
    }
    if (lane === "prompts") {
      const off = this.entryOf(event);
      if (off !== null && session.schedule.entries[off].off) return this.dragMark(off, more, chunk);
      const found = this.hit(x, event);
      if (!found) return null;
      if (found.part === "start") return this.dragStart(found.block, chunk, more);
      if (found.part === "blend") return this.dragBlend(found.block);
      return this.dragBlock(found.block, chunk, more);
    }
    const index = this.entryOf(event);
    if (index !== null) return this.dragMark(index, more, chunk);
    if (!more) session.select([]);
    session.movePlayhead(Math.floor(chunk));
    return null;
  }

  /** @param {MouseEvent} event */
  entryOf(event) {
    const item = event.target instanceof Element ? event.target.closest(".mark, .block") : null;
    const key = /** @type {HTMLElement | null} */ (item)?.dataset.key;
    const index = key ? Number.parseInt(key.replace("off-", ""), 10) : NaN;
    return Number.isNaN(index) ? null : index;
  }

  /** @param {number[]} except */
  targets(...except) {
    const { schedule, playhead, end } = this.session;
    const starts = schedule.entries.filter((_, i) => !except.includes(i)).map((e) => e.chunk);
    return [...starts.filter((s) => s >= 0), playhead, end];
  }

  /**
   * @param {number} to
   * @param {number[]} except
   */
  snap(to, ...except) {
    return snapped(to, this.targets(...except), this.lanes.scale, this.session.snap);
  }

  /**
   * A drag that is an edit: `make` gives it for the chunk that the pointer is at.
   * @param {(chunk: number, event: PointerEvent) => ((schedule: import("./schedule.js").Schedule) => edits.Edited) | null} make
   * @returns {Drag}
   */
  editing(make) {
    const { session } = this;
    /** @type {ReturnType<typeof make>} */
    let edit = null;
    return {
      move: (chunk, event) => {
        edit = make(chunk, event);
        if (edit) session.show(edit);
      },
      end: () => {
        session.hide();
        if (edit) session.edit(edit);
      },
      cancel: () => session.hide(),
    };
  }

  /**
   * @param {Block} block
   * @param {number} grabbed
   * @param {boolean} more
   */
  dragStart({ index, start }, grabbed, more) {
    const { session } = this;
    session.select([index], more);
    return this.editing((chunk, event) => {
      const to = this.snap(start + chunk - grabbed, index);
      return (schedule) => edits.moveStart(schedule, index, to, { end: session.end, ripple: event.altKey });
    });
  }

  /** @param {Block} block */
  dragBlend({ index, start }) {
    this.session.select([index]);
    return this.editing((chunk) => (schedule) => edits.setBlend(schedule, index, Math.round(chunk - start)));
  }

  /**
   * A block moves as far as its neighbours give way; further on it changes places with them.
   * @param {Block} block
   * @param {number} grabbed
   * @param {boolean} more
   */
  dragBlock(block, grabbed, more) {
    const { session, lanes } = this;
    const wasSelected = session.selected.includes(block.index);
    if (more || !wasSelected) session.select([block.index], more);
    if (!lanes.compact) session.movePlayhead(Math.floor(grabbed));
    const blocks = session.blocks;
    const chosen = blocks.filter((b) => session.selected.includes(b.index));
    const indices = chosen.map((b) => b.index);
    const first = chosen[0] ?? block;
    const last = chosen[chosen.length - 1] ?? block;
    const low = (blocks[blocks.indexOf(first) - 1]?.start ?? 0) + 1;
    const high = blocks[blocks.indexOf(last) + 1]?.end ?? Infinity;
    const drag = this.editing((chunk) => {
      const delta = this.snap(first.start + chunk - grabbed, ...indices) - first.start;
      lanes.target = null;
      if (!chosen.length || delta === 0) return (schedule) => ({ schedule, selected: indices });
      const fits = first.start > 0 && first.start + delta >= low && last.end + delta < high;
      if (fits) return (schedule) => edits.slide(schedule, indices, delta, session.end);
      const over = blocks.find((b) => chunk < b.end) ?? blocks[blocks.length - 1];
      const behind = chunk > (over.start + over.end) / 2;
      const before = behind ? blocks[blocks.indexOf(over) + 1] : over;
      if (before && chosen.includes(before)) return (schedule) => ({ schedule, selected: indices });
      lanes.target = before ? before.start : over.end;
      return (schedule) => edits.reorder(schedule, indices, before ? before.index : null, session.end);
    });
    return {
      move: (/** @type {number} */ chunk, /** @type {PointerEvent} */ event) => {
        drag.move(chunk, event);
        if (lanes.target !== null) session.hide(); // blocks that jump about under the pointer could not be aimed at
      },
      end: () => {
        lanes.target = null;
        drag.end();
      },
      cancel: () => {
        lanes.target = null;
        drag.cancel();
        if (!more && wasSelected) session.select([block.index]);
      },
    };
  }

  /**
   * @param {number} index
   * @param {boolean} more
   * @param {number} grabbed
   */
  dragMark(index, more, grabbed) {
    const { session } = this;
    const { entries } = session.schedule;
    const start = entries[index].chunk;
    if (more || !session.selected.includes(index)) session.select([index], more);
    const isMark = (/** @type {number} */ i) => entries[i].kind !== "prompt" || entries[i].off;
    const indices = session.selected.includes(index) ? session.selected.filter(isMark) : [index];
    return this.editing((chunk) => {
      const to = this.snap(start + chunk - grabbed, ...indices);
      return (schedule) => edits.moveMarks(schedule, indices, to - start);
    });
  }

  dragEnd() {
    const { session, lanes } = this;
    const before = session.film.end;
    const least = session.film.first + 1;
    return {
      move: (/** @type {number} */ chunk) => {
        session.film.end = Math.max(least, snapped(chunk, [session.playhead], lanes.scale, session.snap));
        session.changed();
      },
      end: () => this.handlers.onFilmEnd(session.film.end),
      cancel: () => {
        session.film.end = before;
        session.changed();
      },
    };
  }

  /** @param {MouseEvent} event */
  doubleClick(event) {
    event.stopPropagation();
    if (this.lanes.compact) return this.handlers.onEdit(null);
    const lane = this.laneAt(event);
    const { x } = this.point(event);
    if (lane === "prompts") {
      const off = this.entryOf(event);
      const index = off !== null && this.session.schedule.entries[off].off ? off : this.hit(x, event)?.block.index;
      if (index !== undefined) this.handlers.onEdit(index);
    } else if (lane === "pictures" || lane === "seeds") {
      const index = this.entryOf(event);
      if (index !== null) this.handlers.onEdit(index);
      else this.handlers.onAdd(lane, Math.floor(this.lanes.scale.chunk(x)));
    }
  }
}
