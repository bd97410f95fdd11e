// Addresses in what somebody wrote. Everything else, and whatever looks odd, stays text.
// All work here grows with the text's length and no faster: it is a stranger's text, and whoever
// opens the page later gets it again.

const ADDRESS = /\bhttps?:\/\/[^\s<>"`\p{Bidi_Control}]+/giu;
const AFTER = new Set(".,;:!?'*_…»”’"); // belongs to the sentence, not to the address
const BRACKETS = { ")": "(", "]": "[", "}": "{" };
const LONGEST = 2048; // characters; what is longer is no address to click on

// Split a text into texts and links, in order.
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const written = found.slice(0, end(found));
    const link = written.length <= LONGEST ? anchor(written) : null;
    if (!link) continue;
    parts.push(text.slice(at, index), link);
    at = index + written.length;
  }
  return [...parts, text.slice(at)];
}

// Where an address ends among the characters that may belong to it. It may end with a bracket if
// it opens it: (see https://example.org/a_(b))
export function end(characters) {
  const count = new Map();
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at];
    count.set(character, (count.get(character) ?? 0) + 1);
  }
  let length = characters.length;
  while (length > 0) {
    const last = characters[length - 1];
    const surplus = count.get(last) > (count.get(BRACKETS[last]) ?? 0);
    if (!AFTER.has(last) && !(last in BRACKETS && surplus)) break;
    count.set(last, count.get(last) - 1);
    length -= 1;
  }
  return length;
}

function anchor(written) {
  let url;
  try {
    url = new URL(written);
  } catch {
    return null;
  }
  // A name before the host is what makes an address look like another one.
  if (url.username || url.password || !url.hostname) return null;
  const made = document.createElement("a");
  made.href = url.href;
  made.textContent = written;
  made.target = "_blank";
  made.rel = "noopener noreferrer nofollow";
  return made;
}
