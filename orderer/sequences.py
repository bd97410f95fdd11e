"""A feed's sequences, by their keys. Pure.

Each has one entry: a `Sequence` while something goes on in it, and a few bytes while it is at rest,
since a feed may have thousands of keys of which most are in order. They are laid down when its feed
says so, and taken up again by whoever asks for the sequence. Nothing is forgotten by that: what is
recognised later, and what is decided then, is the same as if it had never been laid down.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .reorder.limits import Limits
from .reorder.memory import Memory
from .reorder.timeout import FixedTimeout
from .sequence import Sequence, State

_encode_into = msgspec.msgpack.Encoder().encode_into
_decode = msgspec.msgpack.Decoder().decode


class Sequences:
    """All sequences of one feed."""

    def __init__(self, feed: str, limits: Limits, timeout: FixedTimeout) -> None:
        """Begin without any."""
        self.awake: dict[str, Sequence] = {}
        """Those that are not at rest, or have not been laid down yet."""
        self.duplicates = self.late = 0
        """Messages that came again, or when they had been given up, of those laid down."""
        self._all: dict[str, Sequence | bytes] = {}
        self._feed = feed
        self._limits = limits
        self._timeout = timeout
        self._reconnects = 0
        """How often a line was connected: for each at rest it is as if it had been told."""

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: object) -> bool:
        return key in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def begin(self, key: str, state: State) -> Sequence:
        """Add one that goes on from a state."""
        made = Sequence(self._feed, key, state, self._limits, self._timeout)
        self._all[key] = self.awake[key] = made
        return made

    def resume(self, key: str, state: State) -> None:
        """Add one that was taken up from what is stored, and lay it down again if it is at rest."""
        if self._lay_down(self.begin(key, state), replaying=True):
            del self.awake[key]

    def get(self, key: str) -> Sequence | None:
        """Get one to do something with it; None: there is no such key."""
        found = self._all.get(key)
        if isinstance(found, bytes):
            found = self._all[key] = self.awake[key] = self._take_up(key, found)
        return found

    def listed(self, *, every: bool = False) -> list[Sequence]:
        """List those that are awake, or `every` one, in the order in which they came."""
        found = map(self.get if every else self.awake.get, self._all)
        return [one for one in found if one is not None]

    def reconnected(self) -> None:
        """Note that a line was connected: who is laid down now is told when it is taken up."""
        self._reconnects += 1

    def lay_down(self, *, replaying: bool) -> None:
        """Lay those down that are at rest; nobody must have any in hand.

        `replaying` tells whether they may be given again what they were given in a former life.
        """
        # A dictionary from which much was removed is no smaller; so it is made anew.
        self.awake = {
            key: one
            for key, one in self.awake.items()
            if not self._lay_down(one, replaying=replaying)
        }

    def _lay_down(self, one: Sequence, *, replaying: bool) -> bool:
        """Lay one down, if it is at rest; a feed's only one never is."""
        found = one.rest(replaying=replaying) if self._limits.of_key else None
        if found is None:
            return False
        memory, reconnected = found
        state, heard = one.committed, self._reconnects - reconnected
        words = (state.epoch, state.next, state.first, state.serial, state.last, state.written)
        # `encode` would give bytes with room behind them.
        laid = bytearray()
        try:
            _encode_into((*words, heard, *memory), laid)
        except OverflowError:  # a feed may name any number as the one before
            return False
        self.duplicates += one.fates.duplicates
        self.late += one.fates.late
        self._all[one.key] = bytes(laid)
        return True

    def _take_up(self, key: str, laid: bytes) -> Sequence:
        epoch, next, first, serial, last, written, heard, *memory = _decode(laid)
        state = State(epoch, next, first, serial, last=last, written=written)
        return Sequence(
            self._feed, key, state, self._limits, self._timeout, Memory(*memory),
            reconnected=heard < self._reconnects,
        )  # fmt: skip
