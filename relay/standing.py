"""Where a sequence's output ends, as `next:{lane}` has it: `<epoch>:<next>:<serial>[:<last>]`."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """Where a sequence's output ends."""

    epoch: int
    next: int | None
    """The next id; None while the first one is looked for."""
    serial: int
    """How many messages came out, over all epochs."""
    last: int | None = None
    """The id with which the output ends, where ids are not dense; `next` is a place then."""

    @property
    def settled(self) -> int | None:
        """The highest id up to which all is decided; None: none yet."""
        if self.last is not None or self.next is None:
            return self.last
        return self.next - 1


def pack(epoch: int, next: int | None, serial: int, last: int | None = None) -> bytes:
    """Lay it out."""
    if next is not None and last is None:
        return b"%d:%d:%d" % (epoch, next, serial)
    ends = "" if next is None else f"{next}"
    beside = "" if last is None else f":{last}"
    return f"{epoch}:{ends}:{serial}{beside}".encode()


def unpack(field: bytes) -> Standing:
    """Take it apart."""
    epoch, following, serial, *last = field.split(b":")
    ends = int(following) if following else None
    return Standing(int(epoch), ends, int(serial), int(last[0]) if last else None)
