"""A session of the wisdom once more, as plainly as can be: the model that it is held to.

It is written from the table in `wisdom/README.md`, knows neither JSON nor other sessions, and is
told in words what the client has sent.
"""

from __future__ import annotations

PATIENCE = 15.0


class Plain:
    """What one client has said so far, and what follows from it."""

    def __init__(self, now: float) -> None:
        self.connected = False
        self.subscribed = False
        self.gone = False
        self.alive = now

    def hear(self, event: str, now: float) -> str:
        """Take in an event with the right id; return "", "ok", or the code of an error."""
        if event == "ping":
            self.alive = now
        elif event == "disconnect":
            self.gone = True
            self.subscribed = False
        elif event == "connect":
            if self.connected:
                return "already_connected"
            self.connected = True
        elif not self.connected:
            return "not_connected"
        elif event == "subscribe":
            self.subscribed = True
            return "ok"
        elif not self.subscribed:
            return "not_subscribed"
        else:
            self.subscribed = False
        return ""

    def silent(self, now: float) -> bool:
        """Tell whether nothing was heard for too long."""
        return now - self.alive >= PATIENCE
