"""What Redis holds, as the page wants it. Pure.

Ids go as text: they have up to 19 digits, more than a number in JavaScript holds. Times are in µs
since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from chassis.metrics import LATENCY
from relay import gaps, keys, ordered, raw, standing
from relay.entry import position
from relay.messages import sequence_numbers

WINDOW = 120
"""Messages that came last, and that went out last, as the picture has them."""

FRAME = 200
"""Bytes of a rejected frame that are shown."""

WAITS = 0.5
"""Seconds after which an open gap is worth a word: most last for some milliseconds."""

OUTDATED = 10.0
"""Seconds after which what an orderer has told of itself is no longer the present; at rest, it does
so every five."""

DELAYS = (*LATENCY, None)
"""Upper bounds of the buckets in which an orderer counts delays, seconds."""

Entry: TypeAlias = "tuple[bytes, list[bytes]]"


class Order(NamedTuple):
    """Where the orderer of a feed stands."""

    holder: str | None
    """Who it is; None when nobody is at work."""
    epoch: int
    next: int | None
    """The id that is expected; None while the first is looked for."""
    serial: int
    """How many messages it has put out."""
    status: Mapping[str, Any]
    """What it has told of itself; empty if nothing yet."""

    @classmethod
    def read(
        cls, stand: bytes | None, status: bytes | None, told: bytes | None, holder: bytes | None
    ) -> Order:
        """Read a feed's fields in `next` and `status`, when it was told, and the lease's value."""
        epoch, following, serial, _ = standing.unpack(stand) if stand else (0, None, 0, None)
        found = {"time": int(told or 0), **orjson.loads(status or b"{}")}
        return cls(instance(holder), epoch, following, serial, found)

    def state(self, now: int) -> str:
        """Say in one word how the feed is, at `now`: the worst that holds."""
        status = self.status
        if self.holder is None:
            return "unordered"
        if now - status.get("time", 0) > OUTDATED * 1e6:
            return "untold"
        if status.get("full"):
            return "full"
        if not status.get("lines"):
            return "unconnected"
        if status.get("useless"):
            return "useless"
        return "waiting" if (self.oldest or 0) >= WAITS else "flowing"

    @property
    def oldest(self) -> float | None:
        """For how many seconds the oldest of the open gaps has been open, if there is one."""
        return max((gap["age"] for gap in self.status.get("gaps", ())), default=None)


def unreadable(name: str) -> dict[str, Any]:
    """Make the row of a feed whose keys hold what no service of ours has written."""
    return {**summary(name, Order(None, 0, None, 0, {}), 0), "state": "unreadable"}


def instance(holder: bytes | None) -> str | None:
    """Name who holds a lease, `<fence>:<instance>`; None if nobody does."""
    return holder.decode(errors="replace") if holder else None


def summary(name: str, order: Order, now: int) -> dict[str, Any]:
    """Sum a feed up, as a row of the list."""
    status = order.status
    return {
        "name": name,
        "state": order.state(now),
        "orderer": order.holder,
        "next": None if order.next is None else str(order.next),
        "held": status.get("held", 0),
        "open": status.get("open_gaps", 0),
        "oldest": order.oldest,
        "rejected": sum(status.get("rejected", {}).values()),
    }


def told(order: Order) -> dict[str, Any]:
    """Tell what the orderer has told of itself, as far as it is shown."""
    status = order.status
    shown = ("time", "since", "doubtful", "duplicates", "late", "timeout", "rejected")
    delays = status.get("delay", ())
    return {
        **{name: status.get(name) for name in shown},
        # An orderer of another version may count in other buckets.
        "delay": list(zip(DELAYS, delays, strict=True)) if len(delays) == len(DELAYS) else None,
        "gaps": [
            {"first": str(gap["first"]), "last": str(gap["last"]), "age": gap["age"]}
            for gap in status.get("gaps", ())
            # It is told once a second; meanwhile some were closed.
            if order.next is None or gap["last"] >= order.next
        ],
    }


# The picture: what came in, and what went out -----------------------------------------------


def released(entries: Iterable[Entry], order: Order) -> list[tuple[str, int]]:
    """List what went out last, in its order: id, and when it had come in; the entries latest first.

    What an earlier numbering brought is left out.
    """
    found: list[tuple[str, int]] = []
    for entry, values in entries:
        if ordered.span(entry, values).epoch != order.epoch or len(found) >= WINDOW:
            break
        times = [time for time, count in ordered.times(values) for _ in range(count)]
        first = ordered.first_id(values)
        found = [(str(first + at), time) for at, time in enumerate(times)] + found
    return found[-WINDOW:]


def arrivals(entries: Sequence[Entry], order: Order) -> list[tuple[str, int]]:
    """List what came last and has not gone out, as it came: id, and when; entries latest first."""
    # Of a feed that a file describes, the orderer alone knows where the ids are.
    if order.status.get("file"):
        return []
    field = order.status.get("settings", {}).get("ORDERER_ID_FIELD", "id")
    found: list[tuple[str, int]] = []
    for entry, values in entries:
        if len(found) >= WINDOW:
            break
        batch = raw.unpack(entry, values)
        ids, _ = sequence_numbers(batch.frames[-WINDOW:], field)
        waiting = [(str(id), batch.time) for id in ids if order.next is None or id >= order.next]
        found = waiting + found
    return found[-WINDOW:]


# What stands around it ----------------------------------------------------------------------


def lines(
    roles: Iterable[str], holders: Mapping[str, bytes | None], order: Order
) -> list[dict[str, Any]]:  # fmt: skip
    """Tell of each line that is connected, and who reads; or, if none is, who should read.

    Leases are for the first lines of a lane's feeds, the second ones and so on, and only the
    orderer knows a line's name. So it can be told who reads a feed, but not who reads which line.
    """
    found = {role: instance(holders[role]) for role in roles}
    readers = ", ".join(sorted({reader for reader in found.values() if reader})) or None
    connected = order.status.get("lines", [])
    if connected:
        return [{"name": name, "connected": True, "ingestor": readers} for name in connected]
    return [
        {"name": role, "connected": False, "ingestor": reader} for role, reader in found.items()
    ]


def sink(
    name: str, holder: bytes | None, serial: bytes | None, waiting: int | None, order: Order,
    now: int,
) -> dict[str, Any]:  # fmt: skip
    """Tell how far a sink is, and for how long the next message has waited."""
    return {
        "name": name,
        "publisher": instance(holder),
        "confirmed": str(int(serial)) if serial else None,
        "behind": max(0, order.serial - int(serial or 0)),
        "lag": 0.0 if waiting is None else max(0.0, (now - waiting) / 1e6),
    }


def gap(row: gaps.Row) -> dict[str, Any]:
    """Lay out an entry of the ledger."""
    return {
        "epoch": row.epoch,
        "first": str(row.first),
        "last": str(row.last),
        "ids": row.last - row.first + 1,
        "opened": row.opened,
        "closed": row.closed,
        "cause": row.cause,
        "late": row.late,
    }


def reject(entry: bytes, values: list[bytes]) -> dict[str, Any]:
    """Lay out a rejected frame, what can be read of its beginning as text."""
    fields = dict(zip(values[0::2], values[1::2], strict=True))
    frame, size = fields.get(keys.REJECTED_FRAME, b""), int(fields.get(keys.REJECTED_SIZE, 0))
    return {
        "time": position(entry)[0] * 1000,
        "reason": fields.get(keys.REJECTED_REASON, b"").decode(errors="replace"),
        "line": fields.get(keys.REJECTED_LINE, b"").decode(errors="replace"),
        "size": size,
        "frame": frame[:FRAME].decode(errors="replace"),
    }
