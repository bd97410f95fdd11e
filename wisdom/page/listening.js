// How many are listening: asked now and then, while somebody wants to know.

const EVERY = 5_000; // ms between two questions at least
const SOON = 1_500; // ms after which the server has counted who came or went

export class Listening {
  constructor({ address, onanswer }) {
    Object.assign(this, { address, onanswer });
    this.wanted = false;
    this.asked = -Infinity;
    this.timer = 0;
  }

  want(wanted) {
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.plan();
  }

  // Something has changed: ask as soon as the answer can tell.
  soon() {
    this.asked = Math.min(this.asked, performance.now() + SOON - EVERY);
    this.plan();
  }

  plan() {
    clearTimeout(this.timer);
    const pause = Math.max(0, this.asked + EVERY - performance.now());
    if (this.wanted) this.timer = setTimeout(() => this.ask(), pause);
  }

  // The answer is a number, or null when there is none.
  async ask() {
    this.asked = performance.now();
    let answer = null;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), EVERY);
    try {
      const response = await fetch(this.address, { cache: "no-store", signal: patience.signal });
      answer = (await response.json()).listening;
    } catch {
      // Not known, then; the connection has troubles of its own to tell.
    }
    clearTimeout(timer);
    if (!this.wanted) return;
    this.onanswer(Number.isInteger(answer) ? answer : null);
    this.plan();
  }
}
