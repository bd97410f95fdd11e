"""What an endpoint's `ack` makes of what it says. Pure."""

from __future__ import annotations

from relay.frames.inflate import Unreadable
from relay.frames.pattern import Pattern
from relay.frames.shape import Shape


class Confirmations:
    """Tells which frames confirm a message."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._shape = Shape([want.path for want in pattern.wants])

    def count(self, frame: bytes) -> int | None:
        """Get the count of the message that a frame confirms; None: it confirms nothing.

        0: it names none, and confirms the oldest that is on its way.
        """
        at = self._shape.at
        try:
            values = self._shape.pick(frame) if at else ()
        except Unreadable:
            values = ()
        if self._pattern.wants and not values:
            return None
        return self._pattern.counted(frame, lambda path: values[at[path]])
