// The connection: opens, notices when it is dead, and comes back after a pause that grows.

const FIRST = 500; // ms before the first new attempt
const CAP = 15_000; // ms between attempts at most
const HEALTHY = 10_000; // ms a connection must last before the pauses start small again
const OPENING = 10_000; // ms for a connection to open and greet
const QUIET = 40_000; // ms without a frame after which the server is asked for a sign of life
const ANSWER = 10_000; // ms it has for an answer
const ASKED = 600_000; // ms that the server may ask for before the next attempt at most

const AGAIN = new Set([1009]); // the message was at fault, and will not be sent again

// States: connecting, online, waiting (until `due`), offline (no network), stopped (by the
// server, for good: `start()` goes on).
export class Link {
  constructor({ address, protocols, onframe, onstate, onlost }) {
    Object.assign(this, { address, protocols, onframe, onstate, onlost });
    this.state = "connecting";
    this.socket = null;
    this.attempts = 0;
    this.timer = 0; // the next attempt
    this.watch = 0; // the end of patience with the socket
    this.farewell = null; // the server's goodbye on this connection
    addEventListener("offline", () => this.pause());
    addEventListener("online", () => this.start());
  }

  start() {
    clearTimeout(this.timer);
    if (this.socket) return;
    if (navigator.onLine === false) return this.pause();
    this.set("connecting");
    this.farewell = null;
    const socket = new WebSocket(this.address(), this.protocols());
    this.socket = socket;
    this.expect(OPENING);
    socket.onmessage = (event) => socket === this.socket && this.receive(event.data);
    socket.onclose = (event) => socket === this.socket && this.lost(event.code);
  }

  // True if it went out; a socket that is closing takes nothing.
  send(frame) {
    if (this.state !== "online" || this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  receive(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return; // not ours to judge; the rest is still good
    }
    if (frame?.type === "welcome") {
      this.opened = Date.now();
      this.set("online");
    }
    if (frame?.type === "goodbye") this.farewell = frame;
    this.quiet();
    this.onframe(frame);
  }

  // Wait for the next frame; after a while ask, and then give up.
  quiet() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.probe(), QUIET);
  }

  // Make sure that the other side still lives: a browser is not told when it vanishes.
  probe() {
    if (this.state !== "online") return;
    this.send({ type: "ping" });
    this.expect(ANSWER);
  }

  // Give the connection up unless a frame comes within so many milliseconds.
  expect(patience) {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.drop(), patience);
  }

  drop() {
    const socket = this.socket;
    if (!socket) return;
    this.lost(1006);
    socket.close();
  }

  lost(code) {
    clearTimeout(this.watch);
    this.socket = null;
    this.onlost(code);
    if (this.opened && Date.now() - this.opened >= HEALTHY) this.attempts = 0;
    this.opened = 0;
    const asked = this.farewell?.retry_after_ms; // a timer takes what is no number, or too much, for 0
    if (this.farewell && asked === undefined && !AGAIN.has(code)) return this.set("stopped");
    if (navigator.onLine === false) return this.set("offline");
    const ceiling = Math.min(CAP, FIRST * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    const least = Number.isFinite(asked) ? Math.min(asked, ASKED) : 0;
    const pause = Math.max(ceiling * (0.5 + 0.5 * Math.random()), least);
    this.due = Date.now() + pause;
    this.set("waiting");
    this.timer = setTimeout(() => this.start(), pause);
  }

  pause() {
    clearTimeout(this.timer);
    this.set("offline");
    this.drop();
  }

  set(state) {
    this.state = state;
    this.onstate(state);
  }
}
