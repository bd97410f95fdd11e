"""The orderer's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from chassis import clock
from chassis.metrics import SIZES, Counter, Gauge, Histogram, Series
from relay import messages
from relay.frames import reader

from .feed import Feed
from .reorder.outputs import Batch, Cause, Epoch, Gap, Output, Run

FATES = ("released", "duplicate", "late", "rejected", "ignored")
"""What becomes of a frame; ignored: a feed's words say that it is no message."""

REASONS = dict.fromkeys(
    reason for reason in (*messages.REASONS, *reader.REASONS) if reason != reader.IGNORED
)

FRAMES = Counter("orderer_frames", "Frames settled, by what became of them", ["feed", "fate"])
REJECTED = Counter("orderer_rejected", "Frames that were not accepted", ["feed", "reason"])
GAPS = Counter("orderer_gaps", "Gaps given up", ["feed", "cause"])
MISSING = Counter("orderer_missing", "Ids given up", ["feed", "cause"])
EPOCHS = Counter("orderer_epochs", "New numberings recognised", ["feed"])
HELD = Gauge("orderer_held", "Messages held back now", ["feed"])
CAPACITY = Gauge("orderer_capacity", "Messages that may be held back", ["feed"])
OPEN_GAPS = Gauge("orderer_open_gaps", "Gaps that are waited for now", ["feed"])
OLDEST_GAP = Gauge(
    "orderer_oldest_gap_timestamp_seconds",
    "When the frame came that revealed the oldest open gap; 0 = no gap is open",
    ["feed"],
)
GAP_TIMEOUT = Gauge(
    "orderer_gap_timeout_seconds", "Time a missing id is waited for; +Inf = for ever", ["feed"]
)
LATE_ARRIVALS = Counter(
    "orderer_late_arrivals",
    "Missing frames that came after all, by whether they came within the time-out",
    ["feed", "in_time"],
)
NEXT = Gauge("orderer_next", "The id that is expected next; 0 with an order for each key", ["feed"])
LAG = Gauge("orderer_lag_seconds", "Age of the newest frame read, when more are waiting", ["feed"])
PAUSED = Gauge("orderer_paused", "1 while full and waiting for an operator, else 0", ["feed"])
PROGRESS = Gauge(
    "orderer_last_release_timestamp_seconds", "When something was last published", ["feed"]
)
DATA_LOSS = Counter("orderer_data_loss", "Times that Redis had lost the numbering", ["feed"])
LINES = Gauge("orderer_lines_connected", "Lines of the feed that are connected", ["feed"])
HOLD = Histogram("orderer_hold_seconds", "Time that held frames were held", ["feed"])
DELAY = Histogram(
    "orderer_delay_seconds", "Time from receiving a frame to publishing it in order", ["feed"]
)
COMMIT = Histogram("orderer_commit_seconds", "Time that a commit took", ["feed"])
RUN = Histogram("orderer_run_messages", "Messages in a run", ["feed"], SIZES)


class FeedMetrics:
    """The metrics of one feed, every series made at once so that it starts at 0."""

    def __init__(self, feed: str) -> None:
        series = self._series = Series(feed)
        self.fates = {fate: series.of(FRAMES, fate) for fate in FATES}
        self.rejected = {reason: series.of(REJECTED, reason) for reason in REASONS}
        self.gaps = {cause: series.of(GAPS, cause.value) for cause in Cause}
        self.missing = {cause: series.of(MISSING, cause.value) for cause in Cause}
        self.epochs = series.of(EPOCHS)
        self.held = series.of(HELD)
        self.capacity = series.of(CAPACITY)
        self.open_gaps = series.of(OPEN_GAPS)
        self.oldest_gap = series.of(OLDEST_GAP)
        self.gap_timeout = series.of(GAP_TIMEOUT)
        self.in_time = series.of(LATE_ARRIVALS, "yes")
        self.too_late = series.of(LATE_ARRIVALS, "no")
        self.next = series.of(NEXT)
        self.lag = series.of(LAG)
        self.paused = series.of(PAUSED)
        self.progress = series.of(PROGRESS)
        self.data_loss = series.of(DATA_LOSS)
        self.lines = series.of(LINES)
        self.hold = series.of(HOLD)
        self.delay = series.of(DELAY)
        self.commit = series.of(COMMIT)
        self.run = series.of(RUN)
        self._counted = [0, 0, 0, 0, 0]

    def observe(self, outputs: Iterable[Output], took: float) -> None:
        """Count and time what was committed just now, in `took` seconds."""
        self.commit.observe(took)
        now = clock.wall_us()
        released = 0
        for item in outputs:
            if isinstance(item, Run):
                released += len(item.frames)
                self.run.observe(len(item.frames))
                self._time(item.batches, now)
            elif isinstance(item, Gap):
                self.gaps[item.cause].inc()
                self.missing[item.cause].inc(item.missing)
            elif isinstance(item, Epoch):
                self.epochs.inc()
        if released:
            self.fates["released"].inc(released)
            self.progress.set(now / 1e6)

    def _time(self, batches: Sequence[Batch], now: int) -> None:
        """Time a run; a frame is free to go when the last of those before it has come."""
        freed = 0
        for batch, group in groupby(batches):
            count = len(list(group))
            freed = max(freed, batch.time)
            self.delay.observe(max(0, now - batch.time) / 1e6, count)
            if batch.time < freed:
                self.hold.observe((freed - batch.time) / 1e6, count)

    def reject(self, reasons: Mapping[str, int]) -> None:
        """Count rejected frames, by reason."""
        for reason, count in reasons.items():
            self.fates["rejected"].inc(count)
            self.rejected[reason].inc(count)

    def update(self, feed: Feed, lines: Sequence[str], halted: bool, lag: float) -> None:
        """Show what is in memory; it is so many seconds behind its input."""
        timeout = feed.timeout
        counters = (
            (self.fates["duplicate"], feed.duplicates),
            (self.fates["late"], feed.late),
            (self.fates["ignored"], feed.ignored.total()),
            (self.in_time, timeout.in_time),
            (self.too_late, timeout.too_late),
        )
        for at, (counter, value) in enumerate(counters):
            counter.inc(value - self._counted[at])
            self._counted[at] = value
        gaps = feed.gaps
        self.held.set(feed.held)
        self.open_gaps.set(len(gaps))
        self.oldest_gap.set(gaps[0][1].revealed_at / 1e6 if gaps else 0)
        self.gap_timeout.set(timeout.seconds)
        self.next.set(feed.next or 0)
        self.lines.set(len(lines))
        self.paused.set(halted)
        self.lag.set(lag)

    def idle(self) -> None:
        """Show that this instance no longer orders the feed, and in a while nothing of it."""
        for gauge in (
            self.held, self.open_gaps, self.oldest_gap, self.paused, self.lag, self.lines,
            self.gap_timeout,
        ):  # fmt: skip
            gauge.set(0)
        self._series.retire()
