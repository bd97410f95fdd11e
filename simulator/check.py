"""The checker of one surname: it tells whether all came, sorted, unaltered, and none twice.

It compares each message with what the feed is known to have sent (`Numbering`, `Sent`).
A message's *ordinal* grows over all generations of ids, so "in order" means that ordinals
grow on a connection, and "complete" that as many different ones came as were sent up to the
highest. A message that the feed never made, because the ids come from some other feed, is
*unknown*: its order and repeats are checked by its id, nothing else.

Messages come in batches. A batch in which all is well (the usual case) is verified with a
few operations over whole lists; at the first doubt every message of it is judged singly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import lt
from typing import Any

import orjson

from .delays import Delays
from .numbering import LAST_ID, Numbering
from .sent import BLOCK, BLOCK_BITS, WINDOW, Sent

_MASK = BLOCK - 1
_INTEGERS = {int}


BUDGET = 24 * 1024 * 1024
"""Bytes in which all surnames together remember what they have received."""


class Seen:
    """Remember which of the numbers behind the highest one have been added, 2²¹ of them.

    Fewer, when all who remember something have used up their common budget.
    """

    __slots__ = ("_blocks", "_floor", "_newest")

    taken = 0
    """Blocks that all of them have."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}
        self._newest = -1
        self._floor = -1
        """The highest block that was forgotten."""

    def __del__(self) -> None:
        Seen.taken -= len(self._blocks)

    def add(self, number: int) -> bool:
        """Add a number and tell whether it is new; older ones than remembered are not."""
        block = self._block(number >> BLOCK_BITS)
        offset = number & _MASK
        if block is None or block[offset]:
            return False
        block[offset] = 1
        return True

    def add_run(self, start: int, stop: int) -> None:
        """Add all numbers from `start` to below `stop`."""
        while start < stop:
            number = start >> BLOCK_BITS
            end = min(stop, (number + 1) << BLOCK_BITS)
            block = self._block(number)
            if block is not None:
                low, size = start & _MASK, end - start
                block[low : low + size] = b"\x01" * size
            start = end

    def _block(self, number: int) -> bytearray | None:
        block = self._blocks.get(number)
        if block is not None or number <= max(self._newest - WINDOW, self._floor):
            return block
        block = self._blocks[number] = bytearray(BLOCK)
        Seen.taken += 1
        if number > self._newest:
            self._newest = number
            for old in [key for key in self._blocks if key <= number - WINDOW]:
                self._forget(old)
        while Seen.taken * BLOCK > BUDGET and len(self._blocks) > 1:
            self._forget(min(self._blocks))
        return self._blocks.get(number)

    def _forget(self, number: int) -> None:
        del self._blocks[number]
        Seen.taken -= 1
        self._floor = max(self._floor, number)


class Progress:
    """The highest that came on one connection: of the feed's ordinals, and of unknown ids."""

    __slots__ = ("ordinal", "unknown")

    def __init__(self) -> None:
        self.ordinal = -1
        self.unknown = -1


class Checker:
    """Check what one surname receives.

    Call `connect()` for each connection and `check()` with every batch that comes on it.
    `observe(seconds, messages)` is told of each delay.

    received      frames of any kind
    corrupted     not JSON, no object, no id up to 2⁶³−1, or not what the feed sent as that id
    unknown       messages whose id the feed has not sent at all
    out_of_order  not above everything before it on its connection
    repeated      had come before, on whatever connection; this includes whatever comes
                  2²¹ messages after its turn, when nobody knows any more
    """

    def __init__(
        self,
        numbering: Numbering,
        sent: Sent,
        observe: Callable[[float, int], None] = lambda _delay, _count: None,
    ) -> None:
        self._numbering = numbering
        self._sent = sent
        self._observe = observe
        self._seen = Seen()
        self._seen_unknown = Seen()
        self._highest = -1
        self._highest_unknown = -1
        self._different = 0
        self._latest = 0.0
        """When the last of the messages up to the highest received was sent."""
        self._settled = (-1, 0)
        """The highest received when it was forgotten, and how many were sent up to it."""
        self._first_receipt: float | None = None
        self._last_receipt = 0.0
        self.connections = 0
        self.received = 0
        self.corrupted = 0
        self.unknown = 0
        self.out_of_order = 0
        self.repeated = 0
        self.delays = Delays()
        self.added = Delays()
        sent.before_forgetting.append(self._settle)

    def connect(self) -> Progress:
        """Begin a connection; its order is judged on its own."""
        self.connections += 1
        return Progress()

    def check(self, progress: Progress, frames: Sequence[bytes], now: float) -> None:
        """Check frames that arrived together at `now` on the connection of `progress`."""
        if not frames:
            return
        if self._first_receipt is None:
            self._first_receipt = now
        self._last_receipt = now
        self.received += len(frames)
        if not self._check_together(progress, frames, now):
            for frame in frames:
                self._check_one(progress, frame, now)

    def _check_together(self, progress: Progress, frames: Sequence[bytes], now: float) -> bool:
        """Accept a flawless batch of one generation; else change nothing and return False."""
        try:
            values = list(map(orjson.loads, frames))
            ids: list[Any] = [value["id"] for value in values]
            texts: list[Any] = [value["text"] for value in values]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return False
        if set(map(type, ids)) != _INTEGERS or set(map(type, texts)) != _INTEGERS:
            return False
        numbering, sent = self._numbering, self._sent
        first = numbering.ordinal(ids[0], texts[0])
        if first is None or first <= self._highest:
            return False
        last = first + ids[-1] - ids[0]
        if last >= min(sent.next, numbering.generation_end(first)):
            return False
        generation, _ = numbering.locate(first)
        if not all(map(lt, ids, ids[1:])) or texts != numbering.texts(generation, ids):
            return False

        start = self._highest + 1
        if last - start > BLOCK + len(ids):
            return False
        window = sent.times(start, last + 1)
        consecutive = len(window) == len(ids)
        if consecutive:
            times = window.tolist()
        else:
            base = ids[0] - (first - start)
            times = [window[id - base] for id in ids]
        if 0.0 in times:
            return False
        self._add_delays(self.delays, times, now, self._observe)
        if consecutive and times[0] >= self._latest and times == sorted(times):
            latest = times
        else:
            latest = list(accumulate(window, max, initial=self._latest))[1:]
            if not consecutive:
                latest = [latest[id - base] for id in ids]
        self._add_delays(self.added, latest, now)

        if last - first + 1 == len(ids):
            self._seen.add_run(first, last + 1)
        else:
            add, shift = self._seen.add, first - ids[0]
            for id in ids:
                add(id + shift)
        self._latest = latest[-1]
        self._highest = progress.ordinal = last
        self._different += len(ids)
        return True

    @staticmethod
    def _add_delays(
        delays: Delays,
        times: list[float],
        now: float,
        observe: Callable[[float, int], None] | None = None,
    ) -> None:
        """Count the delays since `times`, of which many are equal."""
        for time, count in Counter(times).items():
            delays.add(now - time, count)
            if observe is not None:
                observe(now - time, count)

    def _check_one(self, progress: Progress, frame: bytes, now: float) -> None:
        try:
            value = orjson.loads(frame)
        except orjson.JSONDecodeError:
            self.corrupted += 1
            return
        id = value.get("id") if type(value) is dict else None
        if type(id) is not int or not 0 <= id <= LAST_ID:
            self.corrupted += 1
            return
        text = value.get("text")
        ordinal = self._numbering.ordinal(id, text) if type(text) is int else None
        if ordinal is not None and self._sent.has(ordinal):
            self._check_known(progress, ordinal, now)
        elif self._numbering.includes(id, self._sent.next):
            self.corrupted += 1
        else:
            self._check_unknown(progress, id)

    def _check_known(self, progress: Progress, ordinal: int, now: float) -> None:
        in_order = ordinal > progress.ordinal
        if in_order:
            progress.ordinal = ordinal
        else:
            self.out_of_order += 1
        if not self._seen.add(ordinal):
            self.repeated += 1
            return
        self._different += 1
        if ordinal > self._highest:
            self._latest = max(self._latest, self._sent.latest(self._highest + 1, ordinal + 1))
            self._highest = ordinal
        time = self._sent.time(ordinal)
        if time is not None:
            self.delays.add(now - time)
            self._observe(now - time, 1)
            if in_order:
                self.added.add(now - self._latest)

    def _check_unknown(self, progress: Progress, id: int) -> None:
        self.unknown += 1
        if id > progress.unknown:
            progress.unknown = id
        else:
            self.out_of_order += 1
        if not self._seen_unknown.add(id):
            self.repeated += 1
        if id > self._highest_unknown:
            self._highest_unknown = id

    def _settle(self, block: int) -> None:
        """Keep the count of what was sent up to the highest received, for it is forgotten now."""
        if self._highest >> BLOCK_BITS == block:
            self._settled = (self._highest, self._sent.sent_up_to(self._highest) or 0)

    @property
    def missing(self) -> int:
        """Count the messages below the highest received that were sent and never came."""
        if self._highest < 0:
            return 0
        sent = self._sent.sent_up_to(self._highest)
        if sent is None:
            # Two million messages behind the feed: from where it was settled on, all count.
            highest, sent = self._settled
            sent += self._highest - highest
        return max(0, sent - self._different)

    def report(self) -> dict[str, Any]:
        """Tell everything as `GET /report` shows it; delays of messages when they came first.

        `delay_ms` is the time from the feed's first sending to the receipt; `added_ms` is what
        the order does not demand: the time from when the last of the messages up to and
        including this one had been sent, for those that came in order.
        """
        began = self._first_receipt
        generation, highest = 0, None
        if self._highest >= 0:
            generation, highest = self._numbering.locate(self._highest)
            began = self._sent.started
        elif self._highest_unknown >= 0:
            highest = self._highest_unknown
        return {
            "received": self.received,
            "out_of_order": self.out_of_order,
            "repeated": self.repeated,
            "missing": self.missing,
            "connections": self.connections,
            "seconds": 0.0 if began is None else round(self._last_receipt - began, 6),
            "delay_ms": self.delays.report(),
            "added_ms": self.added.report(),
            "corrupted": self.corrupted,
            "unknown": self.unknown,
            "highest": highest,
            "generation": generation,
        }
