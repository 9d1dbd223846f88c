// The small form on an entry: its whole text, where it begins, how it comes in.

import { commandOf } from "./commands.js";
import { h, onKey } from "./dom.js";
import * as edits from "./edits.js";
import { readSchedule, writtenName } from "./schedule.js";
import { newSeed } from "./takes.js";
import { say } from "./words.js";

/** @import { Editor } from "./editor.js" */

export class EntryForm {
  /**
   * @param {Editor} editor
   * @param {number} index of the entry
   */
  constructor(editor, index) {
    this.editor = editor;
    this.index = index;
    const { session } = editor;
    const { kind, value } = session.schedule.entries[index];
    this.kind = kind;
    this.lastValue = value;
    this.seen = session.schedule;
    this.isComposing = false;
    this.value = kind === "seed" ? h("input", { className: "wide", inputMode: "numeric" }) : h("textarea", { rows: 3 });
    this.value.setAttribute("aria-label", say(kind === "prompt" ? "prompt" : kind === "image" ? "picture" : "seed"));
    if (kind === "prompt") this.value.placeholder = say("prompt_hint");
    this.value.readOnly = session.readOnly || kind === "image";
    this.value.hidden = kind === "image";
    this.value.dir = "auto";
    this.start = h("input", { type: "text", disabled: session.readOnly });
    this.transition = h(
      "select",
      { disabled: session.readOnly },
      h("option", { value: "cut", textContent: say("cut") }),
      h("option", { value: "blend", textContent: say("blend_word") }),
    );
    this.blend = h("input", { className: "number", type: "number", min: "2", max: "999999999", disabled: session.readOnly });
    this.blend.setAttribute("aria-label", say("blend_chunks"));
    const done = h("button", { type: "button", textContent: say("done"), onclick: () => this.close() });
    const off = h("button", { type: "button", textContent: say("off"), disabled: session.readOnly, onclick: () => this.toggleOff() });
    const row = h("div", { className: "row" }, h("label", {}, say("start"), this.start));
    if (kind !== "seed") row.append(h("label", {}, say("transition"), this.transition), this.blend);
    else row.append(h("button", { type: "button", textContent: say("dice"), disabled: session.readOnly, onclick: () => this.dice() }));
    row.append(off, h("span", { className: "gap" }), done);
    this.element = h("div", { className: "entry", role: "dialog", "aria-label": say("edit") });
    if (kind === "image") {
      this.files = h("select", { className: "files", disabled: session.readOnly });
      this.files.setAttribute("aria-label", say("choose_picture"));
      this.element.append(h("div", { className: "row" }, this.files));
      this.listFiles();
      this.files.addEventListener("change", () => this.edit((s) => edits.setValue(s, this.index, this.files?.value ?? "")));
    }
    this.element.append(this.value, row);
    this.value.addEventListener("compositionstart", () => (this.isComposing = true));
    this.value.addEventListener("compositionend", () => {
      this.isComposing = false;
      this.type();
    });
    this.value.addEventListener("input", () => this.type());
    this.start.addEventListener("change", () => this.move());
    this.transition.addEventListener("change", () =>
      this.edit((s) => edits.setBlend(s, this.index, this.transition.value === "cut" ? 0 : Number(this.blend.value) || 3)),
    );
    this.blend.addEventListener("change", () => this.edit((s) => edits.setBlend(s, this.index, Number(this.blend.value))));
    onKey(this.element, (event) => this.key(event));
    this.width = 0;
    this.height = 0;
    this.laneTop = 0;
    this.resize = new ResizeObserver(() => {
      this.measure();
      editor.draw();
    });
    this.resize.observe(this.element);
    this.render();
  }

  measure() {
    const { lanes } = this.editor.lanes;
    this.width = this.element.offsetWidth;
    this.height = this.element.offsetHeight;
    this.laneTop = lanes[this.kind === "image" ? "pictures" : this.kind === "seed" ? "seeds" : "prompts"].offsetTop;
  }

  stop() {
    this.resize.disconnect();
    this.element.remove();
  }

  get entry() {
    return this.editor.session.schedule.entries[this.index];
  }

  /** After any edit: whether the entry is still there. Its index may be another by now. */
  follow() {
    const { schedule } = this.editor.session;
    const before = this.seen.entries[this.index];
    this.seen = schedule;
    const { entries } = schedule;
    const isSame = (/** @type {import("./schedule.js").Entry | undefined} */ e, /** @type {(keyof typeof before)[]} */ ...keys) =>
      e !== undefined && (e.kind === before.kind || e.kind === "unknown" || before.kind === "unknown") && keys.every((key) => Object.is(e[key], before[key]));
    const here = entries[this.index];
    if (isSame(here, "chunk") || isSame(here, "value")) return true;
    for (const keys of /** @type {const} */ ([["value", "chunk"], ["chunk"], ["value"]])) {
      const found = entries.findIndex((e) => isSame(e, ...keys));
      if (found >= 0) {
        this.index = found;
        return true;
      }
    }
    return false;
  }

  async listFiles() {
    const { files } = this;
    if (!files) return;
    const names = (await this.editor.host.listPictures()).map(writtenName);
    const { value } = this.entry;
    files.replaceChildren(...[...new Set([value, ...names])].map((name) => h("option", { value: name, textContent: name })));
    files.value = value;
  }

  type() {
    if (this.isComposing || this.value.readOnly) return; // an input method's letters are not words yet
    const { value } = this.value;
    if (this.kind === "seed" && !/^\s*\p{Nd}{1,20}\s*$/u.test(value)) return; // said when the form closes
    if (value.trim()) this.lastValue = value;
    this.edit((s) => edits.setValue(s, this.index, value), `type ${this.index}`);
  }

  /**
   * @param {Parameters<import("./session.js").Session["edit"]>[0]} change
   * @param {string} [burst]
   */
  edit(change, burst) {
    const { session } = this.editor;
    const done = session.edit(change, burst);
    if (done && session.selected.length) [this.index] = session.selected;
    this.seen = session.schedule;
    return done;
  }

  /** What is typed as a start: a chunk, seconds (5.5s) or frames (132f), as the text has it. */
  move() {
    const { session } = this.editor;
    const [typed] = readSchedule(`${this.start.value}: x`, session.schedule.fps).entries;
    if (typed?.kind === "prompt") this.edit((s) => edits.moveStart(s, this.index, typed.chunk, { end: session.end }));
    else this.editor.tell(say("no_start", { text: this.start.value }));
    this.start.value = this.entry.start;
  }

  dice() {
    this.edit((s) => edits.setValue(s, this.index, newSeed()));
    this.value.value = this.entry.value;
  }

  toggleOff() {
    this.edit((s) => edits.toggleOff(s, [this.index]));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const command = commandOf(event);
    if (command?.id === "undo" || command?.id === "redo") {
      event.preventDefault();
      command.run(this.editor);
    } else if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey || this.kind === "seed"))) {
      if (event.isComposing) return;
      event.preventDefault();
      this.close();
    }
  }

  render() {
    const { entry } = this;
    const value = entry.kind === "unknown" ? "" : edits.valueLines(this.editor.session.schedule, entry);
    const isSame = this.value.value.trim().replace(/\s+/g, " ") === entry.value.replace(/\s+/g, " ");
    // What is being typed stays as it is: blanks at its end, the caret, an input method.
    if (!this.isComposing && !isSame && entry.kind !== "unknown") this.value.value = value;
    if (document.activeElement !== this.start) this.start.value = entry.start;
    this.transition.value = entry.blend ? "blend" : "cut";
    this.blend.hidden = !entry.blend;
    if (document.activeElement !== this.blend) this.blend.value = String(entry.blend || 3);
    const isFirst = this.kind === "prompt" && entry.chunk === 0 && !entry.off;
    this.start.disabled = this.editor.session.readOnly || isFirst;
    this.transition.disabled = this.editor.session.readOnly || isFirst;
  }

  close() {
    const { session } = this.editor;
    const isEmpty = !this.value.value.trim() && this.kind !== "image";
    if (isEmpty && !session.readOnly) session.edit((s) => edits.setValue(s, this.index, this.lastValue), `type ${this.index}`);
    else if (this.kind === "seed" && this.value.value.trim() !== this.entry.value)
      session.edit((s) => edits.setSeed(s, this.entry.chunk, this.value.value.trim()));
    this.editor.closeEntry();
  }
}
