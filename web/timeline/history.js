// Undo and redo: a gesture or a burst of typing is one step.

const MOST = 200; // steps
export const BURST = 1500; // milliseconds between two keys of one burst

/** @template T */
export class History {
  /** @param {T} state */
  constructor(state) {
    /** @type {T[]} */
    this.past = [];
    this.present = state;
    /** @type {T[]} */
    this.future = [];
    this.burst = { name: "", at: -Infinity };
  }

  /**
   * The next state. Those of one `burst` that follow each other soon are one step.
   * @param {T} state
   * @param {string} [burst]
   * @param {number} [now] milliseconds
   */
  push(state, burst = "", now = performance.now()) {
    const goesOn = burst !== "" && burst === this.burst.name && now - this.burst.at < BURST && !this.future.length;
    if (!goesOn) {
      this.past.push(this.present);
      if (this.past.length > MOST) this.past.shift();
    }
    this.present = state;
    this.future = [];
    this.burst = { name: burst, at: now };
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  /**
   * @param {T[]} from
   * @param {T[]} to
   * @returns {T | null} null where there is nothing more
   */
  step(from, to) {
    const state = from.pop();
    if (state === undefined) return null;
    to.push(this.present);
    this.present = state;
    this.burst = { name: "", at: -Infinity };
    return state;
  }
}
