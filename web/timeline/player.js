// Plays the chunks that are made, one after the other.

import { h } from "./dom.js";
import { CHUNK_FRAMES } from "./schedule.js";
import { say } from "./words.js";

/** @import { Editor } from "./editor.js" */

export class Player {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.isPlaying = false;
    /** @type {HTMLVideoElement | null} */
    this.video = null;
    this.waiting = 0;
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
    if (this.isPlaying && !moves) this.wait();
    this.video = picture instanceof HTMLVideoElement ? picture : null;
    if (this.video) {
      this.video.loop = !this.isPlaying;
      this.video.addEventListener("ended", () => this.next());
    }
    return picture;
  }

  toggle() {
    if (this.isPlaying) return this.pause();
    const { session } = this.editor;
    if (!this.editor.current?.name) return this.editor.tell(say("no_film"));
    this.isPlaying = true;
    if (session.chunk === null) return this.editor.lookAt(session.playhead);
    if (!this.video) return this.wait();
    this.video.loop = false;
    this.video.play().catch(() => this.pause());
  }

  /** A still stands as long as its chunk lasts. */
  wait() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.next(), (1000 * CHUNK_FRAMES) / this.editor.session.schedule.fps);
  }

  next() {
    if (!this.isPlaying) return;
    const { session, lanes } = this.editor;
    const chunk = session.playhead + 1;
    const isThere = lanes.chunks.some((c) => c.chunk === chunk && c.name !== null);
    if (!isThere) return this.pause();
    lanes.scale.reveal(chunk);
    this.editor.lookAt(chunk);
  }

  pause() {
    this.isPlaying = false;
    clearTimeout(this.waiting);
    this.video?.pause();
  }

  stop() {
    this.pause();
    this.video = null;
  }
}
