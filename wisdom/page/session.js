// The session as this page knows it: where it stands, what may come next, what has to be said.
// No DOM, no network; `now` is an argument.

export const PING = 5_000; // ms from one ping to the next
const SILENCE = 3 * PING; // ms without one after which the server takes a session for dead
const FINAL = new Set([1000, 1008]); // closed by a server that does not want this page back

// What can happen: the states in which it can, and the state after it.
const OURS = {
  connect: { idle: "connecting", waiting: "connecting" },
  subscribe: { connected: "subscribing" },
  unsubscribe: { subscribed: "connected" },
  disconnect: {
    connecting: "idle",
    waiting: "idle",
    connected: "leaving",
    subscribing: "leaving",
    subscribed: "leaving",
  },
};
const THEIRS = {
  initial: { connecting: "connected" },
  subscribe_confirmation: { subscribing: "subscribed" },
};

export class Session {
  constructor() {
    this.state = "idle"; // `waiting` is that of a session whose connection broke and comes back
    this.id = null; // each connection has its own
    this.wanted = false; // whether the user is subscribed, or shall be after a reconnection
    this.pinged = 0;
  }

  may(action) {
    return this.state in OURS[action];
  }

  // The user's action; returns the events to send.
  act(action) {
    if (!this.may(action)) return [];
    this.state = OURS[action][this.state];
    if (action !== "connect") this.wanted = action === "subscribe";
    return this.id === null ? [] : [this.event(action)];
  }

  // The server's event; returns the events to send in answer.
  receive(event, now) {
    const next = THEIRS[event.type]?.[this.state];
    if (!next) return [];
    this.state = next;
    if (event.type !== "initial") return [];
    this.id = String(event.payload?.id);
    this.pinged = now;
    return [this.event("connect"), ...(this.wanted ? this.act("subscribe") : [])];
  }

  // The quote in an event; null if there is none, or if it crossed our unsubscribing.
  quote(event) {
    const heard = event.type === "wisdom_distribution" && this.state === "subscribed";
    return heard ? String(event.payload?.message) : null;
  }

  // The beat that keeps the session alive; returns the events to send.
  ping(now) {
    if (this.id === null || this.state === "leaving") return [];
    this.pinged = now;
    return [this.event("ping")];
  }

  // Whether the server must have ended the session, because this page, or its machine, slept.
  overdue(now) {
    return this.id !== null && now - this.pinged >= SILENCE;
  }

  // What to send to hear whether the server still lives: nothing else is always answered.
  probe() {
    return this.state === "subscribed" ? [this.event("subscribe")] : [];
  }

  // The connection is gone.
  lost(code) {
    const over = this.state === "leaving" || FINAL.has(code);
    this.state = over ? "idle" : "waiting";
    this.wanted &&= !over;
    this.id = null;
  }

  event(type) {
    return { type, payload: { id: this.id } };
  }
}
