"""What several lines write goes out together, in order, and whoever waits is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ResponseError

from chassis import logs
from chassis.redis import Command, Link, Unavailable
from ingestor import pen
from ingestor.pen import Part, Pens, entries
from relay import raw

log = logs.get("test")


class Wire:
    """A connection to a server that keeps what it is told, if it is `up`."""

    def __init__(self) -> None:
        self.requests: list[list[Command]] = []
        self.up = asyncio.Event()
        self.up.set()
        self.failing: set[str] = set()
        """Lanes' streams of which the reply is an error, each once."""
        self.lost = 0
        """Requests whose replies are lost."""
        self.gone = False

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        await self.up.wait()
        if self.gone:
            raise ConnectionError("gone")
        self.requests.append(list(commands))
        if self.lost:
            self.lost -= 1
            raise ConnectionError("lost")
        replies: list[Any] = []
        for command in commands:
            if command[1] in self.failing:
                self.failing.discard(command[1])
                replies.append(ResponseError("READONLY not now"))
            else:
                replies.append(b"%d-%d" % (len(self.requests), len(replies)))
        return replies

    async def close(self) -> None:
        pass

    @property
    def written(self) -> list[tuple[str, list[tuple[str, bytes]]]]:
        """The entries: stream, and of each part whose it is and its first value."""
        found = []
        for commands in self.requests:
            for _, stream, _, *values in commands:
                begins = [at for at, value in enumerate(values) if value == b"feed"]
                parts = [(values[at + 1], values[at + 3]) for at in begins]
                found.append((stream, parts))
        return found


def ignore(_: float) -> None:
    pass


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def pens(wire: Wire, stop: asyncio.Event) -> Pens:
    return Pens(Link("redis://x", log, timeout=1, stop=stop, make=lambda _: wire))


def write(pens: Pens, lane: str, feed: str, value: bytes) -> asyncio.Task[bytes]:
    job = pens[lane].write(feed, [b"0", value], 1, len(value), ignore)
    return asyncio.ensure_future(job)


def part(lane: str, frames: int, size: int) -> Part:
    future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    return Part(lane, [], frames, size, ignore, future, once=False)


async def test_what_comes_together_goes_out_together(pens: Pens, wire: Wire) -> None:
    """Each frame of a thousand feeds would wake Redis and the orderer."""
    jobs = [
        write(pens, "+1", "a", b"1"), write(pens, "+2", "b", b"2"),
        write(pens, "+1", "c", b"3"),
    ]  # fmt: skip
    assert await asyncio.gather(*jobs) == [b"1-0", b"1-1", b"1-0"]
    assert wire.written == [
        ("raw:{+1}", [("a", b"1"), ("c", b"3")]),
        ("raw:{+2}", [("b", b"2")]),
    ]
    assert len(wire.requests) == 1
    assert (pens["+1"].last, pens["+1"].unchecked) == (b"1-0", 2)


async def test_what_comes_meanwhile_gathers(pens: Pens, wire: Wire) -> None:
    """A slow Redis would get ever more requests."""
    wire.up.clear()
    first = write(pens, "+1", "a", b"1")
    await asyncio.sleep(3 * pen.GATHER)
    others = [write(pens, "+1", feed, b"2") for feed in "bcd"]
    await asyncio.sleep(3 * pen.GATHER)
    wire.up.set()
    await asyncio.gather(first, *others)
    assert [len(parts) for _, parts in wire.written] == [1, 3]


async def test_an_own_lane_does_not_wait(pens: Pens, wire: Wire) -> None:
    """A feed with a lane of its own would pay for those that share."""
    wire.up.clear()
    shared = write(pens, "+1", "a", b"1")
    await asyncio.sleep(3 * pen.GATHER)
    own = write(pens, "f", "f", b"2")
    await asyncio.sleep(0)
    wire.up.set()
    await asyncio.gather(shared, own)
    assert [list(command) for commands in wire.requests for command in commands][-1] == [
        "XADD", "raw:{f}", "*", b"0", b"2",
    ]  # fmt: skip


async def test_an_error_of_one_lane_writes_no_other_twice(pens: Pens, wire: Wire) -> None:
    """One lane that Redis refuses would have all the others written again and again."""
    wire.failing = {"raw:{+2}"}
    await asyncio.gather(write(pens, "+1", "a", b"1"), write(pens, "+2", "b", b"2"))
    assert [stream for stream, _ in wire.written] == ["raw:{+1}", "raw:{+2}", "raw:{+2}"]


async def test_signs_of_life_are_tried_once(pens: Pens, wire: Wire) -> None:
    """After an outage all signs of life of it would come, and be counted as time listened to."""
    wire.lost = 2
    alive = asyncio.ensure_future(pens["+1"].attempt("a", [b"event", b"alive"], ignore))
    assert not await alive
    alive = asyncio.ensure_future(pens["+1"].attempt("a", [b"event", b"alive"], ignore))
    frames = write(pens, "+1", "b", b"1")
    assert not await alive
    await frames
    assert [[whose for whose, _ in parts] for _, parts in wire.written] == [
        ["a"], ["a", "b"], ["b"],
    ]  # fmt: skip
    assert await pens["+1"].attempt("a", [b"event", b"alive"], ignore)


async def test_all_are_told_that_nothing_can_be_written(
    pens: Pens, wire: Wire, stop: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines would wait for ever for a Redis that is away at the end, and say nothing of losses."""
    monkeypatch.setattr("chassis.redis.link.DRAIN", 0.1)
    wire.gone = True
    first = [write(pens, "+1", "a", b"1"), write(pens, "+2", "b", b"1")]
    await asyncio.sleep(3 * pen.GATHER)
    late = write(pens, "+1", "c", b"1")
    stop.set()
    ends = await asyncio.gather(*first, late, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 3


async def test_a_bug_ends_those_who_wait(pens: Pens, wire: Wire) -> None:
    """A line would wait for ever where Redis cannot do what it is asked for."""

    async def wrong(commands: Sequence[Command]) -> list[Any]:
        return [ResponseError("WRONGTYPE") for _ in commands]

    wire.exchange = wrong  # type: ignore[method-assign]
    with pytest.raises(ResponseError):
        await write(pens, "+1", "a", b"1")


async def test_entries_are_bounded() -> None:
    """One entry would hold what Redis, or the orderer, cannot swallow at once."""
    half, most = raw.BATCH_FRAMES // 2, raw.BATCH_BYTES
    parts = [
        part("+1", half, 1), part("+2", 1, 1), part("+1", half, 1), part("+1", 1, 1),
        part("+1", 1, most - 1), part("+1", 0, 0), part("+1", 1, 5 * most), part("+1", 1, 1),
    ]  # fmt: skip
    found = entries(parts)
    numbers = [[parts.index(one) for one in entry] for entry in found]
    assert numbers == [[0, 2], [1], [3, 4, 5], [6], [7]]
    silence = entries([part("+1", 0, 0) for _ in range(2 * raw.BATCH_FRAMES)])
    assert len(silence) == 2
    own = entries([part("x", 1, 1), part("+1", 1, 1), part("x", 1, 1), part("+1", 1, 1)])
    assert [len(entry) for entry in own] == [1, 2, 1]


async def test_many_busy_lanes_go_out_together(pens: Pens, wire: Wire) -> None:
    """Twenty busy feeds would take a request for each of their frames."""
    for _ in range(2):
        await asyncio.gather(*(write(pens, f"f{at}", f"f{at}", b"1") for at in range(20)))
    assert len(wire.requests[-1]) == 20
    assert len(wire.requests) < 25


async def test_requests_are_bounded(pens: Pens, wire: Wire) -> None:
    """A thousand floods at once would be packed into one request, twice in memory."""
    large = b"x" * (pen.REQUEST_BYTES // 2)
    await asyncio.gather(*(write(pens, f"+{at}", "f", large) for at in range(4)))
    assert [len(commands) for commands in wire.requests] == [2, 2]
