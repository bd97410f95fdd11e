// Puts the page together: the connection, what is known of the room, and what is on the screen.

import { Link } from "./link.js";
import { Outbox, Room } from "./room.js";
import { Tabs } from "./tabs.js";
import { avatar, element, named, View } from "./view.js";
import { choose, Words } from "./words.js";

const STORE = "chat";
const AGAIN = 1_000; // ms before a message that was refused for now goes out again; it doubles
const AGAIN_CAP = 15_000; // ms at most
const DOUBT = 5_000; // ms without an acknowledgement before the connection is tried
const UNANSWERED = 30_000; // ms without one before the message goes out on another connection
const TOGETHER = 16; // ms for which messages are collected before they are shown
const SHOWN = 8_000; // ms that an error stays on the screen
const LISTED = 300; // names in the list of people at most

const by = (id) => document.getElementById(id);
const words = new Words(choose(navigator.languages ?? [navigator.language ?? "en"]));
const { room, outbox, draft } = restore();
const view = new View(
  words,
  { scroll: by("log"), messages: by("messages"), pending: by("pending"), empty: by("empty") },
  { onretry: retry, ondrop: drop },
);
const link = new Link({ address, protocols: () => room.protocols, onframe: receive, onstate: showState, onlost: disconnected });
const fresh = []; // records that are about to be shown
let arriving = 0;
let unread = 0;
let greeted = room.records.length > 0;
let online = null;
let ticking = 0;
let hiding = 0;
let unanswered = 0;

// What comes in ----------------------------------------------------------------------------

function receive(frame) {
  const handlers = { __proto__: null, welcome, history, message, ack, presence, who, error, goodbye };
  const handle = handlers[frame?.type];
  if (handle) handle(frame);
  else if (frame?.sender === "server" && frame.message) message(frame);
  save();
}

function welcome(frame) {
  room.welcome(frame);
  by("self").textContent = words.say("you", { id: frame.client_id });
  if (!greeted && frame.message) view.messages.append(view.notice(words.greeting(frame.message)));
  greeted = true;
}

function history(frame) {
  showFresh();
  const newcomer = room.seq === null;
  const { fresh: missed, gap } = room.history(frame);
  if (gap) view.divider(words.say("gap"));
  show(missed, { quiet: missed.length > 3 || newcomer, old: newcomer });
  view.landed(room.seq);
  if (!frame.more && !by("who").hidden) link.send({ type: "who" });
  flush();
}

function message(record) {
  if (record.seq === undefined) view.messages.append(view.notice(record.message));
  else if (room.accept(record)) arrive(record);
}

// A busy room costs one layout for all that comes within a moment, not one for each message.
function arrive(record) {
  fresh.push(record);
  arriving ||= setTimeout(showFresh, TOGETHER);
}

function showFresh() {
  clearTimeout(arriving);
  arriving = 0;
  if (fresh.length) show(fresh.splice(0));
}

function show(records, { quiet = false, old = false } = {}) {
  const reading = view.atEnd && !document.hidden;
  for (const record of records.filter((record) => record.mine)) settle(record);
  view.show(records, { quiet });
  view.landed(room.seq);
  if (reading || old) return;
  unread += records.filter((record) => record.sender === "client" && !record.mine).length;
  showUnread();
}

// Our own message may come back before its acknowledgement: then it must not stand there twice.
function settle(record) {
  const item = outbox.waiting;
  if (!item || item.text !== record.message) return;
  item.back = true;
  view.arrived(item.key);
}

function ack(frame) {
  const item = outbox.find(frame.key);
  if (!item) return;
  outbox.remove(item);
  view.land(item.key, frame.seq);
  if (fresh.length === 0) view.landed(room.seq ?? 0);
  flush();
}

function error(frame) {
  const ours = frame.code === "slow_reader" ? null : outbox.waiting;
  const item = frame.key === undefined ? ours : outbox.find(frame.key);
  if (!item) return complain(words.error(frame.code, frame.message));
  outbox.refuse(item, { code: frame.code, message: frame.message }, frame.temporary);
  view.mark(item);
  if (frame.temporary) complain(words.error(frame.code, frame.message));
  const pause = Math.min(AGAIN_CAP, AGAIN * 2 ** Math.min(item.refused - 1, 30));
  setTimeout(flush, frame.temporary ? (frame.retry_after_ms ?? pause) : 0);
}

function goodbye(frame) {
  const text = words.goodbye(frame.code, frame.message);
  if (text) complain(text);
}

function presence(frame) {
  online = frame.online;
  by("online").textContent = words.number.format(online);
  const text = words.count("people", online);
  by("people").setAttribute("aria-label", `${words.say("who")}: ${text}`);
  by("people").title = text;
  by("who-title").textContent = text;
  if (!by("who").hidden) link.send({ type: "who" });
}

function who(frame) {
  const clients = Array.isArray(frame.clients) ? frame.clients.map(named) : [];
  if (typeof frame.online === "number" && frame.online !== online) {
    online = frame.online;
    presence({ online });
  }
  const rows = clients.slice(0, LISTED).map((id) => {
    const row = element("li", "", avatar(id), element("bdi", "", id));
    if (id === room.id) row.append(element("span", "me", words.say("me")));
    return row;
  });
  const rest = (frame.online ?? clients.length) - rows.length;
  if (rest > 0) rows.push(element("li", "more", `+ ${words.number.format(rest)}`));
  by("who-list").replaceChildren(...rows);
}

// What goes out ----------------------------------------------------------------------------

function submit(event) {
  event?.preventDefault();
  const text = wellFormed(by("text").value);
  if (!text.trim()) return;
  by("text").value = "";
  fit();
  view.send(outbox.add(text, key()));
  clearUnread();
  if (link.state === "stopped") link.start();
  flush();
  by("text").focus();
  save();
}

function flush() {
  if (link.state !== "online" || room.welcomed) return; // the history comes first
  const item = outbox.next();
  if (!item) return;
  if (link.send({ type: "message", message: item.text, key: item.key })) {
    setTimeout(() => outbox.waiting === item && link.probe(), DOUBT);
    clearTimeout(unanswered);
    unanswered = setTimeout(() => outbox.waiting === item && link.drop(), UNANSWERED);
  } else {
    item.sent = false;
  }
}

function disconnected(code) {
  const item = outbox.waiting;
  if (item?.back) return outbox.remove(item);
  if (item && code === 1009) outbox.refuse(item, { code: "too_long" }, false);
  const failed = outbox.disconnected() ?? item;
  if (failed) view.mark(failed);
}

function retry(item) {
  outbox.retry(item);
  view.mark(item);
  if (link.state !== "online") link.start();
  flush();
  save();
}

function drop(item) {
  outbox.remove(item);
  view.arrived(item.key);
  save();
}

// Half of a surrogate pair is no text that could be sent.
function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

// Unlike randomUUID(), this works on a page without TLS.
function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function address() {
  const url = new URL(`./${room.query}`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// What is shown ----------------------------------------------------------------------------

function showState(state) {
  by("state").dataset.state = state;
  by("state-status").textContent = state === "waiting" ? "" : words.say(state);
  by("now").hidden = state !== "waiting" && state !== "stopped";
  by("now").textContent = words.say(state === "stopped" ? "back" : "now");
  clearInterval(ticking);
  const tick = () => {
    const seconds = Math.max(1, Math.ceil((link.due - Date.now()) / 1000));
    by("state-text").textContent = words.say(state, { seconds });
  };
  tick();
  if (state === "waiting") ticking = setInterval(tick, 1000);
}

function showUnread() {
  document.title = unread ? `(${unread}) ${words.say("title")}` : words.say("title");
  by("jump").hidden = view.atEnd;
  by("jump").classList.toggle("fresh", unread > 0);
  by("jump-text").textContent = unread ? words.count("unread", unread) : "";
  by("jump").setAttribute("aria-label", unread ? words.count("unread", unread) : words.say("latest"));
}

function clearUnread() {
  unread = 0;
  showUnread();
}

function complain(text) {
  by("alert").textContent = text;
  by("alert").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (by("alert").hidden = true), SHOWN);
}

function togglePeople(open) {
  const inside = by("who").contains(document.activeElement);
  by("who").hidden = !open;
  by("people").setAttribute("aria-expanded", String(open));
  cover();
  if (!open && inside) by("people").focus();
  if (open) link.send({ type: "who" });
}

// On a small screen the list lies over all else, and is a dialog: what is below is out of reach.
function cover() {
  const covered = !by("who").hidden && getComputedStyle(by("who")).position === "fixed";
  for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"]]) {
    if (covered) by("who").setAttribute(name, value);
    else by("who").removeAttribute(name);
  }
  for (const below of document.querySelectorAll("#app > :not(#who)")) {
    below.toggleAttribute("inert", covered);
  }
  if (covered && !by("who").contains(document.activeElement)) by("who-close").focus();
}

// Browsers without `inert` would let the focus out of it.
function stay(event) {
  if (event.key !== "Tab" || by("who").getAttribute("role") !== "dialog") return;
  event.preventDefault();
  by("who-close").focus(); // nothing else there takes it
}

// Grow with what is typed, up to what the style allows.
function fit() {
  const text = by("text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  by("send").disabled = !text.value.trim();
}

function translate() {
  document.documentElement.lang = words.language;
  document.title = words.say("title");
  for (const made of document.querySelectorAll("[data-text]")) {
    made.textContent = words.say(made.dataset.text);
  }
  for (const made of document.querySelectorAll("[data-label]")) {
    made.setAttribute("aria-label", words.say(made.dataset.label));
  }
  for (const made of document.querySelectorAll("[data-hint]")) {
    made.placeholder = words.say(made.dataset.hint);
  }
  by("people").setAttribute("aria-label", words.say("who"));
}

// What survives a reload, or the end of this tab's process ------------------------------------

// What cannot be understood would stop every reload of the tab as well: then it is a newcomer.
function restore() {
  try {
    const saved = JSON.parse(sessionStorage.getItem(STORE)) ?? {};
    return {
      room: new Room(saved.room),
      outbox: new Outbox(saved.outbox),
      draft: String(saved.draft ?? ""),
    };
  } catch {
    return { room: new Room(), outbox: new Outbox(), draft: "" };
  }
}

// This tab is a copy of one that is still there: it is somebody else, but for what is being typed.
function beNew() {
  Object.assign(room, new Room());
  outbox.items = [];
  view.clear();
  greeted = false;
  save();
}

function store() {
  save.timer = 0;
  const items = outbox.items.map(({ key, text, failed }) => ({
    key, text, failed, sent: false, broken: 0, refused: 0,
  }));
  const typed = by("text").value;
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ room: room.saved, outbox: items, draft: typed }));
  } catch {
    // Full, or not allowed here: then this tab starts as a newcomer next time.
  }
}

function save() {
  save.timer ||= setTimeout(store, 200);
}

// Start ------------------------------------------------------------------------------------

translate();
view.show(room.records, { quiet: true });
for (const item of outbox.items) view.send(item);
by("text").value = draft;
fit();
view.toEnd();

by("form").addEventListener("submit", submit);
by("text").addEventListener("input", () => (fit(), save()));
by("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
});
by("log").addEventListener("scroll", () => {
  if (view.atEnd && !document.hidden) unread = 0;
  showUnread();
});
by("jump").addEventListener("click", () => (view.toEnd(), clearUnread(), by("text").focus()));
by("now").addEventListener("click", () => link.start());
by("people").addEventListener("click", () => togglePeople(by("who").hidden));
by("who-close").addEventListener("click", () => togglePeople(false));
document.addEventListener("click", (event) => {
  const inside = event.target.closest("#who, #people");
  if (!inside && getComputedStyle(by("who")).position === "fixed") togglePeople(false);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !by("who").hidden) togglePeople(false);
  stay(event);
});
addEventListener("resize", cover);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return store();
  if (view.atEnd) clearUnread();
  if (link.state === "stopped" || link.state === "waiting") link.start();
  else link.probe(); // the device may have slept
});
addEventListener("pagehide", store);

// The on-screen keyboard of some phones covers the page instead of shrinking it.
const fitScreen = () => {
  const end = view.atEnd;
  by("app").style.setProperty("--screen", `${visualViewport.height}px`);
  scrollTo(0, 0);
  if (end) view.toEnd();
};
globalThis.visualViewport?.addEventListener("resize", fitScreen);

if (matchMedia("(min-width: 64rem)").matches) togglePeople(true);
// Where that would not bring up a keyboard over half of the screen.
if (matchMedia("(hover: hover) and (pointer: fine)").matches) by("text").focus();
new Tabs(() => room.token).ask((taken) => {
  if (taken) beNew();
  link.start();
});
