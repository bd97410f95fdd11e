"""The reordering buffer: frames go in as they come, and come out in order.

This module is pure: no clock, no Redis, no await, no log. `now` is an argument, in seconds of
*feed time*, a clock that stands still while the feed is disconnected (see `feedclock.py`).

Theory of operation
-------------------

`next` is the lowest id that has not been decided. Below it everything is settled: released,
given up, or before the first id. From it on, a frame is either *held* or *missing*, and the
one invariant is:

    `next` is never held; and every missing id below the highest held one lies in exactly one
    open gap.

A frame whose id is `next` is released, with all held frames that follow without a hole. That
is the whole of ordering; the rest is about when to stop waiting, and whom to believe.

**Gaps.** A frame above all others seen opens a gap: the ids between. Gaps therefore come into
being in the order of their ids *and* of their age, and a plain list holds them in both. The
first one is always the one that `next` waits in, and always the oldest. It is given up

* when it is overdue: for `timeout` seconds it has stood open and no frame has come into it
  (as long as frames come into a gap, the feed is still down there, and what looked like a
  gap is only a frame that ran ahead);
* when more than `capacity` frames are held; then only as much of it as lies before the next
  held frame;
* when an operator says so.

Frames that come into a gap later than given up are *late*: never released, because all output
is sorted, but counted with the gap, so that the ledger tells what waiting longer would have saved.

**Whom to believe.** One wrong id must not move the numbering, so a jump needs witnesses (RFC
3550, appendix A.1, does the same for RTP). Two kinds of frame are *on probation*, neither held
nor settled, until `PROOF` of them agree or `PATIENCE` ordinary frames have gone by:

* *strays*, more than `far` ids above everything seen. When `PROOF` of them lie near each
  other, or come one after another with nothing else in between, the jump is believed.
  Otherwise they are refused.
* *echoes*, ids that were released before. A feed that repeats a frame sends one; a feed that
  replays its recent past after a reconnect, or that has begun to number anew, sends a row of
  them. When `PROOF` consecutive ids stand there (two right after a reconnect), `accept()` returns True and the caller shows
  `judge()` what the output stream holds under those ids: the same bytes mean a replay, other
  bytes a new numbering. What the stream no longer holds is believed to be new if it is far
  away. A new numbering is a new *epoch*; the old one is closed by giving up all its gaps.

**First id.** Without a configured first id, a new numbering begins with the lowest id seen
within `SETTLING` seconds, or as soon as `SETTLED` ids in a row stand from the lowest on.

**The checkpoint.** Each frame came in a `Batch`. A batch that has frames held or on probation
is *pinned*; `checkpoint` is the entry before the oldest pinned one. Feeding a new buffer from
the checkpoint on, with the `epoch` and `next` of the old, rebuilds the same state.

**Cost.** A frame costs O(1) amortised, however many are held: the dictionary of held frames is
touched twice, and each gap is appended and dropped once. Only a frame that lands inside a gap
pays a binary search over the open gaps and a push onto that gap's heap, both in C.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Protocol

PROOF = 5
"""Frames that must agree before a jump of the numbering is believed."""

PROOF_AFTER_RECONNECT = 2
"""Echoes that must agree right after a reconnect, before any ordinary frame has come."""

PATIENCE = 1000
"""Ordinary frames after which a frame on probation is settled."""

PROBATION = 256
"""Echoes on probation at a time; the oldest is settled beyond."""

QUIET = 64
"""Echoes after a replay was recognised that are taken for its continuation unseen."""

SETTLING = 1.0
"""Seconds of feed time in which the first id of a numbering is looked for."""

SETTLED = 100
"""Ids in a row from the lowest on that end the search for the first id early."""

REMEMBERED = 10_000
"""Given-up gaps whose late frames are still recognised as late."""


class Cause(StrEnum):
    """Why a gap was given up."""

    TIMEOUT = "timeout"
    CAPACITY = "capacity"
    OPERATOR = "operator"
    RESET = "reset"


class Timeout(Protocol):
    """How long to wait, and what is learned from how late frames come."""

    seconds: float | None

    def observe(self, lateness: float) -> None:
        """Learn that a frame came `lateness` seconds after its gap opened."""


class Batch:
    """Frames that were received together: one entry of the input stream."""

    __slots__ = ("entry", "now", "pins", "replayed", "time")

    def __init__(self, entry: bytes, time: int, now: float, replayed: bool = False) -> None:
        """Describe the entry with id `entry`, received at `time` (µs) and feed time `now` (s).

        `replayed` says that its late frames were counted before.
        """
        self.entry = entry
        self.time = time
        self.now = now
        self.replayed = replayed
        self.pins = 0


@dataclass(slots=True, eq=False)
class Gap:
    """Ids `first` … `last` that were given up."""

    epoch: int
    first: int
    last: int
    opened: float | None
    """Feed time, seconds; None when it was opened in another process's feed time."""
    since: int
    """Receive time of the frame that revealed it, µs."""
    cause: Cause
    closed: int = 0
    """When it was given up, µs."""
    late: int = 0
    """Frames of it that came after all."""
    entry: bytes = b""
    """Its entry in the ledger; empty before it has one."""


@dataclass(slots=True, eq=False)
class Run:
    """Frames of consecutive ids from `first` on, and the batch that each came in."""

    epoch: int
    first: int
    frames: list[bytes] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Epoch:
    """A new numbering; `next` is None until its first id is found."""

    epoch: int
    next: int | None


Output = Run | Gap | Epoch


class _Open:
    """A gap that is waited for: ids `first` … `end − 1`; `end` is held."""

    __slots__ = ("end", "filled", "fills", "first", "opened", "since")

    def __init__(self, first: int, end: int, opened: float, since: int) -> None:
        self.first = first
        self.end = end
        self.opened = opened
        self.filled = opened
        self.since = since
        self.fills: list[int] = []
        """Heap of the ids inside that are held (and of some that no longer are)."""


_Probation = dict[int, tuple[bytes, Batch, int]]
"""Id → frame, batch, and the progress there was when it came."""


class Reorder:
    """The buffer of one feed.

    Call `begin(batch)`, then `accept()` for each of its frames, then `settle(now)`; then
    `take()` what came out. `held`, `duplicates`, `late`, `strays` and `refused` may be read.
    """

    def __init__(
        self,
        *,
        timeout: Timeout,
        capacity: int,
        far: int,
        first_id: int | None = None,
        epoch: int = 1,
        next: int | None = None,
        settled: bytes = b"0-0",
        given_up: list[Gap] | None = None,
    ) -> None:
        """Set up an empty buffer.

        `timeout.seconds` None waits for ever; then nothing is given up at `capacity` either, and
        `full` asks the caller to stop reading. `far` is the least distance, in ids, of a stray.
        `first_id` begins every numbering; None looks for it. The rest resumes: `epoch` and
        `next`, the `settled` entry to read on from, and the last gaps `given_up`, by ids.
        """
        self.timeout = timeout
        self.capacity = capacity
        self.far = far
        self.first_id = first_id
        self.epoch = epoch
        self.next: int | None = first_id if next is None else next
        self.duplicates = 0
        self.late = 0
        self.strays = 0
        self.refused: list[tuple[bytes, Batch]] = []
        """Strays that were refused; the caller empties the list."""
        self.amended: dict[Gap, None] = {}
        """Gaps whose late frames changed; the caller empties it."""

        self._held: dict[int, tuple[bytes, Batch]] = {}
        self._top = -1 if self.next is None else self.next - 1
        self._gaps: list[_Open] = []
        self._firsts: list[int] = []
        self._head = 0
        self._given_up: list[Gap] = given_up or []
        self._given_up_firsts = [gap.first for gap in self._given_up]
        self._echoes: _Probation = {}
        self._stretch: range = range(0)
        self._quiet = 0
        self._proof = PROOF
        self._reconnected_at = 0
        self._strays: _Probation = {}
        self._skipped = 0
        self._settling_since: Batch | None = None
        self._batches: list[Batch] = []
        self._first_batch = 0
        self._settled = settled
        self._out: list[Output] = []
        self._run: Run
        self._start_run()
        if next is None and first_id is not None:
            self._before_first(None, 0)

    # Frames in -----------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Note that the frames of `batch` follow."""
        self._batches.append(batch)

    def reconnected(self) -> None:
        """Note that the feed was connected anew: its numbering may well begin anew, too."""
        if self.next is not None:
            self._proof = PROOF_AFTER_RECONNECT
            self._reconnected_at = self._progress

    def accept(self, seq: int, frame: bytes, batch: Batch) -> bool:
        """Take in a frame with the id `seq`, 0 … 2^63−1.

        Returns True when `judge()` must be called before the next frame: a row of released
        ids has come again.
        """
        if seq == self.next:
            run = self._run
            run.frames.append(frame)
            run.batches.append(batch)
            self.next = seq + 1
            if self._held:
                self._filled(seq, batch)
            return False
        if self.next is None:
            self._look_for_first(seq, frame, batch)
            return False
        if seq > self.next:
            self._ahead(seq, frame, batch)
            return False
        return self._behind(seq, frame, batch)

    def settle(self, now: float) -> None:
        """Finish a batch or a silent while: give up what is due, settle what nobody confirmed."""
        batch = self._settling_since
        if batch is not None and now - batch.now >= SETTLING:
            self._found_first()
        deadline = self.deadline
        while deadline is not None and deadline <= now:
            self._give_up(Cause.TIMEOUT, whole=True)
            deadline = self.deadline
        if self.timeout.seconds is not None:
            while len(self._held) > self.capacity and self.next is not None:
                self._give_up(Cause.CAPACITY, whole=False)
        if self._echoes or self._strays:
            self._end_probation()

    # Looking in ----------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Frames held back or on probation."""
        return len(self._held) + len(self._echoes) + len(self._strays)

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        return self.timeout.seconds is None and len(self._held) >= self.capacity

    @property
    def deadline(self) -> float | None:
        """Feed time at which `settle()` has something to do although no frame comes."""
        if self._settling_since is not None:
            return self._settling_since.now + SETTLING
        if not self._held or self.timeout.seconds is None:
            return None
        gap = self._gaps[self._head]
        return max(gap.opened, gap.filled) + self.timeout.seconds

    @property
    def gaps(self) -> list[tuple[int, int, float, int]]:
        """Open gaps as (first, last, opened at feed time, since µs), oldest first.

        Frames held inside a gap do not split it, but one that they fill is no longer open.
        Costs O(open gaps).
        """
        if self.next is None or not self._held:
            return []
        oldest, *others = self._gaps[self._head :]
        found = [(self.next, oldest.end - 1, oldest.opened, oldest.since)]
        found += [
            (gap.first, gap.end - 1, gap.opened, gap.since)
            for gap in others
            if len(gap.fills) < gap.end - gap.first
        ]
        return found

    # Results out ---------------------------------------------------------------------------

    def take(self) -> list[Output]:
        """Take what came out since the last call, in order: runs, given-up gaps, new epochs."""
        out = [item for item in self._out if not isinstance(item, Run) or item.frames]
        self._out = []
        self._start_run()
        return out

    @property
    def checkpoint(self) -> bytes:
        """The last entry that is settled together with all before it."""
        batches = self._batches
        first = self._first_batch
        while first < len(batches) and not batches[first].pins:
            self._settled = batches[first].entry
            first += 1
        if first > 64 and 2 * first > len(batches):
            del batches[:first]
            first = 0
        self._first_batch = first
        return self._settled

    # Decisions from outside ----------------------------------------------------------------

    @property
    def echoes(self) -> list[int]:
        """The released ids that have come again and that `judge()` wants to know about."""
        return list(self._echoes)

    def judge(self, known: dict[int, bytes]) -> bool:
        """Decide what the echoes are, given the frames that the output holds under their ids.

        Returns True when they are a new numbering, which has then begun.
        """
        stretch, self._stretch = self._stretch, range(0)
        witnesses = [seq for seq in stretch if seq in known]
        if witnesses:
            anew = any(self._echoes[seq][0] != known[seq] for seq in witnesses)
        else:
            assert self.next is not None
            anew = self.next - stretch[-1] > self.far
        if not anew:
            self._quiet = QUIET
            while self._echoes:
                self._settle_echo(next(iter(self._echoes)))
            return False
        for seq in [seq for seq in known if self._echoes[seq][0] == known[seq]]:
            self._settle_echo(seq)
        self._restart()
        return True

    def skip(self) -> bool:
        """Give up the oldest open gap, for an operator; tell whether there was one."""
        if self._settling_since is not None:
            self._found_first()
            return True
        if not self._held:
            return False
        self._give_up(Cause.OPERATOR, whole=True)
        return True

    def reset(self) -> None:
        """Close this numbering and begin a new one, for an operator."""
        for seq in list(self._echoes):
            self._settle_echo(seq)
        self._restart()

    # Ahead of `next` -----------------------------------------------------------------------

    def _ahead(self, seq: int, frame: bytes, batch: Batch) -> None:
        if seq in self._held or seq in self._strays:
            self.duplicates += 1
            return
        if seq - self._top > self.far:
            self._stray(seq, frame, batch)
            return
        self._hold(seq, frame, batch)

    def _hold(self, seq: int, frame: bytes, batch: Batch) -> None:
        self._held[seq] = (frame, batch)
        batch.pins += 1
        top = self._top
        if seq > top:
            self._top = seq
            assert self.next is not None
            lowest_missing = max(top + 1, self.next)
            if seq > lowest_missing:
                self._gaps.append(_Open(lowest_missing, seq, batch.now, batch.time))
                self._firsts.append(lowest_missing)
        else:
            gap = self._gaps[bisect_right(self._firsts, seq, self._head) - 1]
            heappush(gap.fills, seq)
            gap.filled = batch.now
            self.timeout.observe(batch.now - gap.opened)

    def _filled(self, seq: int, batch: Batch) -> None:
        """Go on after a released frame while others are held."""
        gap = self._gaps[self._head]
        gap.filled = batch.now
        self.timeout.observe(batch.now - gap.opened)
        self._release(seq + 1)

    def _release(self, seq: int) -> None:
        """Release the held frames from `seq` on up to the next hole, which becomes `next`."""
        run = self._run
        frames, batches = run.frames, run.batches
        pop = self._held.pop
        while (item := pop(seq, None)) is not None:
            frame, batch = item
            frames.append(frame)
            batches.append(batch)
            batch.pins -= 1
            seq += 1
        self.next = seq
        gaps = self._gaps
        head = self._head
        while head < len(gaps) and gaps[head].end < seq:
            head += 1
        if head > 64 and 2 * head > len(gaps):
            del gaps[:head]
            del self._firsts[:head]
            head = 0
        self._head = head

    def _give_up(self, cause: Cause, *, whole: bool) -> None:
        """Give up the oldest gap, or just its part below the next held frame."""
        gap = self._gaps[self._head]
        assert self.next is not None
        while self.next < gap.end:
            while gap.fills and gap.fills[0] < self.next:
                heappop(gap.fills)
            upto = gap.fills[0] if gap.fills else gap.end
            self._skip(upto, gap, cause)
            if not whole:
                break

    def _skip(self, upto: int, gap: _Open, cause: Cause) -> None:
        """Settle `next` … `upto − 1` as given up, and release what follows."""
        assert self.next is not None
        closed = Gap(self.epoch, self.next, upto - 1, gap.opened, gap.since, cause)
        self._out.append(closed)
        self._remember(closed)
        self._skipped += upto - self.next
        self.next = upto
        self._start_run()
        self._release(upto)

    def _remember(self, gap: Gap) -> None:
        self._given_up.append(gap)
        self._given_up_firsts.append(gap.first)
        if len(self._given_up) > 2 * REMEMBERED:
            del self._given_up[:-REMEMBERED]
            del self._given_up_firsts[:-REMEMBERED]

    def _start_run(self) -> None:
        self._run = Run(self.epoch, self.next or 0)
        self._out.append(self._run)

    # Behind `next` -------------------------------------------------------------------------

    def _behind(self, seq: int, frame: bytes, batch: Batch) -> bool:
        assert self.next is not None
        gap = self._gap_of(seq)
        if gap is not None and self.next - seq <= self.far:
            self._count_late(gap, batch)
            return False
        echoes = self._echoes
        if self._quiet:
            self._quiet -= 1
            self._count_behind(gap, batch)
            return False
        if seq in echoes:
            self.duplicates += 1
            return False
        progress = self._progress
        if progress != self._reconnected_at:
            self._proof = PROOF
        echoes[seq] = (frame, batch, progress)
        batch.pins += 1
        if len(echoes) > PROBATION:
            self._settle_echo(next(iter(echoes)))
        first = last = seq
        while first - 1 in echoes and seq - first < self._proof:
            first -= 1
        while last + 1 in echoes and last - first < self._proof:
            last += 1
        if last - first + 1 < self._proof:
            return False
        self._stretch = range(first, last + 1)
        return True

    def _gap_of(self, seq: int) -> Gap | None:
        """Find the given-up gap that `seq` is in."""
        at = bisect_right(self._given_up_firsts, seq) - 1
        if at >= 0 and seq <= self._given_up[at].last:
            return self._given_up[at]
        return None

    def _count_behind(self, gap: Gap | None, batch: Batch) -> None:
        if gap is None:
            self.duplicates += 1
        else:
            self._count_late(gap, batch)

    def _count_late(self, gap: Gap, batch: Batch) -> None:
        self.late += 1
        if not batch.replayed:
            gap.late += 1
            self.amended[gap] = None
            if gap.opened is not None:
                self.timeout.observe(batch.now - gap.opened)

    def _settle_echo(self, seq: int) -> None:
        _, batch, _ = self._echoes.pop(seq)
        batch.pins -= 1
        self._count_behind(self._gap_of(seq), batch)

    def _restart(self) -> None:
        """Close this epoch, begin the next, and take the frames on probation into it."""
        if self.next is None:
            self._found_first()
        while self._held:
            self._give_up(Cause.RESET, whole=True)
        probation = [*self._echoes.items(), *self._strays.items()]
        self._echoes = {}
        self._strays = {}
        self._quiet = 0
        self._proof = PROOF
        self._given_up = []
        self._given_up_firsts = []
        self._gaps = []
        self._firsts = []
        self._head = 0
        self.epoch += 1
        self.next = self.first_id
        self._top = -1 if self.next is None else self.next - 1
        self._skipped = 0
        self._out.append(Epoch(self.epoch, self.next))
        self._start_run()
        if self.next is not None:
            self._before_first(None, 0)
        for seq, (frame, batch, _) in probation:
            batch.pins -= 1
            self.accept(seq, frame, batch)

    # Probation -----------------------------------------------------------------------------

    @property
    def _progress(self) -> int:
        """A number that grows by one with every ordinary frame."""
        assert self.next is not None
        return self.next - self._skipped + len(self._held)

    def _stray(self, seq: int, frame: bytes, batch: Batch) -> None:
        strays = self._strays
        strays[seq] = (frame, batch, self._progress)
        batch.pins += 1
        if len(strays) < PROOF:
            return
        near = sum(abs(other - seq) <= self.far for other in strays)
        uninterrupted = next(iter(strays.values()))[2] == self._progress
        if near >= PROOF or uninterrupted:
            self._strays = {}
            for believed, (kept, origin, _) in sorted(strays.items()):
                origin.pins -= 1
                if abs(believed - seq) <= self.far or uninterrupted:
                    self._hold(believed, kept, origin)
                else:
                    self._refuse(kept, origin)

    def _refuse(self, frame: bytes, batch: Batch) -> None:
        self.strays += 1
        self.refused.append((frame, batch))

    def _end_probation(self) -> None:
        """Settle those for whom the time is up; the dictionaries are in order of arrival."""
        if self.next is None:
            return
        due = self._progress - PATIENCE
        for seq in [seq for seq, (_, _, came) in self._echoes.items() if came <= due]:
            self._settle_echo(seq)
        for seq, (frame, batch, came) in list(self._strays.items()):
            caught_up = seq - self._top <= self.far
            if caught_up or came <= due:
                del self._strays[seq]
                batch.pins -= 1
                if caught_up:
                    self.accept(seq, frame, batch)
                else:
                    self._refuse(frame, batch)

    # The first id --------------------------------------------------------------------------

    def _look_for_first(self, seq: int, frame: bytes, batch: Batch) -> None:
        held = self._held
        if self._settling_since is None:
            self._settling_since = batch
        if seq in held:
            self.duplicates += 1
            return
        held[seq] = (frame, batch)
        batch.pins += 1
        if self._top < 0 or seq < self._top:
            self._top = seq
        lowest = self._top
        in_a_row = len(held) >= SETTLED and all(
            lowest + i in held for i in range(SETTLED - 1, -1, -1)
        )
        if lowest == 0 or in_a_row or len(held) >= self.capacity:
            self._found_first()

    def _found_first(self) -> None:
        """Begin with the lowest id seen; what was held comes in again, in order."""
        held, self._held = self._held, {}
        since, self._settling_since = self._settling_since, None
        self.next = self._top if held else 0
        self._top = self.next - 1
        self._start_run()
        self._before_first(since.now if since else None, since.time if since else 0)
        for seq, (frame, batch) in sorted(held.items()):
            batch.pins -= 1
            self.accept(seq, frame, batch)

    def _before_first(self, now: float | None, time: int) -> None:
        """Have frames below the first id count as late, in a gap that nobody sees till then."""
        assert self.next is not None
        if self.next > 0:
            self._remember(Gap(self.epoch, 0, self.next - 1, now, time, Cause.TIMEOUT))
