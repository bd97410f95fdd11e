"""What has an order: a feed, or each key within one. Its messages in, what comes out. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence as List
from typing import Any, NamedTuple

from relay.entry import position
from relay.prints import CODE, take

from .reorder.chain import Chain
from .reorder.counted import Counted
from .reorder.fingerprints import Fingerprints, most
from .reorder.limits import Limits, Order
from .reorder.memory import Memory
from .reorder.outputs import Batch, Epoch, Fates, Gap, Joined, Origin, Output, Place, Run
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


_NONE = array(CODE)
_NO_FATES = Fates()
"""Of a sequence in whose order nothing is amiss. Nobody writes there."""


class Sequence:
    """One sequence: `hear`, `take_in` and `finish` what an entry has of it, then `take`, `move`.

    As long as nothing but the next message comes, one that was at rest has no `reorder`.
    """

    __slots__ = (
        "_limits", "_memory", "_next", "_reconnected", "_reorder", "_run", "_timeout",
        "committed", "feed", "held", "key", "origin",
    )  # fmt: skip

    def __init__(
        self, feed: str, key: str, state: State, limits: Limits, timeout: FixedTimeout,
        memory: Memory | None = None, *, reconnected: bool = False,
    ) -> None:  # fmt: skip
        """Resume from `state`; or, with the `memory` of one that was at rest, go on with that.

        `reconnected` tells whether a line was connected since its last message.
        """
        self.feed = feed
        self.key = key
        self.held = 0
        """Messages that it held when its feed looked last."""
        self.committed = state
        """Where the last move ends."""
        self.origin = state.origin
        self._limits = limits
        self._timeout = timeout
        self._memory = memory
        self._reconnected = reconnected
        self._run: Run | None = None
        self._next = state.next
        """What has come since the last move, and the next id, while there is no `reorder`."""
        self._reorder: Reorder | Counted | None = None
        if memory is None:
            self._reorder = _order(state, limits, timeout)
            if state.next is None and limits.first_id is not None:
                state = state._replace(first=limits.first_id)
            # From now on the order remembers what came out.
            self.committed = state._replace(gaps=(), published=None)

    @property
    def reorder(self) -> Reorder | Counted:
        """Its order, made anew if it was at rest."""
        if self._reorder is None:
            self._reorder = _order(self.committed, self._limits, self._timeout)
            assert self._memory is not None
            self._reorder.recall(self._memory, self._run)
            if self._reconnected:
                self._reorder.reconnected(0.0, alone=False)
            self._memory = self._run = None
        return self._reorder

    @property
    def held_now(self) -> int:
        """Messages held back or on probation."""
        return 0 if self._reorder is None else self._reorder.held

    @property
    def fates(self) -> Fates:
        """What became of the messages that did not come out, since it was at rest."""
        return _NO_FATES if self._reorder is None else self._reorder.fates

    def rest(self, *, replaying: bool) -> tuple[Memory, bool] | None:
        """Tell what it goes on with, besides `committed`, if it is at rest after a move.

        That is its memory, and whether a line was connected since its last message.
        """
        if self.held or self.origin is not None or self._run is not None:
            return None
        if self._reorder is None:
            return (self._memory, self._reconnected) if self._memory is not None else None
        now, then = self._reorder, self.committed
        if (now.epoch, now.next) != (then.epoch, then.next):
            return None
        memory = now.rest(replaying=replaying)
        return None if memory is None else (memory, now.just_reconnected)

    # Entries in -----------------------------------------------------------------------------

    def connected(self, entry: bytes, batch: Batch, *, alone: bool) -> None:
        """Note that a line was connected, `alone` or not."""
        if not self._begun_before(entry):
            return
        if self._limits.by_connection:
            self._restart(batch, 0)
        elif self._reorder is None:
            self._reconnected = True
        else:
            self._reorder.reconnected(batch.now, alone=alone)

    def disconnected(self, entry: bytes, batch: Batch) -> None:
        """Note that nobody listens any more."""
        if self._reorder is not None and self._begun_before(entry):
            self._reorder.disconnected(batch.now)

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
        if self._memory is not None and not restarts and self._goes_on(batch, ids, frames):
            return
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

    def _goes_on(self, batch: Batch, ids: list[Any], frames: List[bytes]) -> bool:
        """Take in an entry's messages if they just go on behind rest; tells whether they did."""
        count, next = len(ids), self._next
        if next is None or not count or ids[0] != next:
            return False
        if count > 1 and ids != list(range(next, next + count)):
            return False
        run = self._run
        if run is None:
            run = self._run = Run(self.committed.epoch, next, [], [], _NONE)
        run.frames += frames
        run.batches += [batch] * count
        self._next = next + count
        self._reconnected = False
        return True

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
        if self._reorder is not None:
            self._reorder.expire(batch)
        return True

    # What comes out -------------------------------------------------------------------------

    def take(self) -> List[Output]:
        """Take what came out since the last call, in order."""
        run, memory = self._run, self._memory
        if run is None or memory is None:
            return [] if self._reorder is None else self._reorder.take()
        if memory.messages + len(run.frames) > most(self._limits.fingerprints):
            # What is to be forgotten is for the order to say.
            return self.reorder.take()
        run.prints = take(run.frames)
        memory.add(run.first, run.prints.tobytes())
        self._run = None
        return [run]

    def move(self, outputs: List[Output], settled: bytes) -> Move | None:
        """Sum up what came out since the last call; None: nothing has.

        `outputs` is what `take()` gave, but for what is not sent on. The input is settled
        up to the entry `settled`. The next move begins where this one ends.
        """
        order, before = self._reorder, self.committed
        amended: dict[tuple[int, int], Gap] = {}
        if order is not None:
            amended, order.fates.amended = order.fates.amended, amended
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
        if order is None:
            epoch, next, last = before.epoch, self._next, before.last
        else:
            epoch, next, last = order.epoch, order.next, order.last
        same = (self.origin, next) == (before.origin, before.next)
        if same and not outputs and not amended:
            return None
        self.committed = State(epoch, next, first, serial, self.origin, last=last)
        return Move(self.feed, self.key, outputs, list(amended.values()), before, self.committed)
