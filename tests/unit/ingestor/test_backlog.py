"""How many frames wait, counted from the entries they were written in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.backlog import Backlog, unsent


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


def test_what_is_written_adds_up_while_a_sink_is_in_an_older_epoch() -> None:
    """Epochs that a sink has not come to would not count, or still count when it is through."""
    backlog = Backlog()
    backlog.wrote(b"1-0", 5)
    backlog.sent(10, older=False)
    backlog.wrote(b"2-0", 5)
    backlog.seen(b"2-0")
    assert backlog.waiting == 10
    backlog.sent(1, older=True)
    assert backlog.waiting == 20
    backlog.wrote(b"3-0", 7)
    backlog.seen(b"3-0")
    backlog.sent(0, older=True)
    assert backlog.waiting == 27
    backlog.sent(3, older=False)
    assert backlog.waiting == 3


@pytest.mark.parametrize(
    ("epoch", "following", "after", "expected"),
    [
        (b"1", b"100", b"1-99", 0),
        (b"1", b"100", b"1-49", 50),
        (b"1", b"100", b"1-120", 0),
        (b"2", b"100", b"1-49", 0),
        (b"1", b"100", None, 0),
        (b"1", b"", b"1-49", 0),
        (b"12", b"%d" % 2**63, b"12-%d" % (2**63 - 11), 10),
    ],
)
def test_unsent(epoch: bytes, following: bytes, after: bytes | None, expected: int) -> None:
    """The feed would be held back by messages that are not there, or not at all."""
    assert unsent(epoch, following, after) == expected
