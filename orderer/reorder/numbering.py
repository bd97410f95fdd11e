"""One epoch whose first id is known: each frame goes to the machine that its id belongs to."""

from __future__ import annotations

import math
from collections.abc import Collection

from relay.prints import fingerprint

from .buffer import Buffer
from .fingerprints import Fingerprints
from .ledger import Ledger
from .limits import MIN_SEQUENTIAL_SILENT, Limits
from .memory import Memory, gaps_of, rows
from .outliers import Outliers
from .outputs import END, Batch, Cause, Fates, Place, Rest, Run
from .probation import Waiting
from .repeats import Repeats
from .timeout import FixedTimeout


class Numbering:
    """The numbering phase of one epoch.

    `take` and `expire` tell whether a new numbering was found to have begun; the caller then
    closes this one.
    """

    __slots__ = (
        "_fates", "_ledger", "_limits", "_outliers", "_repeated", "_repeats", "_timeout",
        "buffer", "epoch", "proven_at",
    )  # fmt: skip

    def __init__(
        self, epoch: int, next: int, limits: Limits, timeout: FixedTimeout, fates: Fates,
        ledger: Ledger, published: Fingerprints, *, first: int, believed_at: float = 0.0,
    ) -> None:  # fmt: skip
        """Set up a numbering that began with the id `first` and goes on with `next`."""
        self.epoch = epoch
        self.buffer = Buffer(epoch, next, timeout, published, believed_at)
        self.proven_at = Place(b"", 0)
        """Where in the input a new numbering was found to have begun."""
        self._limits = limits
        self._timeout = timeout
        self._fates = fates
        self._ledger = ledger
        self._outliers = Outliers()
        self._repeats = Repeats(limits, first)
        self._repeated = 0

    # Frames in ------------------------------------------------------------------------------

    def take(self, rest: Rest, batch: Batch) -> bool:
        """Take frames until a new numbering has begun (True) or there are no more."""
        buffer, outliers, max_jump = self.buffer, self._outliers, self._limits.max_jump
        release, note, held = buffer.run.frames.append, buffer.run.batches.append, buffer.held
        for at, seq, frame in rest:
            if seq == buffer.next:
                release(frame)
                note(batch)
                buffer.next = seq + 1
                if held:
                    buffer.close_up(batch)
            elif seq > buffer.next:
                # As in `_ahead`, spelled out for what nearly all frames come to.
                exceeds = seq > buffer.top and buffer.exceeds(seq, max_jump)
                if not (exceeds or seq in held or seq in outliers):
                    buffer.hold(seq, frame, batch)
                elif self._ahead(seq, frame, batch, at, batch.now):
                    self.proven_at = Place(batch.entry, at)
                    return True
            elif self._behind(seq, frame, batch, at):
                self.proven_at = Place(batch.entry, at)
                return True
        return False

    def readmit(self, seq: int, frame: bytes, batch: Batch, at: int, now: float) -> bool:
        """Take in, at `now`, a frame that was held elsewhere; True as with `take`."""
        if seq == self.buffer.next:
            self.buffer.release(frame, batch)
            return False
        if seq > self.buffer.next:
            return self._ahead(seq, frame, batch, at, now)
        return self._behind(seq, frame, batch, at)

    def expire(self, batch: Batch) -> bool:
        """Settle what nobody confirmed by `batch`, give up what is due; True as with `take`.

        What was due when a former buffer read `batch`, that one has given up.
        """
        if (self._repeats or self._outliers) and self._end_probation(batch):
            self.proven_at = Place(batch.entry, END)
            return True
        buffer = self.buffer
        if not buffer.held or self._timeout.never or batch.replayed:
            return False
        while buffer.deadline <= batch.now:
            self.give_up(Cause.TIMEOUT)
        while self.crowded:
            self.relieve(batch)
        return False

    def relieve(self, batch: Batch) -> bool:
        """Settle, for want of room, what is worth least; tells whether there was anything.

        What was given up when a former buffer read `batch`, that one has given up.
        """
        if self._outliers:
            self._refuse(self._outliers.release(self._outliers.oldest))
        elif self._repeats:
            self._settle_repeat(self._repeats.oldest)
        elif self.buffer.held and not self._timeout.never and not batch.replayed:
            self.give_up(Cause.CAPACITY)
        else:
            return False
        return True

    def reconnected(self) -> None:
        """Note that a line was connected: the feed may well number anew, too."""
        self._settle_repeated()
        self._repeats.reconnected(self.buffer.taken)

    # At rest --------------------------------------------------------------------------------

    def rest(self) -> Memory | None:
        """Tell what it remembers, if it is at rest."""
        if self.doubtful or not self.buffer.at_rest:
            return None
        gaps = rows((gap.first, gap) for gap in self._ledger)
        return Memory(self.buffer.published.listed(), gaps)

    def recall(self, memory: Memory, run: Run | None) -> None:
        """Remember what it did at rest; since then `run` has come out."""
        remembered = [gap for _, gap in gaps_of(self.epoch, memory.gaps)]
        self._ledger = Ledger(remembered, self._limits.remembered_gaps)
        self.buffer.recall(Fingerprints.of(self._limits.fingerprints, memory.prints), run)

    @property
    def just_reconnected(self) -> bool:
        """Whether a line was connected, and no ordinary frame has come since."""
        return self._repeats.just_reconnected(self.buffer.taken)

    # Looking in -----------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Frames held back or on probation."""
        return len(self.buffer.held) + self.doubtful

    @property
    def doubtful(self) -> int:
        """Frames on probation."""
        return len(self._repeats) + len(self._outliers)

    @property
    def doubtful_since(self) -> float:
        """Feed time at which the oldest frame on probation came; inf: there is none."""
        kinds = (self._repeats, self._outliers)
        return min((kind[kind.oldest].batch.now for kind in kinds if kind), default=math.inf)

    @property
    def full(self) -> bool:
        """Whether more is held than may be, even with nothing on probation."""
        buffer, limits = self.buffer, self._limits
        return len(buffer.held) > limits.capacity or buffer.size > limits.capacity_bytes

    @property
    def crowded(self) -> bool:
        """Whether more is held, or on probation, than may be."""
        size = self.buffer.size + self._repeats.size + self._outliers.size
        return self.held > self._limits.capacity or size > self._limits.capacity_bytes

    # Decisions ------------------------------------------------------------------------------

    def give_up(self, cause: Cause) -> None:
        """Give up the hole at `next`; there must be one."""
        self._ledger.append(self.buffer.give_up(cause))

    def settle_repeats(self) -> None:
        """Settle all repeats: they belong to no new numbering."""
        for seq in list(self._repeats):
            self._settle_repeat(seq)

    def close(self) -> list[tuple[int, Waiting]]:
        """Give up all that is missing, refuse the outliers, and hand over the repeats."""
        while self.buffer.held:
            self.give_up(Cause.RESET)
        for _, waiting in self._outliers.release_all():
            self._refuse(waiting)
        return self._repeats.release_all()

    # Ahead of `next` ------------------------------------------------------------------------

    def _ahead(self, seq: int, frame: bytes, batch: Batch, at: int, now: float) -> bool:
        buffer = self.buffer
        if seq in buffer.held or seq in self._outliers:
            self._repeated += 1
            self._fates.duplicates += 1
        elif seq > buffer.top and buffer.exceeds(seq, self._limits.max_jump):
            return self._suspect(seq, frame, batch, at, now)
        else:
            buffer.hold(seq, frame, batch)
        return False

    def _suspect(self, seq: int, frame: bytes, batch: Batch, at: int, now: float) -> bool:
        """Put an outlier on probation, and believe it with those that bear it out."""
        outliers, count = self._outliers, self.buffer.taken + self._repeated
        outliers.add(seq, frame, batch, at, count)
        if outliers.full:
            self._refuse(outliers.release(outliers.oldest))
        return self._believe(outliers.agreeing(seq, self._limits.max_jump, count), now)

    def _believe(self, ids: list[int], now: float) -> bool:
        """Take outliers for ordinary frames from `now` on; True as with `take`."""
        anew = False
        for other in ids:
            believed = self._outliers.release(other)
            self.buffer.believed_at = now
            if self.buffer.exceeds(other, self._limits.max_jump):
                self.buffer.hold(other, believed.frame, believed.batch)
            else:
                anew |= self.readmit(other, believed.frame, believed.batch, believed.at, now)
        return anew

    # Behind `next` --------------------------------------------------------------------------

    def _behind(self, seq: int, frame: bytes, batch: Batch, at: int) -> bool:
        self._repeated += 1
        if batch.replayed:
            self.buffer.came_again(batch)
            # That it comes again says nothing about the feed: it is read again after a crash.
            if self.buffer.published.get(seq) == fingerprint(frame):
                self._repeats.interrupted()
                self._fates.duplicates += 1
                return False
        if self.buffer.next - seq <= self._limits.max_jump and self._ledger.find(seq):
            self._count_late(seq, batch)
            return False
        if not self._limits.restarts:
            self._fates.duplicates += 1
            return False
        repeats = self._repeats
        # One that is too old must not be taken for the new numbering's.
        self._settle_due_repeats(batch.now)
        if seq in repeats:
            # Of the two, only the later one can belong to a new numbering.
            self._settle_repeat(seq)
        repeats.add(seq, frame, batch, at, self.buffer.taken)
        if repeats.full:
            self._settle_repeat(repeats.oldest)
        row = repeats.standing(seq)
        return bool(row) and self._judge(row, batch)

    def _judge(self, row: range, batch: Batch) -> bool:
        """Tell a new numbering (True) from a replay, which is settled."""
        repeats, published = self._repeats, self.buffer.published
        if repeats.is_new_numbering(row, published, self.buffer.next):
            proof = repeats.proof(row, published)
            # A former buffer did not find it in `batch`, or that would be published.
            if batch.replayed or not proof:
                return False
            self._settle_repeated(proof)
            return True
        # A replay says nothing about what differs elsewhere: that may begin a new numbering.
        for seq in list(repeats):
            if seq in row or repeats.same(seq, published):
                self._settle_repeat(seq)
        return False

    def _settle_repeated(self, proof: Collection[int] = ()) -> None:
        """Settle the repeats that are the very frames that came out, but for those in `proof`."""
        repeats, published = self._repeats, self.buffer.published
        for seq in list(repeats):
            if seq not in proof and repeats.same(seq, published):
                self._settle_repeat(seq)

    def _settle_repeat(self, seq: int) -> None:
        waiting = self._repeats.release(seq)
        if self._ledger.find(seq) is None:
            self._fates.duplicates += 1
        else:
            self._count_late(seq, waiting.batch)

    def _count_late(self, seq: int, batch: Batch) -> None:
        self._fates.late += 1
        if not batch.replayed:
            gap = self._ledger.count_late(seq)
            self._fates.amended[gap.epoch, gap.first] = gap
            if gap.opened is not None:
                self._timeout.observe(batch.now - gap.opened)

    # Probation ------------------------------------------------------------------------------

    def _refuse(self, waiting: Waiting) -> None:
        self._fates.outliers += 1
        self._fates.refused.append((waiting.frame, waiting.batch))

    def _settle_due_repeats(self, now: float) -> None:
        for seq in self._repeats.due(self.buffer.taken, now):
            self._settle_repeat(seq)

    def _end_probation(self, batch: Batch) -> bool:
        """Settle those for whom the time is up, or the room; True as with `take`."""
        self._settle_due_repeats(batch.now)
        anew = self._end_outliers(batch.now)
        while self.doubtful and self.crowded:
            self.relieve(batch)
        return anew or self._judge_silence(batch)

    def _end_outliers(self, now: float) -> bool:
        outliers, count = self._outliers, self.buffer.taken + self._repeated
        max_jump = self._limits.max_jump
        due = set(outliers.due(count, now))
        anew = self._believe(outliers.alone(max_jump, count, now), now)
        for seq in sorted(outliers):
            # The feed may have caught up with an outlier meanwhile, and thereby with the next.
            if not self.buffer.exceeds(seq, max_jump):
                anew |= self._believe([seq], now)
            elif seq in due:
                self._refuse(outliers.release(seq))
        return anew

    def _judge_silence(self, batch: Batch) -> bool:
        """Find the new numbering (True) of a feed that has sent but a few frames of it."""
        repeats, published = self._repeats, self.buffer.published
        # A former buffer did not find it in `batch`, or that would be published.
        for row in repeats.alone(self.buffer.taken, batch.now) if not batch.replayed else ():
            if repeats.is_new_numbering(row, published, self.buffer.next):
                proof = repeats.proof(row, published, min(len(row), MIN_SEQUENTIAL_SILENT))
                if proof:
                    self._settle_repeated(proof)
                    return True
        return False
