"""How long to stay away from a peer that does not want us as we are. Pure.

A broken connection is made anew at once, more or less. But a peer that has answered with a no
(HTTP 401, a close with 1008 or 4004 before any message came) will say the same in a second, and
some lock out who keeps asking: so each such answer doubles the pause, and the first message that
comes ends the matter. What a peer says about when to come back is done.
"""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass

FIRST = 0.5
"""Seconds after the first no."""

LONGEST = 600.0
"""Seconds between two attempts at most, unless the peer wants more."""

LONGEST_ASKED = 3600.0
"""Seconds that a peer may ask for at most: nobody shall send us away for ever."""

_TRANSIENT = frozenset({408, 421, 425, 429})
"""HTTP statuses of the 4xx kind that say "later", not "no"."""

_NO = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Close codes that complain about what we are or say (RFC 6455, section 7.4.1); and from 3000 on
are those of protocols and applications."""


@dataclass(frozen=True)
class Ending:
    """How a connection, or an attempt at one, has ended."""

    status: int = 0
    """HTTP status that refused it, 0: none did."""
    retry_after: str = ""
    """What the answer's header of that name says."""
    code: int = 0
    """Close code, 0: there was none."""
    fruitful: bool = False
    """Whether a message had come."""


class Pauses:
    """The pauses before one peer."""

    def __init__(self) -> None:
        self.refusals = 0
        """Noes in a row."""

    def after(self, ending: Ending, now: float) -> float:
        """Take an ending in; returns how many seconds to wait at least, 0 if nothing asks for it.

        `now` is in seconds since 1970.
        """
        if ending.fruitful:
            self.refusals = 0
        asked = min(_asked(ending.retry_after, now), LONGEST_ASKED)
        if not _is_no(ending):
            return asked
        self.refusals += 1
        return max(asked, min(LONGEST, FIRST * 2.0 ** min(self.refusals - 1, 30)))


def _is_no(ending: Ending) -> bool:
    """Tell whether a peer will say the same again."""
    if ending.status:
        return 400 <= ending.status < 500 and ending.status not in _TRANSIENT
    return not ending.fruitful and (ending.code in _NO or 3000 <= ending.code < 5000)


def _asked(retry_after: str, now: float) -> float:
    """Read a Retry-After: seconds, or a date (RFC 9110, section 10.2.3); 0 if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
