"""What is on its way on one connection: sent, but not confirmed. Pure.

A pong that answers a ping sent after some messages says that the endpoint's WebSocket library
has read them. That is the strongest sign there is without the endpoint's help, and the only
thing that confirms. The window bounds the bytes on their way; it adapts so that a pong takes
about a second at most. More pings go out in between, slice by slice, and each of their pongs is a
sign of life. So an endpoint that reads slowly is told from one that does not read at all, and
little is sent again after a reconnect.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

LEAST_WINDOW = 4 * 1024
MOST_WINDOW = 1024 * 1024
"""Bytes that may be on their way unconfirmed, at first the least; one slice more is let through."""

LEAST_SLICE = 1024
SLICES = 16
"""Bytes written before another ping: this part of the window, and so many at least. The window
shrinks to as little when even `LEAST_WINDOW` brings an endpoint near to seeming stuck."""

QUICK = 0.25
SLOW = 1.0
"""Seconds for a pong below which the window doubles, and above which it is halved; also a
sixteenth and a quarter of the time after which the endpoint seems stuck."""


class Sent(NamedTuple):
    """Messages that were written together."""

    entry: bytes
    """The entry that they end, empty if it goes on."""
    messages: int
    size: int
    when: float


class Confirmed(NamedTuple):
    """What a pong confirms."""

    entry: bytes
    """The last entry that is confirmed as a whole, empty if there is no further one."""
    advance: int
    """Messages from the last such entry before to this one."""
    size: int
    """Their bytes."""
    sent: list[Sent]


class Window:
    """Know what is on its way, how much may be, and whether the endpoint reads.

    Times are seconds on any one clock. One ping at a time asks for a confirmation; those that go
    out slice by slice are signs of life only.
    """

    def __init__(self, stuck_timeout: float, most: float = math.inf) -> None:
        """Begin with nothing; no sign of life for `stuck_timeout` seconds means stuck.

        `most` messages may be on their way, too.
        """
        self._most = most
        self.size = LEAST_WINDOW
        """Bytes that may be on their way."""
        self.flight = 0
        """Bytes that are."""
        self.messages = 0
        """Messages that are."""
        self._sent: deque[Sent] = deque()
        self._stuck_timeout = stuck_timeout
        self._unpinged = 0
        self._pings = 0
        self._answered = 0
        self._asking = 0  # the ping that asks for a confirmation; 0 for none
        self._asked = 0.0  # when it was sent
        self._upto = 0  # how many of `_sent` it confirms
        self._deadline = math.inf
        self._partial = 0  # messages confirmed of an entry that is not confirmed as a whole
        self._partial_size = 0  # and their bytes

    @property
    def slice(self) -> int:
        """Bytes to write before another ping."""
        return max(LEAST_SLICE, self.size // SLICES)

    @property
    def full(self) -> bool:
        """Whether no more may be sent for now."""
        return self.flight >= self.size or self.messages >= self._most

    def fitting(self, messages: int) -> int:
        """Tell how many of so many messages may be sent now, if it is not full."""
        return int(min(messages, max(1, self._most - self.messages)))

    @property
    def filling(self) -> bool:
        """Whether so much is on its way that it may be full before a pong comes."""
        return self.flight >= self.size // 4

    @property
    def asking(self) -> bool:
        """Whether a confirmation was asked for and has not come yet."""
        return self._asking > 0

    # What goes out

    def send(self, entry: bytes, messages: int, size: int, now: float) -> bytes | None:
        """Note messages that are being written; returns the ping that is to follow them, if any.

        `entry` is the one that they end, empty if it goes on.
        """
        self._sent.append(Sent(entry, messages, size, now))
        self.flight += size
        self.messages += messages
        self._unpinged += size
        return self._next_ping() if self._unpinged >= self.slice else None

    def ask(self, now: float) -> bytes:
        """Make the ping whose pong confirms all that was sent until now."""
        ping = self._next_ping()
        self._asking, self._asked, self._upto = self._pings, now, len(self._sent)
        self._deadline = now + self._stuck_timeout
        return ping

    def _next_ping(self) -> bytes:
        self._unpinged = 0
        self._pings += 1
        return b"%d" % self._pings

    # What comes in

    def pong(self, payload: bytes, now: float) -> Confirmed | None:
        """Take a pong in; returns what it confirms if it answers the question."""
        number = int(payload) if payload.isdigit() else 0
        if not self._answered < number <= self._pings:
            return None
        self._answered = number
        if not self.asking:
            return None
        self._deadline = now + self._stuck_timeout
        # A peer may leave out pongs for all but its latest ping.
        return self._confirm(now) if number >= self._asking else None

    def acknowledged(self, parts: int, now: float) -> Confirmed:
        """Confirm the oldest parts, as the endpoint says that it has them."""
        self._asked, self._upto = self._sent[0].when, parts
        return self._confirm(now)

    def patience(self, now: float) -> float:
        """Tell for how many seconds a sign of life may still be waited for; 0 or less: stuck."""
        return self._deadline - now

    def _confirm(self, now: float) -> Confirmed:
        sent = [self._sent.popleft() for _ in range(self._upto)]
        size = sum(part.size for part in sent)
        self._adapt(now - self._asked, size)
        self.flight -= size
        entry, advance, size = b"", 0, 0
        for part in sent:
            self.messages -= part.messages
            self._partial += part.messages
            self._partial_size += part.size
            if part.entry:
                entry, advance, self._partial = part.entry, advance + self._partial, 0
                size, self._partial_size = size + self._partial_size, 0
        self._asking, self._deadline = 0, math.inf
        return Confirmed(entry, advance, size, sent)

    def _adapt(self, took: float, size: int) -> None:
        """Adapt the window to how long `size` bytes took to be confirmed."""
        if took < min(QUICK, self._stuck_timeout / 16):
            # That little is read quickly does not tell how long a full window takes.
            if not 0 < size < self.size // 4:
                self.size = min(MOST_WINDOW, 2 * self.size)
        elif took > self._stuck_timeout / 4:
            self.size = max(LEAST_SLICE, self.size // 2)
        elif took > SLOW:
            self.size = max(min(LEAST_WINDOW, self.size), self.size // 2)
