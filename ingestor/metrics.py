"""The ingestor's metrics."""

from __future__ import annotations

from chassis.metrics import SIZES, Counter, Gauge, Histogram, Series

LABELS = ["feed", "line"]
ENDINGS = ("closed", "dropped", "refused", "idle", "stopped")
"""Why a connection ended: closed by the peer with 1000 or 1001; dropped: any other end; refused:
there never was one; idle: nothing was heard; stopped: by us."""

FRAMES = Counter("ingestor_frames", "Frames received and written to Redis", LABELS)
BYTES = Counter("ingestor_bytes", "Bytes in those frames", LABELS)
REJECTED = Counter("ingestor_rejected", "Frames that were not accepted", [*LABELS, "reason"])
CONNECTED = Gauge("ingestor_connected", "1 while the line is connected, else 0", LABELS)
ENDED = Counter("ingestor_disconnects", "Connections that ended, by how", [*LABELS, "ending"])
REFUSALS = Gauge(
    "ingestor_refusals",
    "How often in a row the feed has said no, each time for a longer pause; 0 = it did not",
    LABELS,
)
PAUSED = Gauge(
    "ingestor_paused", "1 while the feed is not read because the backlog is full", LABELS
)
BACKLOG = Gauge(
    "ingestor_backlog",
    "Frames in Redis that the orderer has not read or the slowest sink has not confirmed",
    LABELS,
)
HEARD = Gauge(
    "ingestor_last_frame_timestamp_seconds", "When the last frame came; 0 = none yet", LABELS
)
BATCH = Histogram("ingestor_batch_messages", "Frames in a batch", LABELS, SIZES)
WRITE = Histogram("ingestor_write_seconds", "Time that writing a batch took", LABELS)


class LineMetrics:
    """The metrics of one line, every series made at once so that it starts at 0."""

    def __init__(self, feed: str, line: str) -> None:
        series = self._series = Series(feed, line)
        self.frames = series.of(FRAMES)
        self.bytes = series.of(BYTES)
        self.oversized = series.of(REJECTED, "oversized")
        self.connected = series.of(CONNECTED)
        self.ended = {ending: series.of(ENDED, ending) for ending in ENDINGS}
        self.refusals = series.of(REFUSALS)
        self.paused = series.of(PAUSED)
        self.backlog = series.of(BACKLOG)
        self.heard = series.of(HEARD)
        self.batch = series.of(BATCH)
        self.write = series.of(WRITE)

    def retire(self) -> None:
        """Show them no more, in a while."""
        self._series.retire()
