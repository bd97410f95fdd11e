"""The connection: keeps it, resumes it, sends what waits, hands on what comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    SecurityError,
    WebSocketException,
)

from chassis import clock
from chassis.backoff import Backoff
from chassis.output import visible
from chassis.websocket import Connect

from . import text
from .room import PAUSE, Outbox, Room, asked, number
from .stats import Stats

FRAME_BYTES = 32 * 1024 * 1024
"""The largest frame taken: a long absence's history comes in one."""

OPEN_TIMEOUT = 10.0
"""Seconds for a connection to open, and again for the greeting to come."""

PING = 20.0
"""Seconds between pings, and for their answer: finds a peer that is gone without a word."""

ANSWER = 2.0
"""Seconds that the server has to say who is here."""

UNANSWERED = 30.0
"""Seconds without an acknowledgement before a message goes out on another connection."""

HARD = {400, 401, 403, 404, 405, 410, 426}
"""HTTP statuses that trying again will not change."""


class Refused(Exception):
    """The server does not want us; says why."""


class Link:
    """Stay in a room until `close()`; what happens is shown by calling `show` with a line."""

    def __init__(self, url: str, show: Callable[[text.Line], None]) -> None:
        self.url = url
        self.room = Room()
        self.outbox = Outbox()
        self.stats = Stats()
        self.failed = 0
        """Messages that were given up."""
        self.state = "connecting"
        self._show = show
        self._backoff = Backoff(0.25, 15.0)
        self._connection: ClientConnection | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room_for_more = asyncio.Event()
        self._room_for_more.set()
        self._closing = asyncio.Event()
        self._answer: asyncio.Future[float | None] | None = None
        """What became of asking who is here: None, or seconds after which to ask again."""
        self._goodbye: Mapping[str, Any] | None = None
        self.entered = asyncio.Event()
        """Set when the room's history has come for the first time."""

    # What the user does --------------------------------------------------------------------

    async def say(self, message: str) -> None:
        """Queue a message; waits while too many are waiting."""
        while self.outbox.full:
            self._room_for_more.clear()
            await self._room_for_more.wait()
        # What a terminal could not decode is no text that could be sent.
        message = message.encode(errors="replace").decode()
        self.outbox.add(message, clock.token(12))
        self._idle.clear()
        self._work.set()

    async def ask_who(self) -> bool:
        """Ask who is here, which shows the answer; False if none comes."""
        if self._connection is None or not self.room.ready:
            return False
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(ANSWER):
                while True:
                    self._answer = asyncio.get_running_loop().create_future()
                    await self._connection.send(json.dumps({"type": "who"}))
                    again = await self._answer
                    if again is None:
                        return True
                    await asyncio.sleep(again)
        return False

    async def settled(self) -> None:
        """Wait until every message has been acknowledged or given up."""
        await self._idle.wait()

    async def close(self) -> None:
        """Say goodbye; `run()` returns."""
        self._closing.set()
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(ANSWER):
                await connection.send(json.dumps({"type": "goodbye"}))
                await connection.wait_closed()
        await connection.close(1000, "bye")

    # The loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and come back after every loss; raises `Refused` if that is pointless."""
        while not self._closing.is_set():
            self.state = "connecting"
            self._goodbye = None
            self.room.connecting()
            try:
                lost = await self._visit()
            except InvalidStatus as error:
                status = error.response.status_code
                if status in HARD:
                    raise Refused(f"the server refuses us with HTTP status {status}") from error
                lost = f"the server answers with HTTP status {status}"
            except (OSError, TimeoutError, WebSocketException, ValueError, LookupError) as error:
                # Whatever a server answers, or redirects to: nothing of it is our mistake.
                lost = _words(error)
            if self._closing.is_set():
                break
            self._disconnected()
            if self._dismissed():
                raise Refused(lost)
            await self._pause(lost)

    def _dismissed(self) -> bool:
        """Tell whether the server has ended this for good, not because of one message."""
        goodbye = self._goodbye
        return (
            goodbye is not None and "retry_after_ms" not in goodbye and goodbye.get("code") != 1009
        )

    async def _visit(self) -> str:
        """Be connected once; returns why it ended."""
        async with Connect(
            _resuming(self.url, self.room.query),
            subprotocols=self.room.protocols or None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=2,
            ping_interval=PING,
            ping_timeout=PING,
            max_size=FRAME_BYTES,
            proxy=None,
        ) as connection:
            self._connection = connection
            sender = asyncio.create_task(self._send(connection))
            try:
                await self._receive(connection)
            except ConnectionClosed:
                pass
            finally:
                self._connection = None
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await sender
        code, reason = connection.close_code, connection.close_reason or ""
        if code == 1009 and (given_up := self.outbox.disconnected(too_big=True)):
            self._give_up(given_up.text, text.ERRORS["too_long"])
        return text.close(code, reason)

    async def _receive(self, connection: ClientConnection) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT) as greeting:
                async for data in connection:
                    self._take(data)
                    if self.room.ready:
                        greeting.reschedule(None)
        except TimeoutError:
            connection.transport.abort()

    async def _send(self, connection: ClientConnection) -> None:
        while True:
            self._work.clear()
            now = clock.monotonic()
            first = self.outbox.items[0] if self.outbox else None
            if self.room.ready and (outgoing := self.outbox.due(now)):
                outgoing.sent_at = now
                frame = {"type": "message", "message": outgoing.text, "key": outgoing.key}
                await connection.send(json.dumps(frame, ensure_ascii=False))
            wait = None
            if first and first.sent_at is not None:
                wait = first.sent_at + UNANSWERED - now
                if wait <= 0:
                    connection.transport.abort()
                    return
            elif first and first.not_before > now:
                wait = first.not_before - now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._work.wait()

    async def _pause(self, lost: str) -> None:
        pause = max(self._backoff.delay(), asked(self._goodbye or {}) or 0.0)
        self._show(text.problem(f"{lost}; reconnecting in {pause:.1f} s"))
        self.state = "reconnecting"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._closing.wait()

    def _disconnected(self) -> None:
        self.stats.connected_since = None
        if given_up := self.outbox.disconnected():
            self._give_up(given_up.text, "the connection broke each time it was sent")

    # What comes ----------------------------------------------------------------------------

    def _take(self, data: str | bytes) -> None:
        try:
            frame = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(frame, dict):
            return
        match frame.get("type"):
            case "welcome":
                self.room.welcome(frame)
            case "history":
                self._history(frame)
            case "ack":
                self._acknowledged(frame.get("key"))
            case "error":
                self._refused(frame)
            case "presence":
                self.room.online = number(frame.get("online"))
            case "who":
                listed = frame.get("clients")
                names = listed if isinstance(listed, list) else ()
                line = text.people(frame.get("online"), names, self.room.client_id)
                self._show(text.notice(line))
                if self._answer and not self._answer.done():
                    self._answer.set_result(None)
            case "goodbye":
                self._goodbye = frame
                if self._closing.is_set():
                    self._show(text.notice(text.shown(frame.get("message"))))
            case _:
                if "message" in frame and self.room.accept(frame):
                    self._record(frame)

    def _history(self, frame: Mapping[str, Any]) -> None:
        welcome = self.room.greeting
        records, gap = self.room.history(frame.get("records"), bool(frame.get("more")))
        if self.state != "online":
            greeting = text.shown(welcome) if not self.stats.connections else ""
            self._show(text.notice(f"you are {self.room.client_id}. {greeting}".rstrip()))
            self.state = "online"
            self.stats.connected(clock.monotonic())
            self._backoff.succeeded()
        if gap:
            self._show(text.problem("some messages could not be restored"))
        for record in records:
            self._record(record)
        if self.room.ready:
            self.entered.set()
            self._work.set()

    def _record(self, record: Mapping[str, Any]) -> None:
        self.stats.received += record.get("sender") == "client"
        self._show(text.record(record, self.room.own(record)))

    def _acknowledged(self, key: object) -> None:
        round_trip = self.outbox.acknowledged(key, clock.monotonic())
        if round_trip is not None:
            self.stats.acknowledged(round_trip)
        self._moved()

    def _refused(self, frame: Mapping[str, Any]) -> None:
        why = text.refusal(frame.get("code"), frame.get("message"))
        pause = asked(frame)
        if frame.get("key") is None and self._answer and not self._answer.done():
            self._answer.set_result(PAUSE if pause is None else pause)
            return
        waiting = len(self.outbox)
        temporary = frame.get("temporary") is True
        if frame.get("code") == "slow_reader":  # of the last connection, not of a message
            self._show(text.problem(why))
            return
        given_up = self.outbox.refused(frame.get("key"), temporary, clock.monotonic(), pause)
        if given_up is not None:
            self._give_up(given_up.text, why)
        elif not waiting:
            self._show(text.problem(why))
        self._moved()

    def _give_up(self, message: str, why: str) -> None:
        self.failed += 1
        self.stats.refused += 1
        start = visible(message[:40]) + ("…" if len(message) > 40 else "")
        self._show(text.problem(f"not sent, {why}: {start}"))
        self._moved()

    def _moved(self) -> None:
        self._work.set()
        self._room_for_more.set()
        if not self.outbox:
            self._idle.set()


def address(url: str) -> str:
    """Complete a room's address: `host`, `host:port` and http(s) will do.

    Raises ValueError with what is wrong.
    """
    given = url if "://" in url else f"ws://{url}"
    parts = urlsplit(given)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss"):
        raise ValueError(f"{parts.scheme}:// is not a WebSocket address")
    if not parts.hostname:
        raise ValueError("the address names no host")
    _ = parts.port  # raises ValueError where it is none
    return urlunsplit((scheme, parts.netloc, parts.path or "/", parts.query, ""))


def _resuming(url: str, query: str) -> str:
    return url + query.replace("?", "&") if urlsplit(url).query else url + query


def _words(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer from the server"
        case ConnectionRefusedError():
            return "nobody listens there"
        case OSError():
            return f"no connection ({error.strerror or error})"
        case SecurityError():
            return visible(str(error))
        case _:
            return "this is no WebSocket server"
