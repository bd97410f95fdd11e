"""How far a sink is, and where its feed's output ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from relay import keys, ordered
from relay.entry import START, position


class Position:
    """Where one sink stands."""

    def __init__(self, feed: str) -> None:
        """Begin before the first entry."""
        self.feed = feed
        self.confirmed = START
        """The last entry of the lane up to which all that is the feed's is confirmed."""
        self.serial: int | None = None
        """Serial of the last message that is; None: not known."""
        self.aside = b""
        """Up to this entry, what is not confirmed is set aside; empty if nothing is."""

    @property
    def held_for(self) -> bytes:
        """The entry behind which the lane is to be kept for the sink."""
        return self.confirmed if self.back else self.aside

    @property
    def floor(self) -> tuple[int, int]:
        """The same, as a position."""
        return position(self.held_for)

    @property
    def back(self) -> bool:
        """Whether all that was set aside is confirmed, or nothing was."""
        return not self.aside or position(self.confirmed) >= position(self.aside)

    def load(self, stored: Mapping[bytes, bytes]) -> None:
        """Take over what was saved."""
        self.confirmed = stored.get(keys.SINK_POSITION, START)
        serial = stored.get(keys.SINK_SERIAL, b"")
        self.serial = int(serial) if serial else None
        self.aside = stored.get(keys.SINK_ASIDE, b"")

    def forget(self) -> None:
        """Begin before the first entry: what it belongs to is lost."""
        self.confirmed, self.serial, self.aside = START, None, b""


class Order(NamedTuple):
    """What an orderer last wrote of a lane."""

    incarnation: bytes | None
    """Identity of the numbering."""
    end: bytes | None
    """The last entry of the output; None: none yet, or an earlier version's."""
    serials: Mapping[str, int]
    """How many messages came out of each feed."""

    @staticmethod
    def fields(lane: str, feeds: Sequence[str]) -> list[bytes]:
        """List the fields of `order:{lane}` to be read."""
        return [
            keys.ORDER_INCARNATION,
            keys.ORDER_GENERATION,
            keys.ORDER_SERIAL,
            *(keys.of(lane, feed, keys.ORDER_SERIAL) for feed in feeds),
        ]

    @classmethod
    def read(cls, feeds: Sequence[str], values: Sequence[bytes | None]) -> Order:
        """Read the values of `fields`."""
        incarnation, generation, serial, *serials = values
        end = None
        if generation is not None and serial is not None:
            end = ordered.entry_id(int(generation), int(serial)).encode()
        came = {feed: int(own or 0) for feed, own in zip(feeds, serials, strict=True)}
        return cls(incarnation, end, came)

    def before(self, confirmed: bytes) -> bool:
        """Tell whether the output ends before what has been confirmed of it.

        Then Redis went back, and its clock as well: a new turn's ids are lower.
        """
        return self.end is not None and position(confirmed) > position(self.end)

    def confirmed(self, sink: Position, *, shared: bool = False) -> bool:
        """Tell whether a sink has confirmed all that came out of its feed.

        In a lane that is `shared` no earlier version has put anything that had no serial.
        """
        serial = 0 if sink.serial is None and shared else sink.serial
        return serial == self.serials[sink.feed]

    def advance(self, sink: Position, *, shared: bool = False) -> None:
        """Note that a sink has confirmed all, if so, whatever others have put behind it."""
        end = self.end
        if (
            end is not None
            and self.confirmed(sink, shared=shared)
            and position(end) > position(sink.confirmed)
        ):
            sink.confirmed = end
