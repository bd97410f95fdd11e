"""What is measured of the messages that go out to one sink."""

from __future__ import annotations

import time

from chassis.logs import Log
from relay import ordered

from .entries import Entry
from .metrics import SinkMetrics
from .position import START, order


class Meter:
    """Counts and times the messages of one sink, over all its connections."""

    def __init__(self, metrics: SinkMetrics, log: Log, sink: str) -> None:
        """Begin to count for the sink called `sink`."""
        self._metrics = metrics
        self._log = log
        self._sink = sink
        self._thousand = (0, time.perf_counter())
        self._logged = 0.0
        self._highest = START

    def count(self, messages: int) -> None:
        """Count what was just written."""
        self._metrics.messages.inc(messages)
        self._metrics.batch.observe(messages)
        self._metrics.sent.set(time.time())
        self._count_thousands(messages)

    def observe(self, entries: list[Entry]) -> None:
        """Measure how long the way was of what was just written."""
        now = time.time_ns() // 1000
        metrics = self._metrics
        for entry, values in entries:
            count = len(values) // 2 - 1
            if order(entry) <= order(self._highest):
                metrics.resent.inc(count)
            for received, frames in ordered.times(values):
                metrics.relay.observe(max(0, now - received) / 1e6, frames)
        self._highest = max(self._highest, entries[-1][0], key=order)

    def _count_thousands(self, messages: int) -> None:
        """Measure the time taken per thousand messages; log it, once a second at most."""
        sent, began = self._thousand
        sent += messages
        now = time.perf_counter()
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
