"""One lane and its sinks: their positions, what is kept behind them, and how far they lag."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import resources
from itertools import chain
from typing import Protocol

from chassis import clock
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Command, Link, Script, Unavailable, checked, pairs
from chassis.tasks import end, first, until
from relay import forgotten, keys, ordered
from relay.allowance import Allowance
from relay.entry import START, position
from relay.feeds import Peer
from relay.lanes import shared
from relay.reading import ReadSize

from .aside import FROM, Aside, Superseded
from .position import Order, Position
from .reader import Reader
from .retention import Retention

_SAVE = Script(resources.files(__package__).joinpath("save.lua").read_text())
_TRIM = Script(resources.files(__package__).joinpath("trim.lua").read_text())

LOOK_EVERY = 1.0
"""Seconds between trimmings and looks at the numbering's identity."""

AT_REST = 5
"""So many times as long is waited while nothing comes, and all is confirmed."""

COUNT_MESSAGES = 2000
"""Messages to count back at a time, roughly."""

HURRY = 1 / 8
"""Share of a lane's memory after which it does not wait for the next look."""

PATIENCE = 2.0
"""Seconds for which a shared lane is kept for a sink that has not confirmed."""

AMONG_OTHERS = 100
"""Entries of a shared lane to look through for one of a feed."""

SAVES = 4
"""How often positions in a shared lane are saved at most, while each sink is asked once."""


class Lost(Exception):
    """Redis has lost the numbering; begin anew."""


class Sink(Protocol):
    """What a lane needs to know of those that it supplies."""

    @property
    def waiting_since(self) -> int | None:
        """When the oldest message was received that is not confirmed, µs; None: not known."""

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then drain."""

    def wake(self) -> None:
        """Look again whether to stop."""

    def tell_lag(self, since: int | None) -> None:
        """Tell since when the oldest message has waited, µs; None: there is none."""

    def data_loss(self) -> None:
        """Tell that Redis has lost the numbering."""


class Lane:
    """What a publisher knows of a lane that it has the lease of; `run` it."""

    def __init__(
        self, link: Link, name: str, lease: Lease, reader: Reader, retain: int,
        pace: Callable[[], float], allowance: Allowance, log: Log,
    ) -> None:  # fmt: skip
        """Prepare; `retain` messages are kept behind the slowest sink.

        `pace` tells how many seconds lie between two questions to a sink.
        """
        self.name = name
        self.lease = lease
        self.positions: dict[Peer, Position] = {}
        self._sinks: Mapping[Peer, Sink] = {}
        self._fence = ""
        """Value of the lease when positions were loaded; under a later one, another may have."""
        self._feeds: list[str] = []
        self._link = link
        self._reader = reader
        self._retain = retain
        self._pace = pace
        self._allowance = allowance
        self._log = log
        self._aside = Aside(link, name, lease.key)
        self._incarnation: bytes | None = None
        self._retention = Retention(retain, START)
        self._trimmed = START
        self._looked = 0
        """Bytes that had been read when it was looked last."""
        self._hurry = asyncio.Event()
        self._all_confirmed = False
        """Whether all sinks had confirmed all when it was looked last."""
        self._told: dict[str, int | str] = {}
        """What was said of how much each feed's slowest sink has confirmed."""
        self._left: dict[str, bytes] = {}
        """What is left of a feed's namesake that was forgotten, in a lane that is shared."""
        self._gone: set[str] = set()
        """Feeds that were forgotten since: nothing is saved of them any more."""
        self._unsaved: dict[Peer, tuple[bytes, int | None]] = {}
        self._wanted = asyncio.Event()
        self._saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when these are saved."""
        self._saving: Mapping[Peer, tuple[bytes, int | None]] = {}
        self._being_saved = self._saved
        """The same for those that are just being saved."""

    async def run(self, sinks: Mapping[Peer, Sink], stop: asyncio.Event) -> None:
        """Keep the lane's sinks supplied until `stop`, then drain.

        It ends early when another publisher has taken over, or Redis has lost the numbering.
        """
        try:
            await self._link.patiently(lambda: self.load(sinks))
            try:
                await first(self._supply(stop), self.keep_saving(), self._keep_house())
                if self._link.up:  # Redis may have lost the lane, and ended it thereby
                    await self._link.attempt(self.look)
            finally:
                self._reader.drop(self.stream)
        except Lost:
            # The lease's next holder, most likely this very publisher, begins anew.
            for sink in sinks.values():
                sink.data_loss()
        except Superseded:
            await self._tell_why_superseded()
        except Unavailable:
            self._log.warning("stopped without Redis", lane=self.name)

    async def _tell_why_superseded(self) -> None:
        """Tell whether the lease is another's, or gone with all the rest."""
        with contextlib.suppress(Unavailable):
            order = await self._link.patiently(self._read_order)
            if order.incarnation != self._incarnation:
                for sink in self._sinks.values():
                    sink.data_loss()
            else:
                self._log.warning("superseded", lane=self.name)

    async def _supply(self, stop: asyncio.Event) -> None:
        """Run all sinks until they have ended."""
        stopping = asyncio.ensure_future(stop.wait())
        running = [asyncio.ensure_future(sink.run(stop)) for sink in self._sinks.values()]
        try:
            await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
            for sink in self._sinks.values():
                sink.wake()
            await asyncio.gather(*running)
        finally:
            for task in (stopping, *running):
                await end(task)

    # Positions ------------------------------------------------------------------------------

    async def load(self, sinks: Mapping[Peer, Sink]) -> None:
        """Load the positions of sinks, and count what is kept behind them."""
        self._sinks = sinks
        self._feeds = sorted({peer.feed for peer in sinks})
        self._fence = self.lease.value
        await self._allowance.look()
        peers = list(self._sinks)
        values, left, *stored = checked(
            await self._link.send_all(
                [
                    ("HMGET", keys.order(self.name), *Order.fields(self.name, self._feeds)),
                    ("HMGET", keys.order(self.name), *map(self._forgotten, self._feeds)),
                    *(("HGETALL", self._key(peer)) for peer in peers),
                ]
            )
        )
        order = Order.read(self._feeds, values)
        self._incarnation = order.incarnation
        self._left = {feed: told or b"" for feed, told in zip(self._feeds, left, strict=True)}
        for peer, reply in zip(peers, stored, strict=True):
            found = pairs(reply)
            sink = self.positions[peer] = Position(peer.feed)
            sink.load(found)
            if not found:  # that it can be seen that there is one
                if self._left[peer.feed]:
                    sink.confirmed = forgotten.unpack(self._left[peer.feed]).ordered
                self._unsaved[peer] = sink.confirmed, None
                self._wanted.set()
            known = found.get(keys.SINK_INCARNATION) or None
            if (known is not None and known != order.incarnation) or order.before(sink.confirmed):
                sink.forget()
                self._sinks[peer].data_loss()
            order.advance(sink, shared=shared(self.name))
        await self._count_back()
        self.stream = self._reader.follow(self.name, self._slowest(), self._note)

    async def _count_back(self) -> None:
        """Count what is kept behind the slowest sink."""
        end = self._slowest()
        self._retention = Retention(self._retain, end)
        size = ReadSize(COUNT_MESSAGES)
        while end != START:
            entries = await self._link.send(
                "XREVRANGE", keys.ordered(self.name), end, "-", "COUNT", size.entries
            )
            if not entries or not self._retention.count_back(entries, self._allowance.kept):
                break
            size.learn(entries)
            end = b"(" + entries[-1][0]

    def confirm(self, peer: Peer, confirmed: bytes, serial: int | None) -> None:
        """Have it saved that a sink has confirmed all up to an entry."""
        self._unsaved[peer] = confirmed, serial
        self._wanted.set()

    async def save(self, peer: Peer, confirmed: bytes, serial: int | None) -> None:
        """Save that a sink has confirmed all up to an entry, however long Redis takes."""
        self.confirm(peer, confirmed, serial)
        await self.saved(peer)

    async def saved(self, peer: Peer) -> None:
        """Wait until what a sink has confirmed is saved."""
        while peer in self._saving or peer in self._unsaved:
            await asyncio.shield(self._being_saved if peer in self._saving else self._saved)

    async def keep_saving(self) -> None:
        """Save positions as they come, those of the same moment together."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._saving, self._unsaved = self._unsaved, {}
            self._being_saved, self._saved = self._saved, loop.create_future()
            await self._save(self._saving)
            self._saving = {}
            self._being_saved.set_result(None)
            if shared(self.name):
                await asyncio.sleep(self._pace() / SAVES)

    async def _save(self, unsaved: Mapping[Peer, tuple[bytes, int | None]]) -> None:
        if self._incarnation is None:
            self._incarnation = (await self._link.patiently(self._read_order)).incarnation
        while True:
            left = {peer: at for peer, at in unsaved.items() if peer.feed not in self._gone}
            feeds = sorted({peer.feed for peer in unsaved} or self._feeds)
            told = self._to_tell(feeds, left)
            # A lane of a feed's own goes as a whole, with the lease.
            asked = [feed for feed in feeds if feed not in self._gone and shared(self.name)]
            command = self._saving_of(left, asked, told)
            done = await self._link.patiently(partial(self._link.send, *command))
            if not done:
                raise Superseded
            if done == 1:
                break
            self._gone |= {asked[number - 1] for number in done}
        self._told |= told
        for peer, (confirmed, serial) in unsaved.items():
            sink = self.positions[peer]
            if position(confirmed) >= position(sink.confirmed):
                sink.confirmed, sink.serial = confirmed, serial

    def _saving_of(
        self, unsaved: Mapping[Peer, tuple[bytes, int | None]], feeds: Iterable[str],
        told: Mapping[str, int | str],
    ) -> Command:  # fmt: skip
        """Make the call that saves positions, unless one of the feeds was forgotten."""
        known = [word for feed in feeds for word in (self._forgotten(feed), self._left[feed])]
        positions: list[bytes | int] = []
        for confirmed, serial in unsaved.values():
            positions += (confirmed, b"" if serial is None else serial)
        return _SAVE(
            keys=[self.lease.key, keys.confirmed(self.name), *map(self._key, unsaved)],
            args=[
                self._fence, self._incarnation or b"", keys.order(self.name), len(known) // 2,
                *known, *positions, *chain(*told.items()),
            ],
        )  # fmt: skip

    def _forgotten(self, feed: str) -> bytes:
        """Name the field that tells of a feed that it was forgotten."""
        return keys.of(self.name, feed, keys.ORDER_FORGOTTEN)

    def _to_tell(
        self, feeds: Iterable[str], unsaved: Mapping[Peer, tuple[bytes, int | None]]
    ) -> dict[str, int | str]:
        """Tell of feeds how much their slowest sinks have confirmed, if that has changed.

        And what is set aside.
        """
        serials: dict[str, list[int]] = {feed: [] for feed in feeds if feed not in self._gone}
        for peer, sink in self.positions.items():
            if peer.feed in serials:
                serial = unsaved[peer][1] if peer in unsaved else sink.serial
                serials[peer.feed].append(serial or 0)
        said: dict[str, int | str] = {feed: min(each) for feed, each in serials.items()}
        if self._aside.summary or keys.ASIDE in self._told:
            said[keys.ASIDE] = self._aside.summary
        return {field: value for field, value in said.items() if self._told.get(field) != value}

    def _key(self, peer: Peer) -> str:
        return keys.sink(self.name, peer.feed, peer.name)

    # Once a second --------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            self._looked = self._retention.size
            self._hurry.clear()
            looked = await self._link.attempt(self.look)
            before = self.stream.cursor if looked and self._all_confirmed else None
            for _ in range(AT_REST):
                if await until(self._hurry, LOOK_EVERY) or self.stream.cursor != before:
                    break

    def _note(self, entries: list[ordered.Entry]) -> None:
        """Note what has been read; where that was much, it is looked after at once."""
        self._retention.note(entries)
        if self._retention.size - self._looked > HURRY * (self._allowance.feed or math.inf):
            self._hurry.set()

    async def look(self) -> None:
        """See that the numbering lives, trim, tell lags."""
        before = {peer: sink.confirmed for peer, sink in self.positions.items()}
        order = await self._read_order()
        self._incarnation = self._incarnation or order.incarnation
        if order.incarnation != self._incarnation or any(map(order.before, before.values())):
            await self._link.send("DEL", *map(self._key, self.positions))
            await self._aside.forget(self.positions)
            raise Lost
        for sink in self.positions.values():
            order.advance(sink, shared=shared(self.name))
        if self._to_tell(self._feeds, {}):
            # An endpoint that was waited for may have been taken out.
            await self._save({})
        await self._allowance.look()
        if shared(self.name):
            await self._set_aside(order)
        # The positions may move whenever this waits: what to trim is decided without waiting.
        needed = min(self._slowest(), self.stream.needed, key=position)
        trimmable = self._retention.trimmable(needed, self._allowance.kept)
        if trimmable is not None and trimmable != self._trimmed:
            args = [self._fence, keys.ordered(self.name), trimmable]
            await self._link.send(*_TRIM(keys=[self.lease.key], args=args))
            self._trimmed = trimmable
        await self._tell_lags(order)

    async def _set_aside(self, order: Order) -> None:
        """Set aside what others of the lane would be held back for."""
        aside, sinks = self._aside, self.positions
        await aside.look(sinks.items(), self._fence)
        long_ago = clock.wall_us() - PATIENCE * 1e6
        behind = [
            peer
            for peer, sink in sinks.items()
            if not order.confirmed(sink, shared=True)
            and (self._sinks[peer].waiting_since or 0) < long_ago
        ]
        if behind and await aside.size() >= FROM * (self._allowance.feed or math.inf):
            for peer in behind:
                await aside.add(peer, sinks[peer], self._fence)

    async def _tell_lags(self, order: Order) -> None:
        """Tell for how long the oldest message of each sink has waited."""
        unknown = []
        waiting = False
        for peer, sink in self._sinks.items():
            if order.confirmed(self.positions[peer], shared=shared(self.name)):
                sink.tell_lag(None)
            elif (since := sink.waiting_since) is not None:
                waiting = True
                sink.tell_lag(since)
            else:
                unknown.append(peer)
        count = AMONG_OTHERS if shared(self.name) else 1
        replies = await self._link.send_all(
            [
                (
                    "XRANGE",
                    self._where(peer),
                    b"(" + self.positions[peer].confirmed,
                    "+",
                    "COUNT",
                    count,
                )
                for peer in unknown
            ]
        )
        # A feed of which nothing has come out yet is not known to have been confirmed either.
        self._all_confirmed = not waiting and not any(checked(replies))
        for peer, entries in zip(unknown, replies, strict=True):
            feed = peer.feed.encode()
            own = (
                values for _, values in entries
                if not shared(self.name) or ordered.feed(values) == feed
            )  # fmt: skip
            oldest = next(own, None)
            if oldest is not None or not entries:
                received = None if oldest is None else ordered.received_at(oldest)
                self._sinks[peer].tell_lag(received)

    def _where(self, peer: Peer) -> str:
        """Name the stream in which what a sink has not confirmed begins."""
        if self.positions[peer].back:
            return keys.ordered(self.name)
        return keys.aside(self.name, peer.feed, peer.name)

    async def _read_order(self) -> Order:
        fields = Order.fields(self.name, self._feeds)
        values = await self._link.send("HMGET", keys.order(self.name), *fields)
        return Order.read(self._feeds, values)

    def _slowest(self) -> bytes:
        return min((sink.held_for for sink in self.positions.values()), key=position)
