"""`python -m orderer forget`, and what is left of a feed, for tests."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence

from . import streams
from .processes import Service, command
from .servers import Server
from .stack import Stack
from .streams import Client
from .waiting import until

STAYS = {b"fence:{a}:orderer", b"fence:{a}:publisher"}
"""What stays of a lane of the feed's own: a lease's value must never come again."""


def forget(redis: Server, feed: str, *options: str) -> subprocess.CompletedProcess[str]:
    return command("orderer", "forget", feed, *options, REDIS_URL=redis.url)


def forgotten(redis: Server, feed: str, *options: str) -> str:
    """Forget a feed; tells what the verb said."""
    done = forget(redis, feed, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(redis: Server, feed: str, *options: str) -> str:
    """Try to; tells why it was refused."""
    done = forget(redis, feed, *options)
    assert done.returncode == 1, done.stdout
    return done.stderr


def settle(redis: Server, feed: str) -> None:
    """Forget a feed as soon as all that it has brought is settled."""
    until(lambda: forget(redis, feed).returncode == 0, f"{feed} can be forgotten")


def keys_of(client: Client, lane: str) -> set[bytes]:
    """List a lane's keys, but for leases, which run out by themselves."""
    return {key for key in client.keys(f"*{{{lane}}}*") if not key.startswith(b"lease:")}


def fields_of(client: Client, lane: str, feed: str) -> set[bytes]:
    """List what a lane's hashes have of a feed."""
    found = set()
    for kind in ("order", "next", "status", "confirmed"):
        for field, value in client.hgetall(f"{kind}:{{{lane}}}").items():
            if feed.encode() in field.split(b":") or (
                field in (b"waiting", b":aside") and feed.encode() in value.split()
            ):
                found.add(field)
    return found


class Writer:
    """Writes a shared lane's input as an ingestor does."""

    def __init__(self, redis: Server, lane: str, feeds: Iterable[str]) -> None:
        self._client = redis.connect()
        self._stream = f"raw:{{{lane}}}"
        self._began = time.monotonic() - 10.0
        for feed in feeds:
            self._client.hset("feeds", feed, lane)

    def __call__(self, **parts: Sequence[bytes] | str) -> bytes:
        """Write an entry: frames, or an event, of each of some feeds."""
        values: list[bytes | int | str] = []
        up = int((time.monotonic() - self._began) * 1000)
        for feed, part in parts.items():
            values += ["feed", feed, "t", time.time_ns() // 1000]
            values += ["line", f"line-{feed}", "conn", f"conn-{feed}", "up", up]
            if isinstance(part, str):
                values += ["event", part]
            else:
                values += (word for at, one in enumerate(part) for word in (str(at), one))
        entry: bytes = self._client.execute_command("XADD", self._stream, "*", *values)
        return entry


def out(client: Client, lane: str, feed: str) -> list[bytes]:
    """Read what came out of a feed that shares a lane."""
    found = []
    for _, values in streams.entries(client, f"ordered:{{{lane}}}"):
        if values[4].startswith(feed.encode() + b":"):
            found += values[5::2]
    return found


def named(client: Client, lane: str, feed: str) -> list[str]:
    """List what came out of it as `<epoch>-<id>`."""
    found = []
    for _, values in streams.entries(client, f"ordered:{{{lane}}}"):
        epoch = values[3].partition(b":")[0].decode()
        ids = [field.decode().split(":") for field in values[4::2]]
        found += [f"{epoch}-{id}" for whose, id in ids if whose == feed]
    return found


def numbered(feed: str, seq: int) -> bytes:
    return b'{"id":%d,"of":"%s"}' % (seq, feed.encode())


def shuffled(feed: str) -> Iterator[bytes]:
    """Make messages without end, each two in the wrong order."""
    for seq in itertools.count(1, 2):
        yield numbered(feed, seq + 1)
        yield numbered(feed, seq)


def hold(redis: Server, start: Stack, write: Writer) -> Service:
    """Have feed `a` hold something back, and `b` something that is older than that."""
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    write(a="connected", b="connected", c="connected")
    write(b=[numbered("b", 1), numbered("b", 3)], a=[numbered("a", 1)])
    write(a=[numbered("a", 2), numbered("a", 4), b"rubbish"], c=[numbered("c", 1)])
    write(a="disconnected")
    until(lambda: len(out(redis.client, "+0", "a")) == 2, "some of it is out")
    until(lambda: redis.client.hget("order:{+0}", "waiting") == b"a b", "both hold back")
    until(lambda: not redis.client.hget("order:{+0}", "lines:a"), "nobody is connected")
    return orderer


def go_on(redis: Server, write: Writer) -> None:
    """Bring what the neighbours need, and see that all of theirs is exact."""
    write(b=[numbered("b", 2)], c=[numbered("c", 2)])
    for feed, last in (("b", 3), ("c", 2)):
        expected = [numbered(feed, seq) for seq in range(1, last + 1)]
        until(lambda: out(redis.client, "+0", feed) == expected, f"{feed} is exact")  # noqa: B023
    until(lambda: redis.client.xlen("raw:{+0}") == 0, "nothing keeps the input")
