"""What is on its way to an endpoint, and what a pong says about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from chassis.websocket import BatchingClient
from publisher import sink
from publisher.sink import LEAST_WINDOW, MOST_WINDOW, QUICK, SLOW, Stuck, _epoch, _Flight


class Endpoint:
    """Stands where the connection would: the pings are kept, and pongs come when told to."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []
        self.on_pong: Callable[[bytes], None] = lambda _: None

    def write(self, messages: Iterable[bytes], ping: bytes) -> None:
        assert not list(messages)
        self.pings.append(ping)


class Clock:
    """Stands where the time would."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sink, "time", clock)
    return clock


def flight(endpoint: Endpoint, stuck_timeout: float = 10.0) -> _Flight:
    return _Flight(cast(BatchingClient, endpoint), stuck_timeout)


async def asked(flight: _Flight) -> asyncio.Future[Any]:
    """Have it ping."""
    confirming = asyncio.ensure_future(flight.confirm())
    await asyncio.sleep(0)
    return confirming


async def test_a_pong_confirms_what_was_sent_before_its_ping() -> None:
    """Messages sent behind the ping would be confirmed without having been read."""
    endpoint = Endpoint()
    sent = flight(endpoint)
    sent.sent(b"1-10", 10, 100)
    sent.sent(b"1-15", 5, 50)
    confirming = await asked(sent)
    sent.sent(b"1-16", 1, 7)
    endpoint.on_pong(endpoint.pings[0])
    confirmed = await confirming
    assert [item.position for item in confirmed] == [b"1-10", b"1-15"]
    assert (sent.messages, sent.size) == (1, 7)
    confirming = await asked(sent)
    endpoint.on_pong(endpoint.pings[1])
    assert [item.position for item in await confirming] == [b"1-16"]
    assert (sent.messages, sent.size) == (0, 0)


async def test_other_pongs_confirm_nothing() -> None:
    """A pong that nobody asked for, or an old one, would move the confirmed position."""
    endpoint = Endpoint()
    sent = flight(endpoint)
    endpoint.on_pong(b"1")
    sent.sent(b"1-10", 10, 100)
    confirming = await asked(sent)
    endpoint.on_pong(endpoint.pings[0])
    endpoint.on_pong(endpoint.pings[0])
    assert len(await confirming) == 1
    sent.sent(b"1-11", 1, 10)
    confirming = await asked(sent)
    for payload in (b"", b"0", b"7", endpoint.pings[0]):
        endpoint.on_pong(payload)
    await asyncio.sleep(0)
    assert not confirming.done()
    endpoint.on_pong(endpoint.pings[1])
    assert len(await confirming) == 1


async def test_stuck() -> None:
    """An endpoint that does not read would be waited for without end."""
    sent = flight(Endpoint(), stuck_timeout=0.01)
    sent.sent(b"1-10", 10, 100)
    with pytest.raises(Stuck):
        await sent.confirm()
    assert sent.messages == 10


async def test_the_window_follows_the_endpoint(clock: Clock) -> None:
    """A slow endpoint would get more than it can read, or a quick one be held back."""
    endpoint = Endpoint()
    sent = flight(endpoint)

    async def confirm(took: float) -> int:
        confirming = await asked(sent)
        clock.now += took
        endpoint.on_pong(endpoint.pings[-1])
        await confirming
        return sent.window

    before = sent.window
    assert await confirm(0.9 * QUICK) == 2 * before
    assert await confirm((QUICK + SLOW) / 2) == 2 * before
    assert await confirm(1.1 * SLOW) == before
    for _ in range(20):
        window = await confirm(0.0)
    assert window == MOST_WINDOW
    for _ in range(20):
        window = await confirm(2 * SLOW)
    assert window == LEAST_WINDOW


async def test_waiting_ends_when_something_moves() -> None:
    """Sending would pause for a second at each full window."""
    endpoint = Endpoint()
    sent = flight(endpoint)
    waiting = asyncio.ensure_future(sent.wait(3600))
    await asyncio.sleep(0)
    sent.sent(b"1-1", 1, 1)
    async with asyncio.timeout(5):
        await waiting


def test_epoch() -> None:
    """Messages of two numberings would be sent on one connection."""
    assert _epoch(b"12-345") == b"12"
