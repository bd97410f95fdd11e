"""Ids with holes."""

from __future__ import annotations

import math

from orderer.reorder.limits import Limits, Order
from orderer.reorder.sparse import Sparse
from tests.support.orders import Played

LIMITS = Limits(100, 10_000, 1000, order=Order.SPARSE, restarts=False)


def numbers(*ids: int) -> list[tuple[int, None]]:
    return [(id, None) for id in ids]


def test_each_waits_a_while() -> None:
    """One that is overtaken would be late, or what nobody overtakes never go out."""
    played = Played(Sparse, LIMITS)
    played.send(*numbers(50, 10))
    played.wait(0.9)
    played.send(*numbers(30, 70))
    assert played.out == []
    played.wait(0.2)
    assert played.out == [b"10", b"30", b"50"]
    assert played.order.deadline < math.inf
    played.wait(1)
    assert played.out[3:] == [b"70"]
    assert played.gaps == []


def test_equal_ids() -> None:
    """Two messages with one id would be one, or a repeat be two."""
    played = Played(Sparse, LIMITS)
    played.send(*numbers(7, 7))
    played.send(*numbers(7), text=" other")
    played.wait(1.1)
    assert played.out == [b"7", b"7 other"]
    played.send(*numbers(7))
    played.send(*numbers(7), text=" third")
    played.wait(1.1)
    assert played.out == [b"7", b"7 other", b"7 third"]
    assert played.fates == (2, 0)


def test_what_comes_late() -> None:
    """It would go out behind what is above it."""
    played = Played(Sparse, LIMITS)
    played.send(*numbers(10, 20))
    played.wait(1.1)
    played.send(*numbers(15, 10))
    played.wait(1.1)
    assert played.out == [b"10", b"20"]
    assert played.fates == (1, 1)


def test_room() -> None:
    """What is held would take all memory."""
    played = Played(Sparse, Limits(3, 10_000, 1000, order=Order.SPARSE), 3600)
    played.send(*numbers(40, 10, 20))
    assert played.out == []
    played.send(*numbers(30))
    assert played.out == [b"10", b"20", b"30", b"40"]


def test_a_new_numbering() -> None:
    """After a night, all of a new day's numbers would be late."""
    played = Played(Sparse, Limits(100, 10_000, 1000, order=Order.SPARSE))
    played.send(*numbers(*range(1000, 1050)))
    played.wait(1.1)
    played.send(*numbers(3, 5, 9, 12, 20, 21))
    played.wait(1.1)
    assert played.epochs == 1
    assert played.out[50:] == [b"3", b"5", b"9", b"12", b"20", b"21"]
