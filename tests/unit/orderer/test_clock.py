"""Feed time goes by as the feed's connections count it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderer.clock import CONNECTIONS, LONGEST_STEP, FeedClock


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 3), st.floats(0, 0.4))
def test_never_ahead_of_listening(seed: int, lines: int, idle: float) -> None:
    """Time would go by while nobody listens, and gaps be given up that nobody could fill."""
    dice = random.Random(seed)
    clock = FeedClock()
    listening: dict[int, bytes] = {}
    counted: dict[bytes, float] = {}
    listened = 0.0
    for serial in range(200):
        for line in range(lines):
            if line not in listening and dice.random() < 0.3:
                listening[line] = b"%d.%d" % (line, serial)
                counted[listening[line]] = 0.0
                clock.entry(listening[line], 0.0)
            elif line in listening and dice.random() < 0.05:
                del listening[line]  # killed: says nothing
        step = dice.choice([0.05, 0.2, 0.9] + [7.0] * (dice.random() < idle))
        listened += step if listening else 0.0
        for connection in listening.values():
            counted[connection] += step
            if dice.random() < 0.8:
                before = clock.now
                assert before <= clock.entry(connection, counted[connection]) <= listened + 1e-6


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_lines_that_beat_keep_time(lines: int) -> None:
    """The more lines a feed has, the faster or slower its time would go by."""
    clock = FeedClock()
    for tenth in range(601):
        clock.entry(b"%d" % (tenth % lines), tenth / 10)
    assert clock.now == pytest.approx(60, abs=0.1 * lines)


def test_an_outage_counts_as_a_step() -> None:
    """A minute in which nobody could write or read would let every gap be given up."""
    clock = FeedClock()
    clock.entry(b"a", 10.0)
    assert clock.entry(b"a", 70.0) == LONGEST_STEP


def test_a_new_connection_brings_no_time() -> None:
    """What one connection has counted would be added to another one's."""
    clock = FeedClock()
    clock.entry(b"a", 100.0)
    clock.entry(b"a", 101.0)
    assert clock.entry(b"b", 5000.0) == 1.0
    assert clock.entry(b"b", 5000.5) == 1.5


def test_time_never_goes_back() -> None:
    """A connection whose count goes back would make gaps younger."""
    clock = FeedClock()
    clock.entry(b"a", 10.0)
    clock.entry(b"a", 11.0)
    assert clock.entry(b"a", 3.0) == 1.0


def test_ended_connections_are_forgotten() -> None:
    """A feed that connects anew every second would fill the orderer's memory."""
    clock = FeedClock()
    for serial in range(1000):
        clock.entry(b"%d" % serial, 0.0)
    assert len(clock._last) == CONNECTIONS
