"""Who is held back when too much waits."""

from __future__ import annotations

import math

from ingestor.pressure import GONE, Load

OWN = Load(0, 100, 0.0, 0, 1000, shared=False, aside=0, short=False)
SHARED = OWN._replace(shared=True, average=10.0)


def test_frames_are_counted_for_each_feed() -> None:
    """One feed's flood would fill Redis, or hold others back."""
    for load in (OWN, SHARED):
        assert not load._replace(frames=99).full(1.0)
        assert load._replace(frames=100).full(1.0)
        assert load._replace(frames=75).full(GONE)
        assert not load._replace(frames=74).full(GONE)


def test_an_own_lane_has_its_memory_for_itself() -> None:
    """A feed would take the memory of others, or not be read again until all of it has gone."""
    assert not OWN._replace(stored=999).full(1.0)
    assert OWN._replace(stored=1000).full(1.0)
    assert OWN._replace(stored=750).full(GONE)
    assert not OWN._replace(stored=749).full(GONE)


def test_who_sends_little_does_not_suffer_from_who_sends_much() -> None:
    """One flood would stop all feeds of its lane, or none of them be stopped however much waits."""
    assert SHARED._replace(stored=800, frames=11).full(1.0)
    assert not SHARED._replace(stored=800, frames=10).full(1.0)
    assert not SHARED._replace(stored=999, frames=0).full(1.0)
    assert SHARED._replace(stored=1000, frames=0).full(1.0)
    assert not SHARED._replace(stored=590, frames=99).full(1.0)


def test_who_has_much_set_aside_is_held_back_alone() -> None:
    """What endpoints that are away have not got would fill Redis, or stop all of the lane."""
    assert SHARED._replace(aside=200).full(1.0)
    assert not SHARED._replace(aside=199).full(1.0)
    assert SHARED._replace(aside=150).full(GONE)
    assert not SHARED._replace(aside=149).full(GONE)


def test_nobody_takes_the_last_memory() -> None:
    """Redis would be filled to the last byte by feeds that are each within their bounds."""
    for load in (OWN, SHARED):
        assert load._replace(short=True).full(1.0)
        assert load._replace(short=True).full(GONE)


def test_nobody_is_held_back_before_anything_is_known() -> None:
    """A feed would wait until Redis has been asked, though there is room."""
    for load in (OWN, SHARED):
        assert not load._replace(stored=10**12, room=math.inf).full(1.0)
