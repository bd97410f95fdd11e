"""Messages that name the one before."""

from __future__ import annotations

from orderer.reorder.chain import Chain
from orderer.reorder.limits import Limits, Order
from tests.support.orders import Played

LIMITS = Limits(100, 10_000, 1000, order=Order.CHAIN)


def test_ids_may_jump_go_back_and_stay() -> None:
    """Only what a message names says what it follows."""
    played = Played(Chain, LIMITS)
    played.send((100, -1), (170, 100), (40, 170), (40, 40), (41, 40), (39, 41))
    assert played.out == [b"100", b"170", b"40", b"41", b"39"]
    assert played.fates == (1, 0)  # word for word the same as the one before
    played.send((39, 39), text=" again")
    assert played.out[-1] == b"39 again"


def test_a_missing_link() -> None:
    """What follows it would be held for ever, or it go out behind that."""
    played = Played(Chain, LIMITS)
    played.send((1, None), (30, 20), (40, 30))
    played.send((20, 15), (35, 40))
    played.wait(1.1)
    assert played.out == [b"1", b"20", b"30", b"40", b"35"]
    assert played.gaps == [(1, 15)]
    played.send((8, 1), (15, 8))
    assert played.fates == (0, 2)
    played.wait(5)
    assert (len(played.out), len(played.gaps)) == (5, 1)


def test_what_names_none_begins_anew() -> None:
    """A snapshot would be taken for a message that is out of order; or its repeat begin anew."""
    played = Played(Chain, LIMITS)
    played.send((1, None), (2, 1))
    # Two of the new chain overtake its beginning, one of the old is behind a lost one.
    played.send((51, 50), (52, 51), (4, 3))
    played.send((50, -1))
    assert played.out == [b"1", b"2", b"4", b"50", b"51", b"52"]
    assert (played.gaps, played.epochs) == ([(2, 3)], 1)
    played.send((50, -1), (53, 52))
    assert (played.out[-1], played.epochs) == (b"53", 1)
    assert played.fates == (1, 0)


def test_a_chain_that_is_joined() -> None:
    """Where nothing says what is the beginning, it is what the others follow."""
    played = Played(Chain, LIMITS)
    played.send((7, 6), (5, 4), (6, 5))
    assert played.out == []
    played.wait(1.1)
    assert (played.out, played.gaps) == ([b"5", b"6", b"7"], [])


def test_a_ring_and_a_fork() -> None:
    """Messages that contradict each other would hang it, or be held for ever."""
    played = Played(Chain, LIMITS)
    played.send((1, None), (10, 11), (11, 10), (3, 2), (4, 2))
    for _ in range(4):
        played.wait(1.1)
    assert sorted(played.out) == sorted([b"1", b"10", b"11", b"3", b"4"])
    assert played.order.held == 0


def test_room() -> None:
    """What is held would take all memory."""
    played = Played(Chain, Limits(3, 10_000, 1000, order=Order.CHAIN), 3600)
    played.send((1, None), *((at, at - 1) for at in range(3, 6)))
    assert played.out == [b"1"]
    played.send((6, 5))
    assert len(played.out) == 5
