"""Where a sequence's output ends, as `next:{lane}` has it: `<epoch>:<next>:<serial>`. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """Where a sequence's output ends."""

    epoch: int
    next: int | None
    """The next id; None while the first one is looked for."""
    serial: int
    """How many messages came out, over all epochs."""


def pack(epoch: int, next: int | None, serial: int) -> bytes:
    """Lay it out."""
    return b"%d::%d" % (epoch, serial) if next is None else b"%d:%d:%d" % (epoch, next, serial)


def unpack(field: bytes) -> Standing:
    """Take it apart."""
    epoch, following, serial = field.split(b":")
    return Standing(int(epoch), int(following) if following else None, int(serial))
