"""The loop that reads, decides and commits for all lanes of a process, each failing alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chassis import clock
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, ResponseError, Unavailable
from chassis.tasks import until
from relay.allowance import Allowance
from relay.entry import position
from relay.feedfile import Feed as Words
from relay.feedfile import left
from relay.reading import ReadSize, counts, gather

from .clock import LONGEST_STEP
from .feed import Feed, Options
from .lane import Entry, Lane
from .metrics import FeedMetrics
from .notices import Notices, keyed
from .reorder.outputs import Epoch, Gap, Output
from .sequence import Move
from .settings import CAPACITY_BYTES, Settings
from .store import READ_MESSAGES, Store, Superseded, Verdict

SAVE_EVERY = 0.5
"""Seconds between commits of checkpoints with which nothing comes out."""

TELL_EVERY = 1.0
"""Seconds between notes on what is in memory."""

AT_REST = 5.0
"""The same for a lane in which nothing goes on; and seconds without a commit after which it is
looked whether Redis still has the numbering, which each commit sees by itself."""

FULL = 0.2
"""Seconds to wait when there is no lane that may be read."""

AWAY = 0.1
"""Seconds to wait when Redis has not answered."""

SHOWN_KEYS = 5
"""Sequences of a feed of which it is logged where they stand."""

AGAIN = 5.0
"""Seconds after which a lane is tried again whose commit Redis cannot do."""


class _Feed:
    """What is told of one feed: metrics and log lines."""

    def __init__(self, name: str, log: Log) -> None:
        self.metrics = FeedMetrics(name)
        self.notices = Notices(name, log)


class _Work:
    """One lane that this process orders."""

    def __init__(self, name: str, lease: Lease, stop: asyncio.Event, log: Log) -> None:
        self.name = name
        self.lease = lease
        self.stop = stop
        self.ended = asyncio.Event()
        self.size = ReadSize(READ_MESSAGES)
        self.again = False
        """Whether it is to be taken up again, since a feed's words are others."""
        self.failed = False
        """Whether Redis cannot do what it is asked for."""
        self.lane: Lane
        """There once the lane has been taken up."""
        self.since = 0
        """When that was, µs."""
        self.fence = ""
        """Value of the lease then; under a later one, another may have written since."""
        self.behind = False
        """Whether more was waiting in the input when it was last read."""
        self.speaking: dict[str, bool] = {}
        """Whether any line of a feed was connected, and had spoken, when it was told of last."""
        self.told = self.seen = -math.inf
        """When it was last told of, and when Redis last had its numbering; monotonic clock."""
        self._log = log
        self._feeds: dict[str, _Feed] = {}
        self._pending: dict[str, Notices] = {}
        """Of feeds of which something is to be logged."""

    def noted(self, name: str) -> None:
        """Note that something is to be logged of a feed."""
        self._pending[name] = self.feed(name).notices

    def feed(self, name: str) -> _Feed:
        """Get what is told of a feed."""
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = _Feed(name, self._log)
        return feed

    def to_be_told(self, now: float) -> bool:
        """Tell whether it is time for a note on what is in memory."""
        return now - self.told >= (TELL_EVERY if self.behind or self.lane.astir else AT_REST)

    def status(self) -> dict[str, dict[str, Any]]:
        """Tell what is in memory of each feed that has changed, also to the metrics."""
        return {name: self._status(name, feed) for name, feed in self.lane.told().items()}

    def _status(self, name: str, feed: Feed) -> dict[str, Any]:
        told = self.feed(name)
        lines = feed.lines.look() if not self.behind else feed.lines.names
        self.speaking[name] = bool(lines)
        halted = self.lane.halted(feed)
        told.metrics.update(feed, lines, halted, self._lag() if self.behind else 0.0)
        useless = told.notices.look(
            clock.monotonic(),
            (feed.committed, feed.held - feed.doubtful),
            feed.duplicates + feed.late + feed.rejected.total(),
        )
        return {
            **feed.status(),
            "full": halted,
            "lines": lines,
            "since": self.since,
            "useless": round(useless),
            "delay": [] if told.metrics.delay.shared else told.metrics.delay.counts,
        }

    def _lag(self) -> float:
        return clock.wall() - position(self.lane.cursor)[0] / 1000

    def tell(self, *, all: bool = False) -> None:
        """Log what is due, or all there is."""
        now = clock.monotonic()
        for name, notices in list(self._pending.items()):
            notices.tell(now, all=all)
            if not notices.pending:
                del self._pending[name]

    def idle(self) -> None:
        """Show that this instance no longer orders the lane."""
        for feed in self._feeds.values():
            feed.metrics.idle()


class Worker:
    """Orders lanes, all in one loop: one read, one pipeline of commits."""

    def __init__(self, link: Link, store: Store, settings: Settings, log: Log) -> None:
        self._link = link
        self._store = store
        self._file = settings.feeds
        self._left: dict[str, Words] = {}
        """The words of feeds that the file names no longer; what they have left goes by these."""
        self._settings = settings
        """As they are now, with these words."""
        self._log = log
        self._allowance = Allowance(link, log)
        self._joining: list[_Work] = []
        self._working: dict[str, _Work] = {}
        self._changed = asyncio.Event()
        """Set when a lane comes or is to go."""
        self._reading: asyncio.Timeout | None = None
        """Ends the read that is under way, when something has changed."""
        self._looked = self._saved = 0.0
        self._came = 0
        """In how many lanes something came in this turn."""

    @property
    def feeds(self) -> list[str]:
        """The feeds that are ordered here."""
        return sorted(name for work in self._working.values() for name in work.lane.feeds)

    def _options(self, feed: str) -> Options:
        """Tell what decides about a feed as of now."""
        return self._settings.options(feed)

    def reload(self) -> None:
        """Read the file of feeds again: lanes of feeds that have changed are taken up anew.

        What they hold is read again, by the new words. A feed that was removed keeps its words, for
        what it has left is to go out. A file with mistakes changes nothing.
        """
        before = self._file
        change = before.again(self._log)
        if change is None:
            return
        self._file = change.file
        self._go_by({name: before.words[name] for name in change.removed})
        for work in self._working.values():
            work.again = work.again or not work.lane.feeds.keys().isdisjoint(change.changed)
        self._wake()

    def _go_by(self, words: Mapping[str, Words]) -> None:
        """Go by words that feeds have left, unless the file names them."""
        self._left |= words
        self._settings = replace(self._settings, feeds=self._file).also(self._left)

    # From start to stop ---------------------------------------------------------------------

    async def order(self, lane: str, lease: Lease, stop: asyncio.Event) -> None:
        """Order a lane, under its lease, until `stop` or until another orderer takes over."""
        work = _Work(lane, lease, stop, self._log)
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
        """Order the lanes that come, for ever; ends when Redis is away for too long at the end."""
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
        await self._let_go(
            [work for work in self._working.values() if work.stop.is_set() or work.again]
        )
        while self._joining:
            await self._take_up(self._joining[0])
            self._joining.pop(0)
        self._came = 0
        await self._read()
        await self._commit()
        await self._keep_house()
        if pause := gather(self._came):
            await until(self._changed, pause)

    async def _take_up(self, work: _Work) -> None:
        """Resume a lane from its checkpoint."""
        work.fence = work.lease.value
        try:
            await self._link.patiently(lambda: self._look_up_words(work.name))
            fingerprints = self._settings.fingerprints
            state = await self._link.patiently(
                lambda: self._store.load(work.name, work.lease.key, work.fence, fingerprints)
            )
        except Superseded:
            self._log.warning("superseded", feed=work.name)
            work.ended.set()
            return
        except ResponseError as error:
            self._fail(work, str(error))
            return
        except (ValueError, LookupError) as error:
            # What is there was not written by us. Other lanes must not suffer from it.
            self._fail(work, f"what is in Redis cannot be read: {error!r}")
            return
        await self._link.attempt(self._allowance.look)
        work.lane = Lane(work.name, state, self._options, CAPACITY_BYTES)
        self._allow(work)
        work.since = clock.wall_us()
        self._working[work.name] = work
        for name in state.feeds:
            work.feed(name).metrics.capacity.set(self._settings.options(name).limits.capacity)
        stands = {
            name: {key: f"{one.epoch}-{one.next}" for key, one in list(states.items())[:SHOWN_KEYS]}
            for name, states in state.feeds.items()
        }
        self._log.info("ordering", feed=work.name, raw=state.mark.raw.decode(), stands=stands)

    async def _look_up_words(self, lane: str) -> None:
        """Look up by which words feeds were ordered last that the file does not name.

        Where there is no file, the other settings say what holds.
        """
        if self._file.name:
            told = await self._store.words(lane)
            gone = sorted(told.keys() - self._file.words.keys())
            if new := [feed for feed in gone if feed not in self._left]:
                self._log.info("not in the file, ordered by what they left", feeds=new)
            self._go_by({feed: left.read(feed, told[feed]) for feed in gone})

    async def _let_go(self, ending: Sequence[_Work]) -> None:
        """Let lanes go that are to end here; maybe because Redis has lost them, which is told."""
        if ending and self._link.up:
            await self._link.attempt(lambda: self._look(ending))
        for work in ending:
            if work.name in self._working:
                self._drop(work)

    def _allow(self, work: _Work) -> None:
        """Let a lane keep as much in Redis as there is room for."""
        fingerprints, feeds = self._settings.fingerprints, max(1, len(work.lane.feeds))
        self._store.keep(work.name, int(min(fingerprints, self._allowance.prints / feeds)))
        work.lane.allow(min(CAPACITY_BYTES, self._allowance.unsettled))

    def _drop(self, work: _Work) -> None:
        """Let a lane go; all that was decided is committed."""
        del self._working[work.name]
        self._store.drop(work.name)
        work.status()
        work.tell(all=True)
        work.idle()
        work.ended.set()

    # One turn -------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Feed the next entries to the lanes that are not full."""
        reading = [work for work in self._working.values() if not work.lane.full]
        if self._changed.is_set():  # while the others were taken up
            return
        if not reading:
            await until(self._changed, FULL)
            return
        asked = counts({work.name: work.size for work in reading})
        try:
            found = await self._read_until_woken(reading)
        except Exception as error:
            if isinstance(error, TimeoutError) and self._changed.is_set():
                return
            self._link.note(error)
            await asyncio.sleep(AWAY)
            return
        self._came = len(found)
        for work in reading:
            entries = found.get(work.name, ())
            work.behind = len(entries) >= asked[work.name]
            work.lane.take_in(entries)

    async def _read_until_woken(self, reading: Iterable[_Work]) -> dict[str, list[Entry]]:
        """Read; raises TimeoutError when a lane comes or is to go, too."""
        try:
            async with asyncio.timeout(None) as self._reading:
                return await self._store.read(
                    {work.name: work.lane.cursor for work in reading},
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
            if (commit := work.lane.commit(checkpoint=checkpoint)) is not None
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
                work.seen = began
                outputs: dict[str, list[Output]] = {}
                for move in commits[name].moves:
                    outputs.setdefault(move.feed, []).extend(move.outputs)
                    self._tell(move, work)
                for feed, all_of_it in outputs.items():
                    work.feed(feed).metrics.observe(all_of_it, took)
            else:
                self._refused(work, verdict)

    def _tell(self, move: Move, work: _Work) -> None:
        """Log what somebody may want to know of."""
        for item in move.outputs:
            if isinstance(item, Gap):
                work.feed(move.feed).notices.gap(item, move.key)
                work.noted(move.feed)
            elif isinstance(item, Epoch):
                self._log.warning(
                    "the feed numbers anew", feed=move.feed, epoch=item.epoch, **keyed(move.key)
                )

    def _refused(self, work: _Work, verdict: Verdict) -> None:
        """Let a lane go; the lease's next holder, maybe this very process, begins anew."""
        if verdict is Verdict.LOST:
            for name in work.lane.feeds:
                work.feed(name).metrics.data_loss.inc()
            self._log.error("Redis has lost the numbering", feed=work.name)
        elif verdict is Verdict.FENCED:
            self._log.warning("superseded", feed=work.name, verdict=verdict.value)
        else:
            self._fail(work, self._store.failure)
        self._drop(work)

    def _fail(self, work: _Work, error: str) -> None:
        """Give a lane up, for now, that Redis cannot serve; the others go on."""
        work.failed = True
        work.ended.set()
        self._log.error("Redis cannot serve this feed", feed=work.name, error=error)

    # Keeping house --------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Park rejected frames, look after the numberings; nothing is urgent."""
        working = self._working
        now = clock.monotonic()
        for work in working.values():
            await self._park(work)
            work.tell()
        if now - self._looked >= TELL_EVERY and working:
            self._looked = now
            await self._link.attempt(
                lambda: self._look([w for w in working.values() if now - w.seen >= AT_REST])
            )
            await self._link.attempt(self._allowance.look)
            statuses = {}
            for work in working.values():
                self._allow(work)
                if work.to_be_told(now):
                    passed, work.told = now - work.told, now
                    statuses[work.name] = (work.fence, work.status())
                    if not work.behind and passed < math.inf:
                        work.lane.elapse(min(passed, LONGEST_STEP), partial(self._gone, work))
            await self._link.attempt(lambda: self._store.tell(statuses))

    def _gone(self, work: _Work, feed: Feed) -> bool:
        """Tell whether nobody listens to a feed, nor will: the file names it no longer."""
        removed = feed.name in self._left and feed.name not in self._file.words
        return removed and not work.speaking.get(feed.name, True)

    async def _park(self, work: _Work) -> None:
        for name, rejects in work.lane.take_rejects():
            feed = work.feed(name)
            feed.metrics.reject(rejects.reasons)
            feed.notices.rejected(rejects)
            work.noted(name)
            if rejects.kept:
                park = partial(self._store.park, work.name, work.fence, name, rejects.kept)
                await self._link.attempt(park)

    async def _look(self, works: Sequence[_Work]) -> None:
        """See whether Redis still has the numberings that are continued here."""
        expected = {work.name: (work.lane.cursor, work.fence) for work in works}
        lost = await self._store.lost(expected)
        for work in works:
            work.seen = clock.monotonic()
        for name in sorted(lost):
            self._refused(self._working[name], Verdict.LOST)
