// Plays the chunks that are made, one after the other.

import { h } from "./dom.js";
import { say } from "./words.js";

/** @import { Editor } from "./editor.js" */

export class Player {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.isPlaying = false;
    /** @type {HTMLVideoElement | null} */
    this.video = null;
  }

  /**
   * The picture of a chunk, or the chunk itself, moving.
   * @param {string} url
   * @param {boolean} moves
   * @param {string} label
   */
  picture(url, moves, label) {
    if (!moves) return h("img", { src: url, alt: label });
    const video = h("video", { src: url, muted: true, loop: true, autoplay: true, playsInline: true, controls: false });
    video.setAttribute("aria-label", label);
    return video;
  }

  /**
   * @param {string} name
   * @param {string} url
   * @param {boolean} moves
   */
  show(name, url, moves) {
    const { chunk } = /** @type {import("./takes.js").FilmState} */ (this.editor.session.takes).chunks[name];
    const picture = this.picture(url, moves, say("chunk_n", { n: chunk }));
    this.video = picture instanceof HTMLVideoElement ? picture : null;
    if (this.video) {
      this.video.loop = !this.isPlaying;
      this.video.addEventListener("ended", () => this.next());
    }
    return picture;
  }

  toggle() {
    if (this.isPlaying) return this.pause();
    this.isPlaying = true;
    const { session } = this.editor;
    if (session.chunk === null) this.editor.lookAt(session.playhead);
    else if (this.video) {
      this.video.loop = false;
      this.video.play().catch(() => this.pause());
    }
  }

  next() {
    if (!this.isPlaying) return;
    const { session, lanes } = this.editor;
    const chunk = (session.chunk ?? session.playhead) + 1;
    const isThere = lanes.chunks.some((c) => c.chunk === chunk && c.name !== null);
    if (!isThere) return this.pause();
    lanes.scale.reveal(chunk);
    this.editor.lookAt(chunk);
  }

  pause() {
    this.isPlaying = false;
    this.video?.pause();
  }

  stop() {
    this.pause();
    this.video = null;
  }
}
