"""The operator's verb `forget`: takes a feed that is no longer configured out of Redis, for good.

It takes the lease away from the orderer at work, as `skip` does, and changes nothing but what is
the feed's: what other feeds of a lane hold is read again from the checkpoint, which stays where it
is, as after a crash. So it needs to know no feed's words. All of a lane is done in one step
(`forget.lua`); the feed's row in the table of lanes goes last: until it is gone, the feed can be
forgotten again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

import orjson

from chassis import clock
from chassis.lease import Lease, fence_key, instance_name, lease_key
from chassis.redis import Link, Script, checked, pairs
from relay import forgotten, keys, lanes, raw, standing
from relay.entry import START, position
from relay.feeds import FILE
from relay.forgotten import Forgotten

from .lines import Lines
from .settings import Settings

_FORGET = Script(resources.files(__package__).joinpath("forget.lua").read_text())

HELD = 10.0
"""Seconds for which the verb holds the lease at most; the lane stands still for so long if it is
killed meanwhile."""

READ_ENTRIES = 50
"""Entries of the input to read at a time."""

FIELDS = 1000
"""Fields to remove at a time; Lua passes on a few thousand values at most."""


class Refused(Exception):
    """Say why a feed cannot be forgotten now."""


class Found(NamedTuple):
    """What there is of a feed and its lane."""

    order: dict[bytes, bytes]
    stands: dict[bytes, bytes]
    """Where the outputs of all the lane's sequences end."""
    alone: bool
    """Whether no other feed is in the lane."""
    raw: bytes
    """The input's last entry."""
    ordered: bytes
    """The output's."""
    names: list[str]
    """Keys of the lane."""
    sinks: dict[str, int]
    """The endpoints that are known, and how many messages each has not confirmed."""
    roles: list[str]
    """Who works on the lane, but for its orderer."""
    lines: list[str]
    """The lines that were connected when the input last told of them."""
    held: int
    """Messages that are held back."""
    unread: int
    """Frames that the orderer has not read, as far as it has told."""


async def forget(link: Link, feed: str, lane: str, settings: Settings, *, force: bool) -> str:
    """Forget a feed; with `force` though messages are lost by it.

    Tells what was done; raises Refused, and what the link raises.
    """
    if feed in settings.feeds.words:
        raise Refused(f"{FILE} still has it")
    check(await _find(link, feed, lane), feed, lane, force=force)
    lease = Lease(link, lane, keys.ORDERER, instance_name(), HELD)
    await lease.seize()
    try:
        found = await _find(link, feed, lane)
        lost = check(found, feed, lane, force=force)
        done = await link.send(*_command(found, feed, lane, lease))
        if done == b"busy":
            raise Refused("somebody has just begun to work on it")
        if done != b"done":
            raise Refused(f"something has just changed ({done.decode()}); try again")
        await lanes.leave(link, feed)
        # Who has read the table before that may still want to take the lane up.
        if feed == lane:
            await lease.linger(settings.lease_ttl)
    finally:
        await lease.release()
    return f"forgotten; {lost} lost" if lost else "forgotten"


def check(found: Found, feed: str, lane: str, *, force: bool) -> str:
    """See that nobody works for the feed, and nothing waits; tells what is lost by `force`."""
    if feed == lane:
        if found.roles:
            raise Refused(f"it is at work: {', '.join(found.roles)} of its lane")
    elif found.lines and not force and any(keys.LINES in role for role in found.roles):
        raise Refused(
            f"it is connected: {', '.join(found.lines)}; if its ingestor was killed, and could not"
            " say that this has ended: --force"
        )
    unconfirmed = max(found.sinks.values(), default=0)
    waiting = [
        *([f"{found.held} held back"] if found.held else []),
        *([f"{found.unread} not read by an orderer"] if found.unread else []),
        *(f"{count} not confirmed by {sink}" for sink, count in found.sinks.items() if count),
    ]
    if not waiting:
        return ""
    total = found.held + found.unread + unconfirmed
    lost = f"{total} message{'s' * (total != 1)}"
    if not force:
        words = "waits" if total == 1 else "wait"
        raise Refused(f"{lost} {words} ({', '.join(waiting)}); --force loses what does")
    return lost


# What there is ----------------------------------------------------------------------------------


async def _find(link: Link, feed: str, lane: str) -> Found:
    """Look at all there is of a feed."""
    found = await link.scan(keys.of_lane(lane))
    names = sorted(name.decode(errors="replace") for name in found)
    leases = [name for name in names if name.startswith(_leases(lane))]
    prefix = keys.sink(lane, feed, "")
    sinks = [name for name in names if name.startswith(prefix)]
    order, stands, told, newest, last, *replies = checked(
        await link.send_all(
            [
                ("HGETALL", keys.order(lane)),
                ("HGETALL", keys.next(lane)),
                ("HGET", keys.status(lane), feed),
                ("XREVRANGE", keys.raw(lane), "+", "-", "COUNT", 1),
                ("XREVRANGE", keys.ordered(lane), "+", "-", "COUNT", 1),
                *(("GET", lease) for lease in leases),
                *(("HGETALL", sink) for sink in sinks),
            ]
        )
    )
    fields, end = pairs(order), newest[0][0] if newest else START
    output_end = last[0][0] if last else START
    positions = [pairs(reply) for reply in replies[len(leases) :]]
    table = await lanes.known(link)  # whose frames are in the input was known before them
    unread, lines = await _read_on(link, feed, lane, fields, end)
    waits = feed in fields.get(keys.ORDER_WAITING, b"").decode().split()
    return Found(
        fields,
        pairs(stands),
        not any(its == lane for name, its in table.items() if name != feed),
        end,
        output_end,
        names,
        {
            sink.removeprefix(prefix): _unconfirmed(fields, feed, lane, position, output_end)
            for sink, position in zip(sinks, positions, strict=True)
        },
        [
            lease.removeprefix(_leases(lane))
            for lease, holder in zip(leases, replies, strict=False)
            if holder is not None and lease != lease_key(lane, keys.ORDERER)
        ],
        lines,
        max(1, int(orjson.loads(told or b"{}").get("held", 0))) if waits else 0,
        unread,
    )


def _leases(lane: str) -> str:
    return lease_key(lane, "")


async def _read_on(
    link: Link, feed: str, lane: str, order: dict[bytes, bytes], end: bytes
) -> tuple[int, list[str]]:
    """Count the feed's frames that were not read yet, and follow its lines."""
    lines = Lines(order.get(keys.of(lane, feed, keys.ORDER_LINES), b"").decode().split())
    at, unread = order.get(keys.ORDER_SEEN, START), 0
    left = order.get(keys.of(lane, feed, keys.ORDER_FORGOTTEN))
    if left is not None:  # what is older was another's of that name
        at = max(at, forgotten.unpack(left).raw, key=position)
    while position(at) < position(end):
        entries = await link.send(
            "XRANGE", keys.raw(lane), b"(" + at, end, "COUNT", READ_ENTRIES
        )  # fmt: skip
        if not entries:
            break
        for entry, values in entries:
            for whose, values_of in raw.parts(lane, values):
                if whose == feed:
                    part = raw.unpack(entry, values_of)
                    unread += len(part.frames)
                    lines.heard(part.line.decode(errors="replace"), part.connection, part.event)
        at = entries[-1][0]
    return unread, lines.names


def _unconfirmed(
    order: dict[bytes, bytes], feed: str, lane: str, sink: dict[bytes, bytes], last: bytes
) -> int:
    """Count the messages of a feed that a sink has not confirmed."""
    came = int(order.get(keys.of(lane, feed, keys.ORDER_SERIAL), 0))
    same = sink.get(keys.SINK_INCARNATION, b"") in (b"", order.get(keys.ORDER_INCARNATION))
    if same and position(sink.get(keys.SINK_POSITION, START)) >= position(last):
        return 0
    return max(0, came - int((same and sink.get(keys.SINK_SERIAL)) or 0))


# What goes --------------------------------------------------------------------------------------


def _command(found: Found, feed: str, lane: str, lease: Lease) -> tuple[Any, ...]:
    """Make the call that forgets a feed."""
    own = feed == lane
    go = [keys.gaps(lane, feed), keys.prints(lane, feed), keys.rejected(lane, feed)]
    beginnings = (keys.sink(lane, feed, ""), keys.aside(lane, feed, ""))
    go += [name for name in found.names if name.startswith(beginnings)]
    # Streams of a lane that may be used again stay, since their ids must only grow.
    streams, empty = [keys.raw(lane), keys.ordered(lane)], list[str]()
    if own:
        go += streams
    elif found.alone:
        empty = streams
    busy: list[str] = []
    hashes: list[Any] = []
    saved: list[Any] = []
    if own:
        go += [keys.order(lane), keys.next(lane), keys.status(lane), keys.confirmed(lane)]
        # Nobody compares values of these leases.
        go += [name for name in found.names if name.startswith(fence_key(lane, keys.LINES))]
        lines = [name for name in found.names if name.startswith(lease_key(lane, keys.LINES))]
        first = lease_key(lane, keys.lines_role(0))
        busy = sorted({lease_key(lane, keys.PUBLISHER), first, *lines})
    else:
        hashes = [
            *_fields(keys.order(lane), (f for f in found.order if _is_of(f, feed))),
            *_fields(keys.next(lane), _sequences(found, feed)),
            *_fields(keys.status(lane), [feed.encode()]),
            *_fields(keys.confirmed(lane), [feed.encode()]),
        ]
        saved = _saved(found, feed, lane, lease.value)
    return _FORGET(
        keys=[lease.key, keys.order(lane)],
        args=[
            lease.value,
            found.order.get(keys.ORDER_INCARNATION, b""),
            found.order.get(keys.ORDER_COMMIT, b""),
            keys.raw(lane),
            found.raw if own or found.alone else b"",
            keys.confirmed(lane),
            keys.ASIDE,
            feed,
            len(busy),
            *busy,
            len(hashes),
            *(word for each in hashes for word in each),
            len(saved),
            *saved,
            len(empty),
            *empty,
            len(go),
            *go,
        ],
    )


def _saved(found: Found, feed: str, lane: str, lease: str) -> list[Any]:
    """List what changes in the checkpoint of a lane that others share: field, value, …."""
    waiting = found.order.get(keys.ORDER_WAITING, b"").decode().split()
    epochs = [standing.unpack(found.stands[name]).epoch + 1 for name in _sequences(found, feed)]
    field = keys.of(lane, feed, keys.ORDER_FORGOTTEN)
    if field in found.order:  # forgotten before, and something of that may be there as well
        epochs.append(forgotten.unpack(found.order[field]).epoch)
    epochs.append(int(found.order.get(keys.ORDER_FLOOR, 1)))
    left = Forgotten(found.raw, found.ordered, max(epochs), clock.wall_us())
    return [
        keys.ORDER_COMMIT, f"{lease}#forget",
        keys.ORDER_WAITING, " ".join(name for name in waiting if name != feed),
        field, forgotten.pack(left),
    ]  # fmt: skip


def _sequences(found: Found, feed: str) -> list[bytes]:
    """List the names of a feed's sequences."""
    return [name for name in found.stands if name.partition(b":")[0] == feed.encode()]


def _is_of(field: bytes, feed: str) -> bool:
    """Tell whether a field of the checkpoint is a feed's, or a key's of it."""
    return field.split(b":")[1:2] == [feed.encode()]


def _fields(name: str, fields: Iterable[bytes]) -> Iterator[Sequence[Any]]:
    """List fields of a hash that are to go, so many at a time."""
    left = list(fields)
    for start in range(0, len(left), FIELDS):
        part = left[start : start + FIELDS]
        yield name, len(part), *part
