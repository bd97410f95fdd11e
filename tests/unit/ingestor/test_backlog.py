"""How many frames wait, counted from the entries they were written in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.backlog import Backlog


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2000)), max_size=40),
    st.lists(st.integers(0, 60), max_size=10),
)
def test_counts_what_was_not_read(batches: list[tuple[int, int]], looks: list[int]) -> None:
    """A feed would be held back for nothing, or Redis filled without bound."""
    backlog = Backlog()
    written: list[tuple[tuple[int, int], int]] = []
    milliseconds, serial = 9, 0
    for later, frames in batches:
        milliseconds, serial = (milliseconds + later, 0) if later else (milliseconds, serial + 1)
        backlog.wrote(b"%d-%d" % (milliseconds, serial), frames)
        written.append(((milliseconds, serial), frames))
    assert backlog.frames == backlog.unchecked == sum(frames for _, frames in written)
    upto = (0, 0)
    for look in sorted(looks):
        upto = (look, 1)
        backlog.seen(b"%d-1" % look)
        assert backlog.unchecked == 0
        assert backlog.frames == sum(frames for entry, frames in written if entry > upto)


def test_entries_are_compared_as_numbers() -> None:
    """At each further digit of the time, what was read would be taken for unread."""
    backlog = Backlog()
    backlog.wrote(b"9-0", 1)
    backlog.wrote(b"10-0", 2)
    backlog.wrote(b"10-9", 4)
    backlog.wrote(b"10-10", 8)
    backlog.seen(b"9")
    assert backlog.frames == 14
    backlog.seen(b"10-9")
    assert backlog.frames == 8
    backlog.seen(b"9-0")
    assert backlog.frames == 8


def test_waiting_is_both_sides_of_the_orderer() -> None:
    """A slow endpoint would fill Redis although the orderer keeps up."""
    backlog = Backlog()
    backlog.wrote(b"1-0", 5)
    backlog.unsent = 7
    assert backlog.waiting == 12
    backlog.seen(b"1-0")
    assert backlog.waiting == 7


def test_what_is_lost_does_not_wait() -> None:
    """After a loss of data the feed would be held back for ever, or no more at all."""
    assert Backlog().oldest is None
    backlog = Backlog()
    backlog.wrote(b"9-0", 0)
    for entry, frames in ((b"9-7", 1), (b"10-0", 2), (b"11-0", 4)):
        backlog.wrote(entry, frames)
    assert backlog.oldest == b"9-7"
    backlog.lost(b"9-7")
    assert backlog.waiting == 7
    backlog.lost(b"11-0")
    assert (backlog.waiting, backlog.oldest) == (4, b"11-0")
    backlog.lost(None)
    assert backlog.waiting == 0
