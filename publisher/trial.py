"""Say what each frame of an endpoint is taken for, for somebody who writes its words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from relay.conversation import Conversation
from relay.excerpt import excerpt
from relay.feedfile import Endpoint

from .confirmations import Confirmations

SHOWN = 100
"""Characters of a frame that are shown."""

_CONFIRMS = "fits `ack`"
_NOTHING = "does not fit `ack`, confirms nothing"
_OWN = "its own words"


class Trial:
    """What came of an endpoint so far, to which no message is sent."""

    def __init__(self, words: Endpoint, conversation: Conversation) -> None:
        """Judge by an endpoint's words; it is the conversation that hides and counts."""
        self._words = words
        self._conversation = conversation
        self._confirmations = Confirmations(words.ack) if words.ack else None
        self._frames = self._sent = 0
        self._kinds: Counter[str] = Counter()
        self._pong: float | None = None
        self._closed = False

    def heard(self, frame: bytes, answers: Sequence[str]) -> list[str]:
        """Take in a frame, which is going to be answered so; returns a line about it."""
        self._frames += 1
        kind, what = self._taken_for(frame)
        answered = ", answered" if answers else ""
        self._kinds[kind + answered] += 1
        return [f"< {what}{answered}  {self._shown(frame)}"]

    def _taken_for(self, frame: bytes) -> tuple[str, str]:
        """Tell what a frame is, for the summary and in its line."""
        if self._confirmations is None:
            return _OWN, _OWN
        count = self._confirmations.count(frame)
        if count is None:
            return _NOTHING, _NOTHING
        if count == 0:
            return _CONFIRMS, "confirms the oldest message on its way"
        if count <= self._conversation.counted:
            what = f"confirms no message: {count} is the count of something else that was sent"
            return "fits `ack` for something else that was sent", what
        return _CONFIRMS, f"confirms message {count}"

    def said(self, text: str) -> str:
        """Note what was sent; returns a line about it."""
        self._sent += 1
        return f"> {self._shown(text.encode())}"

    def ponged(self, after: float) -> str:
        """Note that a ping was answered, after so many seconds; returns a line about it."""
        self._pong = after
        return f"< its pong, after {_ms(after)}"

    def closed(self, why: str) -> str:
        """Note that the connection has ended before its time; returns a line about it."""
        self._closed = True
        return f"closed: {why}"

    @property
    def good(self) -> bool:
        """Whether it has stayed connected, and has sent the pong if pongs are what confirms."""
        confirms = self._confirmations is not None or self._pong is not None
        return confirms and not self._closed

    def summary(self) -> list[str]:
        """Say what came in all, and what might be better."""
        pong = "no pong" if self._pong is None else f"a pong after {_ms(self._pong)}"
        return [
            f"{self._frames} frames, {self._sent} sent, {pong}",
            *[f"  {count} {kind}" for kind, count in self._kinds.most_common()],
            *self._advice(),
        ]

    def _advice(self) -> list[str]:
        wants = "does it want an `open_message`, `headers` or `subprotocols`?"
        lines = []
        if self._closed:
            lines.append(f"it has ended the connection: {wants}")
        elif not self._frames and self._words.open_message:
            lines.append("nothing came: does it say nothing to its `open_message`?")
        elif not self._frames:
            lines.append(f"nothing came: it only listens, or {wants}")
        if self._confirmations is not None:
            lines.append(self._about_ack())
        elif self._pong is not None:
            lines.append("no `ack` is set; the endpoint's pongs count, and it sends them")
        elif not self._closed:
            lines.append(
                "no `ack` is set; the endpoint's pongs count, and none came: nothing would count as"
                " delivered. Does it confirm in words of its own?"
            )
        return lines

    def _about_ack(self) -> str:
        fitted = self._kinds[_CONFIRMS] + self._kinds[f"{_CONFIRMS}, answered"]
        if fitted:
            return f"no message was sent, and `ack` fits {fitted}: does it fit too much?"
        return "`ack` is set, and was not tried: no message was sent that could be confirmed"

    def _shown(self, data: bytes) -> str:
        return excerpt(data, SHOWN, self._conversation.hide)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
