"""Reads each lane once for all its sinks, and lets who lags read for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from chassis.redis import Link
from relay import keys, ordered
from relay.entry import position
from relay.feeds import Peer
from relay.lanes import shared
from relay.ordered import Entry
from relay.reading import ReadSize, gather, read

from .position import Position

READ_MESSAGES = 2000
"""Messages to read at a time, roughly."""

AHEAD = 1024 * 1024
"""Bytes that may wait for a sink to be sent; beyond, it falls back and reads for itself."""

LAST = b"18446744073709551615-18446744073709551615"
"""The last entry that there can be in a stream."""

AWAY = 0.1
"""Seconds to wait when Redis has not answered."""


class Tail:
    """What comes for one sink, from its cursor on; to be closed when nobody takes it any more."""

    def __init__(self, stream: Stream, feed: bytes, sink: Position, aside: str) -> None:
        self.feed = feed
        """Its name; empty in a lane of its own."""
        self.sink = sink
        """Whose tail it is."""
        self.aside = aside
        """The stream of what is set aside for that, if anything is."""
        self._stream = stream
        self._entries: list[Entry] = []
        self._size = 0
        self._came = asyncio.Event()
        self._behind = True
        """Whether it is not among those for whom the stream is read."""
        self.cursor = sink.confirmed
        """The last entry up to which all that is the feed's is here, or has been taken."""

    @property
    def set_aside(self) -> bool:
        """Whether what follows is to be read where it was set aside: its lane may not have it."""
        return bool(self.sink.aside) and position(self.cursor) < position(self.sink.aside)

    async def take(self) -> list[Entry]:
        """Take what has come, or wait for it; nothing comes when somebody has called `wake`."""
        if not self._entries:
            self._came.clear()
            if not self._behind or self._stream.join(self):
                await self._came.wait()
            else:
                await self._catch_up()
        entries, self._entries, self._size = self._entries, [], 0
        return entries

    def wake(self) -> None:
        """Have `take` return."""
        self._came.set()

    def close(self) -> None:
        """Take nothing any more."""
        self._stream.leave(self)

    def add(self, entries: Sequence[Entry], size: int, cursor: bytes) -> bool:
        """Add what the feed has up to `cursor`; tells whether there is room for more."""
        self.cursor = cursor
        if entries:
            self._entries += entries
            self._size += size
            self._came.set()
        self._behind = self._size > AHEAD
        return not self._behind

    async def _catch_up(self) -> None:
        """Read on for itself."""
        entries, cursor = await self._stream.read_on(self)
        self._entries += entries
        self.cursor = cursor

    @property
    def since(self) -> int | None:
        """When the first message that waits here was received, µs."""
        return ordered.received_at(self._entries[0][1]) if self._entries else None


class Stream:
    """One lane's `ordered`, and who follows it."""

    def __init__(
        self, reader: Reader, lane: str, cursor: bytes, note: Callable[[list[Entry]], None]
    ) -> None:
        self.lane = lane
        self.name = keys.ordered(lane)
        self.shared = shared(lane)
        self.cursor = cursor
        """The last entry that has been read for all."""
        self.size = ReadSize(READ_MESSAGES)
        self.tails: dict[bytes, list[Tail]] = {}
        """For whom it is read, by feeds."""
        self._reader = reader
        self._note = note
        self._own_size = ReadSize(READ_MESSAGES)

    @property
    def needed(self) -> bytes:
        """The entry behind which those who follow have yet to be given what there is."""
        return self.cursor if self.tails else LAST

    def tail(self, peer: Peer, sink: Position) -> Tail:
        """Make the tail of a sink, from behind what it has confirmed on."""
        feed = peer.feed.encode() if self.shared else b""
        return Tail(self, feed, sink, keys.aside(self.lane, peer.feed, peer.name))

    def join(self, tail: Tail) -> bool:
        """Let a tail follow that has come up to where it is read; tells whether it had."""
        if tail.set_aside:
            return False
        if not self.tails:
            self.cursor = tail.cursor
        elif position(tail.cursor) < position(self.cursor):
            return False
        tail._behind = False
        self.tails.setdefault(tail.feed, []).append(tail)
        self._reader.look_again(self)
        return True

    def leave(self, tail: Tail) -> None:
        """Let a tail follow no more."""
        following = self.tails.get(tail.feed, [])
        if tail in following:
            following.remove(tail)
            if not following:
                del self.tails[tail.feed]

    def came(self, entries: list[Entry], behind: bytes) -> None:
        """Hand on what has been read behind the cursor, if that is still there."""
        if not self.tails or self.cursor != behind:
            return
        self._note(entries)
        self.cursor = cursor = entries[-1][0]
        for feed, found in self._by_feeds(entries).items():
            size = sum(sum(map(len, values)) for _, values in found)
            for tail in list(self.tails.get(feed, ())):
                news = found
                if position(tail.cursor) >= position(found[0][0]):  # it had read on by itself
                    after = position(tail.cursor)
                    news = [entry for entry in found if position(entry[0]) > after]
                if not tail.add(news, size, max(tail.cursor, cursor, key=position)):
                    self.leave(tail)

    def _by_feeds(self, entries: list[Entry]) -> dict[bytes, list[Entry]]:
        if not self.shared:
            return {b"": entries}
        found: dict[bytes, list[Entry]] = {}
        for entry in entries:
            found.setdefault(ordered.feed(entry[1]), []).append(entry)
        return found

    async def read_on(self, tail: Tail) -> tuple[list[Entry], bytes]:
        """Read on for a tail: what is its feed's, and up to where that is all."""
        link, cursor, size = self._reader.link, tail.cursor, self._own_size
        # What the lane has is trimmed by a later command on the same connection, if at all.
        aside = tail.set_aside
        stream, upto = (tail.aside, tail.sink.aside) if aside else (self.name, self.cursor)
        try:
            entries = await link.send(
                "XRANGE", stream, b"(" + cursor, "+", "COUNT", size.entries
            )  # fmt: skip
        except Exception as error:
            link.note(error)
            await asyncio.sleep(AWAY)
            return [], cursor
        if not entries:  # up to where the stream is read there is nothing, or not any more
            return [], max(cursor, upto, key=position)
        size.learn(entries)
        if aside:
            return entries, entries[-1][0]
        self._note(entries)
        if self.shared:
            return [one for one in entries if ordered.feed(one[1]) == tail.feed], entries[-1][0]
        return entries, entries[-1][0]


class Reader:
    """Reads all lanes of a process in one loop."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._streams: dict[str, Stream] = {}
        self._changed = asyncio.Event()
        self._asked: dict[str, bytes] = {}
        """Where the read that is under way begins in each stream."""
        self._reading: asyncio.Timeout | None = None

    def follow(self, lane: str, cursor: bytes, note: Callable[[list[Entry]], None]) -> Stream:
        """Read a lane for those who will join; `note` is told of all that is read."""
        stream = Stream(self, lane, cursor, note)
        self._streams[stream.name] = stream
        return stream

    def drop(self, stream: Stream) -> None:
        """Read a lane no more."""
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]

    def look_again(self, stream: Stream) -> None:
        """Have a stream read that somebody has just joined."""
        if self._asked.get(stream.name) != stream.cursor:
            self._changed.set()
            if self._reading is not None and not self._reading.expired():
                self._reading.reschedule(0)

    async def run(self) -> None:
        """Read, for ever."""
        while True:
            self._changed.clear()
            streams = {name: one for name, one in self._streams.items() if one.tails}
            if not streams:
                await self._changed.wait()
                continue
            asked = {name: stream.cursor for name, stream in streams.items()}
            try:
                found = await self._read(asked, streams)
            except Exception as error:
                if isinstance(error, TimeoutError) and self._changed.is_set():
                    continue
                self.link.note(error)
                await asyncio.sleep(AWAY)
                continue
            for name, entries in found.items():
                if self._streams.get(name) is streams[name]:
                    streams[name].came(entries, asked[name])
            if pause := gather(len(found)):
                await asyncio.sleep(pause)

    async def _read(
        self, asked: dict[str, bytes], streams: dict[str, Stream]
    ) -> dict[str, list[Entry]]:
        """Read; raises TimeoutError when there is another stream to read, too."""
        self._asked = asked
        try:
            async with asyncio.timeout(None) as self._reading:
                sizes = {name: stream.size for name, stream in streams.items()}
                return await read(self.link, asked, sizes)
        finally:
            self._reading, self._asked = None, {}
