"""Wisdom's own ways to end a connection, beside those that every service has."""

from __future__ import annotations

from chassis.broadcast.endings import COMMON, Ending

DISCONNECT = Ending("disconnect", 1000, "The session is over.")
SILENT = Ending("silent", 4408, "There was no ping.")

ALL = (*COMMON, DISCONNECT, SILENT)
