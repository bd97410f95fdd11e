// The connection: opens, is dropped when patience ends, and comes back after a growing pause.

const FIRST = 500; // ms before the first new attempt
const CAP = 15_000; // ms between attempts at most
const HEALTHY = 10_000; // ms a connection must last before the pauses start small again

export class Link {
  constructor({ address, onevent, onlost }) {
    Object.assign(this, { address, onevent, onlost });
    this.socket = null;
    this.opened = null; // when the server was first heard on this connection
    this.attempts = 0;
    this.timer = 0; // the next attempt
    this.watch = 0; // the end of patience
  }

  open() {
    clearTimeout(this.timer);
    const socket = new WebSocket(this.address);
    this.socket = socket;
    this.opened = null;
    socket.onmessage = ({ data }) => socket === this.socket && this.receive(data);
    socket.onclose = ({ code }) => socket === this.socket && this.lost(code);
  }

  receive(text) {
    this.opened ??= Date.now();
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      event = null;
    }
    this.onevent(typeof event?.type === "string" ? event : { type: "?", payload: text });
  }

  // True if it went out; a socket that is closing takes nothing.
  send(event) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(event));
    return true;
  }

  // Give up after so many milliseconds, or `act`, unless something else is expected by then.
  expect(patience, act = () => this.drop()) {
    clearTimeout(this.watch);
    if (patience) this.watch = setTimeout(act, patience);
  }

  // Do not wait for the other side: a browser is not told when it vanishes.
  drop() {
    const { socket } = this;
    if (!socket) return;
    this.lost(1006);
    socket.close();
  }

  lost(code) {
    const lasted = this.opened === null ? 0 : Date.now() - this.opened;
    if (lasted >= HEALTHY) this.attempts = 0;
    this.socket = null;
    this.onlost(code);
  }

  // Come back by `act` after a pause, which is returned. It is partly left to chance, so that
  // the pages of a server that was started anew do not all come at once.
  retry(act) {
    const ceiling = Math.min(CAP, FIRST * 2 ** Math.min(this.attempts, 30));
    const pause = ceiling * (0.5 + 0.5 * Math.random());
    this.attempts += 1;
    this.timer = setTimeout(act, pause);
    return pause;
  }

  // End it for good: nobody wants to be told.
  close() {
    clearTimeout(this.timer);
    this.attempts = 0;
    this.socket?.close();
    this.socket = null;
  }
}
