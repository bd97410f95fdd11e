"""The search for an epoch's first id."""

from __future__ import annotations

import math

import pytest

from orderer.reorder.joining import Joining
from orderer.reorder.limits import JOIN_RUN, JOIN_SECONDS, Limits
from orderer.reorder.outputs import Fates
from tests.support.reorder import FAR, batch, limits


def joining(allowed: Limits | None = None, believed_at: float = 0.0) -> Joining:
    """Begin to look for the first id."""
    return Joining(1, allowed or limits(), Fates(), believed_at)


def hold(made: Joining, *ids: int) -> list[bool]:
    """Have frames held; tells at which of them the search is over."""
    return [made.hold(seq, b"%d" % seq, batch(), at) for at, seq in enumerate(ids)]


def test_a_run_from_the_lowest_on() -> None:
    """A feed in order would wait for a second, or begin in the middle."""
    ids = [*range(11, 9 + JOIN_RUN), 10]
    assert hold(joining(), *ids) == [False] * (len(ids) - 1) + [False]
    made = joining()
    hold(made, *ids)
    assert hold(made, 9 + JOIN_RUN) == [True]
    assert made.first == 10


def test_nothing_is_below_zero() -> None:
    """A feed that begins with 0 would be held for no reason."""
    assert hold(joining(), 3, 1, 0) == [False, False, True]


@pytest.mark.parametrize(
    "allowed", [Limits(3, 2**63, FAR), Limits(FAR, 3 * len(b"100"), FAR)], ids=["frames", "bytes"]
)
def test_no_room(allowed: Limits) -> None:
    """Memory would be filled by a feed whose first id does not show."""
    assert hold(joining(allowed), 100, 200, 300, 400) == [False, False, False, True]


def test_deadline() -> None:
    """The first id would be fixed before its time, or never."""
    made = joining()
    assert made.deadline == math.inf
    made.hold(7, b"", batch(now=3.0), 0)
    made.hold(5, b"", batch(now=3.5), 0)
    assert made.deadline == 3.0 + JOIN_SECONDS
    made.believed_at = 9.0
    assert made.deadline == 9.0 + JOIN_SECONDS


def test_the_second_of_two() -> None:
    """A frame that comes twice would be held twice, or pin its entry for ever."""
    made, read = joining(), batch()
    assert not made.hold(7, b"first", read, 0)
    assert not made.hold(7, b"first", read, 1)
    assert (made.held, read.pins, made._fates.duplicates) == (1, 1, 1)
    assert made.contradiction is None
    assert made.release_all() == [(7, b"first", read, 0)]


def test_an_id_with_other_bytes() -> None:
    """A feed that begins anew within the first moments would lose its second numbering."""
    made, read = joining(), batch()
    assert not made.hold(7, b"first", read, 0)
    assert made.hold(7, b"second", read, 1)
    assert made.contradiction == (7, b"second", read, 1)
    assert made.release_all() == [(7, b"first", read, 0)]


def test_release_all() -> None:
    """Who came next to whom would be forgotten, or an entry stay pinned."""
    made, read = joining(), batch()
    for at, seq in enumerate((30, 10, 20)):
        made.hold(seq, b"%d" % seq, read, at)
    assert read.pins == 3
    assert [(seq, at) for seq, _, _, at in made.release_all()] == [(30, 0), (10, 1), (20, 2)]
    assert (read.pins, made.held) == (0, 0)


def test_leaves_the_rest() -> None:
    """The frames behind the one that ends the search would be lost."""
    rest = iter([(0, 5, b""), (1, 0, b""), (2, 1, b"")])
    made = joining()
    assert made.take(rest, batch())
    assert list(rest) == [(2, 1, b"")]
