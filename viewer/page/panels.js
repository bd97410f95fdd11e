// What stands around the picture.

import { ago, cause, count, digits, ids, seconds, several } from "./words.js";

const by = (id) => document.getElementById(id);

export function facts(feed) {
  const { told } = feed;
  const [gap] = told.gaps;
  put("next", feed.next === null ? "not known yet" : digits(feed.next));
  put("held-now", count(feed.held));
  put("waits-for", gap ? `for ${ids(gap.first, gap.last)}` : told.doubtful ? `${count(told.doubtful)} on probation` : "");
  put("timeout", told.time === null ? "—" : told.timeout === null ? "for ever" : seconds(told.timeout));
  const rejected = Object.values(told.rejected || {}).reduce((sum, many) => sum + many, 0);
  put("dropped", told.time === null ? "—" : count(told.duplicates + told.late + rejected));
  put("since", told.time === null ? "" : `${several(told.duplicates, "duplicate", "duplicates")}, ${count(told.late)} late, ${count(rejected)} rejected`);
  put("orderer", feed.orderer || "nobody");
}

export function lists(feed) {
  const { told, time } = feed;
  fill("lines", feed.lines, "None is known.", (line) => [
    ["name", line.name],
    line.connected ? ["good", "connected"] : ["bad", "not connected"],
    ["detail", line.ingestor ? `read by ${line.ingestor}` : "nobody reads it"],
  ]);
  fill("sinks", feed.sinks, "None is known.", (sink) => [
    ["name", sink.name],
    sink.publisher ? ["good", lag(sink)] : ["bad", "nobody sends"],
    ["detail", [confirmed(sink), sink.publisher && `sent by ${sink.publisher}`].filter(Boolean).join(", ")],
  ]);
  const since = told.time === null ? 0 : Math.max(0, time - told.time) / 1e6;
  fill("gaps", told.gaps, "Nothing is missing.", (gap) => [
    ["name", ids(gap.first, gap.last)],
    ["held", `open for ${seconds(gap.age + since)}`],
  ], feed.open);
  fill("ledger", feed.ledger, "Nothing has been given up.", (gap) => [
    ["name", ids(gap.first, gap.last)],
    ["", `${several(gap.ids, "id", "ids")}, ${cause(gap.cause)}`],
    ["detail", `${ago(gap.closed, time)}, after ${seconds(Math.max(0, gap.closed - gap.opened) / 1e6)}; ${gap.late ? `${count(gap.late)} came too late` : "none came late"}`],
  ]);
  fill("rejects", feed.rejects, "None has been rejected.", (frame) => [
    ["name", frame.reason],
    ["", `${several(frame.size, "byte", "bytes")}, ${ago(frame.time, time)}${frame.line ? `, from ${frame.line}` : ""}`],
    ["frame", frame.frame],
  ]);
}

function lag(sink) {
  if (sink.behind === 0) return "all confirmed";
  return `${several(sink.behind, "message", "messages")}, ${seconds(sink.lag)} behind`;
}

function confirmed(sink) {
  return sink.confirmed === null ? "nothing confirmed yet" : `${digits(sink.confirmed)} messages confirmed`;
}

function put(id, text) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
}

// Fills a list; each item is made of [class, text] pairs. All text is text.
function fill(id, items, nothing, parts, total = items.length) {
  const rows = items.map((item) => row(parts(item)));
  if (total > items.length) rows.push(row([["detail", `and ${count(total - items.length)} more`]]));
  by(id).replaceChildren(...(rows.length ? rows : [row([["detail", nothing]])]));
}

function row(parts) {
  const item = document.createElement("li");
  for (const [kind, text] of parts) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    item.append(part);
  }
  return item;
}
