"""The reordering buffer proper: one numbering's frames from `next` on, each held or missing.

Below `next` everything is decided. The one invariant is:

    `next` is never held; and every missing id below the highest held one lies in exactly one
    open gap.

A frame above all others seen opens a gap, so gaps come into being in the order of their ids and
of their age, and a plain list holds them in both (gaps.py). `next` always waits in the first of
them; what it waits for is the *hole* from `next` to the next held frame.

A hole is overdue `timeout` seconds after both its neighbours, the frame below and the one above,
have come. (The neighbour below counts because of frames that run far ahead: as long as the hole's
lower edge advances, the feed is still down there.) A frame that came earlier than it was believed
counts from then on: while it was on probation, nobody waited for those below it.

Cost: O(1) amortised for a frame, however many are held; one that lands inside a gap also pays a
binary search over the open gaps and a push onto that gap's heap, both in C.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from relay.prints import CODE, take

from .fingerprints import Fingerprints
from .gaps import Open, OpenGaps
from .outputs import Batch, Cause, Gap, Output, Run
from .timeout import FixedTimeout

_NONE = array(CODE)


class Buffer:
    """The frames of one numbering."""

    __slots__ = (
        "_edge", "_gaps", "_out", "_published", "_skipped", "_timeout", "believed_at",
        "epoch", "held", "next", "run", "size", "top",
    )  # fmt: skip

    def __init__(
        self, epoch: int, first: int, timeout: FixedTimeout, published: Fingerprints,
        believed_at: float,
    ) -> None:  # fmt: skip
        """Set up an empty buffer that goes on at `first`; `published` is of what came before."""
        self.epoch = epoch
        self.next = first
        """The lowest id that has not been decided."""
        self.held: dict[int, tuple[bytes, Batch]] = {}
        self.size = 0
        """Bytes of the held frames."""
        self.believed_at = believed_at
        """Feed time at which frames were last believed that had waited for it."""
        self._edge = 0.0  # feed time at which the frame below `next` came, while frames are held
        self._timeout = timeout
        self._published = published
        self.top = first - 1
        """The highest id seen."""
        self._skipped = 0
        self._gaps = OpenGaps()
        self._out: list[Output] = []
        self._start_run()

    # Frames in ------------------------------------------------------------------------------

    def extend(self, ids: list[int], frames: Sequence[bytes], batch: Batch) -> bool:
        """Take in all frames of an entry in one go, if they just go on; tells whether it did."""
        if self.held or not ids or ids[0] != self.next:
            return False
        first, count = ids[0], len(ids)
        # Most that are not in order show it in the middle; comparing all costs more.
        middle = count // 2
        if count > 1 and (
            ids[middle] != first + middle or ids != list(range(first, first + count))
        ):
            return False
        self.run.frames += frames
        self.run.batches += [batch] * count
        self.next = first + count
        return True

    def recall(self, published: Fingerprints, run: Run | None) -> None:
        """Remember what came out before it was at rest; since then `run` has come, if any."""
        self._published = published
        if run is not None:
            self.run = run
            self.next = run.first + len(run.frames)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is held, and all that came out was taken."""
        return not (self.held or self.run.frames or self._out)

    def release(self, frame: bytes, batch: Batch) -> None:
        """Take in the frame that `next` waits for, and release what follows it."""
        self.run.frames.append(frame)
        self.run.batches.append(batch)
        self.next += 1
        if self.held:
            self.close_up(batch)

    def close_up(self, batch: Batch) -> None:
        """Go on after a released frame of `batch` while others are held."""
        self._timeout.observe(batch.now - self._gaps.oldest.opened)
        self._edge = batch.now
        if self.next in self.held:
            self._release_from(self.next)

    def hold(self, seq: int, frame: bytes, batch: Batch) -> None:
        """Take in a frame above `next` that is not held yet."""
        self.held[seq] = (frame, batch)
        self.size += len(frame)
        batch.pins += 1
        top = self.top
        if seq > top:
            self.top = seq
            lowest = top + 1 if top >= self.next else self.next
            if seq > lowest:
                opened = max(batch.now, self.believed_at)
                # While the frame was not believed, nobody knew of the gap.
                revealed_at = batch.time + round((opened - batch.now) * 1e6)
                self._gaps.open(lowest, seq, opened, revealed_at)
        else:
            gap = self._gaps.around(seq)
            gap.fill(seq)
            self._timeout.observe(batch.now - gap.opened)

    def began(self, now: float) -> None:
        """Note, reading again, that the frames so far were believed at this feed time."""
        self.believed_at = now
        self._gaps.began(now)

    def came_again(self, batch: Batch) -> None:
        """Note that a frame below `next` is being read again, as after a crash.

        The hole's lower edge is then as old as it was.
        """
        self._edge = batch.now

    def give_up(self, cause: Cause) -> Gap:
        """Settle the hole at `next` as given up, and release what follows; there must be one."""
        self._note()
        gap = self._gaps.oldest
        above = gap.next_held(self.next)
        closed = Gap(self.epoch, self.next, above - 1, gap.opened, gap.revealed_at, cause)
        if self.run.frames:
            self._out.append(self.run)
        self._out.append(closed)
        self._skipped += above - self.next
        self.next = above
        self._start_run()
        self._release_from(above)
        return closed

    def _release_from(self, seq: int) -> None:
        """Release the held frames from `seq` on up to the next hole, which becomes `next`."""
        release, note, pop = self.run.frames.append, self.run.batches.append, self.held.pop
        size, last = 0, None
        while (item := pop(seq, None)) is not None:
            frame, last = item
            release(frame)
            note(last)
            last.pins -= 1
            size += len(frame)
            seq += 1
        if last is not None:
            self.size -= size
            self._edge = last.now
        self.next = seq
        self._gaps.passed(seq)

    # Looking in, results out ----------------------------------------------------------------

    @property
    def taken(self) -> int:
        """A number that grows by one with every frame that is released or held anew."""
        return self.next - self._skipped + len(self.held)

    def exceeds(self, seq: int, distance: int) -> bool:
        """Tell whether `seq` lies more than `distance` above everything seen."""
        return seq - self.top > distance and seq - self.next >= distance

    @property
    def deadline(self) -> float:
        """Feed time at which the hole at `next` is overdue; inf: never, or there is none."""
        if not self.held:
            return math.inf
        _, above = self.held[self._gaps.oldest.next_held(self.next)]
        return max(self._edge, above.now, self.believed_at) + self._timeout.seconds

    @property
    def gaps(self) -> list[Open]:
        """Open gaps, oldest first."""
        return self._gaps.listed(self.next) if self.held else []

    @property
    def published(self) -> Fingerprints:
        """The fingerprints of all that came out, also since the last `take()`."""
        self._note()
        return self._published

    def take(self) -> list[Output]:
        """Take what came out since the last call, in order."""
        run = self.run
        if not run.frames:
            out, self._out = self._out, []
            return out
        self._note()
        self._start_run()
        if not self._out:
            return [run]
        out, self._out = [*self._out, run], []
        return out

    def _start_run(self) -> None:
        self.run = Run(self.epoch, self.next, [], [], _NONE)

    def _note(self) -> None:
        """Take the fingerprints of what came out since the last call."""
        run = self.run
        noted = len(run.prints)
        if len(run.frames) > noted:
            fresh = take(run.frames[noted:] if noted else run.frames)
            self._published.extend(run.first + noted, fresh)
            run.prints = run.prints + fresh if noted else fresh
