"""What the orders have in common whose messages are not numbered one by one.

Whether a message follows the last one is for each kind of order to say; its place is the number of
those that came out before it in the epoch. So what comes out has places without holes, whatever
the ids do, and `last` is the id with which the output ends.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from relay.prints import CODE, fingerprint

from .fingerprints import Fingerprints
from .gaps import Open
from .limits import JOIN_SECONDS, MIN_SEQUENTIAL, Limits
from .memory import Memory, gaps_of, rows
from .outputs import Batch, Cause, Epoch, Fates, Gap, Origin, Output, Place, Run
from .timeout import FixedTimeout


class Waiting(NamedTuple):
    """A message that is held."""

    id: int
    link: int | None
    """What it names besides: `first` or `previous`."""
    frame: bytes
    print: int
    batch: Batch
    at: int


class Counted:
    """The order of one sequence, with the interface of `Reorder`; numbers are (id, link).

    A kind of order says what `_take` and `give_up` do, and what `lowest` is.
    """

    def __init__(
        self, limits: Limits, timeout: FixedTimeout, *, epoch: int = 1, next: int | None = None,
        last: int | None = None, given_up: Iterable[Gap] = (),
        published: Fingerprints | None = None,
    ) -> None:  # fmt: skip
        """Set up an empty order, or resume: `epoch` goes on at the place `next`, behind `last`.

        `given_up` are that epoch's last gaps, and `published` is what it has put out.
        """
        self.limits = limits
        self.timeout = timeout
        self.fates = Fates()
        self.epoch = epoch
        self.last = last
        """The id with which the output ends; None while the beginning is looked for."""
        self.size = 0
        """Bytes of the messages that are held or on probation."""
        self._place = next or 0
        self._begun = next is not None
        self._since: float | None = None
        """Feed time since which the beginning is looked for."""
        self._edge = 0.0
        """Feed time at which the last one came, while others are held."""
        self._out: list[Output] = []
        self._run = self._empty_run()
        self._prints = published.latest(limits.recent) if published else array(CODE)
        """Fingerprints of what came out last."""
        self._before = frozenset(published.latest()) if published else frozenset[int]()
        """The same of all that may be read again."""
        self._doubtful: list[Waiting] = []
        """Messages behind `last`, each of which follows the one before: a new numbering, maybe."""
        self._begin(given_up)

    # What a kind of order says --------------------------------------------------------------

    def _begin(self, given_up: Iterable[Gap]) -> None:
        """Begin an epoch with nothing held; late messages of gaps `given_up` are recognised."""

    def _given_up(self) -> Iterable[tuple[int, Gap]]:
        """List the gaps whose late messages are recognised, each with the id that leads to it."""
        return ()

    def _recall(self, gaps: list[tuple[int, Gap]]) -> None:
        """Recognise late messages of gaps, as they were listed."""

    def _take(self, new: Waiting) -> None:
        """Take in a message that has not come before, as far as is known: release, hold, …."""
        raise NotImplementedError

    def _goes_on(self, before: Waiting, new: Waiting) -> bool:
        """Tell whether one follows another, in whatever numbering."""
        raise NotImplementedError

    def _release_rest(self) -> None:
        """Release what follows `last` among what is held."""
        raise NotImplementedError

    def _find_beginning(self) -> None:
        """Say with what the epoch begins, by what is held."""
        raise NotImplementedError

    def _late(self, one: Waiting) -> Gap | None:
        """Find the gap that a message behind `last` belongs to; None: it is a repeat."""
        raise NotImplementedError

    def give_up(self, cause: Cause) -> None:
        """Give up what is missing behind `last`; something must be held."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        """Messages that are held."""
        raise NotImplementedError

    @property
    def lowest(self) -> Waiting:
        """The one that is to come out first when the hole is given up; something must be held."""
        raise NotImplementedError

    @property
    def gaps(self) -> list[Open]:
        """What is waited for, oldest first."""
        raise NotImplementedError

    # Entries in -----------------------------------------------------------------------------

    def take_in(
        self, batch: Batch, numbers: Sequence[Any], frames: Sequence[bytes],
        places: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """Take in an entry's messages; `places` tells which of the entry they are, if not all."""
        if not batch.replayed and self._before:
            self._before = frozenset()
        for at, (id, link), frame in zip(
            range(len(frames)) if places is None else places, numbers, frames, strict=True
        ):
            new = Waiting(id, link, frame, fingerprint(frame), batch, at)
            if batch.replayed and new.print in self._before:
                self.fates.duplicates += 1
                self._acquit()
                continue
            self._look(batch)
            self._take(new)

    def _look(self, batch: Batch) -> None:
        """Begin to look for the beginning, if it is not known."""
        if self.last is None and self._since is None:
            self._since = batch.now

    def expire(self, batch: Batch) -> None:
        """Finish an entry: give up what is due at its time.

        What was due when a former one read `batch`, that one has given up.
        """
        if self._since is not None and self._since + JOIN_SECONDS <= batch.now:
            self._find()
        if self.timeout.never or batch.replayed:
            return
        while self.deadline <= batch.now:
            self.give_up(Cause.TIMEOUT)
        while self.crowded and self.relieve(batch):
            pass

    def relieve(self, batch: Batch) -> bool:
        """Settle something at `batch`, for want of room; tells whether there was anything."""
        if self._since is not None:
            self._find()
        elif self._doubtful:
            self._acquit()
        elif self.waiting and not self.timeout.never and not batch.replayed:
            self.give_up(Cause.CAPACITY)
        else:
            return False
        return True

    def began(self, now: float) -> None:
        """Note, reading again, that the epoch was found at this feed time to have begun."""
        self._edge = max(self._edge, now)

    # Lines, operators -----------------------------------------------------------------------

    def disconnected(self, now: float) -> None:
        """Note that nobody listens to the feed: the beginning that is looked for has come."""
        if self._since is not None:
            self._find()

    def reconnected(self, now: float, *, alone: bool = True) -> None:
        """Note that a line was connected, `alone` or not."""
        if alone:
            self.disconnected(now)

    def skip(self, now: float) -> bool:
        """Give up what is waited for, for an operator; tell whether there was anything."""
        if self._since is not None:
            self.disconnected(now)
        elif self.waiting:
            self.give_up(Cause.OPERATOR)
        else:
            return False
        return True

    def reset(self, now: float) -> None:
        """Close this numbering and begin a new one, for an operator."""
        self._close(None)

    def restart(self, at: Place, now: float) -> None:
        """Close this numbering and begin a new one behind a place in the input."""
        self._close(Origin(at))

    def repeats(self, frame: bytes) -> bool:
        """Tell whether this very message came out lately."""
        return self._known(fingerprint(frame))

    def _close(self, origin: Origin | None, carried: Sequence[Waiting] = ()) -> None:
        if self._since is not None:
            self._find()
        self._acquit()
        while self.waiting:
            self.give_up(Cause.RESET)
        self._end_run()
        self.epoch += 1
        self._place, self._begun, self.last = 0, False, None
        self._begin(())
        self._run = self._empty_run()
        self._out.append(Epoch(self.epoch, None, origin))
        for one in carried:
            one.batch.pins -= 1
            self.size -= len(one.frame)
            self._look(one.batch)
            self._take(one)

    def _find(self) -> None:
        self._since = None
        if self.waiting:
            self._find_beginning()
            self._release_rest()

    # A new numbering, or repeats ------------------------------------------------------------

    def _doubt(self, new: Waiting) -> None:
        """Take in a message behind `last`: a repeat, late, or one of a new numbering."""
        if self._known(new.print) or not self.limits.restarts:
            self._settle(new)
            return
        if self._doubtful and not self._goes_on(self._doubtful[-1], new):
            self._acquit()
        self._doubtful.append(new)
        new.batch.pins += 1
        self.size += len(new.frame)
        # A former one did not find it in `batch`, or that would be published.
        if len(self._doubtful) >= MIN_SEQUENTIAL and not new.batch.replayed:
            carried, self._doubtful = self._doubtful, []
            places = frozenset(Place(one.batch.entry, one.at) for one in carried)
            self._close(Origin(Place(new.batch.entry, new.at), places), carried)

    def _acquit(self) -> None:
        """Settle those on probation: they begin nothing."""
        doubtful, self._doubtful = self._doubtful, []
        for one in doubtful:
            one.batch.pins -= 1
            self.size -= len(one.frame)
            self._settle(one)

    def _settle(self, one: Waiting) -> None:
        gap = None if self._known(one.print) else self._late(one)
        if gap is None:
            self.fates.duplicates += 1
            return
        self.fates.late += 1
        if not one.batch.replayed:
            self.fates.amended[gap.epoch, gap.first] = gap
            if gap.opened is not None:
                self.timeout.observe(one.batch.now - gap.opened)

    def _known(self, print: int) -> bool:
        return print in self._prints or print in self._before

    # At rest --------------------------------------------------------------------------------

    def rest(self, *, replaying: bool) -> Memory | None:
        """Tell what it remembers, if it is at rest; what is read again, only while that lasts."""
        busy = self.held or self._since is not None or self._run.frames or self._out
        if busy or self.fates.amended or (replaying and self._before):
            return None
        return Memory([0, self._prints.tobytes()], rows(self._given_up()))

    def recall(self, memory: Memory, run: Run | None = None) -> None:
        """Remember what it did at rest, where it stood as it does now."""
        self._prints = array(CODE, memory.prints[1])
        self._recall(gaps_of(self.epoch, memory.gaps))

    @property
    def just_reconnected(self) -> bool:
        """Nothing: a line that was connected makes no difference."""
        return False

    # What comes out -------------------------------------------------------------------------

    def _release(self, one: Waiting) -> None:
        """Let a message come out."""
        run = self._run
        run.frames.append(one.frame)
        run.batches.append(one.batch)
        run.prints.append(one.print)
        self._ids.append(one.id)
        self._prints.append(one.print)
        if len(self._prints) > 2 * self.limits.recent:
            del self._prints[: -self.limits.recent]
        self._place += 1
        self._begun, self.last, self._since = True, one.id, None
        self._edge = max(self._edge, one.batch.now)

    def _hold(self, one: Waiting) -> None:
        one.batch.pins += 1
        self.size += len(one.frame)

    def _let_go(self, one: Waiting) -> Waiting:
        """Hold a message no longer."""
        one.batch.pins -= 1
        self.size -= len(one.frame)
        return one

    def _give_up(self, gap: Gap) -> None:
        """Put out a gap, and go on behind it."""
        self._end_run()
        self._out.append(gap)
        self.last = gap.last
        self._run = self._empty_run()
        self._release_rest()

    def _end_run(self) -> None:
        if self._run.frames:
            self._out.append(self._run)

    def _empty_run(self) -> Run:
        self._ids: list[int] = []
        return Run(self.epoch, self._place, [], [], array(CODE), self._ids)

    def take(self) -> list[Output]:
        """Take what came out since the last call, in order."""
        self._end_run()
        if self._run.frames:
            self._run = self._empty_run()
        out, self._out = self._out, []
        return out

    # Looking in -----------------------------------------------------------------------------

    @property
    def next(self) -> int | None:
        """The place of the next message; None before the first one."""
        return self._place if self._begun else None

    @property
    def held(self) -> int:
        """Messages held back or on probation."""
        return self.waiting + self.doubtful

    @property
    def untouched(self) -> bool:
        """Whether nothing has come yet in this epoch."""
        return not self.held and not self._begun

    @property
    def doubtful(self) -> int:
        """Messages on probation."""
        return len(self._doubtful)

    @property
    def doubtful_since(self) -> float:
        """Feed time at which the oldest of them came; inf: there is none."""
        return self._doubtful[0].batch.now if self._doubtful else math.inf

    @property
    def crowded(self) -> bool:
        """Whether more is held than may be."""
        return self.held > self.limits.capacity or self.size > self.limits.capacity_bytes

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        return self.timeout.never and bool(self.waiting) and self.crowded

    @property
    def deadline(self) -> float:
        """Feed time of an entry that would end the search, or give something up; inf: none."""
        if self._since is not None:
            return self._since + JOIN_SECONDS
        if not self.waiting:
            return math.inf
        return max(self._edge, self.lowest.batch.now) + self.timeout.seconds
