// The log on the screen. Everything that others wrote goes in as text, never as markup.

import { linked } from "./links.js";
import { KEPT } from "./room.js";

const TOGETHER = 5 * 60_000; // ms within which one sender's messages form a group
const NEAR = 80; // px from the end that still count as being there
const LONGEST_ID = 64; // characters shown of a client's id
const TALL = 16; // lines of a message from which on it is folded
const WORDY = 1_500; // characters likewise

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// A client's id, whatever the server sent in its place.
export function named(id) {
  return (typeof id === "string" ? id : JSON.stringify(id) ?? "").slice(0, LONGEST_ID);
}

// Mark an element with a client's colour; clients next to each other get distant hues.
export function colour(made, id) {
  const letters = () => [...id].reduce((sum, letter) => sum + letter.codePointAt(0), 0);
  const number = Number(digits(id) || letters());
  made.style.setProperty("--hue", Math.round((number * 137.5 + 40) % 360));
}

// Two characters for an id: the last digits of `Client_12`, or its first letters.
export function initials(id) {
  return digits(id).slice(-3) || [...id].slice(0, 2).join("").toUpperCase();
}

// The digits at the end of an id.
function digits(id) {
  let start = id.length;
  while (start > 0 && id[start - 1] >= "0" && id[start - 1] <= "9") start -= 1;
  return id.slice(start).slice(-15);
}

export function avatar(id) {
  const made = element("span", "avatar", initials(id));
  made.setAttribute("aria-hidden", "true");
  colour(made, id);
  return made;
}

export class View {
  constructor(words, { scroll, messages, pending, empty }, { onretry, ondrop }) {
    Object.assign(this, { words, scroll, messages, pending, empty, onretry, ondrop });
    this.last = null; // the record shown last: what the next one is grouped with
    this.day = null;
    this.outgoing = new Map(); // key → element of a message on its way
    this.landing = new Map(); // key → sequence number it got; its record is still to come
  }

  clear() {
    this.last = this.day = null;
    this.outgoing.clear();
    this.landing.clear();
    this.messages.replaceChildren();
    this.pending.replaceChildren();
    this.blank();
  }

  get atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  // Show records at the end; the reader stays where they are unless that was the end.
  show(records, { quiet = false } = {}) {
    const end = this.atEnd;
    // A screen reader shall read what is said now, not a hundred old messages.
    this.scroll.setAttribute("aria-live", quiet ? "off" : "polite");
    const batch = document.createDocumentFragment();
    for (const record of records) this.tryAdd(batch, record);
    this.messages.append(batch);
    while (this.messages.childElementCount > KEPT) this.messages.firstElementChild.remove();
    this.blank();
    if (end) this.toEnd();
  }

  // A record that cannot be shown must not take the others with it, now and at each reload.
  tryAdd(batch, record) {
    try {
      this.add(batch, record);
    } catch (error) {
      console.error("a record cannot be shown", record.seq, error);
    }
  }

  add(batch, record) {
    const time = new Date(record.time);
    const day = time.toDateString();
    if (day !== this.day && !Number.isNaN(time.getTime())) {
      this.day = day;
      this.last = null;
      batch.append(element("p", "day", element("span", "", this.words.day(time))));
    }
    if (record.sender === "client") {
      batch.append(this.message(record, time));
    } else {
      this.last = null;
      batch.append(this.notice(record.message));
    }
  }

  notice(text) {
    const line = element("p", "notice", element("bdi", "", String(text ?? "")));
    return line;
  }

  divider(text) {
    this.last = null;
    this.messages.append(element("p", "gap", element("span", "", text)));
  }

  message(record, time) {
    const id = named(record.client_id);
    const { last } = this;
    const joined = last?.client_id === id && time - new Date(last.time) < TOGETHER;
    this.last = { client_id: id, time: record.time };
    const made = element("article", `message${record.mine ? " mine" : ""}${joined ? " joined" : ""}`);
    made.dataset.seq = record.seq;
    colour(made, id);
    const name = element("p", "name", element("bdi", "", id));
    if (record.mine) name.append(` · ${this.words.say("me")}`);
    const clock = element("time", "", Number.isNaN(time.getTime()) ? "" : this.words.clock.format(time));
    if (clock.textContent) {
      clock.dateTime = time.toISOString();
      clock.title = this.words.moment.format(time);
    }
    const said = String(record.message ?? "");
    made.append(avatar(id), name, bubble(said, clock, this.folding(said)));
    return made;
  }

  // What shows all of a long message, which must not push the others out of reach; or nothing.
  folding(text) {
    if (text.length <= WORDY && text.split("\n", TALL + 1).length <= TALL) return [];
    const button = element("button", "unfold", this.words.say("more"));
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const all = button.parentElement.classList.toggle("unfolded");
      button.setAttribute("aria-expanded", String(all));
      button.textContent = this.words.say(all ? "less" : "more");
      if (!all) button.scrollIntoView({ block: "nearest" });
    });
    return [button];
  }

  // A message that is on its way, or did not get there.
  send(item) {
    const made = element("article", "message mine outgoing");
    const status = element("span", "status");
    const actions = element("div", "actions");
    for (const [name, act] of [["retry", this.onretry], ["drop", this.ondrop]]) {
      const button = element("button", "", this.words.say(name));
      button.type = "button";
      button.addEventListener("click", () => act(item));
      actions.append(button);
    }
    made.append(bubble(item.text, status), actions);
    this.outgoing.set(item.key, made);
    this.mark(item);
    this.pending.append(made);
    this.blank();
    this.toEnd();
  }

  mark(item) {
    const made = this.outgoing.get(item.key);
    if (!made) return;
    made.classList.toggle("failed", Boolean(item.failed));
    made.querySelector(".actions").hidden = !item.failed;
    const status = made.querySelector(".status");
    const { failed } = item;
    status.textContent = failed
      ? `${this.words.say("failed")}: ${this.words.error(failed.code, failed.message)}`
      : this.words.say("sending");
    if (failed && this.atEnd) this.toEnd();
  }

  // Its record is, or comes, in the log.
  arrived(key) {
    this.outgoing.get(key)?.remove();
    this.outgoing.delete(key);
    this.landing.delete(key);
    this.blank();
  }

  land(key, seq) {
    this.landing.set(key, seq);
    this.outgoing.get(key)?.classList.add("acknowledged");
  }

  // Take away what was acknowledged as one of the records up to `seq`.
  landed(seq) {
    for (const [key, number] of [...this.landing]) if (number <= seq) this.arrived(key);
  }

  blank() {
    this.empty.hidden =
      this.messages.querySelector(".message") !== null || this.pending.childElementCount > 0;
  }
}

function bubble(text, foot, folding = []) {
  const words = element("p", "text", ...linked(text));
  words.dir = "auto"; // and a paragraph of its own, so overrides in it end with it
  return element("div", `bubble${folding.length ? " long" : ""}`, words, ...folding, foot);
}
