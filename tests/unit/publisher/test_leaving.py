"""How long endpoints are waited for that are no longer in the file."""

from __future__ import annotations

from typing import Any

from publisher.leaving import Leaving, Stand
from relay.feeds import Peer

A, B = Peer("x", "a", "ws://a/"), Peer("x", "b", "ws://b/")
STILL = Stand({A: 5}, serial=5, seen=b"9-0", newest=b"9-0")


def removed(*peers: Peer, timeout: float = 60) -> Leaving:
    return Leaving(peers or (A,), timeout, removed=True)


def stand(**changes: Any) -> Stand:
    return STILL._replace(**changes)


def test_a_feed_that_is_at_its_end() -> None:
    """Its endpoint would be held on to for ever."""
    leaving = removed()
    assert leaving.look(STILL, 0) == {A: 0}
    assert leaving.peers == []


def test_what_came_out_is_waited_for() -> None:
    """What the endpoint had not confirmed would stay in Redis."""
    leaving = removed()
    assert leaving.look(stand(confirmed={A: 4}), 0) == {}
    assert leaving.look(STILL, 1) == {A: 0}


def test_what_is_held_back_is_waited_for() -> None:
    """Messages behind a gap would come out when nobody sends them any more."""
    leaving = removed()
    assert leaving.look(stand(waiting=True), 0) == {}
    for _ in range(100):
        assert leaving.look(stand(waiting=True), 60) == {}
    assert leaving.look(STILL, 1) == {A: 0}


def test_the_input_is_waited_for() -> None:
    """What an orderer that is away has not read would come out when nobody sends it any more."""
    leaving = removed()
    assert leaving.look(stand(seen=b"8-0"), 0) == {}
    assert leaving.look(stand(seen=b"8-0"), 1000) == {}
    # Others of the lane write on; what was there at first is what counts.
    assert leaving.look(stand(seen=b"9-1", newest=b"12-0"), 1) == {A: 0}


def test_a_line_is_waited_for_until_it_is_closed() -> None:
    """An ingestor that is told a moment later would bring what nobody sends any more."""
    leaving = removed()
    assert leaving.look(stand(connected=True), 0) == {}
    assert leaving.look(stand(connected=True, newest=b"10-0", seen=b"10-0"), 1) == {}
    assert leaving.look(STILL, 1) == {A: 0}


def test_a_line_of_which_nobody_says_that_it_is_closed() -> None:
    """After the death of an ingestor the endpoint would be held on to for ever."""
    leaving = removed()
    assert leaving.look(stand(connected=True), 0) == {}
    assert leaving.look(stand(connected=True), 50) == {}
    more = stand(connected=True, serial=6, confirmed={A: 6})
    assert leaving.look(more, 50) == {}  # it is alive
    assert leaving.look(more, 59) == {}
    assert leaving.look(more, 1) == {A: 0}


def test_an_endpoint_that_is_gone_for_good() -> None:
    """It would be called again and again until the next restart."""
    leaving = removed()
    behind = stand(confirmed={A: 2})
    assert leaving.look(behind, 0) == {}
    assert leaving.look(behind, 59) == {}
    assert leaving.look(stand(confirmed={A: 3}), 30) == {}  # it is not
    assert leaving.look(stand(confirmed={A: 3}), 59) == {}
    assert leaving.look(stand(confirmed={A: 3}), 1) == {A: 2}


def test_time_in_which_nothing_waits_does_not_count() -> None:
    """An endpoint would be given up as soon as something is given up after a long wait."""
    leaving = removed()
    for _ in range(3):
        assert leaving.look(stand(waiting=True), 60) == {}
    assert leaving.look(stand(serial=6), 60) == {}
    assert leaving.look(stand(serial=6, confirmed={A: 6}), 1) == {A: 0}


def test_the_endpoints_of_a_feed_go_together() -> None:
    """The connection of one would be broken when another is let go."""
    leaving = removed(A, B)
    assert leaving.look(stand(confirmed={A: 5, B: 1}), 0) == {}
    assert leaving.look(stand(confirmed={A: 5, B: 1}), 60) == {A: 0, B: 4}


def test_a_feed_that_stays() -> None:
    """A removed endpoint of a feed that flows on would get all of it, for ever."""
    leaving = Leaving([A, B], 60, removed=False)
    assert leaving.look(stand(serial=10, confirmed={A: 5, B: 7}, connected=True), 0) == {}
    assert leaving.look(stand(serial=20, confirmed={A: 11, B: 7}, connected=True), 1) == {A: 0}
    assert leaving.look(stand(serial=99, confirmed={B: 7}, connected=True), 60) == {B: 3}


def test_a_numbering_that_is_lost() -> None:
    """An endpoint would be waited for that nothing is left for."""
    leaving = Leaving([A], 60, removed=False)
    assert leaving.look(stand(serial=10), 0) == {}
    assert leaving.look(stand(serial=0, confirmed={}), 1) == {A: 0}


def test_nobody_is_waited_for() -> None:
    """Who wants endpoints to be left at once would have to wait."""
    leaving = removed(timeout=0)
    busy = stand(confirmed={A: 2}, waiting=True, connected=True)
    assert leaving.look(busy, 0) == {A: 3}
