"""The testers' room, plain text both ways: answers may be none, one, two, or come unasked.

After the article "Як тестеру з веб сокетами взаємодіяти?": a text with `ignore` gets no answer;
one with `double` goes to everybody twice, with ` #1` and ` #2`; any other goes to everybody
once; and every five seconds everybody gets `hello world N`.
"""

from __future__ import annotations

import asyncio
import contextlib

from broadcast.bucket import Bucket
from broadcast.closing import ENCODING, TOO_BIG, Close
from broadcast.connection import Connection
from chassis import tasks
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, Unavailable
from chassis.websocket import ConnectionClosed

from . import keys, metrics
from .closing import BINARY, UNAVAILABLE
from .log import Draft
from .room import Room
from .settings import Settings

PERIOD = 5.0
"""Seconds between two greetings."""

SHARE = 1 / 24
"""Share of Redis' memory that they may use."""

RETAIN = 1000
"""Messages kept in Redis, to fill holes from."""


def answers(text: str) -> list[str]:
    """List what everybody gets when somebody says `text`."""
    if "ignore" in text:
        return []
    if "double" in text:
        return [f"{text} #1", f"{text} #2"]
    return [text]


class Playground:
    """The playground's part on this replica."""

    def __init__(self, link: Link, instance: str, settings: Settings, log: Log) -> None:
        self._link = link
        self._settings = settings
        self.room = Room(
            link,
            metrics.PLAYGROUND,
            instance,
            log,
            retain=RETAIN,
            share=SHARE,
            wanted=0,
            count=lambda: len(self.room.hub),
            broken=lambda: None,  # a hole in a playground hurts nobody; it is counted
            on_slow=lambda _connection: None,
            highest=lambda: 0,
        )

    async def serve(self, connection: Connection) -> None:
        """Serve a connection until it ends."""
        bucket = Bucket(self._settings.rate, 2 * self._settings.rate, connection.loop.time())
        metrics.JOINS.labels(metrics.PLAYGROUND).inc()
        self.room.hub.add(connection)
        try:
            while True:
                for data, binary in await connection.messages():
                    metrics.RECEIVED.labels(metrics.PLAYGROUND).inc()
                    if binary:
                        raise Close(BINARY)
                    if len(data) > self._settings.message_bytes:
                        raise Close(TOO_BIG)
                    # There is no word for "too fast" here; so who is too fast is slowed down.
                    while not bucket.take(now := connection.loop.time()):  # noqa: ASYNC110 # for time
                        await asyncio.sleep(max(0.001, bucket.wait(now)))
                    self._say(data)
        except Close as close:
            await connection.part(close.reason)
        except ConnectionClosed:
            pass
        finally:
            self.room.hub.discard(connection)

    def _say(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Close(ENCODING) from None
        for answer in answers(text):
            if not self.room.outbox.put(Draft(answer.encode(), numbered=False)):
                raise Close(UNAVAILABLE)

    async def greet(self, _lease: Lease, stopped: asyncio.Event) -> None:
        """Greet everybody on every replica regularly, as long as there is anybody."""
        # To stop while Redis is away loses nothing.
        with contextlib.suppress(Unavailable):
            await self._greet(stopped)

    async def _greet(self, stopped: asyncio.Event) -> None:
        counter = keys.hello(metrics.PLAYGROUND)
        loop = asyncio.get_running_loop()
        due = loop.time() + PERIOD
        while not await tasks.until(stopped, due - loop.time()):
            due = max(due + PERIOD, loop.time())
            if self.room.presence.online and self._link.up:
                number = await self._link.patiently(lambda: self._link.send("INCR", counter))
                greeting = f"hello world {number - 1}"
                self.room.outbox.put(Draft(greeting.encode(), numbered=False))
