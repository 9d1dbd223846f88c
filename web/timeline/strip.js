// The strip in the node: the whole film at a glance, and the door to the editor.

import { h } from "./dom.js";
import { Gestures } from "./gestures.js";
import { icon } from "./icons.js";
import { Lanes } from "./lanes.js";
import { say } from "./words.js";

/** @import { Host } from "./editor.js" */
/** @import { Session } from "./session.js" */

export const STRIP_HEIGHT = 64;

export class Strip {
  /**
   * @param {Session} session
   * @param {Host} host
   * @param {() => void} open
   * @param {() => boolean} isBehind whether the editor is open before it
   */
  constructor(session, host, open, isBehind) {
    this.isBehind = isBehind;
    this.session = session;
    this.lanes = new Lanes(session, { ...host, compact: true });
    this.isDrawn = true;
    new Gestures(session, this.lanes, { onEdit: open, onChunk: () => {}, onFilmEnd: (end) => host.setEnd(end), onAdd: () => {} });
    const { element } = this.lanes;
    this.element = h("div", { className: "helios-strip" }, element);
    const button = h("button", { type: "button", className: "helios-open", title: say("open_hint"), "aria-label": say("open"), onclick: open }, icon("open"));
    button.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.element.append(button);
    this.onChange = () => this.draw();
    session.addEventListener("change", this.onChange);
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(element);
  }

  /** A few times a second: the editor's own frames come first. */
  draw() {
    if (!this.isDrawn) return;
    this.isDrawn = false;
    setTimeout(() => {
      this.isDrawn = true;
      if (this.element.isConnected) this.render();
    }, this.isBehind() ? 250 : 16);
  }

  render() {
    const { lanes, session } = this;
    lanes.scale.width = lanes.element.clientWidth || 200;
    const last = Math.max(session.end, (session.blocks.at(-1)?.start ?? 0) + 1);
    lanes.scale.fit(0, last);
    lanes.render();
  }

  stop() {
    this.session.removeEventListener("change", this.onChange);
    this.resize.disconnect();
  }
}
