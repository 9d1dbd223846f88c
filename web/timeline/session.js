// One schedule that is worked on: its text, what is selected, undo, and the film it belongs to. No page needed.

import { blocksOf, EditError } from "./edits.js";
import { History } from "./history.js";
import { FPS, readSchedule } from "./schedule.js";

/** @import { Edited } from "./edits.js" */
/** @import { Schedule } from "./schedule.js" */
/** @typedef {{text: string, selected: number[]}} Step what undo goes back to */
/** @typedef {{first: number, end: number, canSetEnd: boolean, name: string}} Film chunks `first` to `end` are made */

/**
 * Tells of changes by events: "change" (whatever is seen), "text" (the text, for whoever keeps it; its detail is the
 * burst that it is part of), "refused" (an EditError).
 */
export class Session extends EventTarget {
  /**
   * @param {string} text
   * @param {number} [fps]
   */
  constructor(text, fps = FPS) {
    super();
    /** @type {History<Step>} */
    this.history = new History({ text, selected: [] });
    this.read = readSchedule(text, fps);
    /** @type {Edited | null} what a gesture that is under way would make */
    this.preview = null;
    this.playhead = 0;
    /** @type {number | null} the one that is looked at, if any: the playhead's */
    this.chunk = null;
    /** @type {Film} */
    this.film = { first: 0, end: 3, canSetEnd: false, name: "" };
    this.readOnly = false;
    /** @type {"" | "needs_vae" | "settings_changed"} what is to be said of the graph */
    this.note = "";
    this.snap = true;
    /** @type {import("./layout.js").Unit} */
    this.unit = "chunks";
    /** @type {import("./takes.js").FilmState | null} */
    this.takes = null;
    /** @type {import("./sound.js").Sound | null} */
    this.sound = null;
  }

  get schedule() {
    return this.preview?.schedule ?? this.read;
  }

  get selected() {
    return (this.preview ?? this.history.present).selected;
  }

  get text() {
    return this.history.present.text;
  }

  get end() {
    return this.film.end;
  }

  get blocks() {
    return blocksOf(this.schedule, this.end);
  }

  /** Whether the last step is a burst that may go on. */
  get isTyping() {
    return this.history.burst.name !== "";
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Do an edit; false where it cannot be done. Those of one `burst` that follow each other soon are one step of undo.
   * @param {(schedule: Schedule) => Edited} change
   * @param {string} [burst]
   */
  edit(change, burst = "") {
    if (this.readOnly) return this.refuse(new EditError("read_only"));
    this.preview = null;
    let edited;
    try {
      edited = change(this.read);
    } catch (error) {
      return this.refuse(error);
    }
    const { schedule, selected } = edited;
    if (schedule.text === this.text) {
      this.select(selected);
      return true;
    }
    this.history.push({ text: schedule.text, selected }, burst);
    this.read = schedule;
    this.dispatchEvent(new CustomEvent("text", { detail: burst }));
    this.changed();
    return true;
  }

  /**
   * Show what an edit would make, while a gesture is under way.
   * @param {(schedule: Schedule) => Edited} change
   */
  show(change) {
    if (this.readOnly) return;
    try {
      this.preview = change(this.read);
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      this.preview = null;
    }
    this.changed();
  }

  /** The gesture was given up. */
  hide() {
    this.preview = null;
    this.changed();
  }

  /**
   * @param {unknown} error
   * @returns {false}
   */
  refuse(error) {
    if (!(error instanceof EditError)) throw error;
    this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    this.changed();
    return false;
  }

  /**
   * The text was changed elsewhere: typed into its box, undone by the host.
   * @param {string} text
   */
  setText(text) {
    if (text === this.text) return;
    this.preview = null;
    const step = { text, selected: [] };
    // Before anything is done here, it is only loaded: there is nothing to go back to.
    if (this.history.past.length || this.history.future.length) this.history.push(step, "elsewhere");
    else this.history.present = step;
    this.read = readSchedule(text, this.read.fps);
    this.changed();
  }

  /** @param {number} fps */
  setFps(fps) {
    if (fps === this.read.fps || !(fps > 0)) return;
    this.read = readSchedule(this.text, fps);
    this.changed();
  }

  undo() {
    if (!this.readOnly) this.step(this.history.undo());
  }

  redo() {
    if (!this.readOnly) this.step(this.history.redo());
  }

  /** @param {Step | null} step */
  step(step) {
    this.preview = null;
    if (!step) return;
    this.read = readSchedule(step.text, this.read.fps);
    this.dispatchEvent(new CustomEvent("text", { detail: "" }));
    this.changed();
  }

  /**
   * @param {number[]} indices of entries
   * @param {boolean} [more] keep what is selected, and take out what is selected twice
   */
  select(indices, more = false) {
    const before = new Set(more ? this.selected : []);
    for (const index of indices) if (!before.delete(index) || !more) before.add(index);
    this.history.present = { ...this.history.present, selected: [...before].sort((a, b) => a - b) };
    this.changed();
  }

  /** @param {number} chunk */
  movePlayhead(chunk) {
    this.playhead = Math.max(0, Math.round(chunk));
    if (this.chunk !== null) this.chunk = this.playhead;
    this.changed();
  }
}
