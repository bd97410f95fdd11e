"""One sink: keep its endpoint connected, whatever ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeAlias

from chassis import clock, websocket
from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, Unavailable
from chassis.tasks import until
from chassis.websocket import ConnectionClosed, InvalidHandshake
from relay.allowance import Allowance
from relay.conversation import Conversation
from relay.feedfile import Endpoint
from relay.feeds import Peer

from .meter import Meter
from .metrics import SinkMetrics
from .position import Position, Superseded
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
        lane: str,
        others: Sequence[str],
        lease: Lease,
        settings: Settings,
        allowance: Allowance,
        log: Log,
        *,
        words: Endpoint | None = None,
        dial: Dial = websocket.dial,
    ) -> None:
        """Prepare to send to `peer` what `lane` carries; `others` names its feed's other sinks.

        `words` are what a file says of it.
        """
        self.connected = False
        if words is not None and words.delivery is not None:
            settings = replace(settings, delivery=words.delivery)
        self._words = words
        self._conversation = None if words is None else Conversation(words)
        self._link = link
        self._peer = peer
        self._lane = lane
        self._lease = lease
        self._settings = settings
        self._log = log
        self._dial = dial
        self._metrics = SinkMetrics(peer.feed, peer.name)
        self._meter = Meter(self._metrics, log, peer.name)
        self._position = Position(link, lane, peer.feed, peer.name, lease)
        self._upkeep = Upkeep(
            link,
            lane,
            peer.feed,
            self._position,
            lease,
            others,
            settings.retain,
            allowance,
            self._metrics,
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
            if self._link.up:  # Redis may have lost the sink's feed, and ended it thereby
                await self._link.attempt(self._upkeep.look)
        except Lost:
            # The lease's next holder, most likely this very publisher, begins anew.
            self._data_loss()
        except Superseded:
            with contextlib.suppress(Unavailable):
                await self._tell_why_superseded()
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

    async def _tell_why_superseded(self) -> None:
        """Tell whether the lease is another's, or gone with all the rest."""
        if await self._link.patiently(self._position.lost):
            self._data_loss()
        else:
            self._log.warning("superseded", sink=self._peer.name)

    def _data_loss(self) -> None:
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
                try:
                    return await self._session(connection, stop).run()
                finally:
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

    def _session(self, connection: Connection, stop: asyncio.Event) -> Session:
        return Session(
            connection,
            self._peer,
            self._lane,
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
