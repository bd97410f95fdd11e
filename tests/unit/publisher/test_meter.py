"""What is counted and timed of the messages that go out."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import REGISTRY

from chassis import clock, logs
from publisher.meter import Meter
from publisher.metrics import SinkMetrics
from relay.ordered import Entry


class Time:
    """Stands where the time would."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "monotonic", time)
    monkeypatch.setattr(clock, "wall", time)
    monkeypatch.setattr(clock, "wall_us", lambda: int(time.now * 1e6))
    return time


@pytest.fixture
def sink(request: pytest.FixtureRequest) -> str:
    """Name a sink that no other test counts for."""
    return str(request.node.name)


def meter(sink: str) -> Meter:
    return Meter(SinkMetrics("meter", sink), logs.get("publisher"), sink)


def value(name: str, sink: str) -> float:
    found = REGISTRY.get_sample_value(f"publisher_{name}", {"feed": "meter", "sink": sink})
    assert found is not None
    return found


def entry(last: int, messages: int, times: bytes) -> Entry:
    return b"1-%d" % last, [b"t", times, *[b"1", b"x"] * messages]


def test_counts(time: Time, sink: str) -> None:
    """The dashboards would show another traffic than there is."""
    measured = meter(sink)
    assert value("messages_total", sink) == 0
    measured.count(3)
    time.now += 5
    measured.count(4)
    assert value("messages_total", sink) == 7
    assert value("batch_messages_count", sink) == 2
    assert value("last_sent_timestamp_seconds", sink) == 1005.0


def test_the_way_of_each_message(time: Time, sink: str) -> None:
    """Delays would be those of other messages, or be counted by entries."""
    measured = meter(sink)
    measured.observe([entry(3, 3, b"999000000 500000*2 0*1"), entry(4, 1, b"999750000")])
    assert value("relay_seconds_count", sink) == 4
    assert value("relay_seconds_sum", sink) == pytest.approx(2 * 0.5 + 1.0 + 0.25)


def test_a_clock_that_is_behind(time: Time, sink: str) -> None:
    """A message from the future would make a sum go down."""
    meter(sink).observe([entry(1, 2, b"1000500000")])
    assert value("relay_seconds_count", sink) == 2
    assert value("relay_seconds_sum", sink) == 0


def test_what_is_sent_again(time: Time, sink: str) -> None:
    """Repetitions would be taken for traffic, or traffic for repetitions."""
    measured = meter(sink)
    nine, ten = entry(9, 2, b"999000000"), entry(10, 1, b"999000000")
    measured.observe([nine, ten])
    assert value("resent_total", sink) == 0
    measured.observe([nine])
    measured.observe([ten, entry(11, 5, b"999000000")])
    assert value("resent_total", sink) == 3


def test_thousands(time: Time, sink: str, caplog: pytest.LogCaptureFixture) -> None:
    """The time taken per thousand messages would be wrong, or each thousand be logged."""
    caplog.set_level(logging.INFO)
    measured = meter(sink)
    for _ in range(3):
        measured.count(400)
        time.now += 0.3
    assert value("thousand_seconds_count", sink) == 1
    assert value("thousand_seconds_sum", sink) == pytest.approx(0.6 * 1000 / 1200)
    measured.count(800)
    assert value("thousand_seconds_count", sink) == 2
    assert [record.getMessage() for record in caplog.records] == ["messages sent"]
    time.now += 1
    measured.count(5000)
    assert value("thousand_seconds_count", sink) == 7
    assert len(caplog.records) == 2
