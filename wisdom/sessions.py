"""The sessions of this replica: each is one connection, and acts on no other."""

from __future__ import annotations

import uuid

from broadcast.bucket import Bucket
from broadcast.closing import BUG, ENCODING, FLOOD, Close, CloseReason
from broadcast.connection import Connection, Message
from broadcast.frames import frame
from broadcast.hub import Hub
from chassis import clock
from chassis.logs import Log
from chassis.websocket import ConnectionClosed

from . import metrics, protocol
from .closing import DISCONNECT, SILENT
from .protocol import Refused, Session
from .stream import Quote

RATE = 20.0
"""Events per second that a client may send on the long run."""

BURST = 40.0
"""Events that it may send at once."""

REFUSALS = 200.0
"""Events that may be refused at once; who goes on after that is sent away."""


class Client:
    """A connection, the session that it is, and what it may still send."""

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.session = Session(now, str(uuid.uuid4()))
        self.bucket = Bucket(RATE, BURST, now)
        self.refusals = Bucket(RATE, REFUSALS, now)


class Sessions:
    """Everybody who is connected to this replica."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._clients: dict[Connection, Client] = {}
        self.subscribers = Hub(
            metrics.SUBSCRIBERS.labels(), metrics.DELIVERIES.labels(), self._note_slow
        )
        metrics.CONNECTIONS.set_function(lambda: len(self._clients))

    async def serve(self, connection: Connection) -> None:
        """Serve a session from its greeting to its end."""
        client = Client(connection, connection.loop.time())
        self._clients[connection] = client
        metrics.JOINS.inc()
        try:
            connection.write_frames(frame(protocol.initial(client.session.id)))
            while True:
                for message in await connection.messages():
                    self._take(client, message)
        except Close as close:
            self._forget(connection)
            await connection.part(close.reason)
        except ConnectionClosed:
            pass
        except Exception:
            connection.ending = BUG
            raise
        finally:
            self._forget(connection)

    def _take(self, client: Client, message: Message) -> None:
        """Do what a message says, and write the answer."""
        connection, session = client.connection, client.session
        now = connection.loop.time()
        try:
            if not client.bucket.take(now):
                raise Refused(protocol.RATE)
            if message.binary:
                raise Refused(protocol.BINARY)
            event = protocol.read(message.data, session.id)
            answer = session.take(event, now)
        except UnicodeDecodeError:
            raise Close(ENCODING) from None
        except Refused as refused:
            if not client.refusals.take(now):
                raise Close(FLOOD) from None
            metrics.ERRORS_TOLD.labels(refused.code).inc()
            retry = None
            if refused.code == protocol.RATE:
                retry = int(1000 * client.bucket.wait(now)) + 1
            connection.write_frames(frame(protocol.error(refused.code, retry)))
            return
        metrics.EVENTS.labels(event).inc()
        if answer is not None:
            connection.write_frames(frame(answer))
        # Only now, so that the confirmation comes before the first quote.
        if session.subscribed:
            self.subscribers.add(connection)
        else:
            self.subscribers.discard(connection)
        if session.closed:
            raise Close(DISCONNECT)

    def overdue(self, connection: Connection, now: float) -> CloseReason | None:
        """Tell whether a connection's client has stopped to ping; it then hears nothing more."""
        client = self._clients.get(connection)
        if client is None or not client.session.silent(now):
            return None
        self._forget(connection)
        return SILENT

    def _forget(self, connection: Connection) -> None:
        self._clients.pop(connection, None)
        self.subscribers.discard(connection)

    def _note_slow(self, connection: Connection) -> None:
        self._log.warning(
            "slow reader cut", address=connection.address, unwritten=connection.unwritten
        )

    async def deliver(self, quotes: list[Quote]) -> None:
        """Write quotes to all who are subscribed: each made a frame once, all in one go."""
        began = clock.monotonic()
        frames = b"".join([frame(protocol.wisdom_distribution(quote.text)) for quote in quotes])
        await self.subscribers.write(frames, len(quotes))
        metrics.FAN_OUT.labels().observe(clock.monotonic() - began)
        now = clock.wall()
        for quote in quotes:
            metrics.DELAY.labels().observe(max(0.0, now - quote.position.ms / 1000))
