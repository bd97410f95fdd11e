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

A frame whose id is `next` is released, with all held frames that follow without a hole. The rest
is about when to stop waiting, and whom to believe.

**Gaps.** A frame above all others seen opens a gap: the ids between. Gaps therefore come into
being in the order of their ids *and* of their age, and a plain list holds them in both (see
`gaps.py`). `next` always waits in the first of them, and what it waits for is the *hole* from
`next` to the next held frame. The hole is given up

* when it is overdue: `timeout` seconds after both its neighbours, the frame below and the one
  above, have come. (The neighbour below counts because of frames that run far ahead: as long
  as the hole's lower edge advances, the feed is still down there.)
* when more than `capacity` frames, or `capacity_bytes` bytes, are held;
* when an operator says so.

Frames that come into a gap later than given up are *late*: never released, because all output
is sorted, but counted with the gap, so that the ledger tells what waiting longer would have saved.

**Whom to believe.** Frames whose ids jump far ahead, or were released before, are *on probation*
until others confirm them (see `probation.py`); for `judge()` the caller looks up the latter in
the output. A new numbering is a new *epoch*; the old one is closed by giving up all its gaps.

**First id.** Without a configured first id, a new numbering begins with the lowest id seen
within `SETTLING` seconds, or until `SETTLED` ids in a row stand from the lowest on, or until the
feed is disconnected. The `PATIENCE` ids below it are then too late; more of a row below those,
which never was in the output, is a new numbering.

**The checkpoint.** Feeding a new buffer from the `checkpoint` on, with the `epoch`, `next` and
`begun` of the old, rebuilds the same state (see `checkpoint.py`).

**Cost.** O(1) amortised for a frame, however many are held; one that lands inside a gap also pays
a binary search over the open gaps and a push onto that gap's heap, both in C.
"""

from __future__ import annotations

from .checkpoint import Checkpoint, beginning, first_of, joined
from .gaps import OpenGaps
from .lateness import FixedTimeout
from .ledger import Ledger
from .probation import MOST_ECHOES, PATIENCE, PROOF, PROOF_AFTER_RECONNECT, QUIET, Probation
from .runs import Batch, Cause, Epoch, Gap, Joined, Output, Run

SETTLING = 1.0
"""Seconds of feed time in which the first id of a numbering is looked for."""

SETTLED = 100
"""Ids in a row from the lowest on that end the search for the first id early."""


class Reorder:
    """The buffer of one feed.

    Call `begin(batch)`, then `accept()` for each of its frames, then `settle(now)`; then
    `take()` what came out. `held`, `duplicates`, `late`, `strays` and `refused` may be read.
    """

    def __init__(
        self, *, timeout: FixedTimeout, capacity: int, capacity_bytes: int = 2**63, far: int,
        first_id: int | None = None, epoch: int = 1, next: int | None = None,
        settled: bytes = b"0-0", begun: bytes | None = None, given_up: list[Gap] | None = None,
    ) -> None:  # fmt: skip
        """Set up an empty buffer.

        `timeout.seconds` None waits for ever; then nothing is given up at `capacity` either, and
        `full` asks the caller to stop reading. `far` is the least distance, in ids, of a stray.
        `first_id` begins every numbering; None looks for it. The rest resumes: `epoch` and
        `next`, the `settled` entry to read on from, where the epoch has `begun` (None: nobody
        knows), and the last gaps `given_up`, by ids.
        """
        self.timeout = timeout
        self.capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.far = far
        self.first_id = first_id
        self.epoch = epoch
        self.next: int | None = first_id if next is None else next
        self.duplicates = self.late = self.strays = 0
        self.refused: list[tuple[bytes, Batch]] = []
        """Strays that were refused; the caller empties the list."""
        self.amended: dict[Gap, None] = {}
        """Gaps whose late frames changed; the caller empties it."""

        self._held: dict[int, tuple[bytes, Batch]] = {}
        self._bytes = self._skipped = self._repeats = 0
        self._top = -1 if self.next is None else self.next - 1
        self._gaps = OpenGaps()
        self._ledger = Ledger(given_up or [])
        self._echoes = Probation()
        self._row = range(0)
        self._quiet = self._replayed = self._reconnected_at = 0
        self._proof = PROOF
        self._strays = Probation()
        self._edge = 0.0  # when the frame below `next` came, while frames are held
        self._settling_since: Batch | None = None
        self._checkpoint = Checkpoint(settled)
        self._out: list[Output] = []
        self._start_run()
        self._begun, self._first = begun, 0
        if next is None and first_id is not None:
            self._begin_at(first_id)
        elif next is not None and begun:
            self._begin_at(first_of(begun))

    # Frames in -----------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Note that the frames of `batch` follow."""
        self._checkpoint.add(batch)

    def disconnected(self) -> None:
        """Note that nobody listens to the feed: a first id that is looked for has come."""
        if self._settling_since is not None:
            self._found_first()

    def reconnected(self, *, alone: bool = True) -> None:
        """Note that a line was connected, `alone` or not: the feed may well number anew, too."""
        if alone:
            self.disconnected()
        if self.next is not None:
            self._quiet = 0
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
        """Finish a batch or a silent while: settle what nobody confirmed, give up what is due."""
        if self.next is None:
            if self.deadline is None or self.deadline > now:
                return
            self._found_first()
        if self._echoes or self._strays:
            self._end_probation()
        while (deadline := self.deadline) is not None and deadline <= now:
            self._give_up(Cause.TIMEOUT)
        while self._crowded and self.timeout.seconds is not None:
            self._give_up(Cause.CAPACITY)

    # Looking in, results out ---------------------------------------------------------------

    @property
    def held(self) -> int:
        """Frames held back or on probation."""
        return len(self._held) + len(self._echoes) + len(self._strays)

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        return self.timeout.seconds is None and self._crowded

    @property
    def _crowded(self) -> bool:
        return len(self._held) > self.capacity or self._bytes > self.capacity_bytes

    @property
    def deadline(self) -> float | None:
        """Feed time at which `settle()` has something to do although no frame comes."""
        if self._settling_since is not None:
            return self._settling_since.now + SETTLING
        if not self._held or self.timeout.seconds is None:
            return None
        assert self.next is not None
        _, above = self._held[self._gaps.oldest.next_held(self.next)]
        return max(self._edge, above.now) + self.timeout.seconds

    @property
    def gaps(self) -> list[tuple[int, int, float, int]]:
        """Open gaps as (first, last, opened at feed time, since µs), oldest first.

        Frames held inside a gap do not split it. Costs O(open gaps).
        """
        if self.next is None or not self._held:
            return []
        return self._gaps.listed(self.next)

    def take(self) -> list[Output]:
        """Take what came out since the last call, in order: runs, given-up gaps, new epochs."""
        out = [item for item in self._out if not isinstance(item, Run) or item.frames]
        self._out = []
        self._start_run()
        return out

    @property
    def checkpoint(self) -> bytes:
        """The last entry that is settled together with all before it."""
        return self._checkpoint.entry

    # Decisions from outside ----------------------------------------------------------------

    @property
    def echoes(self) -> list[int]:
        """The released ids that have come again and that `judge()` wants to know about."""
        return list(self._echoes)

    def judge(self, known: dict[int, bytes]) -> bool:
        """Decide what the echoes are, given the frames that the output holds under their ids.

        Ids that it does not hold are a new numbering if they lie well below the first id, or lie
        far below `next` and were not just read again after a crash; but not if they lie below the
        first id of every numbering.
        Returns True when they are a new numbering, which has then begun.
        """
        row, self._row = self._row, range(0)
        echoes = self._echoes
        witnesses = [seq for seq in row if seq in known]
        if witnesses:
            anew = any(echoes.frame(seq) != known[seq] for seq in witnesses)
        else:
            assert self.next is not None
            old = self.next - row[-1] > self.far
            anew = row[-1] >= (self.first_id or 0) and (
                row[-1] < self._first - PATIENCE
                or (old and not any(echoes.batch(seq).replayed for seq in row))
            )
        if not anew:
            self._quiet = QUIET
            self._replayed = row[-1]
        for seq in list(echoes):
            if not anew or known.get(seq) == echoes.frame(seq):
                self._settle_echo(seq)
        if anew:
            self._restart()
        return anew

    def skip(self) -> bool:
        """Give up the hole at `next`, for an operator; tell whether there was one."""
        if self._settling_since is not None:
            self._found_first()
            return True
        if not self._held:
            return False
        self._give_up(Cause.OPERATOR)
        return True

    def reset(self) -> None:
        """Close this numbering and begin a new one, for an operator."""
        for seq in list(self._echoes):
            self._settle_echo(seq)
        self._restart()

    # Ahead of `next` -----------------------------------------------------------------------

    def _ahead(self, seq: int, frame: bytes, batch: Batch) -> None:
        if seq in self._held or seq in self._strays:
            self._repeats += 1
            self.duplicates += 1
            return
        if seq - self._top > self.far and self._is_far(seq):
            self._stray(seq, frame, batch)
            return
        self._hold(seq, frame, batch)

    def _hold(self, seq: int, frame: bytes, batch: Batch) -> None:
        self._held[seq] = (frame, batch)
        self._bytes += len(frame)
        batch.pins += 1
        top = self._top
        if seq > top:
            self._top = seq
            assert self.next is not None
            lowest_missing = max(top + 1, self.next)
            if seq > lowest_missing:
                self._gaps.open(lowest_missing, seq, batch.now, batch.time)
        else:
            gap = self._gaps.around(seq)
            gap.fill(seq)
            self.timeout.observe(batch.now - gap.opened)

    def _filled(self, seq: int, batch: Batch) -> None:
        """Go on after a released frame while others are held."""
        self.timeout.observe(batch.now - self._gaps.oldest.opened)
        self._edge = batch.now
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
            self._bytes -= len(frame)
            self._edge = batch.now
        self.next = seq
        self._gaps.passed(seq)

    def _give_up(self, cause: Cause) -> None:
        """Settle the hole at `next` as given up, and release what follows."""
        gap = self._gaps.oldest
        assert self.next is not None
        upto = gap.next_held(self.next)
        closed = Gap(self.epoch, self.next, upto - 1, gap.opened, gap.since, cause)
        self._out.append(closed)
        self._ledger.append(closed)
        self._skipped += upto - self.next
        self.next = upto
        self._start_run()
        self._release(upto)

    def _start_run(self) -> None:
        self._run = Run(self.epoch, self.next or 0)
        self._out.append(self._run)

    # Behind `next` -------------------------------------------------------------------------

    def _behind(self, seq: int, frame: bytes, batch: Batch) -> bool:
        assert self.next is not None
        self._repeats += 1
        if batch.replayed:
            self._edge = batch.now  # as it was when this frame was released, before a crash
        gap = self._ledger.find(seq)
        if gap is not None and self.next - seq <= self.far:
            self._count_late(gap, batch)
            return False
        echoes = self._echoes
        if seq in echoes:
            if echoes.frame(seq) == frame:
                self.duplicates += 1
                return False
            # Of the two, only the later one can belong to a new numbering.
            self._settle_echo(seq)
        if self._progress != self._reconnected_at:
            self._proof = PROOF
        echoes.add(seq, frame, batch, self._progress)
        if len(echoes) > MOST_ECHOES:
            self._settle_echo(next(iter(echoes)))
        if self._quiet and 0 < seq - self._replayed <= QUIET:
            self._quiet -= 1
            return False
        row = echoes.row(seq, self._proof)
        if len(row) < self._proof:
            return False
        self._row = row
        return True

    def _count_late(self, gap: Gap, batch: Batch) -> None:
        self.late += 1
        if not batch.replayed:
            gap.late += 1
            self.amended[gap] = None
            if gap.opened is not None:
                self.timeout.observe(batch.now - gap.opened)

    def _settle_echo(self, seq: int) -> None:
        _, batch = self._echoes.release(seq)
        if (gap := self._ledger.find(seq)) is None:
            self.duplicates += 1
        else:
            self._count_late(gap, batch)

    def _restart(self) -> None:
        """Close this epoch, begin the next, and take the echoes into it."""
        if self.next is None:
            self._found_first()
        while self._held:
            self._give_up(Cause.RESET)
        for _, frame, batch in self._strays.release_all():
            self._refuse(frame, batch)
        echoes = self._echoes.release_all()
        self._quiet = 0
        self._proof = PROOF
        self._ledger = Ledger([])
        self._gaps = OpenGaps()
        self.epoch += 1
        self.next = self.first_id
        self._top = -1 if self.next is None else self.next - 1
        self._skipped = 0
        self._begun = beginning(echoes[0][2], echoes[0][1]) if echoes else b""
        self._out.append(Epoch(self.epoch, self.next, self._begun))
        self._start_run()
        self._begin_at(self.first_id or 0)
        for seq, frame, batch in echoes:
            self.accept(seq, frame, batch)

    # Probation -----------------------------------------------------------------------------

    @property
    def _progress(self) -> int:
        """A number that grows by one with every frame that is released or held anew."""
        assert self.next is not None
        return self.next - self._skipped + len(self._held)

    def _is_far(self, seq: int) -> bool:
        """Tell whether `seq` lies too far above everything seen to be believed at once."""
        assert self.next is not None
        return seq - max(self._top, self.next - 1) > self.far

    def _stray(self, seq: int, frame: bytes, batch: Batch) -> None:
        strays, now = self._strays, self._progress + self._repeats
        strays.add(seq, frame, batch, now)
        for other in sorted(strays.agreeing(seq, self.far, now)):
            kept, origin = strays.release(other)
            if self._is_far(other):
                self._hold(other, kept, origin)
            else:
                self.accept(other, kept, origin)

    def _refuse(self, frame: bytes, batch: Batch) -> None:
        self.strays += 1
        self.refused.append((frame, batch))

    def _end_probation(self) -> None:
        """Settle those for whom the time is up."""
        for seq in self._echoes.due(self._progress):
            self._settle_echo(seq)
        due = set(self._strays.due(self._progress + self._repeats))
        for seq in list(self._strays):
            # The feed may have caught up with a stray meanwhile.
            caught_up = not self._is_far(seq)
            if caught_up or seq in due:
                frame, batch = self._strays.release(seq)
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
        self._bytes += len(frame)
        batch.pins += 1
        if self._top < 0 or seq < self._top:
            self._top = seq
        lowest = self._top
        in_a_row = len(held) >= SETTLED and all(
            lowest + i in held for i in range(SETTLED - 1, -1, -1)
        )
        if lowest == 0 or in_a_row or self._crowded:
            self._found_first()

    def _found_first(self) -> None:
        """Begin with the lowest id seen; what was held comes in again, in order."""
        held, self._held = self._held, {}
        self._bytes = 0
        since, self._settling_since = self._settling_since, None
        self.next = self._top if held else 0
        self._top = self.next - 1
        if self._begun is not None:
            self._begun = joined(self._begun, self.next)
            self._out.append(Joined(self.epoch, self.next, self._begun))
        self._start_run()
        self._begin_at(self.next, since)
        for seq, (frame, batch) in sorted(held.items()):
            batch.pins -= 1
            self.accept(seq, frame, batch)

    def _begin_at(self, first: int, since: Batch | None = None) -> None:
        """Have frames just below the first id, or all below a configured one, count as late."""
        self._first = first
        if first > 0:
            lowest = max(0, first - PATIENCE) if self.first_id is None else 0
            self._ledger.begin(self.epoch, lowest, first - 1, since)
