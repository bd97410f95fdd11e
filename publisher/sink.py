"""One sink: keep its endpoint connected, whatever ends a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from chassis import websocket
from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, Unavailable
from chassis.tasks import until
from chassis.websocket import ConnectionClosed, InvalidHandshake
from relay.feeds import Peer

from .meter import Meter
from .metrics import SinkMetrics
from .position import Position
from .session import Connection, Session, Stuck
from .settings import Settings
from .upkeep import Lost, Upkeep

OTHERWISE_SILENT = 10.0
"""Seconds more than the time-out after which the kernel, too, gives an endpoint up."""

Dial: TypeAlias = "Callable[..., AbstractAsyncContextManager[Connection]]"
"""Connects to a URL for the length of an `async with` block; called like `websocket.dial`."""


class Sink:
    """The connection to one endpoint, made anew whenever it ends."""

    def __init__(
        self,
        link: Link,
        peer: Peer,
        others: Sequence[str],
        lease: Lease,
        settings: Settings,
        log: Log,
        *,
        dial: Dial = websocket.dial,
    ) -> None:
        """Prepare to send to `peer`; `others` names the feed's other sinks."""
        self.connected = False
        self._link = link
        self._peer = peer
        self._lease = lease
        self._settings = settings
        self._log = log
        self._dial = dial
        self._metrics = SinkMetrics(peer.feed, peer.name)
        self._meter = Meter(self._metrics, log, peer.name)
        self._position = Position(link, peer.feed, peer.name)
        self._upkeep = Upkeep(
            link, peer.feed, self._position, others, settings.retain, self._metrics
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the sink connected and its messages sent until `stop`, then drain."""
        try:
            await self._load()
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                await self._link.attempt(self._upkeep.look)
                ending = await self._connect_once(backoff, stop)
                self._metrics.ended[ending].inc()
                if ending not in ("epoch", "stopped") and not stop.is_set():
                    await until(stop, backoff.delay())
        except Lost:
            # The lease's next holder, most likely this very publisher, begins anew.
            self._data_loss()
        except Unavailable:
            self._log.warning("stopped without Redis", sink=self._peer.name)
        finally:
            self._metrics.unconfirmed.set(0)
            self._metrics.paused.set(0)
            self._metrics.lag.set(0)

    async def _load(self) -> None:
        if not await self._link.patiently(self._upkeep.load):
            self._data_loss()
        self._log.info(
            "sending", feed=self._peer.feed, sink=self._peer.name,
            after=self._position.confirmed.decode(),
        )  # fmt: skip

    def _data_loss(self) -> None:
        self._metrics.data_loss.inc()
        self._log.error("Redis has lost the numbering", sink=self._peer.name)

    async def _connect_once(self, backoff: Backoff, stop: asyncio.Event) -> str:
        """Connect, send until the connection ends or `stop`; returns how it ended."""
        try:
            async with self._dial(
                self._peer.url,
                stop=stop,
                silence=self._settings.stuck_timeout + OTHERWISE_SILENT,
                ping_interval=None,
            ) as connection:
                backoff.succeeded()
                self._connected(True)
                self._log.info("connected", feed=self._peer.feed, sink=self._peer.name)
                try:
                    return await self._session(connection, stop).run()
                finally:
                    self._connected(False)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            reason = closed.rcvd.reason if closed.rcvd else str(closed)
            self._log.warning("disconnected", sink=self._peer.name, code=code, reason=reason)
            return "closed" if code in (1000, 1001) else "dropped"
        except Stuck:
            self._log.warning("endpoint does not read", sink=self._peer.name)
            return "stuck"
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            words = str(error) or type(error).__name__
            self._log.warning("no connection", sink=self._peer.name, error=words)
            return "refused"

    def _connected(self, connected: bool) -> None:
        self.connected = connected
        self._metrics.connected.set(connected)

    def _session(self, connection: Connection, stop: asyncio.Event) -> Session:
        return Session(
            connection,
            self._peer,
            stop,
            link=self._link,
            lease=self._lease,
            position=self._position,
            upkeep=self._upkeep,
            meter=self._meter,
            metrics=self._metrics,
            settings=self._settings,
            log=self._log,
        )
