"""How long a connection has been listened to, and when to say that nothing comes."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.listening import LATEST, SHARE, SOON, Listening
from orderer.clock import LONGEST_STEP


def beats(silence: float) -> list[float]:
    """List when signs of life are due in a silence after one frame at 0."""
    listening = Listening(0.0)
    listening.entry(0.0, frames=True)
    times = []
    while listening.due < silence:
        times.append(listening.due)
        listening.entry(listening.due, frames=False)
    return times


def test_the_rhythm() -> None:
    """The orderer would learn too late that nothing comes, or a silent feed would cost too much."""
    times = beats(60)
    assert times[0] == SOON
    for before, after in pairwise(times):
        assert after - before == pytest.approx(min(LATEST, max(SOON, before / SHARE)))
    assert times[-1] - times[-2] == pytest.approx(LATEST)
    assert len(beats(1)) < 12


def test_a_living_line_is_never_silent_for_a_longest_step() -> None:
    """Time in which somebody listened would not count."""
    assert 2 * LATEST <= LONGEST_STEP


def test_counts_what_passes() -> None:
    """Gaps would be given up too early or too late."""
    listening = Listening(100.0)
    assert listening.entry(100.0, frames=False) == 0.0
    assert listening.entry(100.05, frames=True) == pytest.approx(0.05)
    assert listening.entry(100.1, frames=True) == pytest.approx(0.1)
    assert listening.entry(100.2, frames=False) == pytest.approx(0.2)


@pytest.mark.parametrize("stall", [0.2, 5.0, 3600.0])
def test_a_stall_counts_no_more_than_was_due(stall: float) -> None:
    """What came while the process was stopped would be written after its gap was given up."""
    listening = Listening(0.0)
    listening.entry(0.05, frames=True)
    assert listening.entry(0.05 + stall, frames=True) == pytest.approx(0.05 + SOON)


def test_a_pause_does_not_count() -> None:
    """What waits at the feed while it is held back would count as missing."""
    listening = Listening(0.0)
    before = listening.entry(0.1, frames=True)
    listening.hold_back()
    assert listening.due == math.inf
    listening.go_on(500.0)
    assert listening.entry(500.0, frames=False) == before
    assert listening.due == 500.0 + SOON
    assert listening.entry(500.05, frames=True) == pytest.approx(before + 0.05)


def test_what_was_not_written_does_not_count() -> None:
    """Each sign of life that Redis did not take would count although nothing could be written."""
    listening = Listening(0.0)
    before = listening.entry(0.1, frames=True)
    for tenth in range(2, 50):
        listening.entry(tenth / 10, frames=False)
        listening.take_back()
    assert listening.entry(5.0, frames=True) <= before + LATEST


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_never_more_than_has_passed(seed: int) -> None:
    """Time would go by faster than it does."""
    dice = random.Random(seed)
    listening, now, last = Listening(0.0), 0.0, 0.0
    for _ in range(100):
        now += dice.choice([0.0, 0.001, 0.1, 0.9, 7.0])
        match dice.randrange(6):
            case 0:
                listening.hold_back()
            case 1:
                listening.go_on(now)
            case _:
                listened = listening.entry(now, frames=dice.random() < 0.5)
                assert last <= listened <= now + 1e-9
                last = listened
                assert listening.due > now


def test_time_goes_on_where_no_sign_is_needed() -> None:
    """A gap would be waited for anew from when somebody first asks for signs of life."""
    told, untold = Listening(0.0), Listening(0.0)
    for listening in (told, untold):
        listening.entry(0.0, frames=True)
    for quarter in range(1, 200):
        told.entry(quarter / 4, frames=False)
        untold.pass_by(quarter / 4)
    assert untold.entry(50.0, frames=False) == told.entry(50.0, frames=False)
    assert untold.silence(50.0) == 50.0


@pytest.mark.parametrize("stall", [5.0, 3600.0])
def test_a_stall_without_signs_counts_no_more(stall: float) -> None:
    """What came while the process was stopped would be written after its gap was given up."""
    listening = Listening(0.0)
    listening.entry(0.0, frames=True)
    for quarter in range(1, 41):
        listening.pass_by(quarter / 4)
    before = listening.entry(10.0, frames=False)
    listening.pass_by(10.0 + stall)
    assert listening.entry(10.0 + stall, frames=True) <= before + LATEST
