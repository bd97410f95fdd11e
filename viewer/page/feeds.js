// The list of feeds: what needs a look comes first.

import { count, STATES } from "./words.js";

const SHOWN = 100;
const URGENCY = ["bad", "held", "good"];

export class Feeds {
  constructor({ nav, rows, filter, more }) {
    Object.assign(this, { nav, rows, filter, more });
    this.all = [];
    this.chosen = null;
    filter.addEventListener("input", () => this.draw());
  }

  get first() {
    return this.all.length ? this.sorted()[0].name : null;
  }

  take(feeds) {
    this.all = feeds;
    this.nav.hidden = feeds.length < 2;
    this.draw();
  }

  choose(name) {
    this.chosen = name;
    this.draw();
  }

  sorted() {
    const rank = (feed) => URGENCY.indexOf(STATES[feed.state].tone);
    return [...this.all].sort((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1));
  }

  draw() {
    const words = this.filter.value.toLowerCase().split(" ").filter(Boolean);
    const found = this.sorted().filter((feed) => {
      const text = `${feed.name} ${STATES[feed.state].says}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const had = document.activeElement && document.activeElement.closest("#rows a");
    const focused = had && had.hash;
    this.rows.replaceChildren(...found.slice(0, SHOWN).map((feed) => this.row(feed)));
    if (focused) {
      const again = [...this.rows.querySelectorAll("a")].find((link) => link.hash === focused);
      if (again) again.focus({ preventScroll: true });
    }
    const rest = found.length - SHOWN;
    const text = !found.length ? "No such feed." : rest > 0 ? `${count(rest)} more; filter to find them.` : "";
    if (this.more.textContent !== text) this.more.textContent = text;
  }

  row(feed) {
    const { says, tone } = STATES[feed.state];
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(feed.name)}`;
    if (feed.name === this.chosen) link.setAttribute("aria-current", "true");
    for (const [kind, text] of [["name", feed.name], [`says ${tone}`, says], ["held", feed.held ? `${count(feed.held)} held` : ""]]) {
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      link.append(part);
    }
    const item = document.createElement("li");
    item.append(link);
    return item;
  }
}
