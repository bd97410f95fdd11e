"""The loop that reads, decides and commits for all feeds of a process, each failing alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from chassis import clock
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, ResponseError, Unavailable
from chassis.tasks import until
from relay.raw import Entry
from relay.reading import ReadSize

from .feed import Feed, Options, Rejects
from .metrics import FeedMetrics
from .reorder.outputs import Epoch, Gap, Output
from .store import READ_MESSAGES, Store, Verdict

TRIM_EVERY = 0.2
"""Seconds between trimmings of the input."""

SAVE_EVERY = 0.5
"""Seconds between commits of checkpoints with which nothing comes out."""

LOOK_EVERY = 1.0
"""Seconds between looks at the numberings in Redis, and notes on what is in memory."""

FULL = 0.2
"""Seconds to wait when there is no feed that may be read."""

AWAY = 0.1
"""Seconds to wait when Redis has not answered."""

AGAIN = 5.0
"""Seconds after which a feed is tried again whose commit Redis cannot do."""


class _Work:
    """One feed that this process orders."""

    def __init__(self, name: str, lease: Lease, stop: asyncio.Event) -> None:
        self.name = name
        self.lease = lease
        self.stop = stop
        self.ended = asyncio.Event()
        self.metrics = FeedMetrics(name)
        self.size = ReadSize(READ_MESSAGES)
        self.failed = False
        """Whether Redis cannot do what it is asked for."""
        self.feed: Feed
        """There once the feed has been taken up."""
        self.fence = ""
        """Value of the lease then; under a later one, another may have written since."""
        self.trimmed = b""
        self.behind = False
        """Whether more was waiting in the input when it was last read."""

    def status(self) -> dict[str, Any]:
        """Tell what is in memory, also to the metrics."""
        feed = self.feed
        lines = feed.lines.look() if not self.behind else feed.lines.names
        self.metrics.update(feed, lines, self.behind)
        return {**feed.status(), "lines": lines}


class Worker:
    """Orders feeds, all in one loop: one read, one pipeline of commits."""

    def __init__(self, link: Link, store: Store, options: Options, log: Log) -> None:
        self._link = link
        self._store = store
        self._options = options
        self._log = log
        self._joining: list[_Work] = []
        self._working: dict[str, _Work] = {}
        self._changed = asyncio.Event()
        """Set when a feed comes or is to go."""
        self._reading: asyncio.Timeout | None = None
        """Ends the read that is under way, when something has changed."""
        self._looked = self._trimmed = self._saved = 0.0

    # From start to stop ---------------------------------------------------------------------

    async def order(self, feed: str, lease: Lease, stop: asyncio.Event) -> None:
        """Order a feed, under its lease, until `stop` or until another orderer takes over."""
        work = _Work(feed, lease, stop)
        self._joining.append(work)
        self._wake()
        stopping = asyncio.ensure_future(stop.wait())
        ended = asyncio.ensure_future(work.ended.wait())
        try:
            await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
            self._wake()
            await ended
        finally:
            stopping.cancel()
            ended.cancel()
        if work.failed:
            await until(stop, AGAIN)

    def _wake(self) -> None:
        """Have the loop look at what has come, or is to go."""
        self._changed.set()
        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(0)

    async def run(self) -> None:
        """Order the feeds that come, for ever; ends when Redis is away for too long at the end."""
        try:
            while True:
                await self.turn()
        except Unavailable:
            for work in self._working.values():
                self._log.warning("stopped without Redis; all is in the checkpoint", feed=work.name)
        finally:
            for work in [*self._joining, *self._working.values()]:
                work.ended.set()

    async def turn(self) -> None:
        """Read what there is, or wait a moment for it, and commit what comes of it."""
        self._changed.clear()
        for work in list(self._working.values()):
            if work.stop.is_set():
                self._drop(work)
        while self._joining:
            await self._take_up(self._joining[0])
            self._joining.pop(0)
        await self._read()
        await self._commit()
        await self._keep_house()

    async def _take_up(self, work: _Work) -> None:
        """Resume a feed from its checkpoint."""
        fingerprints = self._options.limits.fingerprints
        work.fence = work.lease.value
        try:
            state = await self._link.patiently(
                lambda: self._store.load(work.name, work.lease.key, fingerprints)
            )
        except ResponseError as error:
            self._fail(work, str(error))
            return
        work.feed = Feed(work.name, state, self._options)
        work.trimmed = b""
        work.metrics.capacity.set(self._options.limits.capacity)
        self._working[work.name] = work
        self._log.info(
            "ordering", feed=work.name, epoch=state.epoch, next=state.next, raw=state.raw.decode()
        )

    def _drop(self, work: _Work) -> None:
        """Let a feed go; all that was decided is committed."""
        del self._working[work.name]
        self._store.drop(work.name)
        work.status()
        work.metrics.idle()
        work.ended.set()

    # One turn -------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Feed the next entries to the feeds that are not full."""
        reading = [work for work in self._working.values() if not work.feed.reorder.full]
        if self._changed.is_set():  # while the others were taken up
            return
        if not reading:
            await until(self._changed, FULL)
            return
        asked = {work.name: work.size.entries for work in reading}
        try:
            found = await self._read_until_woken(reading)
        except Exception as error:
            if isinstance(error, TimeoutError) and self._changed.is_set():
                return
            self._link.note(error)
            await asyncio.sleep(AWAY)
            return
        for work in reading:
            entries = found.get(work.name, ())
            work.behind = len(entries) >= asked[work.name]
            work.feed.take_in(entries)

    async def _read_until_woken(self, reading: Iterable[_Work]) -> dict[str, list[Entry]]:
        """Read; raises TimeoutError when a feed comes or is to go, too."""
        try:
            async with asyncio.timeout(None) as self._reading:
                return await self._store.read(
                    {work.name: work.feed.cursor for work in reading},
                    {work.name: work.size for work in reading},
                )
        finally:
            self._reading = None

    async def _commit(self) -> None:
        """Commit what came out, and let those go that may not or cannot."""
        began = clock.monotonic()
        # A checkpoint alone can wait: until it is written, a bit more would be read again.
        checkpoint = began - self._saved >= SAVE_EVERY
        commits = {
            work.name: commit
            for work in self._working.values()
            if (commit := work.feed.commit(checkpoint=checkpoint)) is not None
        }
        if checkpoint:
            self._saved = began
        if not commits:
            return
        verdicts = await self._store.commit(
            [(commit, self._working[name].fence) for name, commit in commits.items()]
        )
        took = clock.monotonic() - began
        for name, verdict in verdicts.items():
            work = self._working[name]
            if verdict is Verdict.DONE:
                work.metrics.observe(commits[name].outputs, took)
                self._tell(name, commits[name].outputs)
            else:
                self._refused(work, verdict)

    def _tell(self, feed: str, outputs: Iterable[Output]) -> None:
        """Log what somebody may want to know of."""
        for item in outputs:
            if isinstance(item, Gap):
                self._log.warning(
                    "gap given up", feed=feed, epoch=item.epoch, first=item.first, last=item.last,
                    cause=item.cause.value,
                )  # fmt: skip
            elif isinstance(item, Epoch):
                self._log.warning("the feed numbers anew", feed=feed, epoch=item.epoch)

    def _refused(self, work: _Work, verdict: Verdict) -> None:
        """Let a feed go; the lease's next holder, maybe this very process, begins anew."""
        if verdict is Verdict.LOST:
            work.metrics.data_loss.inc()
            self._log.error("Redis has lost the numbering", feed=work.name)
        elif verdict is Verdict.FENCED:
            self._log.warning("superseded", feed=work.name, verdict=verdict.value)
        else:
            self._fail(work, self._store.failure)
        self._drop(work)

    def _fail(self, work: _Work, error: str) -> None:
        """Give a feed up, for now, that Redis cannot serve; the others go on."""
        work.failed = True
        work.ended.set()
        self._log.error("Redis cannot serve this feed", feed=work.name, error=error)

    # Keeping house --------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Park rejected frames, trim the input, look after the numberings; nothing is urgent."""
        working = self._working
        for work in working.values():
            await self._park(work)
        now = clock.monotonic()
        if now - self._trimmed >= TRIM_EVERY:
            self._trimmed = now
            await self._trim()
        if now - self._looked >= LOOK_EVERY and working:
            self._looked = now
            await self._link.attempt(self._look)
            statuses = {name: work.status() for name, work in working.items()}
            await self._link.attempt(lambda: self._store.tell(statuses))

    async def _park(self, work: _Work) -> None:
        rejects = work.feed.rejects
        if rejects.reasons:
            work.feed.rejects = Rejects()
            work.metrics.reject(rejects.reasons)
            if rejects.kept:
                await self._link.attempt(lambda: self._store.park(work.name, rejects.kept))

    async def _trim(self) -> None:
        settled = {
            name: work.feed.committed.raw
            for name, work in self._working.items()
            if work.feed.committed.raw != work.trimmed
        }
        if settled and await self._link.attempt(lambda: self._store.trim(settled)):
            for name, raw in settled.items():
                self._working[name].trimmed = raw

    async def _look(self) -> None:
        """See whether Redis still has the numberings that are continued here."""
        expected = {name: (work.feed.cursor, work.fence) for name, work in self._working.items()}
        for name in sorted(await self._store.lost(expected)):
            self._refused(self._working[name], Verdict.LOST)
