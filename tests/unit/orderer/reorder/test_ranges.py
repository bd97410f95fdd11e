"""Messages that cover ids."""

from __future__ import annotations

from orderer.reorder.limits import Limits, Order
from orderer.reorder.ranges import Ranges
from tests.support.orders import Played

LIMITS = Limits(100, 10_000, 1000, 1, order=Order.RANGES)


def test_what_overlaps_follows() -> None:
    """A message that repeats a part would be held for ever, or dropped with what is new in it."""
    played = Played(Ranges, LIMITS)
    played.send((5, 1), (8, 4), (20, 15), (12, 9), (15, 10))
    assert played.out == [b"5", b"8", b"12", b"15", b"20"]


def test_what_is_given_up_and_comes_late() -> None:
    """It would go out behind what came after it, or count as a repeat."""
    played = Played(Ranges, LIMITS)
    played.send((5, 1), (12, 9))
    played.wait(0.9)
    assert played.out == [b"5"]
    played.wait(0.2)
    assert (played.out, played.gaps) == ([b"5", b"12"], [(6, 8)])
    played.send((8, 6), (5, 1))
    played.send((15, 13))
    assert played.out == [b"5", b"12", b"15"]
    assert played.fates == (1, 1)


def test_ids_that_grow_by_ten() -> None:
    """Each would seem to lack nine before it, or one that is lost be none."""
    played = Played(Ranges, Limits(100, 10_000, 1000, 10, order=Order.RANGES, step=10))
    played.send((10, None), (30, None), (20, None), (50, None))
    played.wait(2)
    assert played.out == [b"10", b"20", b"30", b"50"]
    assert played.gaps == [(40, 40)]


def test_the_lowest_is_the_beginning() -> None:
    """The first to come would be the first to go out, and what is before it lost."""
    played = Played(Ranges, Limits(100, 10_000, 1000, order=Order.RANGES))
    played.send((900, 890), (889, 880))
    assert played.out == []
    played.wait(1.1)
    assert (played.out, played.gaps) == ([b"889", b"900"], [])


def test_room() -> None:
    """What is held would take all memory."""
    played = Played(Ranges, Limits(3, 10_000, 1000, 1, order=Order.RANGES), 3600)
    played.send((2, 2), (4, 4), (6, 6))
    assert played.out == []
    played.send((8, 8))
    assert (played.out, played.gaps) == ([b"2"], [(1, 1)])
    played = Played(Ranges, Limits(100, 7, 1000, 1, order=Order.RANGES), 3600)
    played.send((2, 2), text="12345")
    played.send((4, 4), text="12345")
    assert played.out == [b"212345"]


def test_a_new_numbering() -> None:
    """All of it would count as repeats; or repeats would begin one."""
    played = Played(Ranges, LIMITS)
    played.send(*((at, at) for at in range(1, 50)))
    played.send(*((at, at) for at in range(10, 20)))
    assert played.epochs == 0
    played.send(*((at, at) for at in range(1, 10)), text=" anew")
    assert played.epochs == 1
    assert played.out[49:] == [b"%d anew" % at for at in range(1, 10)]
    never = Played(Ranges, Limits(100, 10_000, 1000, 1, order=Order.RANGES, restarts=False))
    never.send(*((at, at) for at in range(1, 50)))
    never.send(*((at, at) for at in range(1, 10)), text=" anew")
    assert (never.epochs, len(never.out)) == (0, 49)
