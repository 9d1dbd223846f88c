// The editor: lanes, a bar of commands, a form on what is edited, and the chunk that is looked at.

import { chosen, commandOf, COMMANDS, isForHost } from "./commands.js";
import { h, onKey, passKey, setAttribute, setStyle, setText } from "./dom.js";
import * as edits from "./edits.js";
import { EntryForm } from "./entry.js";
import { Gestures } from "./gestures.js";
import { icon } from "./icons.js";
import { Lanes } from "./lanes.js";
import { formatTime } from "./layout.js";
import { Player } from "./player.js";
import { CHUNK_FRAMES, readSchedule } from "./schedule.js";
import { readSound } from "./sound.js";
import { costOf, newSeed, takesOf, useTake, useText } from "./takes.js";
import { say } from "./words.js";

/** @import { Session } from "./session.js" */
/**
 * @typedef {object} Host what the editor needs of the page around it
 * @property {string} title
 * @property {() => string} seed that the film begins with
 * @property {(file: string) => string} pictureUrl
 * @property {(name: string) => string} thumbnailUrl
 * @property {(name: string) => string} clipUrl
 * @property {() => Promise<string[]>} listPictures
 * @property {(file: File) => Promise<string>} uploadPicture gives its name in the input folder
 * @property {() => {id: string, name: string}[]} samplers
 * @property {() => string} sampler
 * @property {(id: string) => void} chooseSampler
 * @property {(end: number) => void} setEnd
 * @property {(name: string, starred: boolean) => Promise<void>} star
 * @property {(name: string) => Promise<string>} textOf the schedule that a chunk was made with
 * @property {() => void} close
 */

const HEIGHT = "Helios.timeline.height";
export const PICTURES = /\.(png|jpe?g|webp|gif|bmp|tiff?|avif)$/i;
const SOUNDS = /\.(wav|mp3|ogg|oga|flac|m4a|aac|opus)$/i;

/** @type {{text: string, length: number}} what was copied last, and how many chunks it takes */
let clipboard = { text: "", length: 0 };

export class Editor {
  /**
   * @param {Session} session
   * @param {Host} host
   */
  constructor(session, host) {
    this.session = session;
    this.host = host;
    this.lanes = new Lanes(session, host);
    /** @type {EntryForm | null} */
    this.entry = null;
    this.message = "";
    this.isDrawn = true;
    this.stageHeight = 0;
    this.scrolled = 0;
    this.returnTo = document.activeElement;

    this.gestures = new Gestures(session, this.lanes, {
      onEdit: (index) => this.openEntry(index),
      onChunk: (chunk) => this.lookAt(chunk),
      onFilmEnd: (end) => this.setEnd(end),
      onAdd: (lane, chunk) => (lane === "pictures" ? this.choosePicture(chunk) : session.edit((s) => edits.setSeed(s, chunk, newSeed()))),
    });
    this.player = new Player(this);
    this.find = h("input", { type: "search", placeholder: say("find") });
    this.find.setAttribute("aria-label", say("find"));
    onKey(this.find, (event) => {
      if (event.key === "Enter") this.findNext();
      if (event.key === "Escape") this.focusLane("prompts");
    });
    this.style = h("input", { className: "style", dir: "auto", placeholder: say("style_hint") });
    this.style.setAttribute("aria-label", say("style"));
    const typeStyle = () => {
      if (!this.isStyleComposing) session.edit((s) => edits.setStyle(s, this.style.value), "type style");
    };
    this.style.addEventListener("input", typeStyle);
    this.isStyleComposing = false;
    this.style.addEventListener("compositionstart", () => (this.isStyleComposing = true));
    this.style.addEventListener("compositionend", () => {
      this.isStyleComposing = false;
      typeStyle();
    });
    this.sampler = h("select");
    this.sampler.setAttribute("aria-label", say("sampler"));
    this.sampler.addEventListener("change", () => host.chooseSampler(this.sampler.value));
    this.unit = h("select", {}, ...["chunks", "seconds", "frames"].map((unit) => h("option", { value: unit, textContent: say(unit) })));
    this.unit.setAttribute("aria-label", say("unit"));
    this.unit.addEventListener("change", () => {
      session.unit = /** @type {import("./layout.js").Unit} */ (this.unit.value);
      session.changed();
    });
    /** @type {Map<string, HTMLButtonElement>} */
    this.buttons = new Map();
    for (const { id, keys, inBar, run } of COMMANDS) {
      if (!inBar) continue;
      const title = `${say(id)}${keys.length ? ` (${shownKey(keys[0])})` : ""}`;
      const button = h("button", { type: "button", title, "aria-label": say(id), onclick: () => run(this) }, icon(id));
      this.buttons.set(id, button);
    }
    const rule = () => h("span", { className: "rule" });
    const buttons = (/** @type {string[]} */ ...ids) => ids.map((id) => /** @type {HTMLButtonElement} */ (this.buttons.get(id)));
    const bar = h(
      "div",
      { className: "bar", role: "group", "aria-label": say("timeline") },
      h("span", { className: "name", textContent: host.title, title: host.title }),
      this.sampler,
      rule(),
      ...buttons("undo", "redo"),
      rule(),
      ...buttons("new_prompt", "new_picture", "new_seed", "split", "merge", "duplicate", "blend", "off", "delete", "ripple_delete"),
      rule(),
      ...buttons("play", "take_again"),
      rule(),
      this.style,
      this.find,
      this.unit,
      ...buttons("snap", "zoom_out", "zoom_in", "fit", "help", "fullscreen", "close"),
    );

    this.labels = h("div", { className: "labels", "aria-hidden": "true" });
    this.stage = h("div", { className: "stage" }, this.lanes.element);
    this.spacer = h("div");
    this.scroll = h("div", { className: "scroll", "aria-hidden": "true", tabIndex: -1 }, this.spacer);
    this.scroll.addEventListener("scroll", () => {
      this.scrolled = this.scroll.scrollLeft;
      const left = this.scrolled / this.lanes.scale.zoom;
      if (Math.abs(left - this.lanes.scale.left) * this.lanes.scale.zoom < 2) return;
      this.lanes.scale.left = left;
      session.changed();
    });
    this.side = h("div", { className: "side", hidden: true, role: "region", "aria-label": say("lane_chunks"), tabIndex: 0 });
    this.body = h("div", { className: "body" }, this.labels, this.stage, this.side, this.scroll);
    this.closeSide = h("button", { type: "button", "aria-label": say("close_side"), onclick: () => this.leaveChunk() }, icon("close"));
    this.where = h("span");
    this.wrong = h("span", { className: "wrong", role: "status" });
    this.status = h("div", { className: "status" }, this.where, this.wrong);
    const grip = h("div", { className: "grip", "aria-hidden": "true" });
    grip.addEventListener("pointerdown", (event) => this.dragHeight(event, grip));
    this.element = h("section", { className: "helios-timeline", "aria-label": say("timeline"), tabIndex: -1 }, grip, bar, this.body, this.status);
    const height = localStorage.getItem(HEIGHT);
    if (height) this.element.style.height = height;
    // Nothing that happens here is the canvas' business: neither its keys nor what is dropped.
    onKey(this.element, (event) => this.key(event));
    this.onKey = (/** @type {KeyboardEvent} */ event) => passKey(event, this.element, isForHost);
    this.isInside = true;
    this.onPointer = (/** @type {PointerEvent} */ { target }) => {
      this.isInside = target instanceof Node && this.element.contains(target);
    };
    for (const type of ["pointerdown", "pointerup", "mousedown", "mouseup", "dblclick", "contextmenu", "wheel"])
      this.element.addEventListener(type, (event) => event.stopPropagation());
    for (const type of ["copy", "cut", "paste"])
      this.element.addEventListener(type, (event) => this.clipboardEvent(/** @type {ClipboardEvent} */ (event)));
    this.element.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
    this.element.addEventListener("drop", (event) => this.drop(event));

    this.onChange = () => this.draw();
    this.onRefused = (/** @type {Event} */ event) => this.refused(/** @type {CustomEvent<edits.EditError>} */ (event).detail);
    session.addEventListener("change", this.onChange);
    session.addEventListener("refused", this.onRefused);
    // Sizes are read here alone: to read them while drawing would have the page laid out twice.
    this.resize = new ResizeObserver(() => this.measure());
    this.resize.observe(this.lanes.element);
    this.resize.observe(this.stage);
  }

  /** After its element is in the page. */
  start() {
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("keyup", this.onKey, true);
    window.addEventListener("pointerdown", this.onPointer, true);
    this.measure();
    this.fit();
    this.render();
    this.measure();
    this.lanes.lanes.prompts.focus({ preventScroll: true });
  }

  stop() {
    this.entry?.close();
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("keyup", this.onKey, true);
    window.removeEventListener("pointerdown", this.onPointer, true);
    this.session.removeEventListener("change", this.onChange);
    this.session.removeEventListener("refused", this.onRefused);
    this.resize.disconnect();
    this.player.stop();
    this.session.hide();
    this.element.remove();
    if (this.returnTo instanceof HTMLElement && this.returnTo.isConnected) this.returnTo.focus({ preventScroll: true });
  }

  measure() {
    this.lanes.scale.width = this.lanes.element.clientWidth || 800;
    this.stageHeight = this.stage.clientHeight;
    this.renderLabels();
    this.draw();
  }

  /** Once for all that changes within a frame. */
  draw() {
    if (!this.isDrawn) return;
    this.isDrawn = false;
    requestAnimationFrame(() => {
      this.isDrawn = true;
      if (!this.element.isConnected) return;
      this.render();
      setTimeout(() => this.keepFocus(), 30); // the page takes it from what was disabled a little later
    });
  }

  /** A button that goes away, or can no longer be pressed, takes the keys with it. */
  keepFocus() {
    if (this.isInside && document.activeElement === document.body && this.element.isConnected) this.focusLane();
  }

  /** @param {import("./lanes.js").LaneName} [name] */
  focusLane(name = this.lanes.lane) {
    if (this.lanes.lane !== name) {
      this.lanes.lane = name;
      this.lanes.render();
    }
    this.lanes.lanes[name].focus({ preventScroll: true });
    this.session.changed();
  }

  render() {
    const { session, lanes } = this;
    const hadSound = !lanes.lanes.sound.hidden;
    lanes.render();
    if (hadSound === lanes.lanes.sound.hidden) this.renderLabels();
    this.renderBar();
    this.renderStatus();
    this.renderSide();
    if (this.entry) this.placeEntry();
    const last = Math.max(session.end, session.blocks.at(-1)?.end ?? 0, lanes.scale.right);
    setStyle(this.spacer, { width: `${Math.round(last * lanes.scale.zoom)}px` });
    const left = Math.round(lanes.scale.left * lanes.scale.zoom);
    if (Math.abs(this.scrolled - left) > 1) this.scroll.scrollLeft = left;
    this.scrolled = left;
  }

  renderLabels() {
    const shown = Object.entries(this.lanes.lanes).filter(([, lane]) => !lane.hidden);
    const key = shown.map(([name, lane]) => name + lane.offsetHeight).join();
    if (this.labels.dataset.key === key) return;
    this.labels.dataset.key = key;
    this.labels.replaceChildren(
      ...shown.map(([name, lane]) => {
        const label = h("div", { textContent: say(`lane_${name}`) });
        label.style.height = `${lane.offsetHeight}px`;
        return label;
      }),
    );
  }

  renderBar() {
    const { session, host } = this;
    const samplers = host.samplers();
    this.sampler.hidden = samplers.length < 2;
    const key = samplers.map(({ id, name }) => `${id} ${name}`).join("\n");
    if (this.sampler.dataset.key !== key) {
      this.sampler.dataset.key = key;
      this.sampler.replaceChildren(...samplers.map(({ id, name }) => h("option", { value: id, textContent: name })));
    }
    this.sampler.value = host.sampler();
    this.unit.value = session.unit;
    for (const { id, edits: isEdit } of COMMANDS) {
      const button = this.buttons.get(id);
      if (button && isEdit) button.disabled = session.readOnly;
    }
    const [undo, redo, snap] = ["undo", "redo", "snap"].map((id) => /** @type {HTMLButtonElement} */ (this.buttons.get(id)));
    undo.disabled = session.readOnly || !session.history.past.length;
    redo.disabled = session.readOnly || !session.history.future.length;
    setAttribute(snap, "aria-pressed", session.snap ? "true" : "false");
    const style = session.schedule.entries.find((e) => e.kind === "style" && !e.off)?.value ?? "";
    this.style.readOnly = session.readOnly;
    if (!this.isStyleComposing && this.style.value.trim() !== style) this.style.value = style;
  }

  renderStatus() {
    const { session } = this;
    const { schedule, playhead } = session;
    const count = session.end - session.film.first;
    const length = say(count === 1 ? "film_length_one" : "film_length", { n: count, seconds: formatTime(count, "seconds", schedule.fps) });
    const at = `${say("chunk_n", { n: playhead })} · ${formatTime(playhead, "seconds", schedule.fps)} · ${playhead * CHUNK_FRAMES} f`;
    setText(this.where, `${at}  |  ${session.film.name ? length : `${length} (${say("no_sampler")})`}`);
    const mistake = schedule.mistakes[0]?.message ?? "";
    const note = session.readOnly ? "linked" : session.note;
    setText(this.wrong, this.message || mistake || (note && say(note)));
  }

  /** @param {edits.EditError} error */
  refused(error) {
    this.tell(say(error.key, error.values));
  }

  /** @param {string} message */
  tell(message) {
    this.message = message;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.message = "";
      this.draw();
    }, 6000);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const isField = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (isField && event.key !== "Escape") return;
    if (event.target instanceof HTMLSelectElement && event.key !== "Escape") return;
    if (event.target instanceof HTMLButtonElement && (event.key === "Enter" || event.key === " ")) return;
    const command = commandOf(event);
    if (!command || command.byEvent) return;
    if (this.overlay && command.id !== "escape" && command.id !== "help") return; // not behind what is open
    event.preventDefault();
    command.run(this);
  }

  escape() {
    if (this.overlay) this.closeOverlay();
    else if (this.entry) this.entry.close();
    else if (this.session.chunk !== null) this.leaveChunk();
    else if (this.session.selected.length) this.session.select([]);
    else this.host.close();
  }

  /**
   * @param {number | null} index
   * @param {boolean} [all] select its text, so that typing replaces it
   */
  openEntry(index, all = false) {
    if (index === null || index === undefined) return;
    this.entry?.close();
    const { entries } = this.session.schedule;
    if (!entries[index] || entries[index].kind === "style") return;
    this.session.select([index]);
    this.entry = new EntryForm(this, index);
    this.stage.append(this.entry.element);
    this.entry.measure();
    this.lanes.scale.reveal(entries[index].chunk || 0);
    this.placeEntry();
    const field = this.entry.files ?? this.entry.value;
    field.focus({ preventScroll: true });
    if (field instanceof HTMLSelectElement) return;
    if (all) field.select();
    else field.setSelectionRange(field.value.length, field.value.length);
  }

  placeEntry() {
    const form = /** @type {EntryForm} */ (this.entry);
    if (!form.follow()) return this.closeEntry();
    form.render();
    const { scale } = this.lanes;
    const left = Math.max(4, Math.min(scale.x(form.entry.chunk || 0), scale.width - form.width - 4));
    const top = Math.max(2, Math.min(form.laneTop + 24, this.stageHeight - form.height - 4));
    setStyle(form.element, { left: `${left}px`, top: `${top}px` });
  }

  closeEntry() {
    const had = this.entry?.element.contains(document.activeElement);
    this.entry?.stop();
    this.entry = null;
    if (had) this.lanes.lanes[this.lanes.lane].focus({ preventScroll: true });
    this.session.changed();
  }

  // Pictures and sounds.

  /** @param {number} chunk */
  choosePicture(chunk) {
    if (this.session.readOnly) return this.refused(new edits.EditError("read_only"));
    const list = h("select", { size: 8 });
    list.setAttribute("aria-label", say("choose_picture"));
    const use = (/** @type {string} */ file) => {
      this.closeOverlay();
      if (file && this.session.edit((s) => edits.setPicture(s, chunk, file))) this.focusLane("pictures");
    };
    const upload = h("input", { type: "file", accept: "image/*" });
    upload.setAttribute("aria-label", say("upload"));
    upload.addEventListener("change", async () => {
      const [file] = upload.files ?? [];
      if (file) use(await this.host.uploadPicture(file).catch((error) => this.failed(error)));
    });
    onKey(list, (event) => {
      if (event.key === "Enter") use(list.value);
      if (event.key === "Escape") this.closeOverlay();
    });
    list.addEventListener("dblclick", () => use(list.value));
    const title = `${say("choose_picture")}, ${say("chunk_n", { n: chunk })}`;
    const rows = [h("div", { className: "row" }, list), h("div", { className: "row" }, upload)];
    this.openDialog("picker", title, chunk, rows, say("done"), () => use(list.value));
    list.focus();
    this.host.listPictures().then(
      (names) => {
        list.replaceChildren(...names.map((name) => h("option", { value: name, textContent: name })));
        list.selectedIndex = names.length ? 0 : -1;
      },
      (error) => this.failed(error),
    );
  }

  /** @param {DragEvent} event */
  async drop(event) {
    event.preventDefault();
    event.stopPropagation();
    const files = [...(event.dataTransfer?.files ?? [])];
    const { x } = this.gestures.point(event);
    let chunk = Math.max(0, Math.floor(this.lanes.scale.chunk(x)));
    const pictures = files.filter(({ name, type }) => type.startsWith("image/") || PICTURES.test(name));
    const sound = files.find(({ name, type }) => type.startsWith("audio/") || SOUNDS.test(name));
    if (pictures.length && this.session.readOnly) return this.refused(new edits.EditError("read_only"));
    for (const file of pictures) {
      const name = await this.host.uploadPicture(file).catch((error) => this.failed(error));
      if (name) this.session.edit((s) => edits.setPicture(s, chunk, name));
      chunk += 1;
    }
    if (sound) await this.showSound(sound.name, () => sound.arrayBuffer());
    if (files.length && !pictures.length && !sound) this.tell(say("bad_drop", { name: files[0].name }));
  }

  /**
   * @param {string} name
   * @param {() => Promise<ArrayBuffer>} read
   */
  async showSound(name, read) {
    try {
      this.session.sound = await readSound(name, await read());
    } catch {
      return this.tell(say("bad_sound", { name }));
    }
    this.session.changed();
  }

  /**
   * @param {unknown} error
   * @returns {string} "" in place of what did not come
   */
  failed(error) {
    this.tell(say("not_sent", { reason: error instanceof Error ? error.message : String(error) }));
    return "";
  }

  // The clipboard.

  copy() {
    const { session } = this;
    const indices = chosen(this);
    const copied = edits.copy(session.schedule, indices, session.end);
    if (!copied.text) return false;
    clipboard = copied;
    this.tell(say("copied", { n: indices.length }));
    return true;
  }

  paste(text = clipboard.text) {
    const { session } = this;
    const length = text === clipboard.text ? clipboard.length : undefined;
    session.edit((s) => edits.paste(s, session.playhead, text, session.end, length));
  }

  /** @param {ClipboardEvent} event */
  clipboardEvent(event) {
    event.stopPropagation();
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
    if (event.type !== "paste" && String(window.getSelection())) return; // a text that can be read, at the side
    event.preventDefault();
    const text = event.clipboardData?.getData("text/plain").replace(/\r\n/g, "\n");
    if (event.type === "paste") return this.paste(text || clipboard.text);
    clipboard = { text: "", length: 0 };
    COMMANDS.find(({ id }) => id === (event.type === "copy" ? "copy" : "cut_out"))?.run(this);
    if (clipboard.text) event.clipboardData?.setData("text/plain", clipboard.text);
  }

  findNext() {
    const { session } = this;
    const [index] = edits.find(session.schedule, this.find.value, session.selected[0]);
    if (index === undefined) return this.tell(say("find_none", { text: this.find.value }));
    const { chunk, kind } = session.schedule.entries[index];
    if (kind === "image" || kind === "seed") this.lanes.lane = kind === "image" ? "pictures" : "seeds";
    else this.lanes.lane = "prompts";
    if (chunk >= 0) {
      this.lanes.scale.reveal(chunk);
      session.movePlayhead(chunk);
    }
    session.select([index]);
  }

  // View.

  fit() {
    const { session } = this;
    const last = Math.max(session.end, (session.blocks.at(-1)?.start ?? 0) + 1);
    this.lanes.scale.fit(session.film.first, last);
    this.draw();
  }

  toggleSnap() {
    this.session.snap = !this.session.snap;
    this.draw();
  }

  /**
   * The dock, higher or lower.
   * @param {PointerEvent} down
   * @param {HTMLElement} grip
   */
  dragHeight(down, grip) {
    grip.setPointerCapture(down.pointerId);
    const begin = this.element.offsetHeight + down.clientY;
    grip.onpointermove = ({ clientY }) => {
      const height = Math.min(Math.max(begin - clientY, 240), window.innerHeight - 60);
      this.element.style.height = `${height}px`;
      localStorage.setItem(HEIGHT, `${height}px`);
    };
    grip.onpointerup = () => (grip.onpointermove = null);
  }

  toggleFull() {
    this.element.classList.toggle("full");
    this.draw();
  }

  /** @param {number} end */
  setEnd(end) {
    const { film } = this.session;
    if (!film.canSetEnd || this.session.readOnly) return;
    this.host.setEnd(Math.max(film.first + 1, end));
  }

  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} parent
   */
  openOverlay(element, parent) {
    this.entry?.close();
    this.closeOverlay();
    this.overlay = element;
    parent.append(element);
  }

  /**
   * A small panel at a chunk, with a way out.
   * @param {string} name
   * @param {string} title
   * @param {number} chunk
   * @param {Node[]} body
   * @param {string} action what the button to go on says
   * @param {() => void} run
   */
  openDialog(name, title, chunk, body, action, run) {
    const { scale } = this.lanes;
    const go = h("button", { type: "button", textContent: action, onclick: run });
    const cancel = h("button", { type: "button", textContent: say("cancel"), onclick: () => this.closeOverlay() });
    const buttons = h("div", { className: "row" }, go, cancel);
    const panel = h("div", { className: `entry ${name}`, role: "dialog", "aria-label": title }, h("div", { textContent: title }), ...body, buttons);
    onKey(panel, (event) => {
      if (event.key === "Escape") this.closeOverlay();
    });
    setStyle(panel, { left: `${Math.max(4, Math.min(scale.x(chunk), scale.width - 364))}px`, top: "4px" });
    this.openOverlay(panel, this.stage);
    go.focus({ preventScroll: true });
  }

  closeOverlay() {
    this.overlay?.remove();
    this.overlay = undefined;
    this.focusLane();
  }

  toggleKeys() {
    if (this.overlay?.classList.contains("keys")) return this.closeOverlay();
    const rows = COMMANDS.filter(({ keys }) => keys.length).map(({ id, keys }) =>
      h("div", {}, h("kbd", { textContent: keys.map(shownKey).join(", ") }), h("span", { textContent: say(id) })),
    );
    this.openOverlay(h("div", { className: "keys", role: "dialog", "aria-label": say("help"), tabIndex: 0 }, ...rows), this.body);
    this.overlay?.focus();
  }

  // Chunks and takes.

  /** @param {number} chunk */
  lookAt(chunk) {
    const { session } = this;
    session.chunk = chunk;
    session.movePlayhead(Math.max(session.film.first, chunk));
  }

  leaveChunk() {
    this.session.chunk = null;
    this.player.pause();
    this.focusLane();
  }

  /** The chunk at the playhead; null where the film has none. */
  get current() {
    return this.lanes.chunks.find((c) => c.chunk === this.session.playhead) ?? null;
  }

  renderSide() {
    const { session, host } = this;
    const { takes, chunk } = session;
    const lane = chunk === null ? null : (this.lanes.chunks.find((c) => c.chunk === chunk) ?? null);
    this.side.hidden = chunk === null;
    if (chunk === null) return;
    const name = lane?.name ?? null;
    const entry = name ? takes?.chunks[name] : undefined;
    const all = takes && name ? takesOf(takes, name).map((take) => [take, takes.chunks[take].starred]) : [];
    const key = JSON.stringify([chunk, lane?.status, entry, all, session.readOnly]);
    if (this.side.dataset.key === key) return;
    this.side.dataset.key = key;
    const status = lane ? say(`status_${lane.status}`) : say("no_film");
    /** @type {(Node | string)[]} */
    const parts = [h("h3", {}, say("chunk_n", { n: chunk }), this.closeSide)];
    if (name && entry) {
      parts.push(this.player.show(name, entry.clip ? host.clipUrl(name) : entry.thumbnail ? host.thumbnailUrl(name) : "", entry.clip));
      const took = entry.seconds ? ` · ${say("took", { seconds: entry.seconds.toFixed(1) })}` : "";
      parts.push(h("p", { textContent: `${status}${took}` }), h("p", { textContent: entry.prompt, dir: "auto" }));
      parts.push(h("p", { textContent: `${say("seed")} ${entry.seed}${entry.picture?.file ? ` · ${entry.picture.file}` : ""}` }));
      if (takes) parts.push(this.takesRow(takesOf(takes, name), name));
    } else parts.push(h("p", { textContent: lane ? status : say("no_film") }));
    if (takes?.run.state === "failed" && lane?.status === "failed") parts.push(h("p", { className: "wrong", textContent: takes.run.error }));
    this.side.replaceChildren(...parts);
  }

  /**
   * @param {string[]} names
   * @param {string} shown
   */
  takesRow(names, shown) {
    const { session } = this;
    const row = h("div", { className: "takes" });
    names.forEach((name, i) => {
      const star = session.takes?.chunks[name].starred ? " ★" : "";
      const button = h("button", { type: "button", textContent: `${i + 1}${star}`, onclick: () => this.useTake(name) });
      button.setAttribute("aria-label", `${say("take_n", { n: i + 1 })}${name === shown ? `, ${say("in_use")}` : ""}`);
      setAttribute(button, "aria-pressed", name === shown ? "true" : "false");
      button.disabled = session.readOnly;
      row.append(button);
    });
    const starred = session.takes?.chunks[shown].starred;
    const button = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {() => void} */ run) =>
      h("button", { type: "button", title: say(label), "aria-label": say(label), onclick: run }, icon(sign));
    const star = button("star", starred ? "unstar" : "star", () => this.star());
    setAttribute(star, "aria-pressed", starred ? "true" : "false");
    row.append(button("take_again", "take_again", () => this.takeAgain()), star);
    if (names.length > 1) row.append(button("compare", "compare", () => this.compare()));
    return row;
  }

  /** Ask first: what comes after it goes stale, and takes its time. */
  takeAgain() {
    const { session } = this;
    const chunk = session.playhead;
    if (session.readOnly) return this.refused(new edits.EditError("read_only"));
    if (!this.current) return this.refused(new edits.EditError("beyond_end", { chunk }));
    const { later, seconds } = session.takes ? costOf(session.takes, this.lanes.chunks, chunk) : { later: 0, seconds: 0 };
    const time = seconds >= 90 ? say("minutes", { n: Math.round(seconds / 60) }) : say("about_seconds", { n: Math.ceil(seconds) });
    const sentences = [later > 1 ? say("again_later", { n: later }) : say(later ? "again_later_one" : "again_alone")];
    if (seconds) sentences.push(say("again_time", { time }));
    const title = `${say("take_again")}: ${say("chunk_n", { n: chunk })}`;
    const text = h("p", { textContent: sentences.join(" ") });
    this.openDialog("again", title, chunk, [text], say("again_do"), () => {
      this.closeOverlay();
      session.edit((s) => edits.setSeed(s, chunk, newSeed()));
    });
  }

  /**
   * Back to a take: by its seed where no more is another, or else, asked first, by the whole text that it was made with.
   * @param {string} name
   */
  async useTake(name) {
    const { session, host } = this;
    const { takes, film } = session;
    if (!takes || session.readOnly) return;
    const wanted = { first: film.first, end: film.end, seed: host.seed() };
    try {
      const edited = useTake(session.schedule, takes, name, wanted);
      session.edit(() => edited);
      return;
    } catch (error) {
      if (!(error instanceof edits.EditError)) throw error;
    }
    const before = session.text;
    const text = await host.textOf(name).catch((error) => this.failed(error));
    if (!text) return this.refused(new edits.EditError("other_words"));
    const { chunk } = takes.chunks[name];
    this.openDialog("again", say("use_take"), chunk, [h("p", { textContent: say("other_text") })], say("use_take"), () => {
      this.closeOverlay();
      if (session.text === before)
        session.edit((s) => useText(readSchedule(text, s.fps), takes, name, wanted.seed));
    });
  }

  async star() {
    const { takes } = this.session;
    const name = this.current?.name;
    if (!takes || !name) return;
    await this.host.star(name, !takes.chunks[name].starred).catch((error) => this.failed(error));
  }

  compare() {
    const { takes } = this.session;
    const name = this.current?.name;
    if (!takes || !name) return this.tell(say("no_film"));
    const panel = h("div", { className: "compare", role: "dialog", "aria-label": say("compare"), tabIndex: -1 });
    takesOf(takes, name).forEach((take, i) => {
      const entry = takes.chunks[take];
      const url = entry.clip ? this.host.clipUrl(take) : this.host.thumbnailUrl(take);
      const use = h("button", {
        type: "button",
        textContent: take === name ? say("in_use") : say("use_take"),
        disabled: take === name || this.session.readOnly,
        onclick: () => {
          this.closeOverlay();
          this.useTake(take);
        },
      });
      const title = `${say("take_n", { n: i + 1 })}${entry.starred ? " ★" : ""}`;
      panel.append(
        h(
          "figure",
          {},
          h("h3", { textContent: title }),
          this.player.picture(url, entry.clip, title),
          h("p", { textContent: `${say("seed")} ${entry.seed}` }),
          h("p", { textContent: entry.prompt }),
          use,
        ),
      );
    });
    panel.append(h("button", { type: "button", textContent: say("close"), onclick: () => this.closeOverlay() }));
    this.openOverlay(panel, this.body);
    panel.focus();
  }
}

/** @param {string} key */
function shownKey(key) {
  const names = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del", " ": "Space", Escape: "Esc" };
  const parts = key.split("+").filter(Boolean);
  if (key.endsWith("+")) parts.push("+");
  return parts.map((part) => names[/** @type {keyof typeof names} */ (part)] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" ");
}
