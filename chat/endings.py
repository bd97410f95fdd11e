"""The chat's own ways to end a connection, beside those that every service has."""

from __future__ import annotations

from chassis.broadcast.endings import COMMON, Ending

FAREWELL = "Сессия завершена. До свидания!"

GOODBYE = Ending("goodbye", 1000, FAREWELL)
BINARY = Ending("binary", 1003, "Binary messages are not taken here.")
BEHIND = Ending("behind", 1013, "What you missed is gone; please come back.", (100, 1_000))
UNAVAILABLE = Ending("unavailable", 1013, "The chat is not available now.", (1_000, 5_000))
IDLE = Ending("idle", 4408, "There was no sign of life.", (100, 1_000))

ALL = (*COMMON, GOODBYE, BINARY, BEHIND, UNAVAILABLE, IDLE)
