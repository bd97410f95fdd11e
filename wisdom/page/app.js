// Puts the page together: the session, its connection, and what is on the screen.

import { Journal } from "./journal.js";
import { Link } from "./link.js";
import { Listening } from "./listening.js";
import { Quotes } from "./quotes.js";
import { PING, Session } from "./session.js";
import { ending, LANGUAGE, listeners, say, WORDS } from "./words.js";

const PATIENCE = { connecting: 10_000, subscribing: 10_000, leaving: 3_000 }; // ms in a state
const QUIET = 40_000; // ms without a quote after which the connection is tried
const ANSWER = 10_000; // ms that the server has to answer then

const by = (id) => document.getElementById(id);
const buttons = document.querySelectorAll("[data-action]");
const session = new Session();
const quotes = new Quotes(by("quotes"));
const journal = new Journal({ list: by("lines"), count: by("seen"), errors: by("failed") });
const pulse = new Worker(new URL("./pulse.js", import.meta.url));
const link = new Link({ address: address(), onevent: receive, onlost: lost });
const listening = new Listening({ address: "listening", onanswer: count });
let reason = ""; // why the last connection ended
let due = 0; // when the next one is tried
let ticking = 0;
let shown = "idle"; // the state that is shown
let known = null; // the id that is shown, and kept alive

function address() {
  const url = new URL("./", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// What goes out ----------------------------------------------------------------------------

function press(action) {
  if (!session.may(action)) return;
  reason = "";
  act(action);
}

function act(action) {
  send(session.act(action));
  if (action === "connect") link.open();
  if (session.state === "idle") link.close();
  show();
}

function send(events) {
  for (const event of events) if (link.send(event)) journal.sent(event);
}

function beat() {
  const now = Date.now();
  if (session.overdue(now)) link.drop();
  else send(session.ping(now));
}

// What comes in ----------------------------------------------------------------------------

function receive(event) {
  journal.received(event);
  const quote = session.quote(event);
  if (quote !== null) quotes.add(quote);
  send(session.receive(event, Date.now()));
  show();
}

function lost(code) {
  session.lost(code);
  reason = ending(code);
  journal.note(say("closed", { code, reason }));
  if (session.state === "waiting") due = Date.now() + link.retry(() => act("connect"));
  show();
}

function count(n) {
  by("listening").textContent = n === null ? say("unknown") : listeners(n);
}

// The page can be seen again, or the network is back: no reason to wait any longer.
function wake() {
  if (session.overdue(Date.now())) link.drop();
  if (session.state === "waiting") act("connect");
  show();
}

// What is shown ----------------------------------------------------------------------------

function show() {
  const { state, id } = session;
  document.body.dataset.state = state;
  for (const button of buttons) {
    // A button that was disabled outright would lose the focus while it is being used.
    button.setAttribute("aria-disabled", String(!session.may(button.dataset.action)));
  }
  // A screen reader tells what is written here: once, not with each attempt or each quote.
  const again = state === "connecting" && reason;
  const status = WORDS.states[again ? "waiting" : state];
  if (by("status").textContent !== status) by("status").textContent = status;
  by("silence").textContent = WORDS.silence[state];
  by("silence").hidden = !quotes.none;
  if (id !== known) identify(id);
  if (state !== shown) listening.soon();
  shown = state;
  listening.want(id !== null && !document.hidden);
  tick();
  watch();
}

function identify(id) {
  known = id;
  if (id !== null) reason = "";
  by("id").textContent = id ?? "—";
  if (id === null) by("listening").textContent = "—";
  pulse.postMessage(id === null ? 0 : PING);
}

// Why there is no connection, and when the next is tried.
function tick() {
  const waiting = session.state === "waiting";
  const seconds = Math.max(1, Math.ceil((due - Date.now()) / 1000));
  by("reason").textContent = reason + (waiting ? ` · ${say("again", { seconds })}` : "");
  clearTimeout(ticking);
  if (waiting) ticking = setTimeout(tick, 1_000);
}

function watch() {
  if (session.state !== "subscribed") return link.expect(PATIENCE[session.state]);
  link.expect(QUIET, () => {
    send(session.probe());
    link.expect(ANSWER);
  });
}

function translate() {
  document.documentElement.lang = LANGUAGE;
  document.title = say("title");
  for (const made of document.querySelectorAll("[data-text]")) {
    made.textContent = say(made.dataset.text);
  }
  for (const made of document.querySelectorAll("[data-label]")) {
    made.setAttribute("aria-label", say(made.dataset.label));
  }
}

// Start ------------------------------------------------------------------------------------

translate();
for (const button of buttons) {
  button.addEventListener("click", () => press(button.dataset.action));
}
pulse.onmessage = beat;
document.addEventListener("visibilitychange", () => (document.hidden ? show() : wake()));
document.addEventListener("resume", wake); // what was frozen may have been visible all the time
addEventListener("online", wake);
addEventListener("offline", () => link.drop());
show();
