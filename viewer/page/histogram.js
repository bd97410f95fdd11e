// Delays as bars, of the last minute where there is one.

import { clock, count, seconds } from "./words.js";

const WINDOW = 60e6; // µs
const LEAST = 5e6; // µs, of less there is nothing to say

export class Histogram {
  constructor({ bars, text }) {
    this.bars = bars;
    this.text = text;
    this.clear();
  }

  clear() {
    this.past = []; // what was told, the oldest first
    this.bars.replaceChildren();
    this.text.textContent = "";
  }

  take(told, now) {
    const rows = told.delay;
    if (!rows) return this.say("The orderer has not told yet.", []);
    const before = this.past[this.past.length - 1];
    if (before && (before.since !== told.since || total(rows) < total(before.rows))) this.past = [];
    if (!this.past.length || before.time !== told.time) this.past.push({ ...told, rows });
    while (this.past.length > 2 && now - this.past[1].time > WINDOW) this.past.shift();
    const first = this.past[0];
    const span = told.time - first.time;
    const recent = span >= LEAST;
    const shown = recent ? rows.map(([bound, many], at) => [bound, many - first.rows[at][1]]) : rows;
    const when = recent ? `in the last ${Math.round(span / 1e6)} s` : `since ${clock(told.since)}`;
    const many = total(shown);
    if (!many) return this.say(`No message ${when}.`, []);
    const [median, p99] = [quantile(shown, 0.5), quantile(shown, 0.99)].map(seconds);
    return this.say(`median ${median}, 99 % within ${p99}; ${count(many)} messages ${when}`, shown);
  }

  say(text, rows) {
    this.text.textContent = text;
    this.bars.setAttribute("aria-label", text);
    const from = rows.findIndex((row) => row[1]);
    const shown = from < 0 ? [] : trimmed(rows.slice(Math.max(0, from - 1)));
    const most = Math.max(1, ...shown.map((row) => row[1]));
    this.bars.replaceChildren(...shown.map(([bound, many]) => bar(bound, many, most)));
  }
}

function trimmed(rows) {
  let end = rows.length;
  while (end > 1 && !rows[end - 1][1]) end -= 1;
  return rows.slice(0, Math.min(rows.length, end + 1));
}

function bar(bound, many, most) {
  const column = document.createElement("div");
  const filled = document.createElement("i");
  const label = document.createElement("span");
  column.title = `${bound === null ? "longer" : `up to ${seconds(bound)}`}: ${count(many)}`;
  filled.style.height = many ? `max(2px, ${(100 * many) / most}%)` : "0";
  label.textContent = bound === null ? "∞" : seconds(bound);
  column.append(filled, label);
  return column;
}

function total(rows) {
  return rows.reduce((sum, row) => sum + row[1], 0);
}

// Within a bucket all values are taken to lie evenly.
function quantile(rows, share) {
  let left = share * total(rows);
  let low = 0;
  for (const [bound, many] of rows) {
    if (many && left <= many) return bound === null ? low : low + (bound - low) * (left / many);
    left -= many;
    if (bound !== null) low = bound;
  }
  return low;
}
