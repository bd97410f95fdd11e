"""The core as its caller sees it: entries in, outputs out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from . import limits as constants
from .fingerprints import Fingerprints
from .gaps import Open
from .joining import Joining
from .ledger import Ledger
from .limits import Limits
from .memory import Memory
from .numbering import Numbering
from .outputs import (
    Batch,
    Cause,
    Epoch,
    Fates,
    Gap,
    Joined,
    Origin,
    Output,
    Place,
    Run,
)
from .timeout import FixedTimeout


class Reorder:
    """The reordering of one sequence.

    Call `take_in(batch, ids, frames)` and `expire(batch)` for each entry of the input, then
    `take()` what came out. `fates` and `timeout` may be read.
    """

    def __init__(
        self, limits: Limits, timeout: FixedTimeout, *, epoch: int = 1, next: int | None = None,
        first: int = 0, given_up: Iterable[Gap] = (), published: Fingerprints | None = None,
    ) -> None:  # fmt: skip
        """Set up an empty buffer, or resume: `epoch` that began with `first` goes on at `next`.

        `given_up` are that epoch's last gaps, by ids, and `published` is what it has put out.
        """
        self.limits = limits
        self.timeout = timeout
        self.fates = Fates()
        self._out: list[Output] = []
        self._phase: Joining | Numbering
        if next is None:
            self._phase = self._begin(epoch, 0.0)
        else:
            ledger = self._ledger(epoch, first, given_up)
            published = published or Fingerprints(limits.fingerprints)
            published.bound(limits.fingerprints)
            self._phase = Numbering(
                epoch, next, limits, timeout, self.fates, ledger,
                published, first=first,
            )  # fmt: skip

    # Entries in -----------------------------------------------------------------------------

    def take_in(
        self, batch: Batch, ids: list[Any], frames: Sequence[bytes],
        places: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """Take in an entry's frames, whose ids are 0 … 2^63−1.

        `places` tells which frames of the entry they are, if not all.
        """
        phase = self._phase
        if isinstance(phase, Numbering) and phase.buffer.extend(ids, frames, batch):
            return
        rest = zip(range(len(ids)) if places is None else places, ids, frames)  # noqa: B905
        # One entry may hold the last frames of one phase and the first of the next.
        while self._phase.take(rest, batch):
            self._next_phase(batch)

    def expire(self, batch: Batch) -> None:
        """Finish an entry: settle what nobody confirmed, give up what is due at its time."""
        phase = self._phase
        if isinstance(phase, Joining):
            if phase.deadline > batch.now:
                return
            phase = self._found_first(phase, batch.now)
        if phase.expire(batch):
            self._next_phase(batch)
            self.expire(batch)

    def relieve(self, batch: Batch) -> bool:
        """Settle something at `batch`, for want of room; tells whether there was anything."""
        if isinstance(self._phase, Numbering):
            return self._phase.relieve(batch)
        waits = self._phase.since is not None
        self.disconnected(batch.now)
        return waits

    def began(self, now: float) -> None:
        """Note, reading again, that the epoch was found at this feed time to have begun."""
        if isinstance(self._phase, Joining):
            self._phase.believed_at = now
        else:
            self._phase.buffer.began(now)

    # Lines, operators -----------------------------------------------------------------------

    def disconnected(self, now: float) -> None:
        """Note that nobody listens to the feed: a first id that is looked for has come."""
        if isinstance(self._phase, Joining) and self._phase.since is not None:
            self._found_first(self._phase, now)

    def reconnected(self, now: float, *, alone: bool = True) -> None:
        """Note that a line was connected, `alone` or not."""
        if alone:
            self.disconnected(now)
        if isinstance(self._phase, Numbering):
            self._phase.reconnected()

    def skip(self, now: float) -> bool:
        """Give up the hole at `next`, for an operator; tell whether there was one."""
        if isinstance(self._phase, Joining):
            found = self._phase.since is not None
            self.disconnected(now)
            return found
        if not self._phase.buffer.held:
            return False
        self._phase.give_up(Cause.OPERATOR)
        return True

    def reset(self, now: float) -> None:
        """Close this numbering and begin a new one, for an operator."""
        phase = self._phase
        if isinstance(phase, Joining):
            phase = self._found_first(phase, now)
        phase.settle_repeats()
        self._restart(phase, None, now)

    def restart(self, at: Place, now: float) -> None:
        """Close this numbering and begin a new one behind a place in the input: the feed says so.

        Whoever reads it again, in the new epoch, must not do it again.
        """
        phase = self._phase
        if isinstance(phase, Joining):
            phase = self._found_first(phase, now)
        phase.settle_repeats()
        self._restart(phase, at, now)

    # At rest --------------------------------------------------------------------------------

    def rest(self, *, replaying: bool) -> Memory | None:
        """Tell what it remembers, if it is at rest."""
        phase = self._phase
        if self._out or self.fates.refused or self.fates.amended:
            return None
        if isinstance(phase, Joining):
            return None if phase.since is not None else Memory([], [])
        return phase.rest()

    def recall(self, memory: Memory, run: Run | None = None) -> None:
        """Remember what it did at rest, where it stood as now; since then `run` has come out."""
        if isinstance(self._phase, Numbering):
            self._phase.recall(memory, run)

    @property
    def just_reconnected(self) -> bool:
        """Whether a line was connected, and no ordinary frame has come since."""
        return isinstance(self._phase, Numbering) and self._phase.just_reconnected

    # Looking in, results out ----------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self._phase.epoch

    @property
    def next(self) -> int | None:
        """The lowest id that has not been decided; None while the first id is looked for."""
        return self._phase.buffer.next if isinstance(self._phase, Numbering) else None

    @property
    def last(self) -> None:
        """Nothing: where ids are dense, `next` says it all."""

    @property
    def held(self) -> int:
        """Frames held back or on probation."""
        return self._phase.held

    def repeats(self, frame: bytes) -> bool:
        """Tell nothing: what begins anew is what says so."""
        return False

    @property
    def untouched(self) -> bool:
        """Whether nothing has come yet in this epoch."""
        return not self.held and self.next in (None, self.limits.first_id)

    @property
    def doubtful(self) -> int:
        """Frames on probation."""
        return self._phase.doubtful if isinstance(self._phase, Numbering) else 0

    @property
    def doubtful_since(self) -> float:
        """Feed time at which the oldest of them came; inf: there is none."""
        phase = self._phase
        return phase.doubtful_since if isinstance(phase, Numbering) else math.inf

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        phase = self._phase
        return self.timeout.never and isinstance(phase, Numbering) and phase.full

    @property
    def deadline(self) -> float:
        """Feed time of an entry that would end the search, or give up a gap; inf: no such time."""
        phase = self._phase
        return phase.deadline if isinstance(phase, Joining) else phase.buffer.deadline

    @property
    def gaps(self) -> list[Open]:
        """Open gaps, oldest first."""
        return self._phase.buffer.gaps if isinstance(self._phase, Numbering) else []

    def take(self) -> list[Output]:
        """Take what came out since the last call, in order."""
        if isinstance(self._phase, Joining):
            out, self._out = self._out, []
            return out
        published = self._phase.buffer.take()
        if not self._out:
            return published
        out, self._out = self._out, []
        return out + published

    # From phase to phase --------------------------------------------------------------------

    def _next_phase(self, batch: Batch) -> None:
        """Go on to the next phase: the present one's end has come."""
        phase = self._phase
        if isinstance(phase, Joining):
            self._found_first(phase, batch.now)
        else:
            self._restart(phase, phase.proven_at, batch.now)

    def _begin(self, epoch: int, now: float) -> Joining | Numbering:
        first = self.limits.first_id
        if first is None:
            return Joining(epoch, self.limits, self.fates, now)
        return self._numbering(epoch, first, self._ledger(epoch, first), now)

    def _found_first(self, joining: Joining, now: float) -> Numbering:
        """Begin with the lowest id seen; what was held comes in again, as it came."""
        first = joining.first
        ledger = self._ledger(
            joining.epoch, first, since=joining.since, believed_at=joining.believed_at
        )
        phase = self._numbering(joining.epoch, first, ledger, joining.believed_at)
        self._phase = phase
        self._out.append(Joined(joining.epoch, first))
        for seq, frame, batch, at in joining.release_all():
            phase.readmit(seq, frame, batch, at, now)
        if joining.contradiction is not None:
            phase.readmit(*joining.contradiction, now)
        return phase

    def _restart(self, closing: Numbering, at: Place | None, now: float) -> None:
        """Close this epoch `at` a place in the input, begin the next, take the repeats into it."""
        carried = closing.close()
        self._out += closing.buffer.take()
        phase = self._phase = self._begin(closing.epoch + 1, now)
        places = frozenset(Place(waiting.batch.entry, waiting.at) for _, waiting in carried)
        self._out.append(Epoch(phase.epoch, self.next, Origin(at, places) if at else None))
        for seq, waiting in carried:
            frame, batch, place = waiting.frame, waiting.batch, waiting.at
            if isinstance(phase, Joining):
                if phase.hold(seq, frame, batch, place):
                    phase = self._found_first(phase, now)
            else:
                phase.readmit(seq, frame, batch, place, now)

    def _ledger(
        self, epoch: int, first: int, given_up: Iterable[Gap] = (), since: Batch | None = None,
        believed_at: float = 0.0,
    ) -> Ledger:  # fmt: skip
        """Frames just below the first id, or all below a configured one, count as late."""
        ledger = Ledger(given_up, self.limits.remembered_gaps)
        if first > 0:
            lowest = max(0, first - constants.JOIN_SLACK) if self.limits.first_id is None else 0
            ledger.begin(epoch, lowest, first - 1, since, believed_at)
        return ledger

    def _numbering(self, epoch: int, first: int, ledger: Ledger, now: float) -> Numbering:
        return Numbering(
            epoch, first, self.limits, self.timeout, self.fates, ledger,
            Fingerprints(self.limits.fingerprints), first=first, believed_at=now,
        )  # fmt: skip
