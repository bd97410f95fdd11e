"""What has an order: a feed, or each key within one. Its messages in, what comes out. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence as List
from typing import Any, NamedTuple

from relay.entry import position

from .reorder.chain import Chain
from .reorder.counted import Counted
from .reorder.fingerprints import Fingerprints
from .reorder.limits import Limits, Order
from .reorder.outputs import Batch, Epoch, Gap, Joined, Origin, Output, Place, Run
from .reorder.ranges import Ranges
from .reorder.reorder import Reorder
from .reorder.sparse import Sparse
from .reorder.timeout import FixedTimeout


class State(NamedTuple):
    """What a sequence resumes from: where its output ends."""

    epoch: int = 1
    next: int | None = None
    """The next id; None while the first one is looked for."""
    first: int = 0
    """First id of the epoch; 0 if it is not known."""
    serial: int = 0
    """How many messages came out, over all epochs."""
    origin: Origin | None = None
    """Which messages from the checkpoint on belong to the epoch; None: all."""
    gaps: List[Gap] = ()
    """The epoch's last gaps that were given up, by ids."""
    published: Fingerprints | None = None
    """What the output holds of the epoch."""
    last: int | None = None
    """The id with which the output ends, where the order is not dense; `next` is a place then."""
    written: bool = True
    """Whether it stands in Redis; a new sequence does not."""


_KINDS: dict[Order, type[Counted]] = {
    Order.RANGES: Ranges,
    Order.CHAIN: Chain,
    Order.SPARSE: Sparse,
}


def _order(state: State, limits: Limits, timeout: FixedTimeout) -> Reorder | Counted:
    """Resume an order from a state."""
    kind = _KINDS.get(limits.order)
    if kind is None:
        return Reorder(
            limits, timeout, epoch=state.epoch, next=state.next, first=state.first,
            given_up=state.gaps, published=state.published,
        )  # fmt: skip
    return kind(
        limits, timeout, epoch=state.epoch, next=state.next, last=state.last,
        given_up=state.gaps, published=state.published,
    )  # fmt: skip


class Move(NamedTuple):
    """What a sequence contributes to a commit."""

    feed: str
    key: str
    outputs: List[Output]
    amended: List[Gap]
    """Gaps that were given up earlier and whose late messages have changed."""
    before: State
    """Where its output ends."""
    after: State


class Sequence:
    """One sequence: `hear`, `take_in` and `finish` what an entry has of it, then `move`."""

    def __init__(
        self, feed: str, key: str, state: State, limits: Limits, timeout: FixedTimeout
    ) -> None:
        """Resume from `state`."""
        self.feed = feed
        self.key = key
        self.held = 0
        """Messages that it held when its feed looked last."""
        self.reorder = _order(state, limits, timeout)
        if state.next is None and limits.first_id is not None:
            state = state._replace(first=limits.first_id)
        self.committed = state
        """Where the last move ends."""
        self.origin = state.origin

    # Entries in -----------------------------------------------------------------------------

    def connected(self, entry: bytes, batch: Batch, *, alone: bool) -> None:
        """Note that a line was connected, `alone` or not."""
        if not self._begun_before(entry):
            return
        if self.reorder.limits.by_connection:
            self._restart(batch, 0)
        else:
            self.reorder.reconnected(batch.now, alone=alone)

    def disconnected(self, entry: bytes, batch: Batch) -> None:
        """Note that nobody listens any more."""
        if self._begun_before(entry):
            self.reorder.disconnected(batch.now)

    def _begun_before(self, entry: bytes) -> bool:
        """Tell whether the epoch had begun; what was said before means nothing to it."""
        origin = self.origin
        return origin is None or (origin.precedes(entry) and entry != origin.last.entry)

    def places(self, entry: bytes, count: int) -> List[int] | None:
        """List which of so many things in an entry belong to the epoch; None: all."""
        if self.origin is None:
            return None
        places = self.origin.places(entry, count)
        return places if len(places) < count else None

    def take_in(
        self, batch: Batch, ids: list[Any], frames: List[bytes], places: List[int],
        restarts: List[int],
    ) -> None:  # fmt: skip
        """Take in an entry's messages, which stand at `places`; at `restarts` it begins anew."""
        begin = 0
        for at in restarts:
            end = bisect_left(places, at)
            self.reorder.take_in(
                batch, ids[begin:end], frames[begin:end], places[begin:end]
            )  # fmt: skip
            here = end < len(places) and places[end] == at
            if not (here and self.reorder.repeats(frames[end])):
                self._restart(batch, at)
            begin = end
        self.reorder.take_in(batch, ids[begin:], frames[begin:], places[begin:])

    def _restart(self, batch: Batch, at: int) -> None:
        """Begin a new numbering with what stands at a place, as the feed says; once only."""
        last, reorder = Place(batch.entry, at - 1), self.reorder
        origin = self.origin
        read = origin is not None and (
            (position(last.entry), last.at) <= (position(origin.last.entry), origin.last.at)
        )
        if not read and not reorder.untouched:
            reorder.restart(last, batch.now)
            self.origin = Origin(last)

    def finish(self, entry: bytes, batch: Batch) -> bool:
        """Finish an entry: give up what is due; tells whether the epoch had begun by then."""
        origin = self.origin
        if origin is not None:
            if not origin.precedes(entry):
                return False
            if entry == origin.last.entry:
                self.reorder.began(batch.now)
        self.reorder.expire(batch)
        return True

    # What comes out -------------------------------------------------------------------------

    def move(self, outputs: List[Output], settled: bytes) -> Move | None:
        """Sum up what came out since the last call; None: nothing has.

        `outputs` is what `reorder.take()` gave, but for what is not sent on. The input is settled
        up to the entry `settled`. The next move begins where this one ends.
        """
        reorder, before = self.reorder, self.committed
        fates = reorder.fates
        amended, fates.amended = fates.amended, {}
        if amended:
            # What was given up just now is written with the late frames that it has already.
            outputs = [
                amended.pop((item.epoch, item.first), item) if isinstance(item, Gap) else item
                for item in outputs
            ]
        first, serial = before.first, before.serial
        for item in outputs:
            if isinstance(item, Run):
                serial += len(item.frames)
            elif isinstance(item, Epoch):
                self.origin, first = item.origin, item.next or 0
            elif isinstance(item, Joined):
                first = item.first
        if self.origin and position(settled) >= position(self.origin.last.entry):
            self.origin = None
        same = (self.origin, reorder.next) == (before.origin, before.next)
        if same and not outputs and not amended:
            return None
        self.committed = State(
            reorder.epoch, reorder.next, first, serial, self.origin, last=reorder.last
        )
        return Move(self.feed, self.key, outputs, list(amended.values()), before, self.committed)
