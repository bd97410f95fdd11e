"""One sink: keep its endpoint connected, whatever ends a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeAlias

from chassis import clock, websocket
from chassis.backoff import Backoff
from chassis.logs import Log
from chassis.tasks import until
from chassis.websocket import ConnectionClosed, InvalidHandshake
from relay.conversation import Conversation
from relay.feedfile import Endpoint
from relay.feeds import Peer

from .asking import Stuck
from .lane import Lane
from .meter import Meter
from .metrics import SinkMetrics
from .session import Connection, Session
from .settings import Settings

OTHERWISE_SILENT = 10.0
"""Seconds more than the time-out after which the kernel, too, gives an endpoint up."""

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
        self._conversation = None if words is None else Conversation(words)
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
            url, options = self._target()
            async with self._dial(
                url,
                stop=stop,
                silence=self._settings.stuck_timeout + OTHERWISE_SILENT,
                ping_interval=None,
                **options,
            ) as connection:
                backoff.succeeded()
                self._open(connection)
                self._connected(True)
                self._log.info("connected", feed=self._peer.feed, sink=self._peer.name)
                self._session = self._begin(connection, stop)
                try:
                    return await self._session.run()
                finally:
                    self._session = None
                    self._connected(False)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            reason = self._hide(closed.rcvd.reason if closed.rcvd else str(closed))
            self._log.warning("disconnected", sink=self._peer.name, code=code, reason=reason)
            return "closed" if code in (1000, 1001) else "dropped"
        except Stuck:
            self._log.warning("endpoint does not read", sink=self._peer.name)
            return "stuck"
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            words = self._hide(str(error) or type(error).__name__)
            self._log.warning("no connection", sink=self._peer.name, error=words)
            return "refused"

    def _target(self) -> tuple[str, dict[str, Any]]:
        """Tell where to connect, and how."""
        if self._words is None or self._conversation is None:
            return self._peer.url, {}
        plan = self._conversation.plan(clock.wall_us() // 1000)
        return plan.url, plan.options(self._words)

    def _hide(self, text: str) -> str:
        """Leave secrets out of what a peer or a library says."""
        return text if self._conversation is None else self._conversation.hide(text)

    def _open(self, connection: Connection) -> None:
        """Say what the endpoint wants to hear first."""
        if self._conversation is not None:
            texts = self._conversation.opened(clock.monotonic(), clock.wall_us() // 1000)
            connection.write([text.encode() for text in texts])

    def _connected(self, connected: bool) -> None:
        self.connected = connected
        self._metrics.connected.set(connected)

    def _begin(self, connection: Connection, stop: asyncio.Event) -> Session:
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
        )
