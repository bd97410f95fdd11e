// What went over the connection, both ways, the newest first.

import { clock, element } from "./view.js";
import { say } from "./words.js";

const KEPT = 200; // older lines go

const WAYS = {
  out: { sign: "→", label: say("sent") },
  in: { sign: "←", label: say("received") },
  link: { sign: "•", label: say("link") },
};

export class Journal {
  constructor({ list, count, errors }) {
    Object.assign(this, { list, count, errors });
    this.seen = 0;
    this.failed = 0;
  }

  sent({ type, payload }) {
    this.add("out", type, JSON.stringify(payload));
  }

  received({ type, payload }) {
    if (type === "error") this.failed += 1;
    this.add("in", type, JSON.stringify(payload) ?? "");
  }

  note(text) {
    this.add("link", text, "");
  }

  add(way, type, payload) {
    const { sign, label } = WAYS[way];
    const arrow = element("span", "way", sign);
    arrow.setAttribute("role", "img");
    arrow.setAttribute("aria-label", label);
    const line = element("li", `line ${way}`, clock(new Date()), arrow, element("b", "type", type));
    line.dataset.type = type;
    if (payload) line.append(element("code", "payload", payload));
    this.list.prepend(line);
    while (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
    this.seen += 1;
    this.count.textContent = this.seen;
    this.errors.textContent = this.failed;
    this.errors.parentElement.hidden = this.failed === 0;
  }
}
