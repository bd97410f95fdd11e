"""One feed, as it is looked at: what is asked of Redis, a bounded part of each of its streams."""

from __future__ import annotations

from typing import Any

from chassis import clock
from chassis.lease import lease_key
from chassis.redis import Link, checked
from relay import gaps, keys, ordered
from relay.entry import START
from relay.lanes import shared
from relay.raw import parts
from relay.reading import ReadSize

from . import picture
from .peers import Peers
from .picture import Order

LEDGER = 20
"""Entries of the ledger that are shown."""

REJECTED = 10
"""Rejected frames that are shown."""

AMONG_OTHERS = 100
"""Entries of a lane that feeds share to look through for one of a feed."""

SINK_FIELDS = (keys.SINK_POSITION, keys.SINK_SERIAL)


class Feed:
    """Looks at a feed, again and again."""

    def __init__(self, link: Link, peers: Peers, name: str) -> None:
        self._link = link
        self._peers = peers
        self._name = name
        self._lane = name
        # Entries hold one message or thousands, and are asked for by number. Beside one message
        # an entry of the input has four other fields, and one of the output has one.
        self._raw = ReadSize(5 * picture.WINDOW)
        self._ordered = ReadSize(2 * picture.WINDOW)

    async def look(self) -> dict[str, Any] | None:
        """Look once; None if there is no such feed. Raises what the link raises."""
        name = self._name
        lane = await self._link.send("HGET", keys.FEEDS, name)
        if lane is None:
            return None
        self._lane = lane = lane.decode()
        roles, sinks = await self._peers.of(lane)
        lines = [role for role in roles if role.startswith(keys.LINES)]
        own = f"{name}:" if shared(lane) else ""
        sinks = [sink.removeprefix(own) for sink in sinks if sink.startswith(own)]
        serial, stand, (status, told), holder, publisher, raw, out, ledger, rejected, *rest = (
            checked(
                await self._link.send_all(
                    [
                        ("HGET", keys.order(lane), keys.of(lane, name, keys.ORDER_SERIAL)),
                        ("HGET", keys.next(lane), name),
                        ("HMGET", keys.status(lane), name, keys.STATUS_TIME),
                        ("GET", lease_key(lane, keys.ORDERER)),
                        ("GET", lease_key(lane, keys.PUBLISHER)),
                        ("XREVRANGE", keys.raw(lane), "+", "-", "COUNT", self._raw.entries),
                        ("XREVRANGE", keys.ordered(lane), "+", "-", "COUNT", self._ordered.entries),
                        ("XREVRANGE", keys.gaps(lane, name), "+", "-", "COUNT", LEDGER),
                        ("XREVRANGE", keys.rejected(lane, name), "+", "-", "COUNT", REJECTED),
                        *(("GET", lease_key(lane, role)) for role in lines),
                        *(("HMGET", keys.sink(lane, name, sink), *SINK_FIELDS) for sink in sinks),
                    ]
                )
            )
        )
        state = Order.read(stand, status, told, holder)._replace(serial=int(serial or 0))
        holders = dict(zip(lines, rest, strict=False))
        confirmed = [(position or START, serial) for position, serial in rest[len(holders) :]]
        whole = len(raw) < self._raw.entries
        self._ordered.learn(out)
        self._raw.learn(raw)
        arrived = picture.arrivals(self._received(raw), state)
        if not arrived and not whole:
            # Nothing but signs of life came lately; what is held is older.
            whole, arrived = True, picture.arrivals(self._received(await self._oldest()), state)
        now = clock.wall_us()
        return {
            "time": now,
            **picture.summary(name, state, now),
            "epoch": state.epoch,
            "told": picture.told(state),
            "out": picture.released(self._released(out), state),
            "in": arrived,
            "whole": whole,
            "lines": picture.lines(lines, holders, state),
            "sinks": [
                picture.sink(sink, publisher, serial, waiting, state, now)
                for sink, (_, serial), waiting in zip(
                    sinks, confirmed, await self._unconfirmed(confirmed), strict=True
                )
            ],
            "ledger": [picture.gap(gaps.unpack(values)) for _, values in ledger],
            "rejects": [picture.reject(entry, values) for entry, values in rejected],
        }

    def _received(self, entries: list[picture.Entry]) -> list[picture.Entry]:
        """Take the feed's parts of entries of the input."""
        return [
            (entry, part)
            for entry, values in entries
            for feed, part in parts(self._lane, values)
            if feed == self._name
        ]

    def _released(self, entries: list[picture.Entry]) -> list[picture.Entry]:
        """Take the feed's entries of the output."""
        if not shared(self._lane):
            return entries
        own = self._name.encode()
        return [(entry, values) for entry, values in entries if ordered.feed(values) == own]

    async def _oldest(self) -> list[picture.Entry]:
        """Read the oldest entries that are not settled; the latest of them first."""
        found: list[picture.Entry] = await self._link.send(
            "XRANGE", keys.raw(self._lane), "-", "+", "COUNT", self._raw.entries
        )
        return found[::-1]

    async def _unconfirmed(self, confirmed: list[tuple[bytes, Any]]) -> list[int | None]:
        """Tell when the first message behind each position was received (µs), if there is one."""
        count = AMONG_OTHERS if shared(self._lane) else 1
        replies = checked(
            await self._link.send_all(
                [
                    ("XRANGE", keys.ordered(self._lane), b"(" + position, "+", "COUNT", count)
                    for position, _ in confirmed
                ]
            )
        )
        return [
            next((ordered.received_at(values) for _, values in self._released(reply)), None)
            for reply in replies
        ]
