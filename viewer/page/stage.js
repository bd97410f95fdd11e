// The picture: ids come in, are held back, and go out.

import { holes, scene, steps } from "./sequence.js";
import { digits, saying } from "./words.js";

const KEPT = 24; // tiles of a lane
const GAP = 6; // pixels between two tiles
const PLAIN = 550; // ms of a step in which nothing waits
const TELLING = 1400; // ms of one that is worth a sentence

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  constructor({ lanes, saying: line }) {
    this.lanes = lanes;
    this.line = line;
    this.paused = false;
    this.clear();
  }

  clear() {
    this.steps = []; // still to be shown
    this.shown = 0; // time of the last one
    this.timer = clearTimeout(this.timer);
    for (const lane of Object.values(this.lanes)) lane.replaceChildren();
    this.line.textContent = "";
  }

  pause(paused) {
    this.paused = paused;
    if (!paused && !this.timer) this.play();
  }

  get idle() {
    return !this.steps.length && !this.timer;
  }

  // Tiles that there is room for: what is waited for must not be pushed out by what waits.
  get room() {
    const [widest] = [...this.lanes.in.children].map((tile) => tile.offsetWidth).sort((one, other) => other - one);
    return Math.floor((this.lanes.held.clientWidth + GAP) / ((widest || 76) + GAP));
  }

  // Takes the latest news; until what is being shown has ended, they are not needed.
  take(feed) {
    if (!this.idle || this.paused) return;
    const done = steps(feed);
    const waits = feed.state === "waiting" || feed.state === "full";
    // Where nothing new has come, what was read in the midst of a change is put right.
    const [from, to] = scene(done, this.shown, waits) || [done.length, done.length];
    this.set(done.slice(0, from));
    this.steps = done.slice(from, to);
    this.play();
  }

  // Shows how it stands after `done`, without a movement.
  set(done) {
    const last = done[done.length - 1];
    const came = done.filter((step) => step.kind !== "given up").slice(-KEPT);
    const out = [];
    for (const step of done) out.push(...outgoing(step));
    const tiles = [];
    for (const step of came) tiles.push(...arrival(step));
    this.lanes.in.replaceChildren(...tiles.slice(-KEPT));
    this.lanes.out.replaceChildren(...out.slice(-KEPT));
    this.lanes.held.replaceChildren(...(last ? waiting(last, this.room) : []));
  }

  play() {
    this.timer = 0;
    if (this.paused || !this.steps.length) return;
    const step = this.steps.shift();
    this.shown = Math.max(this.shown, step.time);
    this.show(step);
    const telling = step.kind !== "next" || step.released.length > 1;
    this.timer = setTimeout(() => this.play(), telling ? TELLING : PLAIN);
  }

  show(step) {
    const { lanes } = this;
    const places = new Map();
    for (const tile of lanes.held.children) places.set(tile.dataset.id, tile.getBoundingClientRect());
    if (step.kind !== "given up") {
      push(lanes.in, arrival(step));
      places.set(String(step.id), lanes.in.lastElementChild.getBoundingClientRect());
    }
    lanes.held.replaceChildren(...waiting(step, this.room));
    const gone = outgoing(step);
    push(lanes.out, gone);
    for (const tile of [...lanes.held.children, ...gone]) fly(tile, places.get(tile.dataset.id));
    this.line.textContent = saying(step);
  }
}

// Appends tiles at the right end; what was there moves to the left.
function push(lane, tiles) {
  if (!tiles.length) return;
  const before = lane.lastElementChild;
  const from = before && before.getBoundingClientRect().right;
  lane.append(...tiles);
  while (lane.children.length > KEPT) lane.firstElementChild.remove();
  if (before) move(lane, from - before.getBoundingClientRect().right, 0);
}

// Lets a tile come from where it was.
function fly(tile, from) {
  if (!from) return;
  const here = tile.getBoundingClientRect();
  move(tile, from.left - here.left, from.top - here.top);
}

function move(element, x, y) {
  if (still.matches || !(x || y)) return;
  element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], {
    duration: 420, easing: "cubic-bezier(0.3, 0.7, 0.2, 1)",
  });
}

function tile(kind, id, text) {
  const made = document.createElement("span");
  made.className = `tile ${kind}`;
  made.dataset.id = id;
  made.textContent = text;
  return made;
}

function short(id) {
  const text = String(id);
  return text.length > 7 ? `…${digits(text.slice(-6))}` : digits(text);
}

// What came; before it what nobody has seen here.
function arrival(step) {
  const skipped = step.skipped ? [tile("rest", "", "…")] : [];
  return [...skipped, tile(step.kind === "early" ? "early" : "", step.id, short(step.id))];
}

function outgoing(step) {
  const gone = step.kind === "given up" ? [tile("lost", step.id, hole(step.id, step.last))] : [];
  return [
    ...gone,
    ...step.released.map((id) => tile(id === step.id ? "" : "freed", id, short(id))),
  ];
}

function hole(first, last) {
  return first === last ? short(first) : `${short(first)} +${digits(String(last - first))}`;
}

// What is held, and in front of it what it waits for, as far as there is room.
function waiting(step, room) {
  const between = holes(step);
  const tiles = [];
  let shown = 0;
  for (const id of step.held) {
    const more = [];
    const { missing, whole } = between.get(id) || { missing: null, whole: true };
    if (missing) more.push(tile("missing", `?${id}`, hole(...missing)));
    if (!whole) more.push(tile("rest", "", "…"));
    more.push(tile("early", id, short(id)));
    const left = step.held.length - shown - 1;
    if (shown && tiles.length + more.length + (left ? 1 : 0) > room) break;
    tiles.push(...more);
    shown += 1;
  }
  const rest = step.held.length - shown;
  if (rest) tiles.push(tile("rest", "", `+${digits(String(rest))}`));
  return tiles;
}
