"""What is measured of the messages that go out to one sink."""

from __future__ import annotations

from chassis import clock
from chassis.logs import Log
from relay import ordered
from relay.entry import START, position
from relay.ordered import Entry

from .metrics import SinkMetrics


class Meter:
    """Counts and times the messages of one sink, over all its connections."""

    def __init__(self, metrics: SinkMetrics, log: Log, sink: str) -> None:
        """Begin to count for the sink called `sink`."""
        self._metrics = metrics
        self._log = log
        self._sink = sink
        self._thousand = (0, clock.monotonic())
        self._logged = 0.0
        self._highest = position(START)

    def count(self, messages: int) -> None:
        """Count what was just written."""
        self._metrics.messages.inc(messages)
        self._metrics.batch.observe(messages)
        self._metrics.sent.set(clock.wall())
        self._count_thousands(messages)

    def observe(self, entries: list[Entry]) -> None:
        """Measure how long the way was of what was just written."""
        now = clock.wall_us()
        metrics = self._metrics
        for entry, values in entries:
            if position(entry) <= self._highest:
                metrics.resent.inc(ordered.count(values))
            for received, messages in ordered.times(values):
                metrics.relay.observe(max(0, now - received) / 1e6, messages)
        self._highest = max(self._highest, position(entries[-1][0]))

    def _count_thousands(self, messages: int) -> None:
        """Measure the time taken per thousand messages; log it, once a second at most."""
        sent, began = self._thousand
        sent += messages
        now = clock.monotonic()
        if sent >= 1000:
            seconds = (now - began) * 1000 / sent
            self._metrics.thousand.observe(seconds, sent // 1000)
            if now - self._logged >= 1:
                self._logged = now
                self._log.info(
                    "messages sent", sink=self._sink, messages=1000, seconds=round(seconds, 6)
                )
            sent, began = sent % 1000, now
        self._thousand = (sent, began)
