"""The orderer's metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from chassis.metrics import SIZES, Histogram
from relay.messages import REASONS

from .runs import Cause

FATES = ("released", "duplicate", "late", "rejected")

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
NEXT = Gauge("orderer_next", "The id that is expected next", ["feed"])
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
        self.fates = {fate: FRAMES.labels(feed, fate) for fate in FATES}
        self.rejected = {reason: REJECTED.labels(feed, reason) for reason in REASONS}
        self.gaps = {cause: GAPS.labels(feed, cause.value) for cause in Cause}
        self.missing = {cause: MISSING.labels(feed, cause.value) for cause in Cause}
        self.epochs = EPOCHS.labels(feed)
        self.held = HELD.labels(feed)
        self.capacity = CAPACITY.labels(feed)
        self.open_gaps = OPEN_GAPS.labels(feed)
        self.oldest_gap = OLDEST_GAP.labels(feed)
        self.gap_timeout = GAP_TIMEOUT.labels(feed)
        self.in_time = LATE_ARRIVALS.labels(feed, "yes")
        self.too_late = LATE_ARRIVALS.labels(feed, "no")
        self.next = NEXT.labels(feed)
        self.lag = LAG.labels(feed)
        self.paused = PAUSED.labels(feed)
        self.progress = PROGRESS.labels(feed)
        self.data_loss = DATA_LOSS.labels(feed)
        self.lines = LINES.labels(feed)
        self.hold = HOLD.labels(feed)
        self.delay = DELAY.labels(feed)
        self.commit = COMMIT.labels(feed)
        self.run = RUN.labels(feed)
