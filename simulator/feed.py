"""The feed's schedule: what goes out in which order. No clock and no sockets.

The feed walks through *places*, one per message: place k is the turn of ordinal k. At its
turn a message is sent, or lost, or held until a later place is past. A feed of RATE messages/s
walks RATE places a second, so a delay is a number of places too (at RATE=0, where no time
lies between two messages, it is counted as if there were 100 000 places a second).

How far nothing special happens is known in advance: instead of throwing dice for every
message, each kind of event draws how many places it skips (a geometric distribution), from a
random stream of its own. So messages are made in stretches, the schedule does not depend on
how many places are taken at a time, and one setting does not shift the dice of another.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from chassis import clock

from .numbering import NEVER, Numbering
from .settings import Settings

TIMELESS_RATE = 100_000
"""Places per second that delays are counted with at RATE=0."""

ALPHA = 1.5
"""Shape of the delays' Pareto distribution: the mean exists, the variance does not."""

ABORT = 0
"""In place of a close code: drop the TCP connection without a close frame."""

CUTS = (1000, 1001, 1011, 1012, ABORT)
"""The ways in which connections are closed, in turn."""


class Binary(bytes):
    """A frame that goes out as a binary message; all others are text."""


@dataclass(slots=True)
class Chunk:
    """What to send next. `sent` counts the messages sent for the first time."""

    frames: list[bytes] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Ordinals that are sent for the first time here: (from, to below)."""
    sent: int = 0
    repeated: int = 0
    lost: int = 0
    garbage: int = 0
    binary: bool = False
    """Whether some of the frames are `Binary`."""
    cut: int | None = None
    """How to close all connections after the frames: one of CUTS, None = not at all."""


class Draw:
    """Choose a share of the places at random. `next` is the place chosen next."""

    def __init__(self, seed: int, kind: str, share: float) -> None:
        self._random = clock.Dice(f"{seed}/{kind}")
        self._share = share
        self._scale = 1 / math.log1p(-share) if 0 < share < 1 else 0.0
        self.next = -1
        self.advance()

    def advance(self) -> None:
        """Go on to the next place."""
        if self._share <= 0:
            self.next = NEVER
        else:
            self.next += 1 + int(math.log(1 - self._random.random()) * self._scale)

    def hit(self, place: int) -> bool:
        """Tell whether `place` is chosen, and if so, go on; places come in order."""
        if place != self.next:
            return False
        self.advance()
        return True


class Feed:
    """Walk through the places of a feed. The same settings always give the same frames."""

    def __init__(self, settings: Settings, numbering: Numbering) -> None:
        self._numbering = numbering
        self._depth = settings.depth
        self._total = min(settings.messages or NEVER, numbering.limit)
        self.total = self._total if settings.messages else None
        """Messages in all, lost ones too; None = as many as there are numbers."""
        seed = settings.seed
        self._losses = Draw(seed, "losses", settings.losses)
        self._delayed = Draw(seed, "delayed", settings.delayed)
        self._reorder = Draw(seed, "reorder", settings.reorder)
        self._repeats = Draw(seed, "repeats", settings.repeats)
        self._garbage = Draw(seed, "garbage", settings.garbage)
        self._draws = (
            self._losses, self._delayed, self._reorder, self._repeats, self._garbage,
        )  # fmt: skip
        self._turn = min(draw.next for draw in self._draws)
        self._places = clock.Dice(f"{seed}/places")
        self._copies = clock.Dice(f"{seed}/copies")
        self._kinds = clock.Dice(f"{seed}/kinds")
        self._times = clock.Dice(f"{seed}/times")
        self._least_delay = settings.delay / 2 ** (1 / ALPHA)
        self._delay_max = settings.delay_max
        self._rate = settings.rate or TIMELESS_RATE
        self._generation_end = numbering.generation_end(0)
        self._cut_every = settings.disconnect_every or NEVER
        self._next_cut = self._cut_every
        self._cuts = 0
        self._late: list[tuple[int, int, int, bool]] = []
        """A heap of what is held: (place after which it goes, number, ordinal, first time?)."""
        self._number = 0
        self._recent: deque[bytes] = deque(maxlen=settings.rewind)
        self.place = 0
        """The place whose turn is next."""

    @property
    def finished(self) -> bool:
        """Whether everything has been sent."""
        return self.place >= self._total and not self._late

    @property
    def held(self) -> int:
        """Count the frames that wait for a later place."""
        return len(self._late)

    def take(self, places: int) -> Chunk:
        """Walk through `places` places, or up to a cut or the end, and tell what to send."""
        chunk = Chunk()
        frames, late = chunk.frames, self._late
        stop = self.place + places
        while self.place < stop and chunk.cut is None and not self.finished:
            place = self.place
            due = late[0][0] + 1 if late else NEVER
            if place >= self._total:
                self.place = min(stop, due)
            elif place == self._turn:
                self._special(place, chunk)
                self.place += 1
            else:
                end = min(stop, due, self._turn, self._total, self._generation_end, self._next_cut)
                frames += self._numbering.frames(place, end)
                chunk.spans.append((place, end))
                chunk.sent += end - place
                self.place = end
            if late:
                self._release(chunk)
            if self.place == self._generation_end:
                self._generation_end = self._numbering.generation_end(self.place)
            if self.place == self._next_cut:
                self._next_cut += self._cut_every
                if self.place < self._total:
                    chunk.cut = CUTS[self._cuts % len(CUTS)]
                    self._cuts += 1
        if self._recent.maxlen:
            self._recent.extend(frames)
        return chunk

    def rewind(self) -> Chunk:
        """Tell what to send again after a reconnect: the frames that went out last."""
        frames = list(self._recent)
        binary = any(type(frame) is Binary for frame in frames)
        return Chunk(frames=frames, repeated=len(frames), binary=binary)

    def _special(self, place: int, chunk: Chunk) -> None:
        """Take the turn of a message that something happens to."""
        lost = self._losses.hit(place)
        delayed = self._delayed.hit(place)
        reordered = self._reorder.hit(place)
        repeated = self._repeats.hit(place)
        garbage = self._garbage.hit(place)
        self._turn = min(draw.next for draw in self._draws)
        # No message waits beyond a restart of the numbering. At the feed's end there are no more
        # places to be late by, but a delay takes its time.
        last = self._generation_end - 1
        if not delayed:
            last = min(last, self._total - 1)
        due = place
        if lost:
            chunk.lost += 1
        elif delayed:
            due = min(place + self._delay(), last)
        elif reordered:
            due = min(place + self._places.randint(1, self._depth), last)
        if not lost:
            self._send_after(due, place, True, chunk)
            if repeated:
                again = min(due + self._copies.randint(1, self._depth), last)
                self._send_after(again, place, False, chunk)
        if garbage:
            self._add_garbage(place, chunk)

    def _delay(self) -> int:
        """Draw a delay, in places."""
        seconds = self._least_delay * math.pow(1 - self._times.random(), -1 / ALPHA)
        return max(1, round(min(seconds, self._delay_max) * self._rate))

    def _send_after(self, due: int, ordinal: int, first: bool, chunk: Chunk) -> None:
        """Hold a message until place `due` is past; at its own place, send it at once."""
        if due == ordinal:
            self._send(ordinal, first, chunk)
        else:
            self._number += 1
            heapq.heappush(self._late, (due, self._number, ordinal, first))

    def _release(self, chunk: Chunk) -> None:
        """Send all that was held until a place that is past now."""
        late = self._late
        while late and late[0][0] < self.place:
            _, _, ordinal, first = heapq.heappop(late)
            self._send(ordinal, first, chunk)

    def _send(self, ordinal: int, first: bool, chunk: Chunk) -> None:
        chunk.frames += self._numbering.frames(ordinal, ordinal + 1)
        if first:
            chunk.spans.append((ordinal, ordinal + 1))
            chunk.sent += 1
        else:
            chunk.repeated += 1

    def _add_garbage(self, place: int, chunk: Chunk) -> None:
        """Add a frame that is no message, of a kind chosen by dice."""
        _, id = self._numbering.locate(place)
        kinds = (
            b"garbage %d" % id,
            b'{"id":%d,"garbage":' % id,
            b'["garbage",%d]' % id,
            b'{"garbage":%d}' % id,
            b'{"id":"%d","garbage":1}' % id,
            b'{"id":true,"garbage":1}',
            b'{"id":%d.5,"garbage":1}' % id,
            b'{"id":-%d,"garbage":1}' % (id + 1),
            b'{"id":18446744073709551616,"garbage":1}',
            Binary(b"\x00garbage\x01"),
            Binary(b'{"garbage":"\xff\xfe"}'),
        )
        frame = self._kinds.choice(kinds)
        chunk.frames.append(frame)
        chunk.garbage += 1
        chunk.binary = chunk.binary or type(frame) is Binary
