"""Wisdom's own reasons to close a connection, beside those that every service has."""

from __future__ import annotations

from broadcast.closing import COMMON, CloseReason

DISCONNECT = CloseReason("disconnect", 1000, "The session is over.")
SILENT = CloseReason("silent", 4408, "There was no ping.")

ALL = (*COMMON, DISCONNECT, SILENT)
