// Puts the page together: asks while somebody looks, and shows what is answered.

import { Feeds } from "./feeds.js";
import { Histogram } from "./histogram.js";
import { facts, lists } from "./panels.js";
import { Stage } from "./stage.js";
import { AWAY, LOST, NO_FEEDS, ODD, pace, silence, speedometer, STATES } from "./words.js";

const EVERY = 1000; // ms between two looks at a feed
const PATIENCE = 10_000; // ms that an answer may take

const by = (id) => document.getElementById(id);
const feeds = new Feeds({ nav: by("feeds"), rows: by("rows"), filter: by("filter"), more: by("more") });
const stage = new Stage({ lanes: { in: by("in"), held: by("held"), out: by("out") }, saying: by("saying") });
const histogram = new Histogram({ bars: by("bars"), text: by("delay-text") });
let name = null; // the feed that is shown
let past = []; // its last looks, for the rate
let listed = -Infinity; // when the list was last asked for
let fresh = 0; // ms for which it holds good
let timer = 0;
let asking = false;

async function ask(path) {
  const given = new AbortController();
  const limit = setTimeout(() => given.abort(), PATIENCE);
  try {
    const answer = await fetch(path, { signal: given.signal, cache: "no-store" });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(answer.status === 500 ? ODD : AWAY);
    return await answer.json();
  } finally {
    clearTimeout(limit);
  }
}

async function look() {
  if (asking || document.hidden) return;
  asking = true;
  clearTimeout(timer);
  try {
    if (performance.now() - listed >= fresh) await list();
    if (name !== null) await one(name);
    news("live", "live");
  } catch (error) {
    news([AWAY, ODD].includes(error.message) ? error.message : LOST, "bad");
  }
  asking = false;
  timer = setTimeout(look, EVERY);
}

async function list() {
  const answer = await ask("feeds");
  listed = performance.now();
  fresh = 1000 * answer.fresh;
  feeds.take(answer.feeds);
  if (name === null && feeds.first !== null) choose(feeds.first);
  if (name === null) nothing(NO_FEEDS);
}

async function one(asked) {
  const feed = await ask(`feeds/${encodeURIComponent(asked)}`);
  if (asked !== name) return;
  if (feed === null) {
    nothing(`There is no feed called ${asked}.`);
    return;
  }
  by("main").hidden = false;
  by("nothing").hidden = true;
  show(feed);
}

function show(feed) {
  const { says, tone } = STATES[feed.state];
  const state = by("state");
  state.className = `state ${tone}`;
  if (state.textContent !== says) state.textContent = says;
  const rate = speed(feed);
  by("rate").textContent = rate === null ? "" : speedometer(rate);
  facts(feed);
  lists(feed);
  histogram.take(feed.told, feed.time);
  stage.take(feed);
  if (stage.idle && !stage.paused) by("saying").textContent = silence(latest(feed), feed.time);
  by("pace").textContent = pace(Math.max(rate || 0, arriving(feed)));
}

// How many ids a second the relay gets ahead, by the looks of the last five seconds.
function speed(feed) {
  const { epoch, next, time } = feed;
  past = past.filter((look) => look.epoch === epoch && time - look.time < 5.5e6);
  past.push({ epoch, next, time });
  if (past.length < 2 || next === null || past[0].next === null) return null;
  return (1e6 * Number(BigInt(next) - BigInt(past[0].next))) / (time - past[0].time);
}

// How many messages a second have come lately.
function arriving(feed) {
  const times = [...feed.out, ...feed.in].map(([, time]) => time).sort((one, other) => other - one);
  const oldest = times[Math.min(times.length, 100) - 1];
  return feed.time > oldest ? (1e6 * Math.min(times.length, 100)) / (feed.time - oldest) : 0;
}

function latest(feed) {
  return [...feed.out, ...feed.in].reduce((last, [, time]) => Math.max(last, time), 0);
}

function nothing(text) {
  by("main").hidden = true;
  by("nothing").hidden = false;
  by("nothing").textContent = text;
}

function news(text, tone) {
  const element = by("news");
  element.className = `news ${tone}`;
  if (element.textContent !== text) element.textContent = text;
}

function choose(chosen) {
  if (chosen === name) return;
  name = chosen;
  past = [];
  stage.clear();
  histogram.clear();
  feeds.choose(name);
  by("feed").textContent = name;
  document.title = `${name} – Seriatim at work`;
}

function follow() {
  let asked = location.hash.slice(1);
  try {
    asked = decodeURIComponent(asked);
  } catch {
    // As it stands, then: nobody has a feed of that name.
  }
  if (asked) choose(asked);
  look();
}

by("pause").addEventListener("click", () => {
  stage.pause(!stage.paused);
  by("pause").textContent = stage.paused ? "Go on" : "Pause";
});
addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", look);
follow();
