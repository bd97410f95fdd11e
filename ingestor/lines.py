"""The lines that are to be read, in pieces of work, and how a changed file is taken over.

A piece of work is one line of each feed of a lane: the first ones, the second ones, …; so redundant
lines of a feed may be read by different replicas. Which lines those are changes: feeds come and go
with the file, and Redis says which lane carries a feed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from chassis.lifecycle import NotDrained
from chassis.logs import Log
from relay import lanes
from relay.feedfile import Feed
from relay.feeds import FeedsFile, Peer, line

from .lane import Lane, Lanes
from .line import ROUND, Line
from .metrics import LineMetrics

Make = Callable[[Peer, Lane, "Feed | None"], Line]


class Piece(NamedTuple):
    """A piece of work: the lines of a lane that have this number among those of their feeds."""

    lane: str
    number: int


@dataclass(frozen=True, eq=False)
class Wanted:
    """A line that is to be read. With other words it is another one."""

    peer: Peer
    number: int
    words: Feed | None


class Lines:
    """All lines by their pieces of work."""

    def __init__(
        self, peers: tuple[Peer, ...], file: FeedsFile, own: lanes.Own, ours: Lanes, make: Make,
        log: Log,
    ) -> None:  # fmt: skip
        """Want each of `peers`, or else each feed in the file; `own` says who gets a lane."""
        self._file = file
        self._own = own
        self._lanes = ours
        self._make = make
        self._log = log
        self._wanted: dict[tuple[str, str], Wanted] = {}
        self._shown: dict[tuple[str, str], LineMetrics] = {}
        """Who stands by shows them, too."""
        self._lane_of: dict[str, str] = {}
        """The lane of each feed, as Redis has told."""
        self._table = lanes.Table(self._lanes.link)
        self._found: tuple[Mapping[str, str], dict[tuple[str, str], Wanted]] = {}, {}
        """The table and the lines of which the pieces were made."""
        self._entered = False
        self._pieces: dict[Piece, list[Wanted]] = {}
        self._running: dict[tuple[str, str], Line] = {}
        """The lines that this process reads; until one has ended, it is not begun anew."""
        self._changed: set[asyncio.Event] = set()
        """One for each piece that is worked on, to be set when its lines may be others."""
        for number, peer in _numbered(peers):
            self._want(Wanted(peer, number, None))
        if not peers:
            for words in file.words.values():
                self._want(Wanted(line(words), 0, words))

    def _want(self, wanted: Wanted) -> None:
        peer = wanted.peer
        self._shown[peer.feed, peer.name] = LineMetrics(peer.feed, peer.name)
        self._wanted[peer.feed, peer.name] = wanted

    @property
    def states(self) -> dict[str, str]:
        """How each line is that this process reads."""
        return {f"{feed}={name}": line.state for (feed, name), line in self._running.items()}

    # Which there are --------------------------------------------------------------------------

    async def find(self) -> list[Piece]:
        """List the pieces of work there are; feeds that Redis does not know are made known to it.

        Raises what the link raises.
        """
        link = self._lanes.link
        known = await self._table.rows() if self._entered else {}
        if (known, self._wanted) == self._found:
            return list(self._pieces)
        feeds = list(dict.fromkeys(feed for feed, _ in self._wanted))
        if new := [feed for feed in feeds if feed not in known]:
            await lanes.enter(link, new, self._own._replace(named=[*self._own.named, *self._stops]))
            known = await self._table.rows()
            self._entered = True
        self._lane_of = {feed: known[feed] for feed in feeds if feed in known}
        self._sort()
        self._found = known, dict(self._wanted)
        return list(self._pieces)

    @property
    def _stops(self) -> list[str]:
        """List the feeds that wait for ever for what is missing: nobody is to wait with them."""
        return [name for name, words in self._file.words.items() if words.gap_timeout == math.inf]

    def _sort(self) -> None:
        """Sort the lines into pieces, and tell those who work on them if anything is new."""
        pieces: dict[Piece, list[Wanted]] = {}
        for wanted in self._wanted.values():
            if lane := self._lane_of.get(wanted.peer.feed):
                pieces.setdefault(Piece(lane, wanted.number), []).append(wanted)
        if pieces != self._pieces:
            self._pieces = pieces
            self._tell()

    def _tell(self) -> None:
        for changed in self._changed:
            changed.set()

    def reload(self) -> None:
        """Read the file again: feeds that have changed are read anew, the others go on untouched.

        A file with mistakes changes nothing; each of them is logged.
        """
        change = self._file.again(self._log)
        if change is None:
            return
        self._file, changed, removed = change
        self._table.again()
        for name in removed:  # it may be forgotten, and be in another lane when it comes back
            self._lane_of.pop(name, None)
        after = self._file.words
        self._wanted = {
            key: wanted
            for key, wanted in self._wanted.items()
            if key[0] not in changed and key[0] not in removed
        }
        for name in changed:
            self._want(Wanted(line(after[name]), 0, after[name]))
        for key in self._shown.keys() - self._wanted.keys():
            self._shown.pop(key).retire()
        self._sort()

    # Reading them -----------------------------------------------------------------------------

    async def read(self, piece: Piece, stop: asyncio.Event) -> None:
        """Read the lines of a piece, whichever they are, until `stop`; then drain.

        The failure of one is the failure of all.
        """
        changed = asyncio.Event()
        changed.set()
        self._changed.add(changed)
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: changed.set())
        reading: dict[Wanted, tuple[asyncio.Event, asyncio.Future[None]]] = {}
        try:
            while not stop.is_set():
                await changed.wait()
                changed.clear()
                self._collect(reading)
                wanted = self._pieces.get(piece, ()) if not stop.is_set() else ()
                for one in reading.keys() - set(wanted):
                    reading[one][0].set()
                for one in wanted:
                    if one not in reading and (one.peer.feed, one.peer.name) not in self._running:
                        reading[one] = self._begin(one, piece)
        finally:
            stopping.cancel()
            self._changed.discard(changed)
            await _drained(reading.values())

    def _begin(
        self, wanted: Wanted, piece: Piece
    ) -> tuple[asyncio.Event, asyncio.Future[None]]:  # fmt: skip
        key = (wanted.peer.feed, wanted.peer.name)
        line = self._make(wanted.peer, self._lanes[piece.lane], wanted.words)
        self._running[key] = line

        def ended(_: asyncio.Future[None]) -> None:
            del self._running[key]
            self._tell()

        stop = asyncio.Event()
        task = asyncio.ensure_future(line.run(stop))
        task.add_done_callback(ended)
        return stop, task

    def _collect(self, reading: dict[Wanted, tuple[asyncio.Event, asyncio.Future[None]]]) -> None:
        """Take note of lines that have ended; raises what one has died of."""
        for one, (_, task) in list(reading.items()):
            if task.done():
                task.result()
                del reading[one]

    async def go_round(self) -> None:
        """Look after all lines, again and again, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ROUND)
            for one in list(self._running.values()):
                one.look_after(loop.time())


def _numbered(peers: Iterable[Peer]) -> list[tuple[int, Peer]]:
    """Give each line its number among those of its feed."""
    counts: dict[str, int] = {}
    found = []
    for peer in peers:
        found.append((counts.setdefault(peer.feed, 0), peer))
        counts[peer.feed] += 1
    return found


async def _drained(reading: Iterable[tuple[asyncio.Event, asyncio.Future[None]]]) -> None:
    """Let lines drain; raises what any has died of, and else what was lost of all of them."""
    tasks = []
    for stop, task in reading:
        stop.set()
        tasks.append(task)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    lost = [end for end in ends if isinstance(end, NotDrained)]
    for end in ends:
        if isinstance(end, BaseException) and end not in lost:
            raise end
    if lost:
        raise NotDrained("; ".join(map(str, lost)))
