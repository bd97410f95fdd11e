"""A sink's position in a real server."""

from __future__ import annotations

from chassis.redis import Link
from publisher.position import Position
from relay import keys
from relay.entry import START


async def renumber(link: Link, incarnation: str) -> None:
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, incarnation)


async def test_begins_before_the_first_entry(link: Link) -> None:
    """A new sink would miss what was there before it."""
    position = Position(link, "x", "s")
    assert await position.load()
    assert position.confirmed == START
    assert not await position.lost()


async def test_is_remembered(link: Link) -> None:
    """A restarted publisher would send everything again, or skip something."""
    position = Position(link, "x", "s")
    await position.load()
    await position.save(b"1-7")
    again = Position(link, "x", "s")
    assert await again.load()
    assert again.confirmed == b"1-7"


async def test_a_numbering_that_was_lost(link: Link) -> None:
    """After a loss of data, everything up to the old position would be withheld."""
    position = Position(link, "x", "s")
    await position.load()
    await position.save(b"1-7")
    await renumber(link, "def")
    assert await position.lost()
    again = Position(link, "x", "s")
    assert not await again.load()
    assert again.confirmed == START
    await position.forget()
    assert await Position(link, "x", "s").load()


async def test_a_publisher_that_is_there_before_any_numbering(link: Link) -> None:
    """It would take the first numbering for one that replaces what was lost, or never notice."""
    await link.send("DEL", keys.order("x"))
    position = Position(link, "x", "s")
    await position.load()
    assert not await position.lost()
    await renumber(link, "first")
    assert not await position.lost()
    await position.save(b"1-7")
    assert await Position(link, "x", "s").load()
    await renumber(link, "second")
    assert await position.lost()
    assert not await Position(link, "x", "s").load()
