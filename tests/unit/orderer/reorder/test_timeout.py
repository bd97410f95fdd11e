"""What is learned from how late missing frames come."""

from __future__ import annotations

import math
import random

import pytest

from orderer.reorder.timeout import ENOUGH, INITIAL, LEAST, MOST, FixedTimeout, LearnedTimeout


@pytest.mark.parametrize("seconds", [0.001, 1.0, math.inf])
def test_fixed(seconds: float) -> None:
    """The operator's time-out would move."""
    timeout = FixedTimeout(seconds)
    for lateness in (0.0, 0.5, 50.0):
        timeout.observe(lateness)
    assert timeout.seconds == seconds
    assert timeout.never == (seconds == math.inf)
    assert timeout.in_time + timeout.too_late == 3


def test_share_caught() -> None:
    """The share of late frames that came in time would be a wrong one."""
    timeout = FixedTimeout(1.0)
    assert timeout.caught == 1.0
    for lateness in (0.5, 1.0, 1.5, 3.0):
        timeout.observe(lateness)
    assert (timeout.in_time, timeout.too_late, timeout.caught) == (2, 2, 0.5)


def test_begins_cautiously() -> None:
    """A few quick frames would be enough to stop waiting for slow ones."""
    timeout = LearnedTimeout()
    assert timeout.seconds == INITIAL
    for _ in range(ENOUGH - 1):
        timeout.observe(0.001)
    assert timeout.seconds == INITIAL
    timeout.observe(0.001)
    assert timeout.seconds == LEAST


@pytest.mark.parametrize("lateness", [1e6, -1e6])
def test_is_bounded(lateness: float) -> None:
    """Wild values would make it wait for ever, or not at all."""
    timeout = LearnedTimeout()
    for _ in range(1000):
        timeout.observe(lateness)
        assert LEAST <= timeout.seconds <= MOST
    if lateness > 0:
        assert timeout.seconds == MOST


@pytest.mark.parametrize("slow", [2.0, 5.0, 8.0])
def test_remembers_the_few_very_late(slow: float) -> None:
    """One frame in a hundred that is very late would be forgotten before the next."""
    timeout = LearnedTimeout()
    rng = random.Random(1)
    for _ in range(5000):
        timeout.observe(slow if rng.random() < 0.01 else rng.uniform(0, 0.01))
    late = timeout.too_late
    for _ in range(5000):
        timeout.observe(slow if rng.random() < 0.01 else rng.uniform(0, 0.01))
    assert timeout.too_late - late <= 5
    assert timeout.seconds >= slow


def test_recovers_from_an_outage() -> None:
    """One long delay would keep gaps open for long, for good."""
    timeout = LearnedTimeout()
    for _ in range(ENOUGH):
        timeout.observe(0.01)
    for _ in range(20):
        timeout.observe(30.0)
    assert timeout.seconds > 30
    for _ in range(5000):
        timeout.observe(0.01)
    assert timeout.seconds == LEAST


def test_is_in_time_by_the_time_out_in_force() -> None:
    """A frame would be judged by what was learned from it."""
    timeout = LearnedTimeout()
    timeout.observe(INITIAL + 0.1)
    assert (timeout.in_time, timeout.too_late) == (0, 1)
