"""Why a connection is closed, and with which code and words the server closes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chassis import clock


@dataclass(frozen=True)
class CloseReason:
    """A reason: its name in metrics and in the log, its close code, the words for it.

    Reasons without a code are not the server's to make, or need no close frame. `retry` is the
    range of milliseconds from which the client is given one to wait before it comes back, if it
    should.
    """

    label: str
    code: int | None = None
    words: str = ""
    retry: tuple[int, int] | None = None

    def retry_after_ms(self, draw: Callable[[int, int], int] = clock.draw) -> int | None:
        """Draw how long this client should wait; None if it should not come back by itself."""
        return draw(*self.retry) if self.retry else None


LEFT = CloseReason("left")
"""The client has closed the connection."""
LOST = CloseReason("lost")
"""The connection broke, or its replica died."""
SLOW = CloseReason("slow")
"""The client read too slowly; a close frame would not reach it."""
PROTOCOL = CloseReason("protocol", 1002, "This is not the WebSocket protocol.")
ENCODING = CloseReason("encoding", 1007, "A text message must be valid UTF-8.")
FLOOD = CloseReason("flood", 1008, "Far too many messages.", (5_000, 15_000))
UNFINISHED = CloseReason("unfinished", 1008, "A message took too long to come.", (100, 1_000))
TOO_BIG = CloseReason("too_big", 1009, "The message is far too big.")
BUG = CloseReason("bug", 1011, "Something went wrong on the server.", (1_000, 10_000))
RESTART = CloseReason("restart", 1012, "The server restarts; please come back.", (500, 5_000))

COMMON = (LEFT, LOST, SLOW, PROTOCOL, ENCODING, FLOOD, UNFINISHED, TOO_BIG, BUG, RESTART)
"""The reasons that every service has."""

BY_CODE = {reason.code: reason for reason in (PROTOCOL, ENCODING, TOO_BIG, BUG)}
"""The reasons for which websockets closes by itself."""


class Close(Exception):
    """The server wants to close this connection."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason.label)
        self.reason = reason
