// What this page knows of the room: who it is, what it has shown, what it still has to send.
// No DOM, no network, no clock: frames in, things to show out.

export const KEPT = 1000; // records remembered and shown; older ones go
const STORED = 300; // records that survive a reload of the tab
const TRIES = 3; // connections that may break under one message before it is given up

export class Room {
  constructor(saved = {}) {
    this.epoch = saved.epoch ?? null; // the numbering that `seq` belongs to
    this.seq = saved.seq ?? null; // the last record seen: where to resume
    this.token = saved.token ?? null; // proves that it is we who come back
    this.records = (saved.records ?? []).filter(sound);
    this.mine = new Set(saved.mine ?? []); // the ids this tab has had in this epoch
    this.id = null;
    this.welcomed = null; // a welcome whose history has not come yet
    this.seen = new Set(this.records.map((record) => record.seq));
  }

  get query() {
    const { epoch, seq } = this;
    return seq === null ? "" : `?${new URLSearchParams({ epoch, seq })}`;
  }

  // Who we are, told as a subprotocol: addresses stand in the logs of proxies. No other word may.
  get protocols() {
    const { token } = this;
    return token && !/[^\w.-]/.test(token) ? ["chat", `token.${token}`] : [];
  }

  welcome(frame) {
    this.id = frame.client_id;
    this.token = frame.token ?? null;
    this.welcomed = { ...frame, resumed: this.seq !== null };
  }

  // Take in what was missed; there may be `more` of it. Returns the records to show, and whether
  // some are gone for good. Only now does the position move: a connection lost before the
  // history resumes as before.
  history(frame) {
    const welcome = this.welcomed ?? { epoch: this.epoch, seq: this.seq, resumed: false };
    this.welcomed = frame.more ? { ...welcome, resumed: false } : null;
    if (welcome.epoch !== this.epoch) {
      this.epoch = welcome.epoch; // numbers, and names, begin anew
      this.seq = null;
      this.seen.clear();
      this.mine.clear();
    }
    if (this.id !== null) this.mine.add(this.id);
    const records = Array.isArray(frame.records) ? frame.records : [];
    const fresh = records.filter((record) => this.accept(record));
    if (!frame.more) this.seq = Math.max(this.seq ?? 0, fresh.length ? 0 : welcome.seq);
    return { fresh, gap: welcome.resumed && welcome.recovered !== true };
  }

  // Remember a record; false if it has been seen, or is none.
  accept(record) {
    if (!sound(record) || this.seen.has(record.seq)) return false;
    this.seen.add(record.seq);
    this.seq = Math.max(this.seq ?? 0, record.seq);
    record.mine = record.sender === "client" && this.mine.has(record.client_id);
    this.records.push(record);
    while (this.records.length > KEPT) this.seen.delete(this.records.shift().seq);
    return true;
  }

  get saved() {
    const records = this.records.slice(-STORED);
    return { epoch: this.epoch, seq: this.seq, token: this.token, records, mine: [...this.mine].slice(-100) };
  }
}

// What has no place among the others would harm them.
function sound(record) {
  return Number.isSafeInteger(record?.seq);
}

// Messages on their way out, one at a time: the order is kept, and an answer is always to the
// first. Each carries a key, so that sending it again after a reconnect cannot double it.
export class Outbox {
  constructor(saved = []) {
    this.items = saved.map((item) => ({ ...item, sent: false }));
  }

  add(text, key) {
    const item = { key, text, sent: false, broken: 0, refused: 0, failed: null };
    this.items.push(item);
    return item;
  }

  // The message to send now, if any.
  next() {
    const first = this.items.find((item) => !item.failed);
    if (!first || first.sent) return null;
    first.sent = true;
    return first;
  }

  get waiting() {
    return this.items.find((item) => item.sent && !item.failed) ?? null;
  }

  find(key) {
    return this.items.find((item) => item.key === key) ?? null;
  }

  // It is in the room, or unwanted: either way no longer ours to send.
  remove(item) {
    this.items = this.items.filter((other) => other !== item);
  }

  // The server refused it; a temporary refusal leaves it in its place, to be sent again.
  refuse(item, reason, temporary) {
    item.sent = false;
    item.refused += 1;
    if (!temporary) item.failed = reason;
  }

  // The connection is gone: whether the last one arrived is unknown, so it goes out again.
  disconnected() {
    const item = this.waiting;
    if (!item) return null;
    item.sent = false;
    item.broken += 1;
    if (item.broken >= TRIES) item.failed = { code: "lost" };
    return item.failed ? item : null;
  }

  retry(item) {
    Object.assign(item, { sent: false, broken: 0, refused: 0, failed: null });
  }
}
