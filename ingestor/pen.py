"""The pens of a process: whatever its lines write into `raw` goes through the pen of their lane.

In a feed's own lane what is to be written goes out at once, an entry of its own, unless much is
written in others, too. Else it gathers for a moment: the parts of all lines of a lane go out as
one entry, and the entries of all lanes with one request, so that Redis and the orderer are woken as
seldom as can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from chassis import clock
from chassis.redis import Link, checked
from relay import keys, lanes, raw
from relay.entry import START
from relay.reading import gather

GATHER = 0.003
"""Seconds for which parts gather: each message of a quiet feed is that much later. With 500 feeds
and 2 700 frames a second, 1 ms makes a twentieth more of all of Redis' writes, 10 ms a twelfth
less."""

LATELY = 0.05
"""Seconds within which lanes in which something is written are counted as busy."""

REQUEST_BYTES = 4 * 1024 * 1024
"""Bytes of frames in one request, roughly at most; what has gathered beyond goes out with the next
one."""

Observe = Callable[[float], None]
"""Takes the seconds that Redis needed."""


class Part:
    """What one line writes at once; its place in an entry is known when `written` is."""

    __slots__ = ("frames", "lane", "observe", "once", "size", "values", "written")

    def __init__(
        self, lane: str, values: list[Any], frames: int, size: int, observe: Observe,
        written: asyncio.Future[bytes | None], *, once: bool,
    ) -> None:  # fmt: skip
        self.lane = lane
        self.values = values
        self.frames = frames
        self.size = size
        self.observe = observe
        self.written = written
        """The entry's id; None: Redis did not take it, and it is not tried again."""
        self.once = once

    def settle(self, entry: bytes | None) -> None:
        """Tell the writer, if it still waits."""
        if not self.written.done():
            self.written.set_result(entry)


def entries(parts: Iterable[Part]) -> list[list[Part]]:
    """Put parts together into entries, lane by lane, those of each lane in their order.

    An entry holds no more frames, and roughly no more bytes, than `relay.raw` allows one; in a
    feed's own lane it holds one part.
    """
    found: list[list[Part]] = []
    current: dict[str, list[Part]] = {}
    room: dict[str, tuple[int, int]] = {}
    for part in parts:
        if not lanes.shared(part.lane):
            found.append([part])
            continue
        frames, size = room.get(part.lane, (0, 0))
        # A part without frames takes room, too.
        frames, size = frames - max(1, part.frames), size - part.size
        if frames < 0 or size < 0:
            current[part.lane] = []
            found.append(current[part.lane])
            frames, size = raw.BATCH_FRAMES - max(1, part.frames), raw.BATCH_BYTES - part.size
        current[part.lane].append(part)
        room[part.lane] = frames, size
    return found


class Pens:
    """All pens of a process."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pens: dict[str, Pen] = {}
        self._gathered: list[Part] = []
        self._due = 0.0
        """When they are to go out."""
        self._busy: set[str] = set()
        self._busy_before: set[str] = set()
        """Lanes in which something was written lately, and before that."""
        self._counted = 0.0
        self._writing: asyncio.Future[None] | None = None

    def __getitem__(self, lane: str) -> Pen:
        if lane not in self._pens:
            self._pens[lane] = Pen(self._link, lane, self)
        return self._pens[lane]

    def pause(self, lane: str) -> float:
        """Tell for how many seconds to gather what a lane brings now; 0: not at all."""
        now = clock.monotonic()
        if now - self._counted >= LATELY:
            self._busy_before, self._busy, self._counted = self._busy, set(), now
        self._busy.add(lane)
        return GATHER if lanes.shared(lane) else gather(len(self._busy | self._busy_before))

    def add(self, part: Part, pause: float) -> None:
        """Have a part go out with the next request."""
        if not self._gathered:
            self._due = clock.monotonic() + pause
        self._gathered.append(part)
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write_all())

    async def _write_all(self) -> None:
        """Write what gathers until nothing more has, one request after the other."""
        try:
            while self._gathered:
                left = self._due - clock.monotonic()
                if left > 0:
                    await asyncio.sleep(left)
                await self._write(self._take())
        finally:
            self._writing = None

    def _take(self) -> list[Part]:
        """Take as many parts as go into one request, at least one; what is left is due now."""
        size = count = 0
        for count, part in enumerate(self._gathered, 1):  # noqa: B007 - it is what is wanted
            size += part.size
            if size >= REQUEST_BYTES:
                break
        taken = self._gathered[:count]
        del self._gathered[:count]
        return taken

    async def _write(self, parts: Sequence[Part]) -> None:
        """Write parts, however long Redis takes, but those only once that are to be tried once."""
        try:
            if all(part.once for part in parts):
                await self._link.attempt(partial(self._try, parts))
            else:
                await self._link.patiently(partial(self._try, parts))
        except Exception as error:  # whoever waits is told, and knows what to do
            for part in parts:
                if not part.written.done():
                    part.written.set_exception(error)

    async def _try(self, parts: Sequence[Part]) -> None:
        """Try to write those parts that are not settled yet."""
        began = clock.monotonic()
        waiting = entries(part for part in parts if not part.written.done())
        try:
            replies = await self._link.send_all([_command(entry) for entry in waiting])
            took = clock.monotonic() - began
            for entry, reply in zip(waiting, replies, strict=True):
                if not isinstance(reply, Exception):
                    self._written(entry, reply, took)
            checked(replies)
        finally:
            for part in parts:
                if part.once:
                    part.settle(None)

    def _written(self, entry: Sequence[Part], id: bytes, took: float) -> None:
        self._pens[entry[0].lane].wrote(id, sum(part.size for part in entry))
        for part in entry:
            part.observe(took)
            part.settle(id)


def _command(entry: Sequence[Part]) -> tuple[Any, ...]:
    values = [value for part in entry for value in part.values]
    return ("XADD", keys.raw(entry[0].lane), "*", *values)


class Pen:
    """The pen of one lane. A lost reply may write twice: the orderer drops repeats."""

    def __init__(self, link: Link, lane: str, pens: Pens) -> None:
        self.lane = lane
        self.last = START
        """The last entry that was written here."""
        self.unchecked = 0
        """Bytes of frames written since somebody has last looked what waits."""
        self._link = link
        self._raw = keys.raw(lane)
        self._pens = pens
        self._shared = lanes.shared(lane)

    def wrote(self, entry: bytes, size: int) -> None:
        """Note that something was written."""
        self.last = entry
        self.unchecked += size

    async def write(
        self, feed: str, values: list[Any], frames: int, size: int, observe: Observe
    ) -> bytes:
        """Write a part of a feed, however long Redis takes; returns the entry's id.

        Raises Unavailable when the service is to stop and Redis is still away.
        """
        pause = self._pens.pause(self.lane)
        if not pause:
            return await self._link.patiently(lambda: self._add(values, size, observe))
        part = self._part(feed, values, frames, size, observe)
        self._pens.add(part, pause)
        entry = await part.written
        assert entry is not None
        return entry

    async def attempt(self, feed: str, values: list[Any], observe: Observe) -> bool:
        """Write a part without frames if Redis takes it at once, and tell whether it did."""
        pause = self._pens.pause(self.lane)
        if not pause:
            return await self._link.attempt(lambda: self._add(values, 0, observe))
        part = self._part(feed, values, 0, 0, observe, once=True)
        self._pens.add(part, pause)
        return await part.written is not None

    async def _add(self, values: list[Any], size: int, observe: Observe) -> bytes:
        began = clock.monotonic()
        entry: bytes = await self._link.send("XADD", self._raw, "*", *values)
        observe(clock.monotonic() - began)
        self.wrote(entry, size)
        return entry

    def _part(
        self, feed: str, values: list[Any], frames: int, size: int, observe: Observe, *,
        once: bool = False,
    ) -> Part:  # fmt: skip
        written: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        whose = [keys.FEED, feed, *values] if self._shared else values
        return Part(self.lane, whose, frames, size, observe, written, once=once)
