"""The delays as the demo reads and draws them."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from chassis.metrics import Histogram
from standalone import histogram

ROWS = [(0.001, 0), (0.0015, 1), (0.5, 0), (1.0, 8000), (2.5, 0), (math.inf, 0)]


def test_what_the_service_counts_is_what_is_read() -> None:
    """Bars would be of another metric, or grow from bucket to bucket as Prometheus counts."""
    registry = CollectorRegistry()
    for name, value in (("delay_seconds", 0.002), ("delay_seconds_else", 7.0)):
        Histogram(name, "-", buckets=(0.001, 0.5), registry=registry).labels().observe(value, 3)
    read = histogram.read(generate_latest(registry).decode(), "delay_seconds")
    assert read == [(0.001, 0), (0.5, 3), (math.inf, 0)]
    assert histogram.since([], read) == read
    assert histogram.total(histogram.since(read, read)) == 0
    assert histogram.read("", "delay_seconds") == []


def test_quantiles() -> None:
    """The plot would show delays that nobody had."""
    rows = [(0.0, 0), (1.0, 50), (2.0, 50), (math.inf, 0)]
    assert histogram.quantile(rows, 0.5) == 1.0
    assert histogram.quantile(rows, 0.75) == pytest.approx(1.5)
    assert histogram.quantile([(1.0, 0), (math.inf, 3)], 0.99) == 1.0


def test_bars() -> None:
    """A rare delay would leave no trace, or an empty end fill the terminal."""
    assert histogram.bars(ROWS) == [
        "  up to  1.5 ms    ▏ 1",
        "  up to  500 ms     0",
        "  up to     1 s    " + "█" * 40 + " 8 000",
    ]
    assert histogram.bars([]) == histogram.bars([(1.0, 0)]) == []
