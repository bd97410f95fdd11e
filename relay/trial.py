"""Say what each frame of a feed is taken for, for somebody who writes its words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .excerpt import excerpt
from .feedfile import Feed
from .frames.reader import IGNORED, Message, Other, Reader
from .guesses import Guesses

SHOWN = 100
"""Characters of a frame that are shown."""

SHOWN_KEYS = 5
"""Keys that the summary names."""

_WHY = {
    "json": "no message: neither JSON nor known to a pattern",
    "compressed": "no message: cannot be unpacked",
    "oversized": "no message: too large",
    "missing": "no message: nothing at `{}`",
    "type": "no message: no number, digits or time at `{}`",
    "range": "no message: the number at `{}` is negative or above 2^63-1",
    "link": "no message: no number at `{}`",
    "key": "no message: no text and no number at `{}`",
}


class Trial:
    """What came of a feed so far."""

    def __init__(self, words: Feed, hide: Callable[[str], str] | None = None) -> None:
        """Judge by a feed's words; `hide` leaves secrets out of what is shown."""
        self.frames = 0
        self.sent = 0
        self._words = words
        self._hide = hide
        self._reader = Reader(words.reading)
        self._guesses = Guesses()
        self._others: Counter[str] = Counter()
        self._keys: dict[str, tuple[int, int, int]] = {}
        """Of each key, how many messages, the lowest and the highest id."""

    def heard(self, frame: bytes, _answers: Sequence[str] = ()) -> list[str]:
        """Take in a frame; returns a line for each thing in it."""
        self.frames += 1
        items = self._reader.read(frame)
        return [self._told(item) for item in items] or [f"< nothing in it  {self._shown(frame)}"]

    def said(self, text: str) -> str:
        """Note what was sent; returns a line about it."""
        self.sent += 1
        return f"> {self._shown(text.encode())}"

    def closed(self, why: str) -> str:
        """Tell that the connection has ended before its time."""
        return f"closed: {why}"

    @property
    def good(self) -> bool:
        """Whether a message has come."""
        return bool(self._keys)

    def _shown(self, data: bytes) -> str:
        return excerpt(data, SHOWN, self._hide)

    def _told(self, item: Message | Other) -> str:
        if isinstance(item, Other):
            if item.reason == IGNORED:
                what = f"ignored by {item.where}"
            else:
                what = _WHY[item.reason].format(item.where)
                self._guesses.look(item.data)
            self._others[what] += 1
            restart = ", all begins anew" if item.restart else ""
            return f"< {what}{restart}  {self._shown(item.data)}"
        self._guesses.look(item.data)
        count, low, high = self._keys.get(item.key, (0, item.id, item.id))
        self._keys[item.key] = (count + 1, min(low, item.id), max(high, item.id))
        what = f"message {item.id}"
        if item.link is not None:
            what += f" after {item.link}" if self._words.previous else f" from {item.link} on"
        what += f" of {item.key}" if item.key else ""
        what += ", not sent on" if item.drop else ""
        what += ", begins anew" if item.restart else ""
        return f"< {what}  {self._shown(item.data)}"

    def summary(self) -> list[str]:
        """Say what came in all, and what might be better."""
        messages = sum(count for count, _, _ in self._keys.values())
        lines = [
            f"{self.frames} frames, {self.sent} sent; "
            f"{messages} messages" + (f" of {len(self._keys)} keys" if self._words.key else "")
        ]
        for key, (count, low, high) in list(self._keys.items())[:SHOWN_KEYS]:
            of = f" of {key}" if key else ""
            lines.append(f"  {count}{of}: {low} to {high}")
        if len(self._keys) > SHOWN_KEYS:
            lines.append(f"  and {len(self._keys) - SHOWN_KEYS} more keys")
        lines += [f"  {count} {what}" for what, count in self._others.most_common()]
        return lines + self._advice(messages)

    def _advice(self, messages: int) -> list[str]:
        if not self.frames:
            return [
                "nothing came: does the feed want an `open_message`, `headers` or `subprotocols`?"
            ]
        unread = sum(count for what, count in self._others.items() if what.startswith("no message"))
        fits = messages and unread <= messages
        return [] if fits else self._guesses.suggestions()
