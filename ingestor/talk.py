"""A line's side of the conversation: what the feed's words say is done here, on the connection.

Everything is decided in `relay.conversation`; here it is sent, in order, and nothing is answered
before Redis has the frame that is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from chassis import clock
from chassis.command import CommandFailed, ask
from chassis.redis import Link
from chassis.tasks import end, until
from chassis.websocket import MAX_MESSAGE, WRITE_LIMIT, BatchingClient, ConnectionClosed
from relay import keys, standing
from relay.conversation import Conversation, Plan, Unready
from relay.feedfile import Feed
from relay.frames.template import Values
from relay.pauses import Ending, Pauses

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


class Talk:
    """The conversation of one line over all its connections."""

    def __init__(self, link: Link, lane: str, words: Feed) -> None:
        self.words = words
        self._link = link
        self._lane = lane
        self._conversation = Conversation(words)
        self._pauses = Pauses()

    # Connecting -------------------------------------------------------------------------------

    async def target(self) -> Target:
        """Find out what to connect to; raises NotReady."""
        words, conversation = self.words, self._conversation
        if words.credentials:
            command = [text.render(Values()) or "" for text in words.credentials]
            try:
                conversation.secrets = await ask(command, COMMAND_LIMIT)
            except CommandFailed as error:
                raise NotReady(str(error)) from None
        if words.resume is not None:
            await self._link.attempt(self._learn_settled)
        try:
            plan = conversation.plan(_wall())
        except Unready as error:
            raise NotReady(str(error)) from None
        return Target(plan.url, options(words, plan))

    async def _learn_settled(self) -> None:
        """Learn up to which id everything is settled."""
        stand = await self._link.send("HGET", keys.next(self._lane), self.words.name)
        settled = standing.unpack(stand).settled if stand else None
        if settled is not None and settled >= 0:
            self._conversation.settled = {"": settled}

    def ended(
        self, *, opened: bool, status: int = 0, retry_after: str = "", code: int = 0
    ) -> float:
        """Take in how an attempt or a connection has ended; returns the least seconds to wait."""
        conversation = self._conversation
        ending = Ending(status, retry_after, code, opened and conversation.fruitful)
        # To be refused what was asked for beyond the usual is no reason to stay away.
        extra = conversation.resuming and not ending.fruitful
        wait = 0.0 if extra else self._pauses.after(ending, _wall() / 1000)
        if opened or 400 <= status < 500:
            conversation.ended(refused=not opened)
        return wait

    @property
    def refusals(self) -> int:
        """Noes in a row; the first message ends them."""
        return 0 if self._conversation.fruitful else self._pauses.refusals

    def hide(self, text: str) -> str:
        """Leave secrets out of what a peer or a library says, to be shown."""
        return self._conversation.hide(text)

    # Talking ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def on(self, connection: BatchingClient, stop: asyncio.Event) -> AsyncIterator[None]:
        """Talk on a connection for the length of the `async with` block.

        What comes first is said at once: some feeds cut off who says nothing for a few seconds,
        whatever Redis does meanwhile.
        """
        now = asyncio.get_running_loop().time()
        _send(connection, self._conversation.opened(now, _wall()))
        pinging = asyncio.ensure_future(self._keep_alive(connection, stop))
        try:
            yield
        finally:
            await end(pinging)

    def answer(self, connection: BatchingClient, frames: Sequence[bytes]) -> None:
        """Answer frames that Redis has."""
        conversation = self._conversation
        if conversation.listens or not conversation.fruitful:
            wall = _wall()
            _send(connection, [text for data in frames for text in conversation.heard(data, wall)])

    async def _keep_alive(self, connection: BatchingClient, stop: asyncio.Event) -> None:
        """Send pings of the feed's own kind until the connection ends or `stop`."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionClosed):
            while not await until(stop, min(self._conversation.due - loop.time(), 3600.0)):
                _send(connection, self._conversation.ping(loop.time(), _wall()))


def options(words: Feed, plan: Plan) -> dict[str, Any]:
    """Say how to dial, as a plan for these words wants it."""
    return {**plan.options(words), "max_size": max(MAX_MESSAGE, words.max_message_size or 0)}


def _send(connection: BatchingClient, texts: Sequence[str]) -> None:
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


def _wall() -> int:
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


def refusal(error: BaseException) -> tuple[int, str]:
    """Get the status with which a handshake was refused, 0 if by none, and when to come back."""
    response = getattr(error, "response", None)
    if response is None:
        return 0, ""
    return response.status_code, response.headers.get("Retry-After", "")
