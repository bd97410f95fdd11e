"""Clients of wisdom, written with nothing but `websockets`, and its replicas."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .processes import Service
from .stack import Stack
from .waiting import eventually

Message = dict[str, Any]


def replica(start: Stack, module: str = "wisdom", **settings: object) -> Service:
    """Start a replica and wait until it is ready; it ticks twice a second."""
    own = {"WISDOM_HOST": "127.0.0.1", "WISDOM_PORT": 0, "WISDOM_PERIOD": 0.5}
    settings = {**own, "LOG_LEVEL": "debug", **settings}
    service = start.service(module, **settings)
    service.wait_ready()
    return service


def port(service: Service) -> int:
    """Tell the port that a replica listens on."""
    bound: int = service.wait_for("wisdom listens")["port"]
    return bound


def url(service: Service, path: str = "/") -> str:
    """Tell where a replica listens."""
    return f"ws://127.0.0.1:{port(service)}{path}"


def published(service: Service) -> int:
    """Tell how many quotes a replica has published."""
    return len(service.events("quote published"))


class Wolf:
    """One session: everything that came, and words to say."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: list[Message] = []
        self.closed: tuple[int, str] | None = None
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.messages.append(json.loads(await self.connection.recv()))
        except ConnectionClosed:
            code = self.connection.close_code
            self.closed = (code or 0, self.connection.close_reason or "")

    def of(self, kind: str) -> list[Message]:
        """List the messages of one type."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def id(self) -> str:
        """The session's id."""
        told: str = self.of("initial")[0]["payload"]["id"]
        return told

    @property
    def quotes(self) -> list[str]:
        """The quotes that came."""
        return [message["payload"]["message"] for message in self.of("wisdom_distribution")]

    @property
    def errors(self) -> list[str]:
        """The codes of the errors that came."""
        return [message["payload"]["code"] for message in self.of("error")]

    async def say(self, *events: str, id: str | None = None) -> None:
        """Send events, with the own id or another."""
        for event in events:
            said = {"type": event, "payload": {"id": self.id if id is None else id}}
            await self.connection.send(json.dumps(said))

    async def get(self, kind: str, number: int = 1) -> Message:
        """Wait for the message of a type with this number, counted from 1."""
        found = await eventually(
            lambda: self.of(kind)[number - 1 :],
            lambda: f"{kind} no. {number} comes; {self.messages[-3:]}, {self.closed}",
        )
        message: Message = found[0]
        return message

    async def subscribe(self) -> None:
        """Connect and subscribe, and wait for the confirmation."""
        await self.say("connect", "subscribe")
        await self.get("subscribe_confirmation")

    async def handled(self) -> None:
        """Wait until everything said so far has been handled."""
        before = len(self.of("error"))
        await self.connection.send('{"type":"fence","payload":{}}')
        await self.get("error", before + 1)

    async def end(self) -> tuple[int, str]:
        """Wait for the connection's end; returns code and reason."""
        await eventually(lambda: self.closed, lambda: f"the end comes; {self.messages[-2:]}")
        assert self.closed is not None
        return self.closed


@contextlib.asynccontextmanager
async def howl(address: str, **options: Any) -> AsyncIterator[Wolf]:
    """Open a session for the length of the `async with` block."""
    async with connect(address, proxy=None, compression=None, **options) as connection:
        wolf = Wolf(connection)
        await eventually(lambda: wolf.messages or wolf.closed, "the greeting comes")
        yield wolf
        await connection.close()
        await wolf._reading


def small_window(service: Service) -> socket.socket:
    """Connect a socket that takes little when it is not read; pass it to `howl(sock=…)`."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port(service)))
    sock.setblocking(False)
    return sock
