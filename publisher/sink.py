"""One sink: keep its endpoint connected, whatever ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeAlias

from chassis import clock, websocket
from chassis.backoff import Backoff
from chassis.logs import Log
from chassis.tasks import end, until
from chassis.websocket import ConnectionClosed, InvalidHandshake
from relay.excerpt import excerpt
from relay.feedfile import Endpoint
from relay.feeds import Peer
from relay.talking import NotReady, Talk, unless

from .asking import Stuck
from .lane import Lane
from .manner import Manner
from .meter import Meter
from .metrics import SinkMetrics
from .session import Connection, Session
from .settings import Settings

OTHERWISE_SILENT = 10.0
"""Seconds more than the time-out after which the kernel, too, gives an endpoint up."""

SHOWN = 200
"""Characters of what an endpoint says that are logged."""

Dial: TypeAlias = "Callable[..., AbstractAsyncContextManager[Connection]]"
"""Connects to a URL for the length of an `async with` block; called like `websocket.dial`."""


class Sink:
    """The connection to one endpoint, made anew whenever it ends."""

    def __init__(
        self, peer: Peer, lane: Lane, settings: Settings, pace: Callable[[], float], log: Log, *,
        words: Endpoint | None = None, dial: Dial = websocket.dial,
    ) -> None:  # fmt: skip
        """Prepare to send to `peer` what `lane` carries of its feed; see `Session` for `pace`.

        `words` are what a file says of it.
        """
        self.connected = False
        if words is not None and words.delivery is not None:
            settings = replace(settings, delivery=words.delivery)
        self._words = words
        self._talk = None if words is None else Talk(words)
        self._peer = peer
        self._lane = lane
        self._settings = settings
        self._pace = pace
        self._log = log
        self._dial = dial
        self._metrics = SinkMetrics(peer.feed, peer.name)
        self._meter = Meter(self._metrics, log, peer.name)
        self._session: Session | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the sink connected and its messages sent until `stop`, then drain."""
        try:
            self._log.info(
                "sending", feed=self._peer.feed, sink=self._peer.name,
                after=self._lane.positions[self._peer].confirmed.decode(),
            )  # fmt: skip
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                ending = await self._connect_once(backoff, stop)
                self._metrics.ended[ending].inc()
                if ending not in ("epoch", "stopped") and not stop.is_set():
                    await until(stop, backoff.delay())
        finally:
            self._metrics.unconfirmed.set(0)
            self._metrics.paused.set(0)
            self._metrics.lag.set(0)

    def retire(self) -> None:
        """Show nothing more of it, in a while."""
        self._metrics.retire()

    def wake(self) -> None:
        """Look again whether to stop."""
        if self._session is not None:
            self._session.wake()

    @property
    def waiting_since(self) -> int | None:
        """When the oldest message was received that is not confirmed, µs; None: not known."""
        return None if self._session is None else self._session.waiting_since

    def tell_lag(self, since: int | None) -> None:
        """Tell since when the oldest message has waited, µs; None: there is none."""
        self._metrics.lag.set(0 if since is None else max(0.0, clock.wall() - since / 1e6))

    def data_loss(self) -> None:
        """Tell that Redis has lost the numbering."""
        self._metrics.data_loss.inc()
        self._log.error("Redis has lost the numbering", sink=self._peer.name)

    async def _connect_once(self, backoff: Backoff, stop: asyncio.Event) -> str:
        """Connect, send until the connection ends or `stop`; returns how it ended."""
        try:
            url, options = self._peer.url, dict[str, Any]()
            if self._talk is not None:
                url, options = await unless(stop, self._talk.target())
            async with self._dial(
                url,
                stop=stop,
                silence=self._settings.stuck_timeout + OTHERWISE_SILENT,
                ping_interval=None,
                **options,
            ) as connection:
                backoff.succeeded()
                return await self._talk_on(connection, stop)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            reason = self._hide(closed.rcvd.reason if closed.rcvd else str(closed))
            self._log.warning("disconnected", sink=self._peer.name, code=code, reason=reason)
            return "closed" if code in (1000, 1001) else "dropped"
        except Stuck:
            confirms = self._words is not None and self._words.ack is not None
            what = "endpoint confirms nothing" if confirms else "endpoint does not read"
            self._log.warning(what, sink=self._peer.name)
            return "stuck"
        except (OSError, TimeoutError, InvalidHandshake, EOFError, NotReady) as error:
            words = self._hide(str(error) or type(error).__name__)
            self._log.warning("no connection", sink=self._peer.name, error=words)
            return "refused"

    def _hide(self, text: str) -> str:
        """Leave secrets out of what a peer or a library says."""
        return text if self._talk is None else self._talk.hide(text)

    async def _talk_on(self, connection: Connection, stop: asyncio.Event) -> str:
        """Send on a connection, and say what else is to be said; returns how it ended."""
        async with contextlib.AsyncExitStack() as talking:
            if self._talk is not None and self._words is not None:
                await talking.enter_async_context(self._talk.on(connection, stop))
                if self._words.message_timeout is not None:
                    watching = asyncio.ensure_future(
                        self._watch(connection, self._words.message_timeout)
                    )
                    talking.push_async_callback(end, watching)
            self._connected(True)
            self._log.info("connected", feed=self._peer.feed, sink=self._peer.name)
            self._session = self._begin(connection, stop)
            try:
                return await self._session.run()
            finally:
                self._session = None
                self._connected(False)

    async def _watch(self, connection: Any, seconds: float) -> None:
        """Drop a connection on which nothing has come for so long, not even a pong."""
        loop = asyncio.get_running_loop()
        left = seconds
        while left > 0:  # the connection knows when it was heard, and tells nobody
            await asyncio.sleep(left)
            left = connection.heard + seconds - loop.time()
        self._log.warning("silent endpoint", sink=self._peer.name, seconds=seconds)
        connection.abort()

    def _connected(self, connected: bool) -> None:
        self.connected = connected
        self._metrics.connected.set(connected)

    def _begin(self, connection: Connection, stop: asyncio.Event) -> Session:
        manner = hear = None
        words, talk = self._words, self._talk
        if words is not None and talk is not None:
            if words.message or words.ack or words.rate or words.max_in_flight:
                manner = Manner(words, talk.conversation)
            if words.ack is not None or talk.conversation.listens:
                hear = self._hearing(connection, talk)
        return Session(
            connection,
            self._peer,
            self._lane,
            stop,
            pace=self._pace,
            meter=self._meter,
            metrics=self._metrics,
            settings=self._settings,
            log=self._log,
            manner=manner,
            hear=hear,
        )

    def _hearing(self, connection: Connection, talk: Talk) -> Callable[[list[bytes]], None]:
        """Make what hears what an endpoint says; the first words of a connection are logged."""
        said = False

        def hear(frames: list[bytes]) -> None:
            nonlocal said
            if not said:
                said = True
                words = excerpt(frames[0], SHOWN, talk.hide)
                self._log.info("endpoint says", sink=self._peer.name, words=words)
            talk.answer(connection, frames)

        return hear
