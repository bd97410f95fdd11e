"""What is logged about one feed: with counts, and no more often than somebody can read. Pure."""

from __future__ import annotations

from collections import Counter

from chassis.logs import Log
from relay.messages import Reject

from .feed import Rejects
from .reorder.outputs import Gap

GAPS_EVERY = 1.0
"""Seconds between lines about gaps."""

REJECTS_EVERY = 60.0
"""Seconds between lines about rejected frames."""

USELESS = 10.0
"""Seconds after which it is told that nothing comes but what is dropped, and every minute then."""

SHOWN = 80
"""Bytes of a rejected frame that are shown."""


class Notices:
    """What is to be logged about one feed; `now` is in seconds, on a clock that never goes back."""

    def __init__(self, feed: str, log: Log) -> None:
        self._feed = feed
        self._log = log
        self._gaps: list[tuple[Gap, str]] = []
        self._gap_count = 0
        self._missing = 0
        self._gaps_told = self._rejects_told = self._useless_told = float("-inf")
        self._reasons: Counter[str] = Counter()
        self._reject: Reject | None = None
        self._useful: object = None
        self._dropped = self._dropped_before = 0
        self._useless_since: float | None = None

    def gap(self, gap: Gap, key: str = "") -> None:
        """Note a gap of a key that was given up."""
        # The first and the last of them tell where.
        self._gaps = [*self._gaps[:1], (gap, key)]
        self._gap_count += 1
        self._missing += gap.missing

    def rejected(self, rejects: Rejects) -> None:
        """Note frames that were not accepted."""
        self._reasons.update(rejects.reasons)
        if self._reject is None and rejects.kept:
            self._reject = rejects.kept[0]

    def look(self, now: float, useful: object, dropped: int) -> float:
        """Compare with the last look: `useful` changes with any frame that is of use.

        `dropped` counts the others. Returns for how many seconds nothing but those has come.
        """
        if useful != self._useful:
            self._useful, self._useless_since = useful, None
            self._dropped = self._dropped_before = dropped
        came, self._dropped = dropped > self._dropped, dropped
        if came and self._useless_since is None:
            self._useless_since = now
        seconds = 0.0 if self._useless_since is None else now - self._useless_since
        if came and seconds >= USELESS and now - self._useless_told >= REJECTS_EVERY:
            self._useless_told = now
            self._log.warning(
                "nothing comes but what is dropped", feed=self._feed, seconds=round(seconds),
                dropped=dropped - self._dropped_before,
            )  # fmt: skip
        return seconds

    @property
    def pending(self) -> bool:
        """Whether there is something to log."""
        return bool(self._gaps or self._reasons)

    def tell(self, now: float, *, all: bool = False) -> None:
        """Log what is due, or `all` there is."""
        if self._gaps and (all or now - self._gaps_told >= GAPS_EVERY):
            self._gaps_told = now
            self._tell_gaps()
        if self._reasons and (all or now - self._rejects_told >= REJECTS_EVERY):
            self._rejects_told = now
            self._tell_rejects()

    def _tell_gaps(self) -> None:
        (first, _), (last, key) = self._gaps[0], self._gaps[-1]
        several = {} if self._gap_count == 1 else {"gaps": self._gap_count, "ids": self._missing}
        self._log.warning(
            "gaps given up" if several else "gap given up", feed=self._feed, epoch=last.epoch,
            first=first.first, last=last.last, cause=last.cause.value, **several, **keyed(key),
        )  # fmt: skip
        self._gaps, self._gap_count, self._missing = [], 0, 0

    def _tell_rejects(self) -> None:
        # As an escaped literal: nobody knows what is in it.
        frame = repr(self._reject.frame[:SHOWN])[2:-1] if self._reject else ""
        self._log.warning(
            "frames rejected", feed=self._feed, frames=self._reasons.total(),
            reasons=reasons(self._reasons), frame=frame,
        )  # fmt: skip
        self._reasons.clear()
        self._reject = None


def keyed(key: str) -> dict[str, str]:
    """Name a key, if there is one."""
    return {"key": key} if key else {}


def reasons(counts: dict[str, int]) -> str:
    """Spell counts by reason: `4 json, 1 missing`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
