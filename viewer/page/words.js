// Everything that the page says.

export const STATES = {
  flowing: { says: "in order", tone: "good" },
  waiting: { says: "waits for a missing id", tone: "held" },
  unconnected: { says: "no line is connected", tone: "bad" },
  useless: { says: "nothing comes but what is dropped", tone: "bad" },
  full: { says: "full: waits for an operator", tone: "bad" },
  untold: { says: "no news from its orderer", tone: "bad" },
  unreadable: { says: "its keys cannot be read", tone: "bad" },
  unordered: { says: "nobody orders it", tone: "bad" },
};

const CAUSES = {
  timeout: "its time was up",
  capacity: "too much was held back",
  operator: "an operator decided so",
  reset: "the numbering was begun anew",
};

export const AWAY = "Redis does not answer.";
export const ODD = "What is in Redis cannot be read.";
export const LOST = "The viewer does not answer.";
export const NO_FEEDS = "No feed has been connected yet.";

export const cause = (name) => CAUSES[name] || name;

export function count(number) {
  return digits(String(number));
}

// In groups of three, with spaces that do not break.
export function digits(text) {
  let grouped = "";
  for (let end = text.length; end > 0; end -= 3) {
    const group = text.slice(Math.max(0, end - 3), end);
    grouped = grouped ? `${group}\u202f${grouped}` : group;
  }
  return grouped;
}

export function several(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function ids(first, last) {
  return first === last ? digits(first) : `${digits(first)} … ${digits(last)}`;
}

export function seconds(value) {
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.01) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

export function clock(micros) {
  return new Date(micros / 1000).toLocaleString(undefined, {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
}

export function ago(micros, now) {
  return `${seconds(Math.max(0, now - micros) / 1e6)} ago`;
}

// What has just happened in the picture.
export function saying(step) {
  const id = digits(String(step.id));
  if (step.kind === "given up") {
    return `${ids(String(step.id), String(step.last))} did not come in time: given up, and written into the ledger.`;
  }
  if (step.kind === "early") {
    return `${id} came before ${digits(String(step.missing))}, so it is held back.`;
  }
  const behind = step.released.length - 1;
  if (!behind) return `${id} is next: it goes out at once.`;
  const others = behind === 1
    ? digits(String(step.released[1]))
    : `the ${behind} that waited for it`;
  return `Here is ${id}: it goes out, and ${others} with it.`;
}

export function silence(micros, now) {
  return micros ? `Nothing has come for ${seconds(Math.max(0, now - micros) / 1e6)}.` : "Nothing has come yet.";
}

export function speedometer(rate) {
  return `${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))} messages/s go out`;
}

export function pace(rate) {
  return rate > 5
    ? `Slow motion: a few of ${count(Math.round(rate))} messages a second, one by one.`
    : "Each message, one by one.";
}
