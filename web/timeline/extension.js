// The timeline in ComfyUI: a strip on each Helios Prompt Schedule, and one editor for all of them.
//
// The text in the node's box is the truth. What stands here is a view of it, found again whenever ComfyUI makes the nodes
// anew: at undo, a change of tabs, a change of renderers.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { Editor, PICTURES } from "./editor.js";
import { filmOf, lengthFor, pathOf, placesOf, placesWhere, samplersOf, SCHEDULE, sourceOf, valueOf, widgetFor, widgetOf } from "./graph.js";
import { BURST } from "./history.js";
import { bareName } from "./schedule.js";
import { Session } from "./session.js";
import { readSound } from "./sound.js";
import { Strip, STRIP_HEIGHT } from "./strip.js";
import { say, setLanguage } from "./words.js";

/** @import { Place } from "./graph.js" */

const VERSION = 1; // of what this page and the node's Python have to agree on
const WIDGET = "helios_timeline";
const MARGIN = 6; // pixels around the strip
const LOOK = 200; // milliseconds between two looks at the graph

const rootGraph = () => app.rootGraph ?? app.graph;

/** What a node's schedule is in the page: its session, its strip, the film that is looked at. */
class Timeline {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.session = new Session(String(widgetOf(node, "schedule")?.value ?? ""), Number(widgetOf(node, "fps")?.value) || 24);
    /** @type {any} the subgraph node it was opened from: there may be several of one subgraph */
    this.outer = null;
    this.sampler = ""; // its path
    /** @type {{id: string, name: string}[]} */
    this.samplers = [];
    this.stale = true; // whether the server is to be asked
    this.key = "";
    this.seed = "0";
    this.soundFile = "";
    /** @type {Strip | null} */
    this.strip = null;
    this.marking = 0;
    this.writing = 0;
    this.asked = 0;
    this.isWritten = true;
    this.host = makeHost(this);
    this.session.addEventListener("text", (event) => this.write(/** @type {CustomEvent<string>} */ (event).detail));
  }

  /** @returns {Place | null} the node where it is looked at, or else its first place */
  get place() {
    const places = placesOf(rootGraph(), SCHEDULE).filter(({ node }) => node === this.node);
    const { graph } = this.node;
    const here = app.canvas?.graph === graph ? openedPath() : null;
    const isHere = (/** @type {Place} */ { parents }) =>
      here !== null ? parents.map((n) => n.id).join(":") === here : this.outer !== null && parents.includes(this.outer);
    return places.find(isHere) ?? places[0] ?? null;
  }

  /**
   * The text goes into its box: at once, or in a burst of typing when there is a moment. To lay out a long text anew for
   * each letter would make the letters late.
   * @param {string} burst
   */
  write(burst) {
    this.isWritten = false;
    if (!burst) return this.flush();
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.flush(), 150);
  }

  flush() {
    if (this.isWritten) return;
    clearTimeout(this.writing);
    this.isWritten = true;
    const { place } = this;
    const widget = place && widgetFor(place, "schedule");
    if (!widget || widget.value === this.session.text) return;
    widget.value = this.session.text;
    widget.callback?.(this.session.text, app.canvas, this.node);
    this.node.graph?.setDirtyCanvas?.(true, false);
    this.mark();
  }

  /** One point of undo of the host's for each step, at the end of a burst of typing. */
  mark() {
    clearTimeout(this.marking);
    this.marking = setTimeout(capture, this.session.isTyping ? BURST : 0);
  }

  /** See what has changed in the graph. */
  look() {
    const { place, session } = this;
    if (!place || !this.isWritten) return;
    const widget = widgetFor(place, "schedule");
    const source = widget ? null : sourceOf(place, "schedule");
    const linked = source && source.place.node.widgets?.find((/** @type {any} */ w) => typeof w.value === "string");
    const text = widget?.value ?? linked?.value;
    const readOnly = !widget;
    if (session.readOnly !== readOnly) {
      session.readOnly = readOnly;
      session.changed();
    }
    if (typeof text === "string" && text !== session.text) session.setText(text);
    session.setFps(Number(valueOf(place, "fps")) || session.schedule.fps);
    this.lookAtFilm(place);
  }

  /** @param {Place} place */
  lookAtFilm(place) {
    const { session } = this;
    const samplers = samplersOf(place);
    this.samplers = samplers.map((s) => ({ id: pathOf(s), name: String(s.node.title) }));
    const sampler = samplers.find((s) => pathOf(s) === this.sampler) ?? samplers[0] ?? null;
    const path = sampler ? pathOf(sampler) : "";
    const key = `${rootGraph().id} ${path}`;
    if (key !== this.key) {
      this.key = key;
      this.sampler = path;
      this.stale = true;
      session.takes = null;
    }
    const last = session.blocks.at(-1)?.start ?? 0;
    const { first, end } = sampler ? filmOf(sampler, last, session.takes?.run) : { first: 0, end: Math.max(3, last + 3) };
    const film = { first, end, canSetEnd: Boolean(sampler && widgetFor(sampler, "length")), name: sampler?.node.title ?? "" };
    if (JSON.stringify(film) !== JSON.stringify(session.film)) {
      session.film = film;
      session.changed();
    }
    this.note(place, sampler);
    this.seed = String((sampler && valueOf(sampler, "seed")) ?? session.takes?.run.seed ?? 0);
    this.lookForSound(sampler);
    if (this.stale) this.ask();
  }

  /**
   * What the film will lack, or why it may be made anew.
   * @param {Place} place
   * @param {Place | null} sampler
   */
  note(place, sampler) {
    const { session } = this;
    const needsVae = session.schedule.entries.some((e) => e.kind === "image" && !e.off) && !sourceOf(place, "vae");
    const settings = Object.entries(session.takes?.run.settings ?? {});
    const changed = settings.some(([name, value]) => {
      const now = sampler && valueOf(sampler, name);
      return now !== null && now !== undefined && now !== value;
    });
    const note = needsVae ? "needs_vae" : changed ? "settings_changed" : "";
    if (note === session.note) return;
    session.note = note;
    session.changed();
  }

  /**
   * The sound that the sampler's film gets, if a file of the input folder is connected.
   * @param {Place | null} sampler
   */
  lookForSound(sampler) {
    const source = sampler && sourceOf(sampler, "audio");
    const file = source && widgetOf(source.place.node, "audio")?.value;
    const name = typeof file === "string" ? file : "";
    if (name === this.soundFile) return;
    if (this.soundFile) this.session.sound = null;
    this.soundFile = name;
    if (!name) return;
    const read = async () => {
      const sound = await readSound(name, await (await api.fetchApi(viewUrl(name))).arrayBuffer());
      if (name === this.soundFile) this.session.sound = sound;
      this.session.changed();
    };
    read().catch(() => {}); // no sound is shown
  }

  /** What is made of the film, from the server. */
  async ask() {
    this.stale = false;
    const key = this.key;
    const workflow = rootGraph().id;
    if (!this.sampler || !workflow) return;
    const asked = (this.asked += 1);
    const query = new URLSearchParams({ workflow, node: this.sampler });
    if (this.session.takes) query.set("revision", this.session.takes.revision);
    const answer = await api.fetchApi(`/helios/films?${query}`).catch(() => null);
    if (asked !== this.asked || key !== this.key) return; // there is a newer question
    if (!answer?.ok) {
      setTimeout(() => (this.stale = true), 3000);
      return;
    }
    const film = await answer.json();
    if (film.unchanged || asked !== this.asked) return;
    this.session.takes = film.film ? film : null;
    this.session.changed();
  }
}

/** @param {Timeline} timeline */
function makeHost(timeline) {
  const { session } = timeline;
  const filmUrl = (/** @type {string} */ rest) => api.apiURL(`/helios/films/${session.takes?.film}/${rest}`);
  return {
    get title() {
      return timeline.node.title ?? say("timeline");
    },
    seed: () => timeline.seed,
    pictureUrl: (/** @type {string} */ file) => api.apiURL(`${viewUrl(bareName(file))}&preview=webp;60`),
    thumbnailUrl: (/** @type {string} */ name) => filmUrl(`${name}.jpg?${session.takes?.chunks[name]?.thumbnail_time ?? ""}`),
    clipUrl: (/** @type {string} */ name) => filmUrl(`${name}.mp4?${session.takes?.chunks[name]?.thumbnail_time ?? ""}`),
    listPictures: async () => {
      const answer = await api.fetchApi("/object_info/LoadImage");
      const info = (await answer.json()).LoadImage?.input?.required?.image;
      const names = Array.isArray(info?.[0]) ? info[0] : (info?.[1]?.options ?? []);
      return names.filter((/** @type {string} */ name) => PICTURES.test(name));
    },
    uploadPicture: async (/** @type {File} */ file) => {
      const body = new FormData();
      body.append("image", file);
      const answer = await api.fetchApi("/upload/image", { method: "POST", body });
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      const { name, subfolder } = await answer.json();
      return subfolder ? `${subfolder}/${name}` : name;
    },
    samplers: () => timeline.samplers,
    sampler: () => timeline.sampler,
    chooseSampler: (/** @type {string} */ id) => {
      timeline.sampler = id;
      timeline.look();
    },
    setEnd: (/** @type {number} */ end) => {
      const sampler = timeline.place && samplersOf(timeline.place).find((s) => pathOf(s) === timeline.sampler);
      const widget = sampler && widgetFor(sampler, "length");
      if (!sampler || !widget) return;
      const { first } = session.film;
      const value = lengthFor(sampler, first, Math.max(1, end - first), session.blocks.at(-1)?.start ?? 0);
      if (value !== widget.value) {
        widget.value = value;
        widget.callback?.(value, app.canvas, sampler.node);
        sampler.node.graph?.setDirtyCanvas?.(true, false);
        timeline.mark();
      }
      timeline.look();
      session.changed();
    },
    star: async (/** @type {string} */ name, /** @type {boolean} */ starred) => {
      const answer = await api.fetchApi(`/helios/films/${session.takes?.film}/stars`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ chunk: name, starred }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      await timeline.ask();
    },
    textOf: async (/** @type {string} */ name) => {
      const answer = await api.fetchApi(`/helios/films/${session.takes?.film}/${name}/text`);
      if (!answer.ok) throw new Error(await answer.text());
      return (await answer.json()).text;
    },
    close: closeEditor,
  };
}

/**
 * A file of the input folder, or with a mark at its end of another.
 * @param {string} file
 */
function viewUrl(file) {
  const [, name, type] = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(file) ?? [];
  const parts = (name ?? file).split("/");
  const filename = parts.pop() ?? "";
  return `/view?${new URLSearchParams({ filename, subfolder: parts.join("/"), type: type ?? "input" })}`;
}

/** The path of the subgraph that is open: "" for none. */
function openedPath() {
  const graph = app.canvas?.graph;
  if (!graph || graph === rootGraph()) return "";
  const [place] = placesWhere(rootGraph(), (node) => node.subgraph === graph);
  return place ? pathOf(place) : "";
}

const changeTracker = () => app.extensionManager?.workflow?.activeWorkflow?.changeTracker;

/** Let the host keep a point of undo: its own widgets in Nodes 2.0 make none. */
function capture() {
  const tracker = changeTracker();
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.();
}

/**
 * The host undoes at each Ctrl+Z on the page, and looks for changes at every other key. In the editor both are its own:
 * one step there is one point of the host's.
 */
function keepKeys() {
  const tracker = changeTracker();
  const prototype = tracker && Object.getPrototypeOf(tracker);
  const { undoRedo } = prototype ?? {};
  if (!undoRedo || undoRedo.leavesHelios) return;
  prototype.undoRedo = async function (/** @type {KeyboardEvent} */ event, /** @type {any[]} */ ...rest) {
    return isOurs(event.target) || undoRedo.call(this, event, ...rest);
  };
  prototype.undoRedo.leavesHelios = true;
}

/** @param {EventTarget | null} target */
function isOurs(target) {
  return target instanceof Element && target.closest(".helios-timeline") !== null;
}

/** @type {WeakMap<any, Timeline>} */
const timelines = new WeakMap();
/** @type {{editor: Editor, timeline: Timeline, path: string, graph: string} | null} */
let open = null;

/** @param {any} node */
function timelineOf(node) {
  let timeline = timelines.get(node);
  if (!timeline) timelines.set(node, (timeline = new Timeline(node)));
  return timeline;
}

/** Those of the open workflow. */
function shownTimelines() {
  return placesOf(rootGraph(), SCHEDULE).flatMap(({ node }) => timelines.get(node) ?? []);
}

/**
 * @param {any} node
 * @param {any} [outer] the subgraph node that it is in
 */
function openEditor(node, outer = null) {
  closeEditor();
  const timeline = timelineOf(node);
  timeline.outer = outer;
  const { place } = timeline;
  if (!place) return;
  keepKeys();
  timeline.look();
  const editor = new Editor(timeline.session, timeline.host);
  editor.element.classList.toggle("helios-light", isLight());
  document.body.append(editor.element);
  editor.start();
  open = { editor, timeline, path: pathOf(place), graph: rootGraph().id };
}

function closeEditor() {
  open?.timeline.flush();
  open?.editor.stop();
  open = null;
}

/** Undo and a change of renderers make a node anew: the editor goes on with the new one, and its own undo with it. */
function followNode() {
  if (!open) return;
  const place = placesOf(rootGraph(), SCHEDULE).find((p) => pathOf(p) === open?.path);
  if (!place || rootGraph().id !== open.graph) return closeEditor();
  if (place.node === open.timeline.node) return;
  const made = timelines.get(place.node);
  open.timeline.node = place.node;
  timelines.set(place.node, open.timeline);
  if (made?.strip) open.timeline.strip = attachStrip(place.node, open.timeline);
}

/** What `isLight` was told last, and said: it is asked five times a second. */
let theme = { color: "", light: false };

function isLight() {
  const color = getComputedStyle(document.body).getPropertyValue("--comfy-menu-bg").trim();
  if (color !== theme.color) theme = { color, light: isLightColor(color) };
  return theme.light;
}

/** @param {string} color as CSS has it */
function isLightColor(color) {
  const probe = document.createElement("canvas").getContext("2d");
  if (!probe || !color) return false;
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return 0.3 * r + 0.59 * g + 0.11 * b > 140;
}

/**
 * @param {any} node
 * @param {Timeline} timeline
 */
function attachStrip(node, timeline) {
  timeline.strip?.stop();
  const strip = new Strip(
    timeline.session,
    timeline.host,
    () => openEditor(timeline.node),
    () => open?.timeline === timeline,
  );
  const slot = widgetOf(node, WIDGET)?.element;
  slot?.replaceChildren(strip.element);
  strip.draw();
  return strip;
}

/** @param {any} node */
function addStrip(node) {
  const element = document.createElement("div");
  element.className = "helios-slot";
  const widget = node.addDOMWidget(WIDGET, "HELIOS_TIMELINE", element, {
    serialize: false,
    hideOnZoom: false,
    getValue: () => "",
    setValue: () => {},
    margin: MARGIN,
  });
  widget.serialize = false;
  // Always as high: what the host may stretch takes half of the text box's room in Nodes 2.0.
  widget.computeLayoutSize = undefined;
  widget.computeSize = () => [0, STRIP_HEIGHT + 2 * MARGIN - 4]; // the host adds 4
  node.setSize([node.size[0], node.size[1] + STRIP_HEIGHT + 2 * MARGIN]); // the text keeps its room
  const timeline = timelineOf(node);
  timeline.strip = attachStrip(node, timeline);
  const { onRemoved } = node;
  node.onRemoved = function (/** @type {any[]} */ ...args) {
    if (timelines.get(node) === timeline && timeline.node === node) timeline.strip?.stop();
    return onRemoved?.apply(this, args);
  };
}

/**
 * The text box stays, and a line says why there is no more.
 * @param {any} node
 * @param {string} reason
 */
function explain(node, reason) {
  const element = document.createElement("div");
  element.textContent = say("no_script", { reason });
  element.style.cssText = "font: 12px/16px system-ui, sans-serif; color: var(--descrip-text); padding: 2px 8px;";
  const widget = node.addDOMWidget(WIDGET, "HELIOS_TIMELINE", element, { serialize: false, getMinHeight: () => 36, getMaxHeight: () => 36 });
  widget.serialize = false;
}

function lookAround() {
  try {
    followNode();
    const light = isLight();
    for (const timeline of shownTimelines()) {
      timeline.strip?.element.classList.toggle("helios-light", light);
      timeline.look();
    }
    open?.editor.element.classList.toggle("helios-light", light);
  } catch (error) {
    if (!isWarned) console.warn("Helios: the timeline could not look at the graph:", error);
    isWarned = true;
  }
}

let isWarned = false;

/** The schedule that a selected node has: its own, or one in its subgraph. */
function scheduleIn(/** @type {any} */ node) {
  if (node?.comfyClass === SCHEDULE) return node;
  return node?.subgraph ? (placesOf(node.subgraph, SCHEDULE)[0]?.node ?? null) : null;
}

app.registerExtension({
  name: "Helios.Timeline",

  commands: [
    {
      id: "Helios.OpenTimeline",
      label: "Helios: Open timeline",
      icon: "pi pi-sliders-h",
      function: () => {
        const [chosen] = Object.values(app.canvas?.selected_nodes ?? {});
        const [first] = placesOf(rootGraph(), SCHEDULE);
        const schedule = scheduleIn(chosen);
        if (schedule) openEditor(schedule, chosen);
        else if (first) openEditor(first.node, first.parents.at(-1));
      },
    },
  ],
  keybindings: [{ commandId: "Helios.OpenTimeline", combo: { key: "t", alt: true } }],

  getNodeMenuItems(/** @type {any} */ node) {
    const schedule = scheduleIn(node);
    return schedule ? [{ content: say("open"), callback: () => openEditor(schedule, node) }] : [];
  },

  setup() {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: new URL("./timeline.css", import.meta.url).href });
    document.head.append(link);
    setLanguage(String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? navigator.language));
    api.addEventListener("helios.film", (/** @type {any} */ { detail }) => {
      if (detail.workflow !== rootGraph().id) return;
      for (const timeline of shownTimelines()) {
        if (timeline.sampler !== detail.node) continue;
        timeline.stale = true;
        if (detail.state === "end") setTimeout(() => (timeline.stale = true), 1500); // clips come a moment later
      }
    });
    api.addEventListener("reconnected", () => {
      for (const timeline of shownTimelines()) timeline.stale = true;
    });
    setInterval(lookAround, LOOK);
    // Nobody outside sees a text that is not in its box yet.
    const flush = (/** @type {Event} */ event) => {
      if (open && !isOurs(event.target)) open.timeline.flush();
    };
    for (const type of ["pointerdown", "keydown", "blur", "beforeunload"]) window.addEventListener(type, flush, true);
    const { graphToPrompt } = app;
    app.graphToPrompt = function (/** @type {any[]} */ ...args) {
      open?.timeline.flush();
      return graphToPrompt.apply(this, args);
    };
  },

  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== SCHEDULE) return;
    const version = node.constructor.nodeData?.input?.required?.schedule?.[1]?.helios_timeline;
    try {
      if (version === VERSION) addStrip(node);
      else explain(node, say("other_version"));
    } catch (error) {
      console.warn("Helios: no timeline:", error);
    }
  },
});
