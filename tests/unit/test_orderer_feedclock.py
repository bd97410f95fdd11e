"""The clock that gaps are timed by: it runs only while a missing frame may arrive."""

from __future__ import annotations

import pytest

from orderer.feedclock import LONGEST_STEP, FeedClock


def entry(seconds: float) -> bytes:
    return b"%d-0" % round(1_000_000 + 1000 * seconds)


def test_follows_the_input() -> None:
    """Gaps in a backlog would be timed by how fast it is read."""
    clock = FeedClock()
    assert clock.entry(entry(10.0), 0.0) == 0
    assert clock.entry(entry(10.2), 0.0) == pytest.approx(0.2)
    assert clock.entry(entry(10.9), 500.0) == pytest.approx(0.9)
    assert clock.entry(entry(10.9), 500.0) == pytest.approx(0.9)


def test_never_goes_back() -> None:
    """A Redis whose clock was set back would open gaps in the future, or count time twice."""
    clock = FeedClock()
    clock.entry(entry(10.0), 0.0)
    clock.entry(entry(10.5), 0.0)
    assert clock.entry(entry(10.2), 0.0) == pytest.approx(0.5)
    assert clock.entry(entry(10.5), 0.0) == pytest.approx(0.5)
    assert clock.entry(entry(10.6), 0.0) == pytest.approx(0.6)


def test_leaps_are_cut_short() -> None:
    """A night without Redis would make all gaps overdue at the first entry."""
    clock = FeedClock()
    clock.entry(entry(0.0), 0.0)
    assert clock.entry(entry(10_000.0), 0.0) == LONGEST_STEP


def test_runs_on_in_silence() -> None:
    """A feed that falls silent would never have its gaps given up."""
    clock = FeedClock()
    clock.entry(entry(0.0), 100.0)
    assert clock.idle(100.5) == pytest.approx(0.5)
    assert clock.idle(101.3) == pytest.approx(1.3)
    assert clock.idle(102.6) == pytest.approx(2.6)


def test_a_suspended_process_does_not_leap() -> None:
    """After SIGSTOP and SIGCONT all gaps would be overdue."""
    clock = FeedClock()
    clock.entry(entry(0.0), 100.0)
    assert clock.idle(10_000.0) <= 2 * LONGEST_STEP


def test_silence_does_not_count_twice() -> None:
    """Time that went by in silence would be counted again with the next entry."""
    clock = FeedClock()
    clock.entry(entry(0.0), 100.0)
    clock.idle(100.4)
    clock.idle(100.8)
    assert clock.entry(entry(0.9), 100.9) == pytest.approx(0.9)
    assert clock.idle(101.0) == pytest.approx(1.0)
    assert clock.entry(entry(0.95), 101.1) == pytest.approx(1.0)


def test_idle_before_the_first_entry() -> None:
    """Waiting for a feed to begin would count as feed time twice, or fail."""
    clock = FeedClock()
    assert clock.idle(50.0) == 0
    assert clock.idle(50.5) == pytest.approx(0.5)
    assert clock.entry(entry(7.0), 51.0) == pytest.approx(0.5)


def test_stands_still_while_disconnected() -> None:
    """Frames that could not arrive would be given up."""
    clock = FeedClock(["a"])
    clock.entry(entry(0.0), 0.0)
    clock.disconnected("a")
    assert not clock.running
    assert clock.idle(0.7) == 0
    assert clock.idle(1.4) == 0
    assert clock.entry(entry(2.0), 2.0) == 0
    clock.connected("a")
    assert clock.entry(entry(2.25), 2.25) == pytest.approx(0.25)
    assert clock.idle(2.5) == pytest.approx(0.5)


def test_runs_while_any_line_is_connected() -> None:
    """The loss of one of two lines would stop the clock, or its return start it twice."""
    clock = FeedClock([])
    running = [clock.running]
    clock.connected("a")
    clock.connected("b")
    clock.disconnected("a")
    clock.disconnected("never heard of")
    running.append(clock.running)
    clock.disconnected("b")
    running.append(clock.running)
    assert running == [False, True, False]


def test_runs_as_long_as_nobody_tells() -> None:
    """An input written by something that notes no connections would never be timed."""
    clock = FeedClock(None)
    clock.entry(entry(0.0), 0.0)
    assert clock.idle(0.5) == pytest.approx(0.5)
    clock.disconnected("a")
    assert not clock.running


def test_stands_still_while_interrupted() -> None:
    """Time in which Redis was away would count against the missing frames."""
    clock = FeedClock()
    clock.entry(entry(0.0), 0.0)
    clock.interrupted()
    assert clock.idle(0.9) == 0
    assert clock.idle(1.0) == pytest.approx(0.1)
    clock.interrupted()
    clock.interrupted()
    assert clock.idle(1.9) == pytest.approx(0.1)
    # What is read first was written in the outage, or after it.
    assert clock.entry(entry(5.0), 1.9) <= 0.1 + LONGEST_STEP
