"""Writes a room's log down in a file: one replica at a time, from where the file ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from chassis import clock, logs, tasks
from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.redis import Link, Unavailable

from . import keys, metrics, protocol
from .log import NOWHERE, Log, read_entries
from .log_file import PAUSE, Locked, LogFile
from .records import Position, Record, follows

READ = 2000
"""Records read, and written, at once."""

SLOW = 5.0
"""Seconds of waiting for the lock, or the disk, that are told of, and counted again and again."""


class LogWriter:
    """The log file's writer, for as long as this replica holds the lease.

    The lease spreads the work; that never two write is the file lock's doing. What the file
    has last is where reading goes on, so nothing is written twice and nothing left out,
    whoever wrote before.
    """

    def __init__(
        self,
        link: Link,
        room_log: Log,
        path: str,
        most: int,
        log: logs.Log,
        heard: Callable[[], Position],
    ) -> None:
        """Let the file have `most` bytes.

        `heard` tells the position of the latest record, to measure the lag.
        """
        self._link = link
        self._room_log = room_log
        self._path = Path(path)
        self._most = most
        self._log = log
        self._heard = heard
        self._position = NOWHERE
        self.trouble = ""
        """Why nothing can be written down; empty if it can."""
        metrics.LOG_LAG.set_function(self._lag)
        self._writing = False

    def _lag(self) -> int:
        heard, written = self._heard(), self._position
        if not self._writing:
            return 0
        return max(0, heard.seq - (written.seq if written.epoch == heard.epoch else 0))

    async def run(self, lease: Lease, stopped: asyncio.Event) -> None:
        """Write until `stopped`, and then what is left."""
        # To stop while Redis is away loses nothing: the next writer reads on from the file.
        with contextlib.suppress(Unavailable):
            await self._run(lease, stopped)

    async def _run(self, lease: Lease, stopped: asyncio.Event) -> None:
        file = LogFile(self._path, self._most)
        if not await self._open(file, stopped):
            return
        self._writing = True
        metrics.LOG_WRITING.set(1)
        try:
            await self._check_numbering()
            while not stopped.is_set() and lease.held:
                records = await self._link.patiently(self._wait)
                if records:
                    await self._write(file, records, stopped)
                    await tasks.until(stopped, PAUSE)
                else:
                    await self._check_numbering()
            while lease.held and (records := await self._link.patiently(self._read)):
                await self._write(file, records, stopped)
        finally:
            self._writing = False
            metrics.LOG_WRITING.set(0)
            file.close()

    async def _open(self, file: LogFile, stopped: asyncio.Event) -> bool:
        """Open the file as soon as nobody else writes it; False if there is no more need to."""
        backoff = Backoff(0.1, 5.0)
        since = told = clock.monotonic()
        while True:
            try:
                found = await asyncio.to_thread(file.open)
            except Locked:
                # For a moment it may be a replica that has lost its lease, or just died.
                if clock.monotonic() - told >= SLOW:
                    told = clock.monotonic()
                    self._fail("another process keeps the log file locked")
                if await tasks.until(stopped, 0.2):
                    return False
                continue
            except OSError as error:
                self._fail("cannot open the log file", error=str(error))
                if await tasks.until(stopped, backoff.delay()):
                    return False
                continue
            if file.broken is not None:
                self._log.error("the log file was no log; put aside", path=str(file.broken))
            if self.trouble:
                self._log.info("the log file is open", after=round(clock.monotonic() - since, 1))
            self.trouble = ""
            # A file that was moved away is not to be written a second time.
            if found is None:
                found = await self._link.patiently(self._written)
            self._position = found
            return True

    async def _written(self) -> Position:
        """Read how far the log was written down; nowhere, if that is not in Redis any more."""
        found = await self._link.send("GET", keys.written(self._room_log.room))
        return Position.parse(found) if found else NOWHERE

    def _fail(self, what: str, **fields: object) -> None:
        """Count a failure, and tell of the first."""
        metrics.LOG_FAILURES.inc()
        if not self.trouble:
            self._log.warning(what, **fields)
        self.trouble = " ".join([what, *map(str, fields.values())])

    async def _read(self) -> list[Record]:
        return await self._room_log.after(self._position, READ)

    async def _wait(self) -> list[Record]:
        """Read what comes next; waits for it a second."""
        log = keys.log(self._room_log.room)
        found = await self._link.read({log: str(self._position).encode()}, count=READ)
        return read_entries(found.get(log, []))

    async def _check_numbering(self) -> None:
        """Begin a new epoch if the log ends before what the file has: it came back older.

        Otherwise numbers would be given twice, and what has them never be written down.
        """
        end = await self._link.patiently(self._room_log.end)
        if end < self._position:
            self._log.error(
                "Redis has lost what the log file has", written=str(self._position), end=str(end)
            )
            await self._link.patiently(lambda: self._room_log.begin(self._position))

    async def _write(self, file: LogFile, records: list[Record], stopped: asyncio.Event) -> None:
        """Write records down; where some are gone, a record says so."""
        lines: list[bytes] = []
        position = self._position
        for record in records:
            if not follows(position, record.position):
                lines += self._gap(position, record)
            position = record.position
            if position.seq > 0:
                lines.append(record.data)
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                await self._append(file, lines)
            except OSError as error:
                self._fail("cannot write the log file", error=str(error))
                if await tasks.until(stopped, backoff.delay()):
                    return
            else:
                break
        if self.trouble:
            self._log.info("the log file is written again")
        self.trouble = ""
        self._position = position
        key = keys.written(self._room_log.room)
        await self._link.attempt(lambda: self._link.send("SET", key, str(position)))
        metrics.LOG_RECORDS.inc(len(lines))

    async def _append(self, file: LogFile, lines: list[bytes]) -> None:
        """Append, and tell of a disk that takes too long: it may never answer."""
        appending = asyncio.ensure_future(asyncio.to_thread(file.append, lines))
        while not appending.done():
            await asyncio.wait([appending], timeout=SLOW)
            if not appending.done():
                self._fail("the disk of the log file does not answer")
        appending.result()

    def _gap(self, before: Position, after: Record) -> list[bytes]:
        """Make the record of a gap between `before` and `after`, if there is one."""
        found = after.position
        same = before.epoch == found.epoch
        first = before.seq + 1 if same else 1
        last = found.seq - 1
        if before == NOWHERE and last <= 0:
            return []  # the very first record of all
        if last >= first:
            metrics.LOG_MISSED.inc(last - first + 1)
            self._log.warning("records gone before they were written", first=first, last=last)
            message = f"records {first} to {last} are missing"
        elif same:
            return []
        else:
            message = "Redis has lost its data; the numbers begin anew"
        head = protocol.record(
            "gap", None, message, "server", first=first, last=last if last >= first else None
        )
        # Its number is that of the last record it stands for, so that reading goes on after it.
        time = protocol.stamp(after.data).encode()
        numbers = b'"seq":%d,"epoch":%d}' % (max(0, last), found.epoch)
        return [b'{"time":"%s",%s,%s' % (time, head[1:], numbers)]
