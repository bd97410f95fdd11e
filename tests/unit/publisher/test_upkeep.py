"""What is done for a sink once a second, with a real server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from chassis import clock, logs
from chassis.lease import Lease
from chassis.redis import Link
from publisher.metrics import SinkMetrics
from publisher.position import Position
from publisher.upkeep import Lost, Upkeep
from relay import entry, keys
from relay.allowance import KEPT, RELAY, Allowance


async def publish(link: Link, first: int, last: int) -> None:
    """Append entries of one message each, ids `first` to `last`."""
    await link.send_all(
        [
            ("XADD", keys.ordered("x"), f"1-{seq}", "t", 1000 + seq, seq, "frame")
            for seq in range(first, last + 1)
        ]
    )


async def upkeep(
    link: Link, retain: int = 100, *, sink: str = "s", others: Sequence[str] = ()
) -> tuple[Position, Upkeep]:
    lease = Lease(link, "x", f"sink:{sink}", "me", 60.0)
    await lease.seize()
    position = Position(link, "x", "x", sink, lease)
    allowance = Allowance(link, logs.get("example"))
    return position, Upkeep(
        link, "x", "x", position, lease, others, retain, allowance, SinkMetrics("x", sink)
    )


async def kept(link: Link) -> list[int]:
    found = await link.send("XRANGE", keys.ordered("x"), "-", "+")
    return [entry.position(name)[1] for name, _ in found]


async def test_looking_around_finds_a_loss(link: Link) -> None:
    """The messages of a new numbering would be withheld until a restart."""
    _, looking = await upkeep(link)
    assert await looking.load()
    await looking.advance(b"1-7", 7, 7, 7)
    await looking.look()
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, "def")
    with pytest.raises(Lost):
        await looking.look()
    _, again = await upkeep(link)
    assert await again.load()


async def test_the_lag(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lag would be that of another message."""
    monkeypatch.setattr(clock, "wall", lambda: 1.0)

    async def lag() -> float | None:
        await looking.look()
        return REGISTRY.get_sample_value("publisher_lag_seconds", {"feed": "x", "sink": "s"})

    _, looking = await upkeep(link)
    await looking.load()
    assert await lag() == 0
    await publish(link, 1, 3)
    assert await lag() == pytest.approx(1 - 0.001001)
    await looking.advance(b"1-2", 2, 2, 2)
    assert await lag() == pytest.approx(1 - 0.001003)
    await looking.advance(b"1-3", 3, 1, 1)
    assert await lag() == 0


@pytest.mark.parametrize("retain", [0, 10, 640])
async def test_keeps_what_it_should(retain: int, link: Link) -> None:
    """Messages would be gone before they are confirmed or kept for ever."""
    _, looking = await upkeep(link, retain)
    await looking.load()
    await publish(link, 1, 2000)
    for seq in range(5, 1501, 5):
        await looking.advance(b"1-%d" % seq, seq, 5, 5)
        if seq % 100 == 0:
            await looking.look()
            behind = seq - (await kept(link))[0] + 1
            assert behind >= min(seq, retain)
            assert behind <= retain + 2 * max(5, retain // 64 + 5)
    assert len(await kept(link)) >= 500
    assert await link.send("HGET", keys.confirmed("x"), "x") == b"1500"


async def test_what_is_kept_is_counted_at_start(link: Link) -> None:
    """A publisher that is restarted often would never trim."""
    await publish(link, 1, 2000)
    position, _ = await upkeep(link)
    await position.load()
    await position.save(b"1-1500", 1500)
    _, looking = await upkeep(link, 100)
    await looking.load()
    await looking.look()
    assert await kept(link) == list(range(1400, 2001))


@pytest.mark.parametrize("other", [b"1-20", None])
async def test_waits_for_the_slowest(other: bytes | None, link: Link) -> None:
    """A slow sink, or one that has never been connected, would lose messages."""
    await publish(link, 1, 100)
    slow, at_slow = await upkeep(link, 0, sink="slow", others=["s"])
    await slow.load()
    if other is not None:
        await slow.save(other, 20)
    _, looking = await upkeep(link, 0, others=["slow"])
    await looking.load()
    await looking.advance(b"1-100", 100, 100, 100)
    await looking.look()
    assert len(await kept(link)) == 100
    assert await link.send("HGET", keys.confirmed("x"), "x") is None
    await at_slow.load()
    await at_slow.look()
    assert (await kept(link))[0] == (20 if other else 1)
    assert await link.send("HGET", keys.confirmed("x"), "x") == (b"20" if other else b"0")


async def test_trims_a_server_that_is_full(link: Link) -> None:
    """A Redis that is full of confirmed messages would stay full for ever."""
    await publish(link, 1, 100)
    _, looking = await upkeep(link, 0)
    await looking.load()
    await looking.advance(b"1-100", 100, 100, 100)
    await link.send("CONFIG", "SET", "maxmemory", 1)
    try:
        await looking.look()
        assert await kept(link) == [100]
        assert await link.send("HGET", keys.confirmed("x"), "x") == b"100"
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)


async def test_keeps_no_more_bytes_than_are_allowed(link: Link) -> None:
    """Large messages that are delivered would fill Redis, however few of them are to be kept."""
    await publish(link, 1, 100)
    await link.send("CONFIG", "SET", "maxmemory", 100 * 2**20)
    try:
        _, looking = await upkeep(link, 1000)
        await looking.load()
        for seq in range(1, 101):
            await looking.advance(b"1-%d" % seq, seq, 1, 2**20)
        await looking.look()
        allowed = 100 * RELAY * KEPT
        assert 100 - allowed - 2 <= (await kept(link))[0] <= 100 - allowed + 2
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)


async def test_keeps_nothing_while_memory_is_short(link: Link) -> None:
    """What nobody needs any more would stand in the way of what is yet to be delivered."""
    await publish(link, 1, 100)
    await link.send("SET", "another's", b"x" * 9 * 2**20)
    await link.send("CONFIG", "SET", "maxmemory", 10 * 2**20)
    try:
        _, looking = await upkeep(link, 1000)
        await looking.load()
        await looking.advance(b"1-50", 50, 50, 500_000)
        await looking.look()
        assert await kept(link) == list(range(50, 101))
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)
