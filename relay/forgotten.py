"""What a shared lane keeps of a feed that was forgotten, while its streams hold some of it. Pure.

The field `forgotten` of the feed in `order:{lane}` is `<raw> <ordered> <epoch> <µs>`. Up to these
entries of the lane's streams, what is of that name is of the feed that was forgotten: no orderer
and no new endpoint takes it in. A feed of that name that comes later begins with that epoch, so
that none of its ids is named as one that is still there.
"""

from __future__ import annotations

from typing import NamedTuple

from .entry import START, position


class Forgotten(NamedTuple):
    """Up to where a name stands for a feed that was forgotten."""

    raw: bytes = START
    """The last entry of the input then."""
    ordered: bytes = START
    """The last entry of the output."""
    epoch: int = 1
    """With which a sequence of a new feed of that name begins."""
    at: int = 0
    """When it was forgotten, µs since 1970."""

    def over(self, settled: bytes, oldest: bytes | None, now: int) -> bool:
        """Tell whether nothing is left, so that this may be forgotten, too.

        The input is `settled` up to an entry; `oldest` is the first of the output, if any. Whoever
        was at work for the feed has noticed within `NOTICED`.
        """
        return (
            position(self.raw) <= position(settled)
            and (oldest is None or position(self.ordered) < position(oldest))
            and now - self.at >= NOTICED
        )


NOTICED = 60_000_000
"""Microseconds; a lease is renewed more often, and with it it is looked which feeds there are."""


def pack(forgotten: Forgotten) -> bytes:
    """Lay it out."""
    return b"%s %s %d %d" % forgotten


def unpack(field: bytes) -> Forgotten:
    """Take it apart."""
    raw, ordered, epoch, at = field.split(b" ")
    return Forgotten(raw, ordered, int(epoch), int(at))
