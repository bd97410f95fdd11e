"""How long the endpoints that are no longer in the file are still sent to. Pure.

A feed that was removed is sent on until all that it has left is: what came out, what is held back,
and what is still in its input. An endpoint that was removed from a feed that stays gets what had
come out by then. Nobody is waited for for ever: an endpoint that confirms nothing for the time-out
though something waits for it counts as gone, and so does the line of a removed feed with which
nothing comes any more, but of which nobody has said that it is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relay.entry import START, position
from relay.feeds import Peer


class Stand(NamedTuple):
    """How far a feed is, as it stands in Redis."""

    confirmed: Mapping[Peer, int]
    """The serial of the last message that each endpoint has confirmed."""
    serial: int = 0
    """How many messages came out."""
    seen: bytes = START
    """The last entry of the input that the orderer has counted."""
    newest: bytes = START
    """The last entry that there ever was in the input."""
    waiting: bool = False
    """Whether frames are held back as of `seen`."""
    connected: bool = False
    """Whether any line was connected as of `seen`, as far as anybody has said."""


class _Owed:
    """What one endpoint is waited for."""

    def __init__(self) -> None:
        self.upto: int | None = None
        """The serial up to which it is; None: not looked yet, or the feed's last."""
        self.confirmed = -1
        self.messages = 0
        """How many it has not confirmed of that."""
        self.quiet = 0.0
        """Seconds since it has confirmed something, while anything waited for it."""


class Leaving:
    """The endpoints of one feed that are no longer in the file; `look` now and then."""

    def __init__(self, peers: Iterable[Peer], timeout: float, *, removed: bool) -> None:
        """Wait for these; `removed` says that the feed itself is gone.

        After `timeout` seconds without a sign nobody is waited for; with 0 nobody at all.
        """
        self.removed = removed
        self._timeout = timeout
        self._owed = {peer: _Owed() for peer in peers}
        self._mark: bytes | None = None
        """The end of the input when it was looked first."""
        self._serial = -1
        self._still = 0.0
        """Seconds since anything came out."""

    @property
    def peers(self) -> list[Peer]:
        """Those that are waited for."""
        return list(self._owed)

    def look(self, stand: Stand, passed: float) -> dict[Peer, int]:
        """Tell whom to let go now, `passed` seconds after the last look.

        Each with how many messages it did not get. The endpoints of a removed feed go together.
        """
        if self._mark is None:
            self._mark = stand.newest
        self._still = 0.0 if stand.serial != self._serial else self._still + passed
        self._serial = stand.serial
        for peer, owed in self._owed.items():
            self._note(owed, stand.confirmed.get(peer, 0), passed)
        done = {
            peer: owed.messages
            for peer, owed in self._owed.items()
            if not owed.messages or owed.quiet >= self._timeout
        }
        if self.removed and not (len(done) == len(self._owed) and self._ended(stand)):
            return {}
        for peer in done:
            del self._owed[peer]
        return done

    def _note(self, owed: _Owed, confirmed: int, passed: float) -> None:
        if owed.upto is None and not self.removed:
            owed.upto = self._serial
        upto = self._serial if owed.upto is None else min(owed.upto, self._serial)
        waited = owed.messages and confirmed == owed.confirmed
        owed.messages = max(0, upto - confirmed)
        owed.quiet = owed.quiet + passed if waited and owed.messages else 0.0
        owed.confirmed = confirmed

    def _ended(self, stand: Stand) -> bool:
        """Tell whether nothing more is going to come out of a feed that was removed."""
        if not self._timeout:
            return True
        end = min(self._mark or START, stand.newest, key=position)
        if stand.waiting or position(stand.seen) < position(end):
            return False
        # What a line still brings comes before the word that it is closed.
        return not stand.connected or self._still >= self._timeout
