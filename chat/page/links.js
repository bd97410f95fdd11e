// Addresses in what somebody wrote. Everything else, and whatever looks odd, stays text.

const ADDRESS = /\bhttps?:\/\/[^\s<>"`\p{Bidi_Control}]+/giu;
const AFTER = /[.,;:!?'*_…»”’]+$/u; // belongs to the sentence, not to the address
const BRACKETS = { ")": "(", "]": "[", "}": "{" };

// Split a text into texts and links, in order.
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const written = trimmed(found);
    const link = anchor(written);
    if (!link) continue;
    parts.push(text.slice(at, index), link);
    at = index + written.length;
  }
  return [...parts, text.slice(at)];
}

// An address may end with a bracket if it opens it: (see https://example.org/a_(b))
function trimmed(found) {
  for (;;) {
    let rest = found.replace(AFTER, "");
    const opening = BRACKETS[rest.at(-1)];
    if (opening && rest.split(rest.at(-1)).length > rest.split(opening).length) rest = rest.slice(0, -1);
    if (rest === found) return rest;
    found = rest;
  }
}

function anchor(written) {
  const url = URL.canParse(written) ? new URL(written) : null;
  // A name before the host is what makes an address look like another one.
  if (!url || url.username || url.password || !url.hostname) return null;
  const made = document.createElement("a");
  made.href = url.href;
  made.textContent = written;
  made.target = "_blank";
  made.rel = "noopener noreferrer nofollow";
  return made;
}
