"""How a connection can end, and with which code and words the server ends it."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable

FAREWELL = "Сессия завершена. До свидания!"


class Ending(enum.Enum):
    """An ending: its name in metrics and in the log, its close code, the reason in words.

    Endings without a code are not the server's to make. `retry` is the range of milliseconds
    from which the client is given one to wait before it comes back, if it should.
    """

    LEFT = ("left", None, "")
    """The client has closed the connection."""
    LOST = ("lost", None, "")
    """The connection broke, or its replica died."""
    SLOW = ("slow", None, "")
    """The client read too slowly; a close frame would not reach it."""
    GOODBYE = ("goodbye", 1000, FAREWELL)
    PROTOCOL = ("protocol", 1002, "This is not the WebSocket protocol.")
    BINARY = ("binary", 1003, "Binary messages are not taken here.")
    ENCODING = ("encoding", 1007, "A text message must be valid UTF-8.")
    FLOOD = ("flood", 1008, "Far too many messages.", (5_000, 15_000))
    TOO_BIG = ("too_big", 1009, "The message is far too big.")
    BUG = ("bug", 1011, "Something went wrong on the server.", (1_000, 10_000))
    RESTART = ("restart", 1012, "The server restarts; please come back.", (500, 5_000))
    BEHIND = ("behind", 1013, "What you missed is gone; please come back.", (100, 1_000))
    UNAVAILABLE = ("unavailable", 1013, "The chat is not available now.", (1_000, 5_000))
    IDLE = ("idle", 4408, "There was no sign of life.", (100, 1_000))

    def __init__(
        self, label: str, code: int | None, words: str, retry: tuple[int, int] | None = None
    ) -> None:
        self.label = label
        self.code = code
        self.words = words
        self._retry = retry

    def retry_after_ms(self, draw: Callable[[int, int], int] = random.randint) -> int | None:
        """Draw how long this client should wait; None if it should not come back by itself."""
        return draw(*self._retry) if self._retry else None


BY_CODE = {
    1002: Ending.PROTOCOL,
    1007: Ending.ENCODING,
    1009: Ending.TOO_BIG,
    1011: Ending.BUG,
}
"""The endings that websockets makes by itself."""


class Parting(Exception):
    """The server wants to end this connection."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.label)
        self.ending = ending
