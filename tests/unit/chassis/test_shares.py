"""Work is shared among replicas, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from chassis import logs
from chassis.lease import Lease, lease_key
from chassis.redis import Link
from chassis.shares import Shares
from chassis.tasks import end
from tests.support.servers import Server
from tests.support.waiting import DEADLINE, eventually

TTL = 0.5

log = logs.get("example")


async def becomes(link: Link, key: str, value: bytes) -> None:
    """Wait until a key has this value."""

    async def is_so() -> bool:
        return bool(await link.send("GET", key) == value)

    await eventually(is_so, f"{key} is {value!r}")


class Replica:
    """A replica of a service that works on pieces of work."""

    def __init__(self, link: Link, name: str, pieces: list[str], **options: Any) -> None:
        self.link = link
        self.stop = asyncio.Event()
        self.begun: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.pieces = pieces
        self.drain = asyncio.Event()
        self.drain.set()
        self.fail: Exception | None = None
        self.leases: dict[str, Lease] = {}
        self.shares = Shares(
            link, "example", name, options.pop("ttl", TTL), log,
            find=self.find, name=lambda piece: (piece, "work"), do=self.do, **options,
        )  # fmt: skip
        self.task = asyncio.ensure_future(self.shares.run(self.stop))

    async def find(self) -> list[str]:
        return list(self.pieces)

    async def do(self, piece: str, lease: Lease, stop: asyncio.Event) -> None:
        assert lease.held
        self.leases[piece] = lease
        self.begun.append((piece, lease.value))
        await stop.wait()
        await self.drain.wait()
        self.ended.append(piece)
        if self.fail is not None:
            raise self.fail

    @property
    def active(self) -> list[str]:
        assert not self.task.done()
        return sorted(self.shares.active)

    def held(self, piece: str) -> bool:
        """Tell whether the lease of a piece is held."""
        return self.leases[piece].held

    async def die(self) -> None:
        """End at once, without giving anything back: the link is cut first."""
        self.link.send = _unreachable  # type: ignore[method-assign] # the network is cut
        self.link.send_all = _unreachable  # type: ignore[method-assign]
        self.shares._turn = _never  # type: ignore[method-assign]
        await end(self.task)


async def _never() -> None:
    await asyncio.Event().wait()


def _unreachable(*_arguments: Any, **_options: Any) -> Any:
    raise ConnectionError("cut")


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start(server: Server) -> AsyncIterator[Start]:
    """Starts replicas, each with a link of its own, and stops them afterwards."""
    server.client.flushall()
    replicas: list[Replica] = []
    links: list[Link] = []

    async def start(name: str, *pieces: str, **options: Any) -> Replica:
        links.append(Link(server.url, log, timeout=0.3 * TTL, stop=asyncio.Event()))
        replicas.append(Replica(links[-1], name, list(pieces), **options))
        return replicas[-1]

    yield start
    for replica in replicas:
        replica.drain.set()
        replica.stop.set()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await replica.task
    for link in links:
        await link.close()


async def test_one_replica_does_all(start: Start) -> None:
    """Work would be left lying although somebody is there for it."""
    replica = await start("a", "x", "y", "z")
    begun = [("x", "1:a"), ("y", "1:a"), ("z", "1:a")]
    await eventually(lambda: sorted(replica.begun) == begun, "all is begun")
    assert replica.active == ["x", "y", "z"]


async def test_two_replicas_share(start: Start) -> None:
    """Scaling out would change nothing, or two would work on the same piece."""
    one = await start("a", "x", "y")
    await eventually(lambda: one.active == ["x", "y"], "the first has both")
    other = await start("b", "x", "y")
    await eventually(lambda: len(one.active) == len(other.active) == 1, "each has one")
    assert one.active != other.active
    assert one.ended == other.active


async def test_each_kind_is_shared_by_itself(start: Start) -> None:
    """One replica would get all the pieces that are much work, the other all the small ones."""
    pieces = [f"{kind}{at}" for kind in ("large", "small") for at in range(4)]
    kind = {"kind": lambda piece: piece[:5]}
    replicas = [await start("a", *pieces, **kind)]
    await eventually(lambda: len(replicas[0].active) == 8, "the first has all")
    replicas.append(await start("b", *pieces, **kind))

    def even() -> bool:
        counts = [
            sorted(piece[:5] for piece in replica.active) == ["large"] * 2 + ["small"] * 2
            for replica in replicas
        ]
        return all(counts)

    await eventually(even, "each has half of each kind")
    await replicas[0].die()
    await eventually(lambda: replicas[1].active == sorted(pieces), "the second has all")


async def test_a_third_stands_by(start: Start) -> None:
    """A replica too many would take work away from those that have it."""
    replicas = [await start(name, "x", "y") for name in "abc"]
    await eventually(
        lambda: sorted(len(replica.active) for replica in replicas) == [0, 1, 1],
        "two of three work",
    )
    [standby] = [replica for replica in replicas if not replica.active]
    working = next(replica for replica in replicas if replica.active)
    [piece] = working.active
    working.stop.set()
    await working.task
    await eventually(lambda: standby.active == [piece], "the standby takes over")


async def test_death_of_a_replica(start: Start) -> None:
    """The work of a replica that was killed would not be taken over, or not soon."""
    one = await start("a", "x", "y")
    other = await start("b", "x", "y")
    await eventually(lambda: len(one.active) == len(other.active) == 1, "each has one")
    began = time.monotonic()
    await one.die()
    await eventually(lambda: other.active == ["x", "y"], "the other has both")
    assert time.monotonic() - began < 4 * TTL


async def test_an_orderly_end(start: Start) -> None:
    """At each update the work would lie still until the leases run out."""
    one = await start("a", "x", "y", ttl=30.0)
    await eventually(lambda: one.active == ["x", "y"], "the first has both")
    one.drain.clear()
    one.stop.set()
    other = await start("b", "x", "y")
    await eventually(lambda: other.link.up, "the other is there")
    assert other.active == []
    one.drain.set()
    await one.task
    assert sorted(one.ended) == ["x", "y"]
    await eventually(lambda: other.active == ["x", "y"], "the other takes over")


async def test_pieces_come_and_go(start: Start) -> None:
    """A new feed would need a restart, and one that is gone would be worked on for ever."""
    replica = await start("a", "x")
    await eventually(lambda: replica.active == ["x"], "the first piece is taken")
    replica.pieces.append("y")
    await eventually(lambda: replica.active == ["x", "y"], "the new piece is taken")
    replica.pieces.remove("x")
    await eventually(lambda: replica.active == ["y"], "the old piece is let go")
    assert replica.ended == ["x"]


async def test_who_goes_takes_nobody_along(start: Start) -> None:
    """A piece that is still wanted would be handed over because another one is not."""
    replica = await start("a", "x", "y", "z")
    await eventually(lambda: replica.active == ["x", "y", "z"], "all are taken")
    replica.pieces.remove("z")
    await eventually(lambda: replica.active == ["x", "y"], "one goes")
    assert replica.ended == ["z"]


async def test_a_lost_lease_ends_the_work(start: Start, link: Link) -> None:
    """Two would go on working on the same piece."""
    replica = await start("a", "x")
    await eventually(lambda: replica.active == ["x"], "the piece is taken")
    operator = Lease(link, "x", "work", "operator", 30.0)
    await operator.seize()
    await eventually(lambda: replica.ended == ["x"], "the work has ended")
    await eventually(lambda: replica.active == [], "the piece is let go")
    assert operator.held
    await operator.release()
    await eventually(lambda: replica.begun[1:] == [("x", "3:a")], "the piece is taken again")


@pytest.mark.parametrize("keep", [False, True])
async def test_a_lease_that_had_run_out(keep: bool, start: Start, link: Link) -> None:
    """Redis' absence would cost a feed's connection; or an orderer would go on that was fenced."""
    replica = await start("a", "x", keep=keep)
    await eventually(lambda: replica.active == ["x"], "the piece is taken")
    await link.send("DEL", lease_key("x", "work"))
    if keep:
        await becomes(link, lease_key("x", "work"), b"2:a")
        assert (replica.begun, replica.ended) == ([("x", "1:a")], [])
    else:
        await eventually(lambda: len(replica.begun) == 2, "the work has begun anew")
        assert replica.ended == ["x"]
        assert replica.begun[1] == ("x", "3:a")


async def test_work_that_ends_by_itself(start: Start) -> None:
    """A piece whose work ended (fenced, say) would not be taken up again."""
    replica = await start("a", "x", ttl=30.0)
    await eventually(lambda: replica.active == ["x"], "the piece is taken")
    _, stopped, _ = replica.shares._working["x"]
    stopped.set()
    await eventually(lambda: len(replica.begun) == 2, "the work has begun anew")
    assert replica.begun[1] == ("x", "2:a")


async def test_work_that_fails(start: Start) -> None:
    """A bug in the work would be swallowed, and the work lie still."""
    replica = await start("a", "x", "y")
    await eventually(lambda: replica.active == ["x", "y"], "both are taken")
    replica.fail = LookupError("over here")
    _, stopped, _ = replica.shares._working["x"]
    stopped.set()
    with pytest.raises(LookupError, match="over here"):
        async with asyncio.timeout(DEADLINE):
            await replica.task
    assert sorted(replica.ended) == ["x", "y"]


async def test_one_lease_that_cannot_be_renewed(server: Server, start: Start, link: Link) -> None:
    """An error of one feed's lease would end another's work, or cost it its lease."""
    replica = await start("a", "x", "y", keep=True)
    await eventually(lambda: replica.active == ["x", "y"], "both are taken")
    acl = server.client.execute_command
    acl("ACL", "SETUSER", "default", "resetkeys", "~lease:{y}*", "~fence:{y}*", "~replicas:*")
    try:
        await eventually(lambda: not replica.held("x"), "the lease cannot be renewed")
        assert replica.held("y")
        assert await link.send("GET", lease_key("y", "work")) == b"1:a"
        assert (replica.active, replica.ended) == (["x", "y"], [])
        assert not replica.link.up
    finally:
        acl("ACL", "SETUSER", "default", "allkeys")
    await becomes(link, lease_key("x", "work"), b"2:a")
    await eventually(lambda: replica.held("x") and replica.link.up, "it is ours again")
    assert (replica.active, replica.ended) == (["x", "y"], [])


async def test_a_lease_that_is_none(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug would be swallowed, or keep other leases from being looked after."""
    replica = await start("a", "x", "y", "z")
    await eventually(lambda: replica.active == ["x", "y", "z"], "all are taken")
    with server.client.pipeline(transaction=True) as changes:
        for piece in ("x", "z"):
            changes.set(lease_key(piece, "work"), "9:another")
        changes.delete(lease_key("y", "work"))
        changes.hset(lease_key("y", "work"), "no", "lease")
        changes.execute()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        async with asyncio.timeout(DEADLINE):
            await replica.task
    assert [record.message for record in caplog.records] == ["lease lost", "lease lost"]


async def test_redis_away(start: Start, server: Server) -> None:
    """An outage would end the service, or the work be done twice after it."""
    one, other = await start("a", "x", "y"), await start("b", "x", "y")
    await eventually(lambda: len(one.active) == len(other.active) == 1, "each has one")
    server.freeze()
    try:
        await eventually(lambda: not (one.link.up or other.link.up), "both have noticed")
    finally:
        server.thaw()
    await eventually(lambda: one.link.up and other.link.up, "both are back")
    await eventually(lambda: len(one.active) == len(other.active) == 1, "each has one again")
    assert one.active != other.active
