// What the lists on the screen are made of.

import { LOCALE } from "./words.js";

const TIME = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

export function clock(moment) {
  const made = element("time", "clock", TIME.format(moment));
  made.dateTime = moment.toISOString();
  return made;
}
