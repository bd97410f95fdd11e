"""A sink's position in a real server."""

from __future__ import annotations

import pytest

from chassis.lease import Lease
from chassis.redis import Link
from publisher.position import Position, Superseded
from relay import keys
from relay.entry import START


async def renumber(link: Link, incarnation: str) -> None:
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, incarnation)


async def test_begins_before_the_first_entry(link: Link, lease: Lease) -> None:
    """A new sink would miss what was there before it."""
    position = Position(link, "x", "x", "s", lease)
    assert await position.load()
    assert position.confirmed == START
    assert not await position.lost()


async def test_is_remembered(link: Link, lease: Lease) -> None:
    """A restarted publisher would send everything again, or skip something."""
    position = Position(link, "x", "x", "s", lease)
    await position.load()
    await position.save(b"1-7", 7)
    again = Position(link, "x", "x", "s", lease)
    assert await again.load()
    assert (again.confirmed, again.serial) == (b"1-7", 7)


async def test_a_numbering_that_was_lost(link: Link, lease: Lease) -> None:
    """After a loss of data, everything up to the old position would be withheld."""
    position = Position(link, "x", "x", "s", lease)
    await position.load()
    await position.save(b"1-7", 7)
    await renumber(link, "def")
    assert await position.lost()
    again = Position(link, "x", "x", "s", lease)
    assert not await again.load()
    assert again.confirmed == START
    await position.forget()
    assert await Position(link, "x", "x", "s", lease).load()


async def test_a_publisher_that_is_there_before_any_numbering(link: Link, lease: Lease) -> None:
    """It would take the first numbering for one that replaces what was lost, or never notice."""
    await link.send("DEL", keys.order("x"))
    position = Position(link, "x", "x", "s", lease)
    await position.load()
    assert not await position.lost()
    await renumber(link, "first")
    assert not await position.lost()
    await position.save(b"1-7", 7)
    assert await Position(link, "x", "x", "s", lease).load()
    await renumber(link, "second")
    assert await position.lost()
    assert not await Position(link, "x", "x", "s", lease).load()


async def test_a_numbering_that_went_back_with_the_clock(link: Link, lease: Lease) -> None:
    """What comes out of a Redis that went back, as did a clock, would be passed over."""
    position = Position(link, "x", "x", "s", lease)
    await position.load()
    await link.send("HSET", keys.order("x"), keys.ORDER_GENERATION, 9, keys.ORDER_SERIAL, 70)
    await position.save(b"9-70", 70)
    assert not await position.lost()
    assert await Position(link, "x", "x", "s", lease).load()
    await link.send("HSET", keys.order("x"), keys.ORDER_GENERATION, 8, keys.ORDER_SERIAL, 90)
    assert await position.lost()
    again = Position(link, "x", "x", "s", lease)
    assert not await again.load()
    assert again.confirmed == START


async def test_a_publisher_that_was_superseded(link: Link, lease: Lease) -> None:
    """One that wakes up late would move the position back, and all since would be sent again."""
    late = Position(link, "x", "x", "s", lease)
    await late.load()
    await late.save(b"1-7", 7)
    other = Lease(link, "x", "sink:s", "other", 60.0)
    await other.seize()
    position = Position(link, "x", "x", "s", other)
    await position.load()
    await position.save(b"1-1000", 1000)
    with pytest.raises(Superseded):
        await late.save(b"1-110", 110)
    # Also if it has the lease again meanwhile: what it knows is older than that.
    await other.release()
    assert await lease.acquire()
    with pytest.raises(Superseded):
        await late.save(b"1-110", 110)
    again = Position(link, "x", "x", "s", lease)
    await again.load()
    assert again.confirmed == b"1-1000"


async def test_a_server_that_is_full(link: Link, lease: Lease) -> None:
    """What is delivered could never be told, so nothing could be dropped to make room."""
    position = Position(link, "x", "x", "s", lease)
    await position.load()
    await link.send("CONFIG", "SET", "maxmemory", 1)
    try:
        await position.save(b"1-7", 7)
        assert await lease.acquire()
        await lease.release()
        assert await lease.acquire()
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)
    assert position.confirmed == b"1-7"
