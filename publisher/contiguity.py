"""See that what is sent goes on where it left off. Pure.

The serials of a feed's messages follow each other, whatever ids were given up. A stream that
another hand has trimmed, or an endpoint that was taken out for so long that what it has not got is
no longer kept, would otherwise leave a hole that nobody tells of.
"""

from __future__ import annotations

from relay.ordered import Span


class Contiguity:
    """Know which message follows."""

    def __init__(self, serial: int | None) -> None:
        """Begin behind the message number `serial`; None: it is not known."""
        self._serial = serial

    def missing(self, span: Span) -> int:
        """Take the next entry; tell how many messages are missing before it."""
        before, self._serial = self._serial, span.serial
        if span.serial is None or before is None:
            return 0
        return max(0, span.serial - (span.last - span.first + 1) - before)
