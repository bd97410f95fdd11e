"""One connection, made by the test, and a real server behind it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

import pytest

from chassis import logs
from chassis.lease import Lease
from chassis.redis import Link
from chassis.settings import load
from chassis.tasks import first
from publisher import session, window
from publisher.asking import Stuck
from publisher.lane import Lane
from publisher.manner import Manner
from publisher.meter import Meter
from publisher.metrics import SinkMetrics
from publisher.position import Position
from publisher.reader import Reader
from publisher.session import CONFIRM_EVERY, Session
from publisher.settings import Settings
from publisher.window import LEAST_WINDOW
from relay import keys
from relay.allowance import Allowance
from relay.conversation import Conversation
from relay.entry import START
from relay.feedfile import parse
from relay.feedfile.secrets import Secrets
from relay.feeds import Peer
from tests.support.peers import DEADLINE
from tests.support.waiting import eventually

log = logs.get("publisher")
PEER = Peer("x", "s", "ws://example/somewhere")


class Wire:
    """Stands where the connection would: its peer reads `most` messages at once, or none at all."""

    def __init__(self, *, reading: bool = True, most: float = math.inf) -> None:
        self.on_pong: Callable[[bytes], None] | None = None
        self.reading = reading
        self.most = most
        self.messages: list[bytes] = []
        self.unwritten = 0
        self.aborted = False
        self.unread: list[bytes] = []
        self.arrived = asyncio.Event()

    def write(self, messages: Iterable[bytes], ping: bytes | None = None) -> None:
        self.messages += messages
        self.arrived.set()
        if ping is not None:
            self.unread.append(ping)
        if self.reading and len(self.messages) <= self.most:
            self.read()

    def read(self) -> None:
        assert self.on_pong is not None
        self.reading = True
        for ping in self.unread:
            asyncio.get_running_loop().call_soon(self.on_pong, ping)
        self.unread.clear()

    async def receive(self) -> list[bytes]:
        await asyncio.Event().wait()
        return []

    def abort(self) -> None:
        self.aborted = True

    async def close(self) -> None:
        raise AssertionError("whoever made it closes it")


class Sending:
    """A session under way."""

    def __init__(
        self, link: Link, lease: Lease, wire: Wire, stuck_timeout: float, manner: Manner | None
    ) -> None:
        environ = {"PUBLISHER_URL": PEER.url, "PUBLISHER_STUCK_TIMEOUT": str(stuck_timeout)}
        self._settings = load(Settings, "publisher", environ)
        self._reader = Reader(link)
        self._lane = Lane(
            link,
            "x",
            lease,
            self._reader,
            self._settings.retain,
            lambda: CONFIRM_EVERY,
            Allowance(link, log),
            log,
        )
        self.stop = asyncio.Event()
        self.wire = wire
        self._manner = manner
        self.lane = asyncio.ensure_future(
            first(self._lane.run({PEER: self}, self.stop), self._reader.run())
        )
        self._ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._session: Session | None = None

    @property
    def position(self) -> Position:
        return self._lane.positions[PEER]

    # What a lane asks of a sink

    waiting_since = None

    async def run(self, _stop: asyncio.Event) -> None:
        metrics = SinkMetrics("x", "s")
        self._session = Session(
            self.wire,
            PEER,
            self._lane,
            self.stop,
            pace=lambda: CONFIRM_EVERY,
            meter=Meter(metrics, log, "s"),
            metrics=metrics,
            settings=self._settings,
            log=log,
            manner=self._manner,
        )
        try:
            self._ending.set_result(await self._session.run())
        except Stuck as stuck:
            self._ending.set_exception(stuck)
        await self.stop.wait()

    def wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def tell_lag(self, since: int | None) -> None:
        pass

    def data_loss(self) -> None:
        raise AssertionError("nothing is lost")

    async def sent(self, count: int) -> None:
        """Wait until so many messages were written."""
        async with asyncio.timeout(DEADLINE):
            while len(self.wire.messages) < count:
                self.wire.arrived.clear()
                await self.wire.arrived.wait()

    async def asked(self) -> None:
        """Wait until a ping asks for a confirmation."""
        async with asyncio.timeout(DEADLINE):
            while not self.wire.unread:
                self.wire.arrived.clear()
                await self.wire.arrived.wait()

    async def ending(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return await self._ending


class Begin(Protocol):
    def __call__(
        self, wire: Wire, stuck_timeout: float = 60.0, manner: Manner | None = None
    ) -> Sending: ...


@pytest.fixture
async def begin(link: Link, lease: Lease) -> AsyncIterator[Begin]:
    """Begin to send on a wire."""
    begun: list[Sending] = []

    def begin(wire: Wire, stuck_timeout: float = 60.0, manner: Manner | None = None) -> Sending:
        begun.append(Sending(link, lease, wire, stuck_timeout, manner))
        return begun[-1]

    yield begin
    for sending in begun:
        sending.lane.cancel()
        with suppress(asyncio.CancelledError):
            await sending.lane


async def publish(link: Link, seqs: Sequence[int], *, epoch: int = 1, size: int = 10) -> None:
    """Append an entry for each id."""
    message = b"x" * size
    await link.send_all(
        [("XADD", keys.ordered("x"), f"{epoch}-{seq}", "t", 1000, seq, message) for seq in seqs]
    )


async def test_a_stop_waits_for_what_is_on_its_way(link: Link, begin: Begin) -> None:
    """Every restart of the publisher would send messages again."""
    await publish(link, range(1, 21))
    sending = begin(Wire(reading=False))
    await sending.sent(20)
    sending.stop.set()
    await publish(link, [21])  # which ends the waiting for more
    assert sending.position.confirmed == START
    asyncio.get_running_loop().call_later(0.2, sending.wire.read)
    assert await sending.ending() == "stopped"
    assert sending.position.confirmed == b"1-20"
    assert len(sending.wire.messages) == 20


async def test_a_stop_does_not_wait_for_ever(
    link: Link, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container engine would kill the publisher when an endpoint is slow."""
    monkeypatch.setattr(session, "LAST_CONFIRMATION", 0.05)
    await publish(link, range(1, 21))
    sending = begin(Wire(reading=False))
    await sending.sent(20)
    sending.stop.set()
    await publish(link, [21])
    assert await sending.ending() == "stopped"
    assert sending.position.confirmed == START


async def test_a_new_numbering_waits_for_the_old_one(link: Link, begin: Begin) -> None:
    """The end of each numbering would be sent again on the next connection."""
    await publish(link, range(1, 21))
    await publish(link, range(1, 6), epoch=2)
    sending = begin(Wire(reading=False))
    await sending.sent(20)
    sending.wire.read()
    assert await sending.ending() == "epoch"
    assert sending.position.confirmed == b"1-20"
    assert len(sending.wire.messages) == 20


async def test_a_stop_ends_that_too(
    link: Link, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a new numbering waits for a slow endpoint, a stop would take too long."""
    monkeypatch.setattr(session, "LAST_CONFIRMATION", 0.05)
    await publish(link, range(1, 21))
    await publish(link, range(1, 6), epoch=2)
    sending = begin(Wire(reading=False))
    await sending.sent(20)
    sending.stop.set()
    assert await sending.ending() == "epoch"
    assert not sending.wire.aborted


async def test_stuck(link: Link, begin: Begin) -> None:
    """An endpoint that does not read would be waited for without end."""
    await publish(link, range(1, 21))
    sending = begin(Wire(reading=False), stuck_timeout=0.2)
    with pytest.raises(Stuck):
        await sending.ending()
    assert sending.wire.aborted
    assert sending.position.confirmed == START


async def test_waiting_ends_when_something_moves(
    link: Link, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending would pause for a second at each full window."""
    monkeypatch.setattr(window, "MOST_WINDOW", LEAST_WINDOW)
    count = 4 * int(DEADLINE)
    await publish(link, range(1, count + 1), size=LEAST_WINDOW)
    sending = begin(Wire(reading=True))
    await sending.sent(count)
    sending.stop.set()
    assert await sending.ending() == "stopped"
    assert sending.position.confirmed == b"1-%d" % count


async def test_what_few_at_a_time_confirm(link: Link, begin: Begin) -> None:
    """An endpoint that closes after some messages would be sent the same ones for ever."""
    text = '[feed.x]\nurl = "ws://x/"\n[feed.x.endpoint.s]\nurl = "ws://s/"\nmax_in_flight = 9'
    (words,) = parse(text, "", Secrets({}))["x"].endpoints
    await publish(link, range(1, 31))
    run = [word for seq in range(31, 51) for word in (seq, b"x")]
    await link.send("XADD", keys.ordered("x"), "1-50", "t", 1000, *run)
    sending = begin(Wire(most=40), manner=Manner(words, Conversation(words)))
    await sending.asked()
    assert len(sending.wire.messages) > 40
    await eventually(lambda: sending.position.confirmed == b"1-30", "that is saved")
    sending.wire.most = math.inf
    sending.wire.read()
    await sending.sent(50)
    sending.stop.set()
    await publish(link, [51])
    assert await sending.ending() == "stopped"
    assert sending.position.confirmed == b"1-50"
