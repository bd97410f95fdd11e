// The quotes on the screen, the newest first. What the server sends goes in as text only.

import { clock, element } from "./view.js";

const KEPT = 50; // older ones go

export class Quotes {
  constructor(list) {
    this.list = list;
  }

  get none() {
    return this.list.childElementCount === 0;
  }

  add(text) {
    const words = element("p", "text", text);
    words.dir = "auto";
    this.list.prepend(element("li", "quote", words, clock(new Date())));
    while (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
  }
}
