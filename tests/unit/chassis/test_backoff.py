"""Pauses between attempts: jittered, capped, and forgotten only after a healthy period."""

from __future__ import annotations

import pytest

from chassis.backoff import Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_doubles_up_to_the_cap(jitter: float, share: float) -> None:
    """A peer that is away would be hammered, or hardly ever tried again."""
    backoff = Backoff(0.1, 1.0, jitter=lambda: jitter)
    delays = [backoff.delay() for _ in range(6)]
    assert delays == pytest.approx([share * pause for pause in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0)])


def test_thousands_of_attempts() -> None:
    """A long outage would end in an overflow."""
    backoff = Backoff(0.1, 10.0, jitter=lambda: 1.0)
    assert [backoff.delay() for _ in range(5000)][-1] == 10.0


def test_is_spread() -> None:
    """All clients of a server would come back at the same moment."""
    delays = {Backoff(1.0, 1.0).delay() for _ in range(100)}
    assert len(delays) > 90
    assert all(0.5 <= delay <= 1.0 for delay in delays)


def test_a_short_success_is_none() -> None:
    """A peer that accepts and drops would be connected to as fast as it drops."""
    clock = Clock()
    backoff = Backoff(0.1, 10.0, healthy=5.0, now=clock, jitter=lambda: 1.0)
    for pause in (0.1, 0.2, 0.4, 0.8):
        assert backoff.delay() == pytest.approx(pause)
        backoff.succeeded()
        clock.now += 4.9


def test_a_healthy_period_counts() -> None:
    """After days without trouble, the first reconnection would come late."""
    clock = Clock()
    backoff = Backoff(0.1, 10.0, healthy=5.0, now=clock, jitter=lambda: 1.0)
    for _ in range(5):
        backoff.delay()
    backoff.succeeded()
    clock.now += 3
    backoff.succeeded()
    clock.now += 2
    assert backoff.delay() == pytest.approx(0.1)
    assert backoff.delay() == pytest.approx(0.2)


def test_time_without_success_is_not_healthy() -> None:
    """Attempts that take long to fail would look like a healthy period."""
    clock = Clock()
    backoff = Backoff(0.1, 10.0, healthy=5.0, now=clock, jitter=lambda: 1.0)
    backoff.succeeded()
    assert backoff.delay() == pytest.approx(0.1)
    clock.now += 60
    assert backoff.delay() == pytest.approx(0.2)
