"""One feed's state: entries of the input in, commits out. Pure: no clock, no Redis, no await."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relay import keys, raw
from relay.entry import START, position
from relay.messages import Reject, sequence_numbers

from .checkpoint import Checkpoint
from .clock import FeedClock
from .lines import Lines
from .reorder.fingerprints import Fingerprints
from .reorder.limits import Limits
from .reorder.outputs import Batch, Epoch, Gap, Joined, Origin, Output
from .reorder.reorder import Reorder
from .reorder.timeout import FixedTimeout, LearnedTimeout

PARK_AT_ONCE = 100
"""Rejected frames kept for inspection of any one commit; all are counted."""

SHOWN_GAPS = 20
"""Open gaps that the status names."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a feed is told."""

    limits: Limits
    id_field: str
    gap_timeout: float | None
    """Seconds; inf: wait for ever; None: learn it."""


@dataclass(frozen=True, slots=True)
class State:
    """What a feed resumes from."""

    epoch: int = 1
    next: int | None = None
    """The next id; None while the first one is looked for."""
    first: int = 0
    """First id of the epoch; 0 if it is not known."""
    raw: bytes = START
    """The checkpoint: the last entry that is settled together with all before it."""
    seen: bytes = START
    """The last entry whose frames have been counted."""
    origin: Origin | None = None
    """Which frames from the checkpoint on belong to the epoch; None: all."""
    lines: Sequence[str] = ()
    """The lines that were connected at `seen`."""
    gaps: Sequence[Gap] = ()
    """The epoch's last gaps that were given up, by ids."""
    published: Fingerprints | None = None
    """What the output holds of the epoch."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be written in one step, if the output still ends where this one begins."""

    feed: str
    outputs: Sequence[Output]
    amended: Sequence[Gap]
    """Gaps that were given up earlier and whose late frames have changed."""
    before: State
    """Where the output ends, and the checkpoint that is in force until the last step."""
    after: State


@dataclass(slots=True)
class Rejects:
    """Frames that were not accepted since the last commit."""

    kept: list[Reject] = field(default_factory=list)
    """The first of them, for inspection."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How many there were of each kind."""


class Feed:
    """One feed.

    Call `take_in(entries)`, then write what `commit()` returns, and begin anew with another
    `Feed` from what is stored if that is refused.
    """

    def __init__(self, name: str, state: State, options: Options) -> None:
        """Resume from `state`: the entries behind `cursor` follow."""
        self.name = name
        self.cursor = state.raw
        """The last entry that was taken in."""
        self.clock = FeedClock()
        self.lines = Lines(state.lines)
        self.timeout = (
            LearnedTimeout() if options.gap_timeout is None else FixedTimeout(options.gap_timeout)
        )
        self.reorder = Reorder(
            options.limits, self.timeout, epoch=state.epoch, next=state.next, first=state.first,
            given_up=state.gaps, published=state.published,
        )  # fmt: skip
        self.rejects = Rejects()
        """Emptied by whoever takes them."""
        self._options = options
        self._checkpoint = Checkpoint(state.raw)
        if state.next is None and options.limits.first_id is not None:
            state = replace(state, first=options.limits.first_id)
        self.committed = state
        """Where the last commit ends."""
        self._seen = state.seen
        self._origin = state.origin
        self._replaying = True

    # Entries in -----------------------------------------------------------------------------

    def take_in(self, entries: Iterable[raw.Entry]) -> None:
        """Take in the next entries of the input."""
        for entry in entries:
            self._take(entry)

    def _take(self, entry: raw.Entry) -> None:
        now = self.clock.entry(entry.connection, entry.listened)
        replayed = self._replaying and position(entry.id) <= position(self._seen)
        self._replaying = replayed
        batch = Batch(entry.id, entry.time, now, replayed)
        self._checkpoint.add(batch)
        origin, begun = self._origin, True
        places: Sequence[int] | None = None
        if origin is not None:
            begun = origin.precedes(entry.id)
            places = origin.places(entry.id, len(entry.frames))
        if entry.event or entry.frames:
            # An entry says what happened to its line before what its frames say.
            self._hear(entry, batch, origin is None or (begun and entry.id != origin.last.entry))
        if entry.frames:
            self._receive(entry, batch, places)
        if origin is not None and entry.id == origin.last.entry:
            self.reorder.began(now)
        if begun:
            self.reorder.expire(batch)
        self.cursor = entry.id
        if not replayed:
            self._seen = entry.id

    def _hear(self, entry: raw.Entry, batch: Batch, begun: bool) -> None:
        """Follow the lines; what was said before the epoch had begun means nothing to it."""
        try:
            line = entry.line.decode()
        except UnicodeDecodeError:
            if entry.event:  # not from an ingestor
                self._reject("json", raw.UNNAMED, entry.line + b" " + entry.event, batch)
            return
        if entry.connection == raw.UNNAMED:
            return
        self.lines.heard(line, entry.connection, entry.event)
        if not begun:
            return
        if entry.event == keys.CONNECTED:
            self.reorder.reconnected(batch.now, alone=self.lines.alone(line))
        elif entry.event == keys.DISCONNECTED and not self.lines.names:
            self.reorder.disconnected(batch.now)

    def _receive(self, entry: raw.Entry, batch: Batch, places: Sequence[int] | None) -> None:
        """Take in an entry's frames, or those at `places`."""
        frames = entry.frames
        if places is not None and len(places) < len(frames):
            frames = [frames[at] for at in places]
        else:
            places = None
        ids, bad = sequence_numbers(frames, self._options.id_field)
        if bad:
            for at, reason in bad:
                self._reject(reason, entry.line, frames[at], batch)
            without = {at for at, _ in bad}
            good = [at for at in range(len(frames)) if at not in without]
            frames = [frames[at] for at in good]
            places = good if places is None else [places[at] for at in good]
        self.reorder.take_in(batch, ids, frames, places)

    def _reject(self, reason: str, line: bytes, frame: bytes, batch: Batch) -> None:
        rejects = self.rejects
        rejects.reasons[reason] = rejects.reasons.get(reason, 0) + 1
        if not batch.replayed and len(rejects.kept) < PARK_AT_ONCE:
            rejects.kept.append(Reject(reason, line, frame))

    # Commits out ----------------------------------------------------------------------------

    def commit(self, *, checkpoint: bool = True) -> Commit | None:
        """Take what came out since the last call, with the checkpoint; None: nothing has changed.

        Without `checkpoint`, a checkpoint alone is no change that is worth a commit. The next one
        begins where this one ends, so this one must be written before it.
        """
        reorder, before = self.reorder, self.committed
        fates = reorder.fates
        for frame, batch in fates.refused:
            self._reject("stray", b"", frame, batch)
        fates.refused.clear()
        outputs = reorder.take()
        amended, fates.amended = fates.amended, {}
        if amended:
            # What was given up just now is written with the late frames that it has already.
            outputs = [
                amended.pop((item.epoch, item.first), item) if isinstance(item, Gap) else item
                for item in outputs
            ]
        settled = self._checkpoint.entry
        moved = checkpoint and (settled, self._seen) != (before.raw, before.seen)
        if not outputs and not amended and not moved:
            return None
        first = before.first
        for item in outputs:
            if isinstance(item, Epoch):
                self._origin, first = item.origin, item.next or 0
            elif isinstance(item, Joined):
                first = item.first
        if self._origin and position(settled) >= position(self._origin.last.entry):
            self._origin = None
        self.committed = State(
            reorder.epoch, reorder.next, first, settled, self._seen, self._origin, self.lines.names
        )
        return Commit(self.name, outputs, list(amended.values()), before, self.committed)

    # Looking in -----------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Tell what is in memory, for `python -m orderer status`."""
        reorder, timeout, now = self.reorder, self.timeout, self.clock.now
        gaps = reorder.gaps
        return {
            "held": reorder.held,
            "full": reorder.full,
            "timeout": None if timeout.seconds == math.inf else timeout.seconds,
            "caught": timeout.caught,
            "gaps": [
                {"first": gap.first, "last": gap.last, "age": round(now - gap.opened, 3)}
                for gap in gaps[:SHOWN_GAPS]
            ],
            "open_gaps": len(gaps),
        }
