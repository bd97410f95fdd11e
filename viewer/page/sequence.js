// What happened to the last messages, one by one: what the orderer did, done again for the eye.

const SHOWN = 16; // steps of a scene

// The moments in the order of time: a message came, or the ids that were missing were given up.
function moments(feed) {
  // What went out while all this was read stands in both. Of what came at once the order is known
  // only as far as it has not gone out.
  const times = new Map([...feed.out, ...feed.in]);
  const found = [...times].map(([id, time]) => ({ id: BigInt(id), time }));
  for (let at = 1; at < feed.out.length; at += 1) {
    const [first, last] = [BigInt(feed.out[at - 1][0]) + 1n, BigInt(feed.out[at][0]) - 1n];
    if (first <= last) found.push({ id: first, last, time: closed(feed, first, feed.out[at][1]) });
  }
  return found.sort((one, other) => one.time - other.time);
}

function closed(feed, first, otherwise) {
  const row = feed.ledger.find((gap) => gap.epoch === feed.epoch && BigInt(gap.first) <= first && first <= BigInt(gap.last));
  return row ? row.closed : otherwise;
}

// All steps: what came, what went out with it, what is held afterwards, and what is missing.
export function steps(feed) {
  const all = moments(feed);
  let next = feed.out.length ? BigInt(feed.out[0][0]) : feed.next === null ? null : BigInt(feed.next);
  const held = new Set();
  const done = [];
  const unseen = feed.whole || !feed.in.length ? null : BigInt(feed.in[0][0]);
  const known = unseen === null ? null : missing(feed);
  for (const { id, last, time } of all) {
    if (next === null) next = id;
    const before = next;
    const released = [];
    if (last !== undefined) {
      if (next <= last) next = last + 1n;
    } else if (id >= next) {
      held.add(id);
    } else {
      continue;
    }
    while (held.delete(next)) {
      released.push(next);
      next += 1n;
    }
    const kind = last !== undefined ? "given up" : released.length ? "next" : "early";
    done.push({ kind, id, last, time, missing: before, next, known, skipped: id === unseen, released, held: sorted(held) });
  }
  return done;
}

// What is missing for certain, although older ones are held that are not seen here: the gaps that
// the orderer tells of, and what it expects now.
function missing(feed) {
  const gaps = feed.told.gaps.map(({ first, last }) => [BigInt(first), BigInt(last)]);
  return feed.next === null ? gaps : [...gaps, [BigInt(feed.next), BigInt(feed.next)]];
}

function sorted(set) {
  return [...set].sort((one, other) => (one < other ? -1 : 1));
}

// Chooses what to show next of all steps: those that came after the time `shown`, or, where they
// are too many, the latest stretch with the most to see. Returns where it begins, and ends.
export function scene(done, shown, waits) {
  const fresh = done.findIndex((step) => step.time > shown);
  if (fresh < 0) return null;
  const end = done.length;
  if (waits || end - fresh <= SHOWN) return [Math.max(fresh, end - SHOWN), end];
  let best = end - SHOWN;
  let most = -1;
  for (let at = fresh; at <= end - SHOWN; at += 1) {
    if (at && done[at - 1].held.length) continue;
    const early = done.slice(at, at + SHOWN).filter((step) => step.kind !== "next").length;
    if (early >= most) [best, most] = [at, early];
  }
  return [best, best + SHOWN];
}

// The holes in front of what is held, by the id behind each: what is missing there, [first, last],
// or null where that is not known; and whether it is all that is not seen.
export function holes({ next, known, held }) {
  const found = new Map();
  let expected = next;
  for (const id of held) {
    if (id > expected) found.set(id, hole(expected, id - 1n, known));
    expected = id + 1n;
  }
  return found;
}

function hole(first, last, known) {
  if (known === null) return { missing: [first, last], whole: true };
  const gap = known.find(([from, to]) => from <= last && to >= first);
  if (!gap) return { missing: null, whole: false };
  const missing = [gap[0] > first ? gap[0] : first, gap[1] < last ? gap[1] : last];
  return { missing, whole: missing[0] === first && missing[1] === last };
}
