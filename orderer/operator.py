"""The operator's verbs: `python -m orderer status|skip|reset [feed]`.

`skip` and `reset` take the lease away from the orderer at work, rebuild its buffer from the
checkpoint, decide, publish, and give the lease back; the orderer at work sees that it has been
superseded and goes on from the new checkpoint. So they are as exact as the orderer itself,
and work when no orderer runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

import orjson

from chassis import clock, logs
from chassis.lease import Lease, instance_name, lease_key
from chassis.redis import Link, pairs
from chassis.settings import SettingsError, load
from relay import keys
from relay.entry import START, position
from relay.reading import ReadSize

from .feed import Feed, Options
from .service import ROLE
from .settings import Settings
from .store import READ_MESSAGES, Store, Verdict

SEIZED = 30.0
"""Seconds for which a verb holds the lease at most."""


def main(arguments: list[str]) -> int:
    """Run a verb; returns the exit status: 0 done, 1 nothing to do or no such feed, 2 misuse."""
    parser = argparse.ArgumentParser(prog="python -m orderer", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("status", "show where each feed stands"),
        ("skip", "give up the oldest open gap of a feed"),
        ("reset", "begin a new numbering: give up all that is missing, expect a first id anew"),
    ):
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("feed", nargs="?", help="name of the feed; may be left out if one")
    options = parser.parse_args(arguments)
    try:
        settings = load(Settings, "orderer", os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"orderer: {mistake}", file=sys.stderr)
        return 2
    logs.configure("error", "text")
    return asyncio.run(_run(options.verb, options.feed, settings))


async def _run(verb: str, feed: str | None, settings: Settings) -> int:
    log = logs.get("orderer")
    # Nobody waits for a Redis that is away at a prompt: patience ends at once.
    stop = asyncio.Event()
    stop.set()
    link = Link(settings.redis_url, log, timeout=5.0, stop=stop)
    try:
        feeds = sorted(name.decode() for name in await link.send("SMEMBERS", keys.FEEDS))
        if feed is not None and feed not in feeds:
            print(f"no such feed: {feed}; there are: {', '.join(feeds) or 'none'}", file=sys.stderr)
            return 1
        if verb == "status":
            print(await _status(link, [feed] if feed else feeds))
            return 0
        if feed is None and len(feeds) != 1:
            print(f"which feed? there are: {', '.join(feeds) or 'none'}", file=sys.stderr)
            return 1
        return await _decide(verb, feed or feeds[0], link, settings)
    except Exception as error:
        print(f"orderer: {error}", file=sys.stderr)
        return 1
    finally:
        await link.close()


async def _decide(verb: str, name: str, link: Link, settings: Settings) -> int:
    lease = Lease(link, name, ROLE, instance_name(), SEIZED)
    store, options = Store(link), settings.options
    await lease.seize()
    try:
        feed = await catch_up(store, name, lease, options)
        reorder = feed.reorder
        if verb == "skip" and reorder.full:
            # What has been read makes room for more: read again, no farther than is needed now
            # that it is known which hole nothing in the input fills.
            hole = (reorder.epoch, reorder.next)
            feed = await catch_up(store, name, lease, options, hole)
            reorder = feed.reorder
        before, skipped = reorder.next, True
        if verb == "reset":
            reorder.reset(feed.clock.now)
        else:
            skipped = reorder.skip(feed.clock.now)
        # Without a gap, too: what was missing may just have been read.
        commit = feed.commit()
        if commit is not None:
            verdict = (await store.commit([(commit, lease.value)]))[name]
            if verdict is not Verdict.DONE:
                raise RuntimeError(f"another has taken over, or Redis has lost data ({verdict})")
        await store.park(name, feed.rejects.kept)
        if not skipped:
            print(f"{name}: no gap is open; next is {reorder.next}")
            return 1
        if verb == "reset":
            print(f"{name}: epoch {reorder.epoch} begun; next was {before}")
        else:
            print(f"{name}: skipped; next was {before}, is {reorder.next}")
        return 0
    finally:
        await lease.release()


async def catch_up(
    store: Store, name: str, lease: Lease, options: Options,
    hole: tuple[int, int | None] | None = None,
) -> Feed:  # fmt: skip
    """Take a feed up and read all that its input holds now, committing nothing yet.

    With `hole`, an epoch and a `next`, stop where the buffer is full and waits there.
    """
    state = await store.load(name, lease.key, options.limits.fingerprints)
    feed, size = Feed(name, state, options), ReadSize(READ_MESSAGES)
    while found := await store.read({name: feed.cursor}, {name: size}, block=False):
        for entry in found[name]:
            feed.take_in([entry])
            if feed.reorder.full and (feed.reorder.epoch, feed.reorder.next) == hole:
                return feed
    return feed


async def _status(link: Link, feeds: list[str]) -> str:
    if not feeds:
        return "no feed has been connected yet"
    return "\n\n".join([await _describe(link, feed) for feed in feeds])


async def _describe(link: Link, feed: str) -> str:
    """Describe one feed for a person."""
    raw = keys.raw(feed)
    fields = pairs(await link.send("HGETALL", keys.order(feed)))
    holder = await link.send("GET", lease_key(feed, ROLE))
    newest = await link.send("XREVRANGE", raw, "+", "-", "COUNT", 1)
    waiting = await link.send("XLEN", raw)
    status: dict[str, Any] = orjson.loads(fields.get(keys.ORDER_STATUS, b"{}"))
    rows = [
        ("orderer", holder.decode() if holder else "none active"),
        ("epoch", fields.get(keys.ORDER_EPOCH, b"-").decode()),
        ("next id", fields.get(keys.ORDER_NEXT, b"").decode() or "not known yet"),
        (
            "held",
            str(status.get("held", 0)) + (", FULL: waiting for you" * bool(status.get("full"))),
        ),
        ("lines", ", ".join(status.get("lines", [])) or "none connected"),
        ("lag", _lag(fields.get(keys.ORDER_SEEN, START), newest)),
        ("raw", f"{waiting} entries kept"),
        ("time-out", _timeout(status)),
        ("open gaps", str(status.get("open_gaps", 0))),
    ]
    lines = [f"feed {feed}"]
    lines += [f"  {name:<10} {value}" for name, value in rows]
    for gap in status.get("gaps", []):
        first, last = gap["first"], gap["last"]
        ids = f"{first} … {last} ({last - first + 1} ids)" if last > first else f"{first}"
        lines.append(f"    {ids}, open for {gap['age']:.1f} s")
    if "time" in status:
        lines.append(f"  (as of {max(0.0, clock.wall() - status['time'] / 1e6):.1f} s ago)")
    return "\n".join(lines)


def _lag(seen: bytes, newest: list[Any]) -> str:
    if not newest:
        return "none"
    behind = (position(newest[0][0])[0] - position(seen)[0]) / 1000
    return f"{behind:.3f} s behind the newest frame" if behind > 0 else "none"


def _timeout(status: dict[str, Any]) -> str:
    if "timeout" not in status:
        return "not known yet"
    if status["timeout"] is None:
        return "never"
    return (
        f"{status['timeout']:.3f} s; {100 * status['caught']:.2f} % of late frames came within it"
    )
