"""The operator's verbs: `python -m orderer status|skip|reset [feed]`, and `forget feed`.

`skip` and `reset` take the lease away from the orderer at work, rebuild its buffer from the
checkpoint, decide, publish, and give the lease back; the orderer at work sees that it has been
superseded and goes on from the new checkpoint. So they are as exact as the orderer itself,
and work when no orderer runs. They decide by the settings that the orderer at work, or the last
one, has left with its status, and by the words of a file of feeds that it has left with its last
commit: with others they would read other ids, or give up what it would not. So they need no file,
and work for a feed that is in it no longer.

`forget` decides about no message; see `orderer.forget`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from chassis import clock, logs, output
from chassis.lease import Lease, instance_name, lease_key
from chassis.redis import Link, checked
from chassis.settings import SettingsError, load
from relay import keys, lanes, standing
from relay.entry import START, position
from relay.feedfile import left
from relay.feeds import FILE
from relay.reading import ReadSize

from .feed import Feed
from .forget import Refused, forget
from .lane import Lane
from .notices import reasons
from .sequence import Sequence
from .settings import CAPACITY_BYTES, Settings
from .store import READ_MESSAGES, Store, Verdict

SEIZED = 30.0
"""Seconds for which a verb holds the lease at most."""


class Misuse(Exception):
    """Say why a verb cannot be done as it was asked for."""


def main(arguments: list[str]) -> int:
    """Run a verb; returns the exit status: 0 done, 1 nothing to do or no such feed, 2 misuse."""
    output.forgive()
    parser = argparse.ArgumentParser(prog="python -m orderer", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("status", "show where each feed stands"),
        ("skip", "give up the oldest open gap of a feed"),
        ("reset", "begin a new numbering: give up all that is missing, expect a first id anew"),
    ):
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("feed", nargs="?", help="name of the feed; may be left out if one")
        if verb != "status":
            command.add_argument("--key", help="where each key has an order of its own: which")
    text = "take a feed that is no longer configured out of Redis, for good"
    command = verbs.add_parser("forget", help=text, description=text)
    command.add_argument("feed", help="name of the feed")
    command.add_argument("--force", action="store_true", help="though messages are lost by it")
    options = parser.parse_args(arguments)
    try:
        settings = load(Settings, "orderer", os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"orderer: {mistake}", file=sys.stderr)
        return 2
    logs.configure("error", "text")
    return asyncio.run(_run(options, settings))


async def _run(options: argparse.Namespace, settings: Settings) -> int:
    verb: str = options.verb
    feed: str | None = options.feed
    log = logs.get("orderer")
    # Nobody waits for a Redis that is away at a prompt: patience ends at once.
    stop = asyncio.Event()
    stop.set()
    link = Link(settings.redis_url, log, timeout=5.0, stop=stop)
    try:
        table = await lanes.known(link)
        feeds = sorted(table)
        if feed is not None and feed not in feeds:
            print(f"no such feed: {feed}; there are: {', '.join(feeds) or 'none'}", file=sys.stderr)
            return 1
        if verb == "status":
            told = await _status(link, {name: table[name] for name in ([feed] if feed else feeds)})
            print(output.visible(told, lines=True))
            return 0
        if feed is None and len(feeds) != 1:
            print(f"which feed? there are: {', '.join(feeds) or 'none'}", file=sys.stderr)
            return 1
        name = feed or feeds[0]
        if verb == "forget":
            done = await forget(link, name, table[name], settings, force=options.force)
            print(f"{name}: {done}")
            return 0
        return await _decide(verb, table[name], name, options.key, link, settings)
    except Refused as refused:
        print(f"{feed}: not forgotten: {refused}", file=sys.stderr)
        return 1
    except (Misuse, SettingsError) as error:
        print(f"orderer: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"orderer: {error}", file=sys.stderr)
        return 1
    finally:
        await link.close()


async def _decide(
    verb: str, lane_name: str, name: str, key: str | None, link: Link, settings: Settings
) -> int:
    told = orjson.loads(await link.send("HGET", keys.status(lane_name), name) or b"{}")
    lease, store = Lease(link, lane_name, keys.ORDERER, instance_name(), SEIZED), Store(link)
    words = await store.words(lane_name)
    decided = agreed(name, told.get("settings", {}), words, settings, os.environ)
    await lease.seize()
    try:
        lane = await catch_up(store, lane_name, name, lease, decided)
        chosen = choose(verb, lane.touch(name), key)
        if verb == "skip" and lane.halted(lane.touch(name)):
            # What has been read makes room for more: read again, no farther than is needed now
            # that it is known which hole nothing in the input fills.
            hole = (chosen[0].key, chosen[0].reorder.epoch, chosen[0].reorder.next)
            lane = await catch_up(store, lane_name, name, lease, decided, hole)
            chosen = [lane.touch(name).sequence(hole[0])]
        feed, before = lane.touch(name), [one.reorder.next for one in chosen]
        done = [feed.decide(one, reset=verb == "reset") for one in chosen]
        # Without a gap, too: what was missing may just have been read.
        commit = lane.commit()
        if commit is not None:
            verdict = (await store.commit([(commit, lease.value)]))[lane_name]
            if verdict is not Verdict.DONE:
                raise RuntimeError(f"another has taken over, or Redis has lost data ({verdict})")
        for other, rejects in lane.take_rejects():
            await store.park(lane_name, lease.value, other, rejects.kept)
        for one, was in zip(chosen, before, strict=True):
            called = output.visible(f"{name} {one.key}" if one.key else name)
            if not all(done):
                print(f"{called}: no gap is open; next is {one.reorder.next}")
                return 1
            if verb == "reset":
                print(f"{called}: epoch {one.reorder.epoch} begun; next was {was}")
            else:
                print(f"{called}: skipped; next was {was}, is {one.reorder.next}")
        return 0
    finally:
        await lease.release()


def choose(verb: str, feed: Feed, key: str | None) -> list[Sequence]:
    """Choose what a verb is for: a key, or else the oldest gap, or all keys; raises Misuse."""
    if key is not None:
        if key not in feed.sequences:
            raise Misuse(f"{feed.name} has no key {key!r}")
        return [feed.sequence(key)]
    if verb == "skip":
        oldest = feed.gaps[0][0] if feed.gaps else next(iter(feed.sequences), "")
        return [feed.sequence(oldest)]
    return [feed.sequence(key) for key in feed.sequences or [""]]


def agreed(
    feed: str, told: Mapping[str, str], words: Mapping[str, str], ours: Settings,
    environ: Mapping[str, str],
) -> Settings:  # fmt: skip
    """Choose the settings that a verb decides by: those that the last orderer has left.

    It has `told` the ones, and left the `words` of a file for the feeds of the lane that have any.
    Raises Misuse if `environ` names others, or nobody has told any.
    """
    spelled = ours.spelled
    named = {name: value for name, value in spelled.items() if environ.get(name, "").strip()}
    if not told and not named and feed not in {**ours.feeds.words, **words}:
        raise Misuse(
            "no orderer has told its settings yet; run the verb with those that it is to run with:"
            f" {', '.join(spelled)}"
        )
    differing = [name for name in named if named[name] != told.get(name, named[name])]
    if differing:
        raise Misuse(
            "; ".join(f"{name} is {named[name]} here, and {told[name]} there" for name in differing)
            + ": leave it out to decide as the orderer does"
        )
    decided = ours
    if told:
        known = {name: value for name, value in told.items() if name in spelled}
        decided = replace(load(Settings, "orderer", known), feeds=ours.feeds)
    known_before = bool(told) or feed in words
    ours_says = decided.options(feed).words if feed in ours.feeds.words else None
    if known_before and ours_says not in (None, words.get(feed, "")):
        raise Misuse(
            f"{FILE} does not say of {feed} what the orderer goes by: leave it out to decide as the"
            " orderer does"
        )
    # All feeds of the lane are read, each by its own words.
    table = {name: left.read(name, text) for name, text in words.items()}
    base = {} if known_before else ours.feeds.words
    return replace(decided, feeds=replace(ours.feeds, words={**base, **table}))


async def catch_up(
    store: Store, lane_name: str, name: str, lease: Lease, settings: Settings,
    hole: tuple[str, int, int | None] | None = None,
) -> Lane:  # fmt: skip
    """Take a feed's lane up and read all that its input holds now, committing nothing yet.

    With `hole`, a key, an epoch and a `next`, stop where a buffer is full and that one waits there.
    """
    state = await store.load(lane_name, lease.key, lease.value, settings.fingerprints)
    lane = Lane(lane_name, state, settings.options, CAPACITY_BYTES)
    size = ReadSize(READ_MESSAGES)
    while found := await store.read({lane_name: lane.cursor}, {lane_name: size}, block=False):
        for entry in found[lane_name]:
            lane.take_in([entry])
            feed = lane.touch(name)
            if hole is not None and lane.halted(feed):
                reorder = feed.sequence(hole[0]).reorder
                if (hole[0], reorder.epoch, reorder.next) == hole:
                    return lane
    return lane


async def _status(link: Link, feeds: Mapping[str, str]) -> str:
    if not feeds:
        return "no feed has been connected yet"
    return "\n\n".join([await _describe(link, lane, feed) for feed, lane in feeds.items()])


async def _describe(link: Link, lane: str, feed: str) -> str:
    """Describe one feed for a person."""
    raw = keys.raw(lane)
    seen, stands, (told, told_at), holder, newest, waiting = checked(
        await link.send_all(
            [
                ("HGET", keys.order(lane), keys.ORDER_SEEN),
                ("HGET", keys.next(lane), feed),
                ("HMGET", keys.status(lane), feed, keys.STATUS_TIME),
                ("GET", lease_key(lane, keys.ORDERER)),
                ("XREVRANGE", raw, "+", "-", "COUNT", 1),
                ("XLEN", raw),
            ]
        )
    )
    status: dict[str, Any] = orjson.loads(told or b"{}")
    stand = standing.unpack(stands) if stands else None
    rows = [
        ("orderer", holder.decode() if holder else "none active"),
        *(
            [("keys", str(status["keys"]))]
            if status.get("keys")
            else [
                ("epoch", str(stand.epoch) if stand else "-"),
                _end(stand),
            ]
        ),
        (
            "held",
            str(status.get("held", 0)) + (", FULL: waiting for you" * bool(status.get("full"))),
        ),
        ("probation", _probation(status)),
        ("lines", ", ".join(status.get("lines", [])) or "none connected"),
        ("lag", _lag(seen or START, newest)),
        ("raw", f"{waiting} entries kept" + f" in the lane {lane}" * (lane != feed)),
        ("time-out", _timeout(status)),
        ("dropped", _dropped(status)),
        ("rejected", _rejected(status)),
        *([("ignored", f"{status['ignored']} frames")] if status.get("ignored") else []),
        ("open gaps", str(status.get("open_gaps", 0))),
    ]
    lines = [f"feed {feed}"]
    lines += [f"  {name:<10} {value}" for name, value in rows]
    for gap in status.get("gaps", []):
        first, last = gap["first"], gap["last"]
        ids = f"{first} … {last} ({last - first + 1} ids)" if last > first else f"{first}"
        whose = f"{gap['key']} " if "key" in gap else ""
        lines.append(f"    {whose}{ids}, open for {gap['age']:.1f} s")
    if told_at:
        lines.append(f"  (as of {max(0.0, clock.wall() - int(told_at) / 1e6):.1f} s ago)")
    return "\n".join(lines)


def _end(stand: standing.Standing | None) -> tuple[str, str]:
    """Describe where a sequence's output ends."""
    if stand is None or stand.next is None:
        return "next id", "not known yet"
    return ("next id", str(stand.next)) if stand.last is None else ("last id", str(stand.last))


def _lag(seen: bytes, newest: list[Any]) -> str:
    if not newest:
        return "none"
    behind = (position(newest[0][0])[0] - position(seen)[0]) / 1000
    return f"{behind:.3f} s behind the newest frame" if behind > 0 else "none"


def _probation(status: dict[str, Any]) -> str:
    """Describe the held frames that are not believed yet."""
    count, seconds = status.get("doubtful", 0), status.get("doubtful_for", 0)
    return f"{count} of the held, for {seconds:.1f} s" if count else "none"


def _dropped(status: dict[str, Any]) -> str:
    """Describe what came and is of no use, since when."""
    if "since" not in status:
        return "not known yet"
    useless = f"; NOTHING ELSE for {status['useless']} s" if status["useless"] else ""
    since = datetime.fromtimestamp(status["since"] / 1e6, UTC)
    counts = f"{status['duplicates']} duplicates, {status['late']} late"
    return f"{counts} since {since:%Y-%m-%d %H:%M:%S} UTC{useless}"


def _rejected(status: dict[str, Any]) -> str:
    """Describe what came and is no message, with an example of each shape."""
    lines = [reasons(status.get("rejected", {})) or "none"]
    for shape in status.get("shapes", ()):
        where = f" at `{shape['where']}`" if "where" in shape else ""
        lines.append(f"  {shape['count']} {shape['reason']}{where}: {shape['frame']}")
    if status.get("shapes_rest"):
        lines.append(f"  {status['shapes_rest']} of other shapes")
    return "\n  ".join(lines)


def _timeout(status: dict[str, Any]) -> str:
    if "timeout" not in status:
        return "not known yet"
    if status["timeout"] is None:
        return "never"
    return (
        f"{status['timeout']:.3f} s; {100 * status['caught']:.2f} % of late frames came within it"
    )
