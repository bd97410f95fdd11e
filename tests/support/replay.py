"""Serve a transcript as its real server would: check what is said to it, refuse what is wrong.

It checks handshake, opening messages, keepalives, answers and acknowledgements, and closes with
the protocol's code when one is wrong or missing; after a refusal the next connection gets the same
part again. One connection at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from .transcripts import fits, frame, wanted

GRACE = 5.0
"""Seconds that a message is waited for when the transcript does not say."""


class Refused(Exception):
    """Something was said that the real server would not stand, or not said in time."""

    def __init__(self, why: str, close: Any) -> None:
        super().__init__(why)
        self.close = close or [1008, "policy violation"]


class Replay:
    """One transcript, served to one relay in a thread of its own; a part for each connection."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.parts: list[list[dict[str, Any]]] = []
        for line in lines[1:]:
            if "connect" in line:
                self.parts.append([])
            self.parts[-1].append(line)
        self.done = 0
        self.sent: list[bytes] = []
        self.refused: list[str] = []
        self.unexpected: list[str] = []
        self.headers: list[Headers] = []
        self.finished = threading.Event()
        self._busy = False
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the server."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    @property
    def resumed(self) -> bool:
        """Whether a part after the first one is being played."""
        return self._busy and self.done > 0

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._ending = asyncio.Event()
        async with serve(
            self._serve, "127.0.0.1", 0, process_request=self._request,
            select_subprotocol=self._subprotocol, ping_interval=None, compression=None,
            close_timeout=0.5,
        ) as server:  # fmt: skip
            self.port: int = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._ending.wait()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._busy or self.finished.is_set():
            return _no(http.HTTPStatus.TOO_MANY_REQUESTS)
        server, parts = self.parts[self.done][0]["connect"], urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.headers.append(request.headers)
        wrong = [f"path {parts.path}"] if parts.path != server.get("path", parts.path) else []
        for name, pattern in server.get("query", {}).items():
            if not fits(query.get(name), pattern):
                wrong.append(f"query {name}")
        for name, pattern in server.get("headers", {}).items():
            if not fits(request.headers.get(name), pattern):
                wrong.append(f"header {name}")
        connection.wrong, connection.query = wrong, query  # type: ignore[attr-defined]
        if wrong and "close" not in server:
            self.refused.append(", ".join(wrong))
            return _no(http.HTTPStatus(server.get("status", 401)))
        return None

    def _subprotocol(
        self, connection: ServerConnection, offered: Any
    ) -> Subprotocol | None:  # fmt: skip
        name = self.parts[self.done][0]["connect"].get("subprotocol")
        if name and name not in offered:
            connection.wrong.append(f"subprotocol {name}")  # type: ignore[attr-defined]
        return name if name in offered else None

    async def _serve(self, connection: ServerConnection) -> None:
        self._busy = True
        part = self.parts[self.done]
        try:
            wrong = connection.wrong  # type: ignore[attr-defined]
            if wrong:
                raise Refused(", ".join(wrong), part[0]["connect"].get("close"))
            await _Play(self, connection, part).run()
        except Refused as refused:
            self.refused.append(str(refused))
            await connection.close(*refused.close)
        except ConnectionClosed:
            pass
        finally:
            self._busy = False


class _Play:
    """The playing of one part on one connection."""

    def __init__(
        self, replay: Replay, connection: ServerConnection, part: list[dict[str, Any]]
    ) -> None:
        self.replay, self.connection, self.part = replay, connection, part
        self.inbox: list[tuple[int, str]] = []
        """What came and is awaited, each with how many frames had gone out before."""
        self.frames = 0
        self.arrived = asyncio.Event()
        self.keepalive: dict[str, Any] | None = None
        self.alive = 0.0
        self.acks: dict[str, Any] | None = None
        self.owed: list[tuple[int, float]] = []
        self.settled = asyncio.Event()

    async def run(self) -> None:
        reading = asyncio.ensure_future(self._read())
        steps = asyncio.ensure_future(self._steps())
        watching = asyncio.ensure_future(self._watch())
        tasks = [reading, steps, watching]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (steps, watching, reading):
                if task.done():
                    task.result()
            if self.replay.finished.is_set():
                with contextlib.suppress(ConnectionClosed):
                    await reading  # it stays until the relay leaves
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _steps(self) -> None:
        for line in self.part[1:]:
            if "keepalive" in line:
                self.keepalive, self.alive = line["keepalive"], _now()
            elif "acks" in line:
                self.acks = line["acks"]
            elif line.get("dir") == "out":
                await self._expect(line)
            elif line.get("dir") == "in":
                await self._send(line)
            elif "wait_ms" in line:
                await asyncio.sleep(line["wait_ms"] / 1000)
            else:
                await self._settle()
                self._done()
                if "close" in line:
                    await self.connection.close(line["close"], line.get("reason", ""))
                else:
                    self.connection.transport.close()  # as a cable breaks, without a word
                return
        await self._settle()
        self._done()

    def _done(self) -> None:
        self.replay.done += 1
        if self.replay.done == len(self.replay.parts):
            self.replay.finished.set()

    async def _send(self, line: dict[str, Any]) -> None:
        cursor = self.part[0]["connect"].get("cursor")
        if "seq" in line and cursor:
            given = self.connection.query.get(cursor.removeprefix("query."))  # type: ignore[attr-defined]
            if line["seq"] < int(given or self.part[0]["connect"]["live"]):
                return
        await asyncio.sleep(line.get("after_ms", 0) / 1000)
        self.frames += 1
        await self._say(frame(line), binary="base64" in line)
        if "ack" in line and self.acks:
            self.owed.append((line["ack"], _now()))

    async def _say(self, data: bytes, *, binary: bool = False) -> None:
        self.replay.sent.append(data)
        await self.connection.send(data if binary else data.decode())

    async def _expect(self, line: dict[str, Any]) -> None:
        for before, message in self.inbox:
            if before < self.frames and "early" in line and wanted(message, line):
                raise Refused(f"too early: {message}", line["early"])
        deadline = _now() + line.get("within_ms", GRACE * 1000) / 1000
        while True:
            for at, (_, message) in enumerate(self.inbox):
                if wanted(message, line):
                    del self.inbox[at]
                    return
                if "wrong_if" in line and fits(json.loads(message), line["wrong_if"]):
                    raise Refused(f"wrong: {message}", line["wrong"])
            self.arrived.clear()
            try:
                async with asyncio.timeout(deadline - _now()):
                    await self.arrived.wait()
            except TimeoutError:
                raise Refused(f"not sent in time: {line}", line.get("close")) from None

    async def _read(self) -> None:
        coming = [line for line in self.part if line.get("dir") == "out"]
        while True:
            message = await self.connection.recv()
            assert isinstance(message, str)
            if self.keepalive and wanted(message, self.keepalive):
                self.alive = _now()
                if "answer" in self.keepalive:
                    await self._say(self.keepalive["answer"].encode())
            elif self.acks and wanted(message, self.acks):
                value = json.loads(message)[self.acks["value"]]
                self.owed = [owed for owed in self.owed if owed[0] > value]
                self.settled.set()
            elif any(
                wanted(message, line)
                or ("wrong_if" in line and fits(json.loads(message), line["wrong_if"]))
                for line in coming
            ):
                self.inbox.append((self.frames, message))
                self.arrived.set()
            else:
                self.replay.unexpected.append(message)
                if "unexpected" in self.part[0]["connect"]:
                    raise Refused(
                        f"unexpected: {message}", self.part[0]["connect"]["unexpected"]
                    )  # fmt: skip

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self.keepalive and (_now() - self.alive) * 1000 > self.keepalive["within_ms"]:
                raise Refused("no keepalive", self.keepalive.get("close"))
            if self.acks and self.owed:
                value, since = self.owed[0]
                if (_now() - since) * 1000 > self.acks["within_ms"]:
                    raise Refused(f"not acknowledged: {value}", self.acks.get("close"))

    async def _settle(self) -> None:
        while self.owed:
            self.settled.clear()
            await self.settled.wait()


def _no(status: http.HTTPStatus) -> Response:
    return Response(status, status.phrase, Headers({"Content-Length": "0"}), b"")


def _now() -> float:
    return asyncio.get_running_loop().time()
