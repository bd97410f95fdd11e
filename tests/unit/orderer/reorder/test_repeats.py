"""Which repeats are a replay, and which a new numbering."""

from __future__ import annotations

import pytest

from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import JOIN_SLACK, MAX_REPEATS, Limits
from orderer.reorder.repeats import Repeats
from relay import prints
from tests.support.reorder import FAR, batch, limits

SENT = [b"%d" % seq for seq in range(100)]


def published(first: int = 0) -> Fingerprints:
    """Make the fingerprints of 100 frames."""
    fingerprints = Fingerprints(1000)
    fingerprints.extend(first, prints.take(SENT))
    return fingerprints


def repeats(ids: str, *, first: int = 0, allowed: Limits | None = None) -> Repeats:
    """Make repeats from words: `3` is the same, `3'` is another, `|` an ordinary frame."""
    made, taken = Repeats(allowed or limits(), first), 0
    for word in ids.split():
        if word == "|":
            taken += 1
        else:
            made.add(int(word.rstrip("'")), word.encode(), batch(), 0, taken)
    return made


@pytest.mark.parametrize(
    ("ids", "last", "row"),
    [
        ("0 1 2 3", 3, range(0)),
        ("0 1 2 3 4", 4, range(5)),
        ("4 2 0 1 3", 3, range(5)),
        ("4 5 6 9 8 7", 7, range(4, 10)),
        ("0 2 4 6 8 10", 4, range(0)),
    ],
)
def test_standing(ids: str, last: int, row: range) -> None:
    """A single repeat would begin a numbering, or a row of them would not be seen."""
    assert repeats(ids).standing(last) == row


def test_fewer_are_enough_after_a_reconnect() -> None:
    """A feed that begins anew after a reconnect would be held back till it has sent five."""
    made = Repeats(limits(), 0)
    made.reconnected(7)
    made.add(0, b"0'", batch(), 0, 7)
    made.add(1, b"1'", batch(), 0, 7)
    assert made.standing(1) == range(2)
    made.add(5, b"5'", batch(), 0, 8)
    assert not made.standing(1)


def test_what_is_read_again_ends_the_time_after_a_reconnect() -> None:
    """After a crash, two repeats long after a reconnect would be taken for a new numbering."""
    made = Repeats(limits(), 0)
    made.reconnected(7)
    made.interrupted()
    made.add(0, b"0'", batch(), 0, 7)
    made.add(1, b"1'", batch(), 0, 7)
    assert not made.standing(1)


@pytest.mark.parametrize(
    ("ids", "anew"),
    [("0 1 2 3 4", False), ("0' 1' 2' 3' 4'", True), ("0 1 2 3' 4", True)],
)
def test_known(ids: str, anew: bool) -> None:
    """A replay would begin a numbering, or a new one would be dropped."""
    assert repeats(ids).is_new_numbering(range(5), published(), 100) == anew


@pytest.mark.parametrize(
    ("ids", "proof"),
    [
        ("0' 1' 2' 3' 4'", [0, 1, 2, 3, 4]),
        ("3' 1' 2 0' 4'", [3, 1, 2, 0, 4]),  # the same, after one that differs
        ("0 1' 2' 3' 4'", []),  # the beginning proves nothing
        ("0 1' 2' 3' 4' 5'", [0, 1, 2, 3, 4, 5]),
        ("0 | 1' 2' 3' 4' 5'", [1, 2, 3, 4, 5]),  # an old frame, repeated long before
        ("3 4 0' 1' 2'", []),
        ("5 0' 1' 2' 3' 4'", [0, 1, 2, 3, 4]),
        ("1' | 2' 3' | 4' 5'", [1, 2, 3, 4, 5]),  # stragglers of the old one between
    ],
)
def test_proof(ids: str, proof: list[int]) -> None:
    """Old frames would count as a new numbering's, or a new one lose some that look like old."""
    assert repeats(ids).proof(range(6), published()) == proof


@pytest.mark.parametrize(("next", "anew"), [(FAR + 4, False), (FAR + 5, True)])
@pytest.mark.parametrize("replayed", [False, True])
def test_unknown(next: int, anew: bool, replayed: bool) -> None:
    """A numbering would not be seen when the old one's beginning is forgotten, or by mistake."""
    made = Repeats(limits(), 0)
    for seq in range(5):
        made.add(seq, b"", batch(replayed=replayed and seq == 2), 0, 0)
    assert made.is_new_numbering(range(5), published(900), next) == (anew and not replayed)


def test_below_the_first_id() -> None:
    """A numbering that begins below where we joined, or never can begin, would be misjudged."""
    first, far = JOIN_SLACK + 5, Limits(FAR, 2**63, 10 * FAR)
    for joined, anew in ((first, True), (first - 1, False)):
        made = repeats("0 1 2 3 4", first=joined, allowed=far)
        assert made.is_new_numbering(range(5), published(joined), joined + 100) == anew
    told = repeats("0 1 2 3 4", first=10**6, allowed=limits(10**6))
    assert not told.is_new_numbering(range(5), published(10**6), 10**6 + 100)


def test_full() -> None:
    """The repeats on probation would grow without bound."""
    made = Repeats(limits(), 0)
    for seq in range(0, 2 * MAX_REPEATS, 2):
        made.add(seq, b"", batch(), 0, 0)
    assert not made.full
    made.add(2 * MAX_REPEATS, b"", batch(), 0, 0)
    assert made.full
