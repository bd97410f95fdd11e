"""A feed and an endpoint by somebody else: `websockets` and the standard library, nothing of ours.

Both run in a thread of their own, so that tests stay plain functions. Everything public may be
called from the test's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that any one call may take."""


class Binary(bytes):
    """A message that goes out as a binary one; other bytes go out as text, whatever they are."""


class Fragments(list[bytes]):
    """A text message that goes out in several frames."""


Message: TypeAlias = "bytes | Fragments"


class _Peer:
    """A WebSocket server in a thread. `refuse` counts the attempts to be answered with 503."""

    def __init__(self, path: str, port: int, refuse: int) -> None:
        self.attempts = 0
        """Handshakes begun, refused ones too."""
        self.headers = Headers()
        """Of the last handshake."""
        self._refuse = refuse
        self._live: list[ServerConnection] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._listen(port))
        self.port: int = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}{path}"

    def _call(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(PATIENCE)

    async def _listen(self, port: int) -> Any:
        quiet = logging.getLogger("stranger")
        quiet.setLevel(logging.CRITICAL)
        return await serve(
            self._handle,
            "127.0.0.1",
            port,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_queue=4,
            logger=quiet,
        )

    def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        self.headers = request.headers
        if self._refuse > 0:
            self._refuse -= 1
            status = HTTPStatus.SERVICE_UNAVAILABLE
            headers = Headers({"Content-Length": "0", "Connection": "close"})
            return Response(status.value, status.phrase, headers)
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        self._live.append(connection)
        try:
            await self._serve(connection)
        except ConnectionClosed:
            pass
        finally:
            self._live.remove(connection)

    async def _serve(self, connection: ServerConnection) -> None:
        raise NotImplementedError

    @property
    def connected(self) -> int:
        """How many are connected now."""
        return len(self._live)

    def close(self, code: int = 1000) -> None:
        """Close the connections there are with a close frame."""

        async def close() -> None:
            await asyncio.gather(*(connection.close(code) for connection in list(self._live)))

        self._call(close())

    def drop(self) -> None:
        """Cut the connections there are without a word."""

        async def drop() -> None:
            for connection in list(self._live):
                connection.transport.abort()

        self._call(drop())

    def stop(self) -> None:
        """Stop listening, cut all connections, and end the thread."""

        async def stop() -> None:
            self._server.close(close_connections=False)
            for connection in list(self._live):
                connection.transport.abort()
            await self._server.wait_closed()

        if self._thread.is_alive():
            self._call(stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()


class Feed(_Peer):
    """A feed: every connection gets `messages`, then whatever `send()` is given.

    `hang_up` closes each connection right after `messages`.
    """

    def __init__(
        self,
        messages: Iterable[Message] = (),
        *,
        port: int = 0,
        path: str = "/raw-messages",
        refuse: int = 0,
        hang_up: bool = False,
    ) -> None:
        self.sent = 0
        """Messages that the connections have taken so far."""
        self.accepted = 0
        """Connections so far."""
        self._messages = messages
        self._hang_up = hang_up
        super().__init__(path, port, refuse)

    async def _serve(self, connection: ServerConnection) -> None:
        self.accepted += 1
        for message in self._messages:
            await self._send_one(connection, message)
        if not self._hang_up:
            async for _ in connection:
                pass

    async def _send_one(self, connection: ServerConnection, message: Message) -> None:
        if isinstance(message, Fragments):
            await connection.send(message, text=True)
        else:
            await connection.send(message, text=not isinstance(message, Binary))
        self.sent += 1
        if self.sent % 100 == 0:
            # A send() that need not wait does not let the loop read what the peer says.
            await asyncio.sleep(0)

    def send(self, *messages: Message) -> None:
        """Send messages to all who are connected; returns when they have been written."""

        async def send() -> None:
            for connection in list(self._live):
                with contextlib.suppress(ConnectionClosed):
                    for message in messages:
                        await self._send_one(connection, message)

        self._call(send())


class Received(list[bytes]):
    """The messages of one connection, and the code that the peer closed it with."""

    code: int | None = None
    binary = 0


Answer: TypeAlias = "Callable[[Received], Iterable[str | tuple[int, str]]]"
"""Says what is sent after the last message of a connection; code and reason close it."""


class Endpoint(_Peer):
    """An endpoint that writes down what it receives, connection by connection.

    `pause` seconds go by after each message; and while it does not read, nothing is received.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        path: str = "/ordered-messages/somebody",
        refuse: int = 0,
        reading: bool = True,
        pause: float = 0.0,
        answer: Answer | None = None,
    ) -> None:
        self._say = answer
        self.connections: list[Received] = []
        self._pause = pause
        self._reading = asyncio.Event()
        if reading:
            self._reading.set()
        super().__init__(path, port, refuse)

    async def _serve(self, connection: ServerConnection) -> None:
        received = Received()
        self.connections.append(received)
        try:
            while True:
                await self._reading.wait()
                message = await connection.recv()
                if isinstance(message, str):
                    received.append(message.encode())
                else:
                    received.binary += 1
                    received.append(message)
                if self._pause:
                    await asyncio.sleep(self._pause)
                for said in self._say(received) if self._say else ():
                    if isinstance(said, tuple):
                        await connection.close(*said)
                    else:
                        await connection.send(said)
        finally:
            received.code = connection.close_code

    @property
    def messages(self) -> Sequence[bytes]:
        """Everything received, one connection after the other."""
        return [message for received in list(self.connections) for message in received]

    @property
    def deaf(self) -> bool:
        """Whether not even pings are read any more."""
        return bool(self._live) and not any(
            connection.transport.is_reading() for connection in list(self._live)
        )

    def read(self, reading: bool) -> None:
        """Go on reading, or stop, which the peer notices only by its buffers filling up."""
        change = self._reading.set if reading else self._reading.clear
        self._loop.call_soon_threadsafe(change)

    def stop(self) -> None:
        """Stop listening, cut all connections, and end the thread."""
        if not self._loop.is_closed():
            self.read(True)
        super().stop()
