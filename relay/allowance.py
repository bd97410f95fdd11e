"""How much of Redis' memory the relay may use, and each of its feeds.

All bounds that count bytes come from here, so that together they fit: of what Redis may use the
relay has five eighths, the chat one; the rest is for what the server itself needs, for connections
that read slowly, and for how roughly memory can be measured.
"""

from __future__ import annotations

import math

from chassis import clock
from chassis.logs import Log
from chassis.redis import Link, memory

from . import lanes

RELAY = 5 / 8
"""Share of Redis' memory that all feeds may use together."""

KEPT = 1 / 4
"""Share of a feed's memory that may be taken by messages which have been delivered."""

UNSETTLED = 1 / 6
"""Share of a feed's memory that the orderer may keep of its input.

With what is kept of the output it is less than that at which a feed is held back: a feed that is
held back because of a message that is missing could never bring it.
"""

PRINTS = 1 / 32
"""Share of a feed's memory that the fingerprints of what was put in order may take."""

PRINT_BYTES = 32
"""Bytes that one takes at most: where a message is an entry of its own."""

SHORT = 0.85
"""Share of Redis' memory in use at which nothing more is taken in, and nothing delivered kept."""

LOOK_EVERY = 0.5
"""Seconds for which what was seen holds good."""


class Allowance:
    """What Redis allows, as of a moment ago; one for all who work in a process."""

    def __init__(self, link: Link, log: Log) -> None:
        self.feed = 0
        """Bytes that one feed may use; 0 before the first look."""
        self.short = False
        """Whether Redis has hardly any memory left, whoever uses it."""
        self._link = link
        self._log = log
        self._table = lanes.Table(link)
        self._looked = -LOOK_EVERY
        self._warned = False

    @property
    def kept(self) -> float:
        """Bytes of delivered messages that a feed may keep; inf before the first look."""
        return 0 if self.short else KEPT * self.feed or math.inf

    @property
    def unsettled(self) -> float:
        """Bytes of its input that the orderer may keep of a feed; inf before the first look."""
        return UNSETTLED * self.feed or math.inf

    @property
    def prints(self) -> float:
        """Fingerprints of its output that a feed may keep; inf before the first look."""
        return PRINTS * self.feed / PRINT_BYTES or math.inf

    async def look(self) -> None:
        """See what is allowed now, unless that was seen a moment ago."""
        now = clock.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            found = await memory(self._link)
            count = len(set((await self._table.rows()).values()))
        except BaseException:
            self._looked = -LOOK_EVERY
            raise
        self.feed = int(RELAY * found.limit / max(1, count))
        self.short = found.used >= SHORT * found.limit
        if not self._warned:
            self._warned = True
            self._warn(found.limited, found.evicts)

    def _warn(self, limited: bool, evicts: bool) -> None:
        if evicts:
            self._log.error("Redis throws away what it holds when it is full; set noeviction")
        if not limited:
            self._log.warning("Redis has no limit of memory; half of the machine's is assumed")
