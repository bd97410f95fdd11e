"""The chat's own reasons to close a connection, beside those that every service has."""

from __future__ import annotations

from broadcast.closing import COMMON, CloseReason

FAREWELL = "Сессия завершена. До свидания!"

GOODBYE = CloseReason("goodbye", 1000, FAREWELL)
BINARY = CloseReason("binary", 1003, "Binary messages are not taken here.")
BEHIND = CloseReason("behind", 1013, "What you missed is gone; please come back.", (100, 1_000))
UNAVAILABLE = CloseReason("unavailable", 1013, "The chat is not available now.", (1_000, 5_000))
IDLE = CloseReason("idle", 4408, "There was no sign of life.", (100, 1_000))

ALL = (*COMMON, GOODBYE, BINARY, BEHIND, UNAVAILABLE, IDLE)
