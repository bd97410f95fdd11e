"""Clients of the chat, written with nothing but `websockets`, and its replicas."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .processes import Service
from .stack import Stack
from .waiting import eventually

Frame = dict[str, Any]


def replica(start: Stack, directory: Path, module: str = "chat", **settings: object) -> Service:
    """Start a replica, whose `port` is then known."""
    settings = {
        "CHAT_HOST": "127.0.0.1",
        "CHAT_PORT": 0,
        "CHAT_LOG_FILE": directory / "messages.json",
        **settings,
    }
    service = start.service(module, **settings)
    service.wait_ready()
    return service


def url(service: Service, path: str = "/") -> str:
    """Tell where a replica listens."""
    return f"ws://127.0.0.1:{service.wait_for('chat listens')['port']}{path}"


def port(service: Service) -> int:
    """Tell the port that a replica listens on."""
    bound: int = service.wait_for("chat listens")["port"]
    return bound


class Visitor:
    """One connection to the room: everything that came, by kind."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Frame] = []
        self.closed: tuple[int, str] | None = None
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.frames.append(json.loads(await self.connection.recv()))
        except ConnectionClosed:
            code = self.connection.close_code
            self.closed = (code or 0, self.connection.close_reason or "")

    def of(self, kind: str) -> list[Frame]:
        """List the frames of one type."""
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def records(self) -> list[Frame]:
        """The messages, those of the history first."""
        found = []
        for frame in self.frames:
            if frame["type"] == "history":
                found += frame["records"]
            elif frame["type"] == "message":
                found.append(frame)
        return found

    @property
    def texts(self) -> list[str]:
        """The messages' texts."""
        return [record["message"] for record in self.records]

    def seqs_grow(self) -> bool:
        """Tell whether the messages came in order, each once."""
        seqs = [record["seq"] for record in self.records]
        return seqs == sorted(set(seqs))

    async def get(self, kind: str, number: int = 1) -> Frame:
        """Wait for the frame of a type with this number, counted from 1."""
        frames = await eventually(
            lambda: self.of(kind)[number - 1 :],
            lambda: f"{kind} no. {number} comes; {self.frames[-3:]}, {self.closed}",
        )
        frame: Frame = frames[0]
        return frame

    async def say(self, text: str, key: str | None = None) -> Frame:
        """Say something and wait for the acknowledgement."""
        before = len(self.of("ack"))
        message = {"type": "message", "message": text}
        await self.connection.send(json.dumps(message | ({"key": key} if key else {})))
        return await self.get("ack", before + 1)

    async def end(self) -> tuple[int, str]:
        """Wait for the connection's end; returns code and reason."""
        await eventually(lambda: self.closed, lambda: f"the end comes; {self.frames[-2:]}")
        assert self.closed is not None
        return self.closed


@contextlib.asynccontextmanager
async def visit(address: str, **options: Any) -> AsyncIterator[Visitor]:
    """Connect to a room for the length of the `async with` block."""
    async with connect(address, proxy=None, compression=None, **options) as connection:
        visitor = Visitor(connection)
        if "/playground" not in address and "/echo" not in address:
            await eventually(lambda: visitor.of("history") or visitor.closed, "the history comes")
        yield visitor
        await connection.close()
        await visitor._reading


class Regular:
    """A client that comes back with what it has seen, until it is told to stop.

    `records` are all messages it ever got, in the order in which they came; `faults` tells of
    what it was told is lost. It talks from `go` on, and says all again until it is acknowledged.
    """

    def __init__(self, name: str, choose: Callable[[int], str], go: asyncio.Event) -> None:
        self.name = name
        self.records: list[Frame] = []
        self.faults: list[Frame] = []
        self.visits = 0
        self.acked = 0
        self.last = 0
        """The highest number that one of its messages got."""
        self.pause = 0.0
        """Seconds between two of its messages."""
        self._choose = choose
        self._go = go
        self.greeted = False
        self._leaving = False
        self._seen: tuple[int, int] | None = None
        self._token = ""

    async def run(self, messages: int) -> None:
        """Say `messages` messages, `name n` each, and listen until `leave()`."""
        while not self._leaving:
            query = ""
            if self._seen is not None:
                query = "?epoch={}&seq={}&token={}".format(*self._seen, self._token)
            try:
                async with connect(
                    self._choose(self.visits) + query,
                    proxy=None,
                    compression=None,
                    open_timeout=5,
                    close_timeout=0.5,  # what is not read at the end hides the answer
                ) as connection:
                    self.visits += 1
                    await self._visit(connection, messages)
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                self.visits += 1
                await asyncio.sleep(0.1)

    async def _visit(self, connection: ClientConnection, messages: int) -> None:
        window = asyncio.Semaphore(8)
        greeted = asyncio.Event()

        async def talk() -> None:
            await greeted.wait()
            await self._go.wait()
            for number in range(self.acked, messages):
                await window.acquire()
                await asyncio.sleep(self.pause)
                text = f"{self.name} {number}"
                said = {"type": "message", "message": text, "key": text}
                await connection.send(json.dumps(said))

        talking = asyncio.ensure_future(talk())
        try:
            while not self._leaving:
                try:
                    async with asyncio.timeout(0.2):
                        frame = json.loads(await connection.recv())
                except TimeoutError:
                    continue
                self._hear(frame)
                if frame["type"] == "history":
                    self.greeted = True
                    greeted.set()
                elif frame["type"] == "ack":
                    assert frame["key"] == f"{self.name} {self.acked}", frame
                    self.acked += 1
                    self.last = max(self.last, frame["seq"])
                    window.release()
                elif frame["type"] == "error":
                    await asyncio.sleep(frame.get("retry_after_ms", 100) / 1000)
                    return
        finally:
            talking.cancel()
            await asyncio.wait([talking])

    def _hear(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self._token = frame["token"]
                if frame["recovered"] is False:
                    self.faults.append(frame)
                if self._seen is None:
                    self._seen = (frame["epoch"], frame["seq"])
            case "history":
                for record in frame["records"]:
                    self._add(record)
            case "message":
                self._add(frame)

    def _add(self, record: Frame) -> None:
        self.records.append(record)
        self._seen = (record["epoch"], record["seq"])

    def leave(self) -> None:
        """Stop as soon as the connection is quiet."""
        self._leaving = True

    @property
    def seqs(self) -> list[int]:
        """The sequence numbers of what came."""
        return [record["seq"] for record in self.records]
