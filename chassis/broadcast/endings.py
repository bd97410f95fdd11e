"""How a connection can end, and with which code and words the server ends it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ending:
    """An ending: its name in metrics and in the log, its close code, the reason in words.

    Endings without a code are not the server's to make, or need no close frame. `retry` is the
    range of milliseconds from which the client is given one to wait before it comes back, if it
    should.
    """

    label: str
    code: int | None = None
    words: str = ""
    retry: tuple[int, int] | None = None

    def retry_after_ms(self, draw: Callable[[int, int], int] = random.randint) -> int | None:
        """Draw how long this client should wait; None if it should not come back by itself."""
        return draw(*self.retry) if self.retry else None


LEFT = Ending("left")
"""The client has closed the connection."""
LOST = Ending("lost")
"""The connection broke, or its replica died."""
SLOW = Ending("slow")
"""The client read too slowly; a close frame would not reach it."""
PROTOCOL = Ending("protocol", 1002, "This is not the WebSocket protocol.")
ENCODING = Ending("encoding", 1007, "A text message must be valid UTF-8.")
FLOOD = Ending("flood", 1008, "Far too many messages.", (5_000, 15_000))
TOO_BIG = Ending("too_big", 1009, "The message is far too big.")
BUG = Ending("bug", 1011, "Something went wrong on the server.", (1_000, 10_000))
RESTART = Ending("restart", 1012, "The server restarts; please come back.", (500, 5_000))

COMMON = (LEFT, LOST, SLOW, PROTOCOL, ENCODING, FLOOD, TOO_BIG, BUG, RESTART)
"""The endings that every service has."""

BY_CODE = {ending.code: ending for ending in (PROTOCOL, ENCODING, TOO_BIG, BUG)}
"""The endings that websockets makes by itself."""


class Parting(Exception):
    """The server wants to end this connection."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.label)
        self.ending = ending
