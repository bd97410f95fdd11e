"""The room: greeting, history, messages to everybody, resume after a broken connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import TypeVar

from broadcast.bucket import Bucket
from broadcast.closing import BUG, ENCODING, FLOOD, LOST, SLOW, Close
from broadcast.connection import Connection, Message
from chassis.logs import Log
from chassis.redis import Link, transient
from chassis.websocket import ConnectionClosed

from . import keys, log_file, metrics, protocol
from .closing import BEHIND, GOODBYE, UNAVAILABLE
from .identity import Clients
from .log import FILL_RECORDS, Draft, Outcome
from .protocol import Ask, Query, Refused, Say
from .records import Position, Record, bounded, consecutive
from .room import Room
from .settings import Settings

T = TypeVar("T")

HISTORY_BYTES = 512 * 1024
"""Bytes of records in one `history` frame; many clients take no frame of more than 1 MiB."""

SHARE = 1 / 12
"""Share of Redis' memory that the room's log may use; with the playground's, an eighth at most."""

CATCH_UP = 2.0
"""Seconds to wait for what a client has already heard from another replica."""

READING = 10.0
"""Seconds in which a client must take a part of its history."""

READERS = 4
"""Clients for whom the log is read at a time: what others say waits behind their replies."""

REFUSALS = 10.0
"""Seconds' worth of messages that may be refused before the connection is closed."""

CUT_MEMORY = 10 * 60.0
"""Seconds for which it is remembered that a client was cut for reading too slowly."""

LISTED = 1000
"""Clients listed at most when somebody asks who is here."""


class Member:
    """One connection to the room."""

    def __init__(self, connection: Connection, name: str, rate: float, now: float) -> None:
        self.connection = connection
        self.name = name
        self.bucket = Bucket(rate, 2 * rate, now)
        self.refusals = Bucket(rate, max(100.0, REFUSALS * rate), now)


class Conversation:
    """The room's part on this replica."""

    def __init__(self, link: Link, instance: str, settings: Settings, log: Log) -> None:
        self._link = link
        self._settings = settings
        self._log = log
        self._members: dict[Connection, Member] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._shown: tuple[object, bytes] = (None, protocol.history(()))
        self._reading = asyncio.Semaphore(READERS)
        self.room = Room(
            link,
            metrics.MAIN,
            instance,
            log,
            retain=settings.retain,
            share=SHARE,
            wanted=settings.history,
            written=lambda: log_file.last(Path(settings.log_file)),
            count=lambda: len(self._members),
            names=lambda: [member.name for member in self._members.values()],
            changed=self._tell_presence,
            gone=self._bury,
            broken=self._begin_anew,
            on_slow=self._remember_slow,
            highest=lambda: self._clients.highest,
        )
        self._clients = Clients(link, metrics.MAIN, lambda: self.room.follower.highest)

    # A connection's life

    async def serve(self, connection: Connection, query: Query) -> None:
        """Serve a connection until it ends."""
        try:
            name, known = await self._admit(query.token)
            member = Member(connection, name, self._settings.rate, connection.loop.time())
            try:
                await self._join(member, query.resume, known)
                while True:
                    for message in await connection.messages():
                        await self._take(member, message)
            except Close as close:
                farewell = protocol.goodbye(close.reason, name)
                await connection.part(close.reason, farewell)
            except ConnectionClosed:
                pass
            except Exception:
                connection.ending = BUG
                raise
            finally:
                self._leave(member)
        except Close as close:
            await connection.part(close.reason, protocol.goodbye(close.reason))

    async def _admit(self, token: str) -> tuple[str, bool]:
        if self.room.follower.position is None or not self._link.up:
            raise Close(UNAVAILABLE)
        return await self._or_part(self._clients.admit(token))

    async def _join(self, member: Member, resume: Position | None, known: bool) -> None:
        """Greet, hand over what was missed, and let in: without a hole, without a repetition."""
        recovered = None if resume is None else await self._recoverable(resume, known)
        if recovered is not None:
            metrics.RESUMES.labels("recovered" if recovered else "lost").inc()
        notice = await self._notice(member) if known else b""
        connection = member.connection
        if resume is not None and recovered:
            connection.write_frames(self._welcome(member, True))
            connection.write_frames(await self._catch_up(connection, resume))
        else:
            self._greet(member, recovered)
        # From here to the end nothing is awaited: what comes next goes to this client, too.
        connection.write_frames(notice)
        self._members[connection] = member
        self.room.hub.add(connection)
        self.room.presence.refresh = True
        metrics.JOINS.labels(metrics.MAIN).inc()
        event = self.room.outbox.put_event
        event(protocol.record("connect", member.name, "connected", "server"))
        event(protocol.record("greeting", member.name, self._settings.welcome, "server"))

    def _leave(self, member: Member) -> None:
        """Free what a connection held, and have its end written down."""
        connection = member.connection
        if self._members.pop(connection, None) is None:
            return
        self.room.hub.discard(connection)
        ending, code, reason = connection.ended()
        data = protocol.record(
            "disconnect", member.name, "disconnected", "server",
            code=code, reason=reason, status=ending.label,
        )  # fmt: skip
        self.room.outbox.put_event(data)
        self._log.debug("left", client=member.name, status=ending.label, code=code)

    # Joining

    def _welcome(self, member: Member, recovered: bool | None) -> bytes:
        token = self._clients.token(member.name)
        greeting = self._settings.welcome
        return protocol.welcome(member.name, greeting, self.room.position, recovered, token)

    def _greet(self, member: Member, recovered: bool | None) -> None:
        """Write to somebody who knows nothing (any longer)."""
        member.connection.write_frames(self._welcome(member, recovered))
        member.connection.write_frames(self._latest())

    def _latest(self) -> bytes:
        """Make the frame of what newcomers get: one for all of them, until something is said.

        However many do not read it, it is in memory once.
        """
        records = self.room.history.latest(self._settings.history, HISTORY_BYTES)
        named = (records[0].position, records[-1].position) if records else None
        if named != self._shown[0]:
            self._shown = named, protocol.history(record.data for record in records)
        return self._shown[1]

    async def _recoverable(self, at: Position, known: bool) -> bool:
        """Tell whether everything after `at` can still be had.

        By a client that is not `known`: no more than any newcomer gets.
        """
        room = self.room
        if at > room.position and at <= await self._or_part(room.log.end()):
            # Another replica was quicker to tell it than this one is to hear.
            await room.follower.reach(at, CATCH_UP)
        if at.epoch != room.position.epoch or at > room.position:
            return False
        if not known:
            covered = room.history.covers(at)
            return covered and room.history.count_after(at) <= self._settings.history
        return room.history.covers(at) or bool(await self._read(at, 1))

    async def _catch_up(self, connection: Connection, at: Position) -> bytes:
        """Send what follows `at` in parts; returns the frame of the last one, still to be sent.

        That one comes from memory, and nothing is awaited after it was made.
        """
        history = self.room.history
        while True:
            if history.covers(at):
                records, whole = history.after(at, HISTORY_BYTES)
                if whole:
                    return protocol.history(record.data for record in records)
            else:
                records = await self._read(at, FILL_RECORDS)
                if not records:
                    raise Close(BEHIND)
                records = bounded(records, HISTORY_BYTES)
            at = records[-1].position
            shown = [record.data for record in records if record.shown]
            connection.write_frames(protocol.history(shown, more=True))
            await self._flush(connection)

    async def _read(self, at: Position, count: int) -> list[Record]:
        """Read what follows `at` from the log; nothing, if what follows is gone."""
        async with self._reading:
            records = await self._or_part(self.room.log.after(at, count))
        return records if consecutive(at, records) else []

    async def _or_part(self, reading: Awaitable[T]) -> T:
        """Wait for Redis' answer; if there is none, the client has to come back later."""
        try:
            return await reading
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
            raise Close(UNAVAILABLE) from error

    @staticmethod
    async def _flush(connection: Connection) -> None:
        """Wait until a client has taken a part of its history. Raises Close if it does not."""
        try:
            async with asyncio.timeout(READING):
                await connection.drain()
        except TimeoutError:
            raise Close(SLOW) from None
        except OSError:
            pass  # it broke meanwhile
        if not connection.open:
            raise Close(connection.ended()[0])

    async def _notice(self, member: Member) -> bytes:
        """Tell a client that its last connection was cut, if it was."""
        key = keys.cut(metrics.MAIN, member.name)
        try:
            cut = await self._link.send("GETDEL", key)
        except Exception as error:
            self._link.note(error)
            return b""
        return self._error(protocol.SLOW_READER) if cut else b""

    def _begin_anew(self) -> None:
        """Tell everybody that there is a hole: a new welcome, as if they had just come back."""
        self._clients.forget()
        for member in self._members.values():
            self._greet(member, False)

    # What clients say

    async def _take(self, member: Member, message: Message) -> None:
        metrics.RECEIVED.labels(metrics.MAIN).inc()
        now = member.connection.loop.time()
        key: str | None = None
        try:
            if message.binary:
                raise Refused(protocol.BINARY)
            said = protocol.read(message.data, self._settings.message_bytes)
            key = said.key if isinstance(said, Say) else None
            if not member.bucket.take(now):
                raise Refused(protocol.RATE, key)
            if isinstance(said, Say):
                self._publish(member, said)
            else:
                await self._answer(member, said)
        except UnicodeDecodeError:
            raise Close(ENCODING) from None
        except Refused as refused:
            if not member.refusals.take(now):
                raise Close(FLOOD) from None
            retry = None
            if refused.code == protocol.RATE:
                retry = int(1000 * member.bucket.wait(now)) + 1
            elif refused.code == protocol.UNAVAILABLE:
                retry = 1000
            member.connection.write_frames(self._error(refused.code, refused.key, retry))

    def _publish(self, member: Member, said: Say) -> None:
        draft = Draft(
            protocol.record("message", member.name, said.text, "client"),
            digest=said.key and protocol.digest(member.name, said.key, said.text),
        )
        done = partial(self._acknowledge, member, said.key)
        if not self._link.up or not self.room.outbox.put(draft, done):
            raise Refused(protocol.UNAVAILABLE, said.key)

    @staticmethod
    def _acknowledge(member: Member, key: str | None, outcome: Outcome) -> None:
        metrics.ACKS.inc()
        member.connection.write_frames(
            protocol.ack(member.name, outcome.position, key, outcome.repeated)
        )

    async def _answer(self, member: Member, asked: Ask) -> None:
        match asked.what:
            case "goodbye":
                raise Close(GOODBYE)
            case "ping":
                member.connection.write_frames(protocol.pong())
            case "who":
                try:
                    clients = await self.room.presence.who()
                except Exception as error:
                    if transient(error) is None:
                        raise
                    raise Refused(protocol.UNAVAILABLE) from error
                member.connection.write_frames(protocol.who(len(clients), clients[:LISTED]))

    @staticmethod
    def _error(code: str, key: str | None = None, retry_after_ms: int | None = None) -> bytes:
        metrics.ERRORS_TOLD.labels(code).inc()
        return protocol.error(code, key, retry_after_ms)

    # What the room's parts tell

    async def _tell_presence(self, online: int) -> None:
        await self.room.hub.write(protocol.presence(online))

    def _bury(self, names: list[str]) -> None:
        """Write down the end of connections whose replica has died."""
        self._log.warning("a replica has died", clients=len(names))
        for name in names:
            data = protocol.record(
                "disconnect", name, "disconnected", "server",
                code=1006, reason="", status=LOST.label,
            )  # fmt: skip
            self.room.outbox.put_event(data)

    def _remember_slow(self, connection: Connection) -> None:
        """Leave a note for the next visit of a client that is being cut."""
        member = self._members.get(connection)
        if member is None:
            return
        self._log.warning("slow reader cut", client=member.name, unwritten=connection.unwritten)
        task = asyncio.ensure_future(self._leave_note(member.name))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _leave_note(self, name: str) -> None:
        key = keys.cut(metrics.MAIN, name)
        lasts = int(CUT_MEMORY * 1000)
        await self._link.attempt(lambda: self._link.send("SET", key, 1, "PX", lasts))
