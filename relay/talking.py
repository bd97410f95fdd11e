"""A side's conversation with its peer: what the peer's words say is done here, on the connection.

Everything is decided in `relay.conversation`; here it is sent, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from chassis import clock
from chassis.command import CommandFailed, ask
from chassis.tasks import end, until
from chassis.websocket import MAX_MESSAGE, WRITE_LIMIT, ConnectionClosed

from .conversation import Conversation, Plan, Unready
from .feedfile import Connection as Words
from .frames.template import Values

T = TypeVar("T")

MOST_UNWRITTEN = 4 * WRITE_LIMIT
"""Bytes that a peer may leave unread of what is said to it."""

COMMAND_LIMIT = 30.0
"""Seconds that a credentials command may take."""


class NotReady(Exception):
    """There is nothing to connect with yet; the message holds no secret."""


class Target(NamedTuple):
    """What to connect to, and how."""

    url: str
    options: dict[str, Any]


class Connection(Protocol):
    """What is asked of a WebSocket connection here."""

    def write(self, messages: Iterable[bytes]) -> None:
        """Write text messages."""

    @property
    def unwritten(self) -> int:
        """Bytes that the kernel has not yet taken."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Talk:
    """The conversation with one peer over all connections to it."""

    def __init__(self, words: Words) -> None:
        self.conversation = Conversation(words)
        self._words = words

    # Connecting -------------------------------------------------------------------------------

    async def target(self) -> Target:
        """Find out what to connect to; raises NotReady."""
        words, conversation = self._words, self.conversation
        if words.credentials:
            command = [text.render(Values()) or "" for text in words.credentials]
            try:
                conversation.secrets = await ask(command, COMMAND_LIMIT)
            except CommandFailed as error:
                raise NotReady(str(error)) from None
        await self._prepare()
        try:
            plan = conversation.plan(wall())
        except Unready as error:
            raise NotReady(str(error)) from None
        return Target(plan.url, options(words, plan))

    async def _prepare(self) -> None:
        """Learn what else is needed to plan a connection."""

    def hide(self, text: str) -> str:
        """Leave secrets out of what a peer or a library says, to be shown."""
        return self.conversation.hide(text)

    # Talking ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def on(self, connection: Connection, stop: asyncio.Event) -> AsyncIterator[None]:
        """Talk on a connection for the length of the `async with` block.

        What comes first is said at once: some peers cut off who says nothing for a few seconds,
        whatever Redis does meanwhile.
        """
        send(connection, self.conversation.opened(clock.monotonic(), wall()))
        pinging = asyncio.ensure_future(self._keep_alive(connection, stop))
        try:
            yield
        finally:
            await end(pinging)

    def answer(self, connection: Connection, frames: Sequence[bytes]) -> None:
        """Answer frames; of a feed, those that Redis has."""
        conversation = self.conversation
        if conversation.listens or not conversation.fruitful:
            now = wall()
            send(connection, [text for data in frames for text in conversation.heard(data, now)])

    async def _keep_alive(self, connection: Connection, stop: asyncio.Event) -> None:
        """Send pings of the peer's own kind until the connection ends or `stop`."""
        with contextlib.suppress(ConnectionClosed):
            while not await until(stop, min(self.conversation.due - clock.monotonic(), 3600.0)):
                send(connection, self.conversation.ping(clock.monotonic(), wall()))


def options(words: Words, plan: Plan) -> dict[str, Any]:
    """Say how to dial, as a plan for these words wants it."""
    return {**plan.options(words), "max_size": max(MAX_MESSAGE, words.max_message_size or 0)}


def send(connection: Connection, texts: Sequence[str]) -> None:
    """Send texts; on a connection that has ended, nobody is left to be told.

    Nothing waits here, for what comes must go on being read; a peer that reads nothing of what
    it wants to be told is dropped.
    """
    if not texts:
        return
    with contextlib.suppress(ConnectionClosed):
        connection.write([text.encode() for text in texts])
        if connection.unwritten > MOST_UNWRITTEN:
            connection.abort()


def wall() -> int:
    """Tell the time as conversations have it, ms since 1970."""
    return clock.wall_us() // 1000


async def unless(stop: asyncio.Event, job: Coroutine[Any, Any, T]) -> T:
    """Do something unless `stop` is set before it is done; raises NotReady then."""
    doing = asyncio.ensure_future(job)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise NotReady("stopped before the connection")
        return doing.result()
    finally:
        await end(stopping)
        await end(doing)
