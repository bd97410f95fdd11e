"""Wisdom while clients fall silent, replicas die, and Redis stops, freezes or forgets."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.stack import LEASE_TTL, Stack
from tests.support.waiting import eventually
from tests.support.wisdom import Wolf, howl, published, replica, small_window, url

SYNCED = {"appendonly": "yes", "appendfsync": "always"}
"""What is heard is on disk: with `everysec` a killed server may lose what it published last."""

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


@contextlib.asynccontextmanager
async def pack(urls: Sequence[str], number: int) -> AsyncIterator[list[Wolf]]:
    """Have so many subscribers, spread over replicas."""
    async with contextlib.AsyncExitStack() as stack:
        wolves = [
            await stack.enter_async_context(howl(urls[at % len(urls)])) for at in range(number)
        ]
        await asyncio.gather(*(wolf.subscribe() for wolf in wolves))
        yield wolves


def stream(redis: Server) -> list[str]:
    """List all quotes that were published."""
    entries: list[Any] = redis.client.xrange("quotes:{wisdom}")
    return [fields[1].decode() for _, fields in entries]


async def all_have_heard(wolves: Sequence[Wolf], more: int) -> None:
    """Wait until everybody has heard so many quotes more."""
    before = [len(wolf.quotes) for wolf in wolves]
    await eventually(
        lambda: all(len(wolf.quotes) >= n + more for wolf, n in zip(wolves, before, strict=True)),
        lambda: f"{more} quotes more: {sorted({len(wolf.quotes) for wolf in wolves})}",
    )


def check(redis: Server, wolves: Sequence[Wolf]) -> None:
    """Check that each has heard every quote once and in order, since its first."""
    quotes = stream(redis)
    for wolf in wolves:
        first = quotes.index(wolf.quotes[0])
        assert wolf.quotes == quotes[first : first + len(wolf.quotes)]


async def test_everybody_hears_each_quote_once(redis: Server, start: Stack) -> None:
    """Replicas would each tick for themselves, or clients of one hear less than the others'."""
    replicas = [replica(start, WISDOM_PERIOD=0.25) for _ in range(2)]
    async with pack([url(service) for service in replicas], 200) as wolves:
        await all_have_heard(wolves, 10)
        check(redis, wolves)
    assert sorted(published(service) > 0 for service in replicas) == [False, True]


@one_server
async def test_another_ticks_when_the_ticking_one_dies(redis: Server, start: Stack) -> None:
    """Quotes would stop with a replica, or come twice when another takes its place."""
    period = 0.5
    replicas = [replica(start, WISDOM_PERIOD=period) for _ in range(2)]
    await eventually(lambda: any(published(service) for service in replicas), "one ticks")
    ticking, standby = sorted(replicas, key=published, reverse=True)
    async with pack([url(standby)], 20) as wolves:
        await all_have_heard(wolves, 2)
        ticking.kill()
        died = time.monotonic()
        await eventually(lambda: published(standby), "the other ticks")
        await all_have_heard(wolves, 1)
        # The bound is what a user is promised; the rest is this machine's.
        assert time.monotonic() - died < period + LEASE_TTL + 2
        await all_have_heard(wolves, 3)
        check(redis, wolves)


TROUBLED: dict[str, Any] = {"WISDOM_PERIOD": 0.1}


async def cut_again_and_again(redis: Server, wolves: Sequence[Wolf], quotes: int) -> None:
    """Break the replicas' subscriptions until so many quotes more were published."""
    goal = len(stream(redis)) + quotes

    def cut() -> bool:
        redis.client.client_kill_filter(_type="pubsub")
        return len(stream(redis)) >= goal

    await eventually(cut, "quotes are published")
    await all_have_heard(wolves, 3)


@one_server
async def test_broken_subscriptions_lose_no_quote(redis: Server, start: Stack) -> None:
    """What was published while a replica did not listen would be missing at its clients."""
    replicas = [replica(start, **TROUBLED) for _ in range(2)]
    async with pack([url(service) for service in replicas], 6) as wolves:
        await cut_again_and_again(redis, wolves, 30)
        check(redis, wolves)


@one_server
async def test_that_check_would_find_a_hole(redis: Server, start: Stack) -> None:
    """The test above would pass whether or not holes are filled."""
    service = replica(start, "tests.support.broken_wisdom", **TROUBLED)
    async with pack([url(service)], 2) as wolves:

        async def until_a_quote_is_missing() -> None:
            # Not every cut meets a quote, so it takes some.
            for _ in range(10):
                await cut_again_and_again(redis, wolves, 30)
                check(redis, wolves)

        with pytest.raises(AssertionError):
            await until_a_quote_is_missing()


@pytest.mark.parametrize("redis", [("valkey", SYNCED)], indirect=True)
async def test_redis_may_stop_for_a_while(redis: Server, start: Stack) -> None:
    """An outage would end sessions, stop the quotes for good, or keep a replica from stopping."""
    replicas = [replica(start) for _ in range(2)]
    async with pack([url(service) for service in replicas], 4) as wolves:
        await all_have_heard(wolves, 2)
        await asyncio.to_thread(redis.kill)
        for service in replicas:
            await asyncio.to_thread(service.wait_ready, False)
        async with howl(url(replicas[0])) as late:
            # The protocol does not need Redis; only the quotes do.
            await late.subscribe()
            await asyncio.to_thread(redis.start)
            await all_have_heard([*wolves, late], 3)
            check(redis, [*wolves, late])
        assert not any(wolf.closed for wolf in wolves)
        await asyncio.to_thread(redis.kill)
        assert await asyncio.to_thread(replicas[0].terminate) == 0
    assert await asyncio.to_thread(replicas[1].terminate) == 0


@one_server
async def test_redis_may_freeze_or_forget(redis: Server, start: Stack) -> None:
    """A server that does not answer would not be noticed; or the quotes end with lost data."""
    replicas = [replica(start) for _ in range(2)]
    async with pack([url(service) for service in replicas], 4) as wolves:
        await all_have_heard(wolves, 1)
        redis.freeze()
        try:
            for service in replicas:
                await asyncio.to_thread(service.wait_ready, False)
        finally:
            redis.thaw()
        await all_have_heard(wolves, 2)
        check(redis, wolves)
        before = stream(redis)
        redis.client.flushall()
        await all_have_heard(wolves, 3)
        for wolf in wolves:
            heard = wolf.quotes[wolf.quotes.index(before[-1]) + 1 :]
            assert heard == (stream(redis))[: len(heard)]


@one_server
async def test_redis_may_be_full(redis: Server, start: Stack) -> None:
    """Without memory in Redis a replica would fall, or hand the tick round in circles."""
    replicas = [replica(start) for _ in range(2)]
    async with pack([url(service) for service in replicas], 4) as wolves:
        await all_have_heard(wolves, 1)
        redis.configure("maxmemory", "1mb")

        def refused() -> float:
            return sum(
                service.metric("redis_failures_total", reason="memory") for service in replicas
            )

        before = refused()
        await eventually(lambda: refused() > before + 5, "Redis refuses")
        assert not any(service.ready for service in replicas), "renewals do not hide it"
        redis.configure("maxmemory", "0")
        await all_have_heard(wolves, 2)
        check(redis, wolves)
        assert not any(wolf.closed for wolf in wolves)
    assert sum(len(service.events("active")) for service in replicas) == 1


# Silence ---------------------------------------------------------------------------------------

PINGING = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main():
    async with connect(sys.argv[1], proxy=None, ping_interval=None) as connection:
        own = json.loads(await connection.recv())["payload"]
        for event in ("connect", "subscribe", "ping"):
            await connection.send(json.dumps({"type": event, "payload": own}))
        print(await connection.recv(), flush=True)
        while True:
            await asyncio.sleep(5)
            await connection.send(json.dumps({"type": "ping", "payload": own}))

asyncio.run(main())
"""


async def reaped(wolf: Wolf, began: float) -> float:
    """Wait until a session is closed for its silence; returns how long it lasted, s."""
    await eventually(lambda: wolf.closed, "it is closed", 30)
    assert wolf.closed is not None
    assert wolf.closed[0] == 4408
    return time.monotonic() - began


async def keep_saying(wolf: Wolf, event: str, id: str | None = None) -> None:
    while True:
        await wolf.say(event, id=id)
        await asyncio.sleep(1)


async def frozen_client(service: Service, address: str) -> float:
    """Freeze a client that pings; returns how long it took until its session was closed, s."""
    process = subprocess.Popen(
        [sys.executable, "-c", PINGING, address], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        subscribers = service.metric("wisdom_subscribers")
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await eventually(
            lambda: service.metric("wisdom_subscribers") < subscribers, "it is reaped", 30
        )
        return time.monotonic() - began
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def frozen_server(service: Service, address: str) -> None:
    """Freeze a replica whose clients ping for so long that they seem silent when it wakes up."""
    async with pack([address], 5) as wolves:
        pinging = [asyncio.ensure_future(keep_saying(wolf, "ping")) for wolf in wolves]
        service.freeze()
        try:
            await asyncio.sleep(16)  # what is to be shown is that it takes no harm from this long
        finally:
            service.thaw()
        await all_have_heard(wolves, 4)
        for task in pinging:
            task.cancel()
        await asyncio.wait(pinging)
        assert not any(wolf.closed for wolf in wolves)
    assert service.metric("wisdom_closes_total", reason="silent") == 0


@one_server
@pytest.mark.timeout(90)
async def test_who_does_not_ping_is_reaped(redis: Server, start: Stack) -> None:
    """The dead would be counted as listening, or the living be sent away."""
    service, sleeper, other = (replica(start) for _ in range(3))
    here = url(service)
    freezing = asyncio.ensure_future(frozen_client(other, url(other)))
    sleeping = asyncio.ensure_future(frozen_server(sleeper, url(sleeper)))
    async with howl(here) as mute, howl(here) as busy, howl(here) as liar, howl(here) as alive:
        began = time.monotonic()
        for wolf in (mute, busy, liar, alive):
            await wolf.subscribe()
        talking = [
            asyncio.ensure_future(keep_saying(busy, "subscribe")),
            asyncio.ensure_future(keep_saying(liar, "ping", id=mute.id)),
        ]
        pinging = asyncio.ensure_future(keep_saying(alive, "ping"))
        lasted = await asyncio.gather(*(reaped(wolf, began) for wolf in (mute, busy, liar)))
        assert all(14.9 < seconds < 17 for seconds in lasted), lasted
        heard = len(mute.quotes)
        await alive.get("wisdom_distribution", len(alive.quotes) + 2)
        assert not alive.closed
        assert len(mute.quotes) == heard
        for task in (*talking, pinging):
            task.cancel()
        await asyncio.wait([*talking, pinging])
    assert 9.9 < await freezing < 17
    await sleeping
    assert service.metric("wisdom_closes_total", reason="silent") == 3


@pytest.mark.slow
@pytest.mark.skipif("not config.getoption('markexpr')", reason="takes minutes: pytest -m slow")
@pytest.mark.timeout(120)
@one_server
async def test_a_slow_reader_is_cut(redis: Server, start: Stack, tmp_path: Any) -> None:
    """A client that stops reading would fill the server's memory, as long as it pings."""
    path = tmp_path / "quotes.txt"
    path.write_text("\n".join("в" * 900 + str(at) for at in range(100)))
    service = replica(start, WISDOM_QUOTES=path, WISDOM_PERIOD=0.1)
    async with howl(url(service), sock=small_window(service)) as slow, howl(url(service)) as good:
        for wolf in (slow, good):
            await wolf.subscribe()
        slow.connection.transport.pause_reading()
        pinging = [asyncio.ensure_future(keep_saying(wolf, "ping")) for wolf in (slow, good)]
        await eventually(
            lambda: service.metric("wisdom_closes_total", reason="slow") == 1, "it is cut", 90
        )
        await all_have_heard([good], 2)
        for task in pinging:
            task.cancel()
        await asyncio.wait(pinging)
        slow.connection.transport.abort()
