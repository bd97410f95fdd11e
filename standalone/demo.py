"""The demo: relay a number of messages through the whole stack, then say how it went."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console

from chassis import clock
from chassis.lease import lease_key
from chassis.shares import replicas_key
from chassis.tasks import end
from relay import keys

from . import endpoints, histogram, report, run, sample, summary, valkey
from .histogram import Rows
from .progress import Snapshot, display
from .report import Record
from .services import RELAY, wire
from .stack import Failed, Stack
from .summary import Gap, Outcome

FEED = "default"
DELAYS = "simulator_endpoint_delay_seconds"
"""The metric that counts the delays."""

SURNAME = "demo"
"""Under which name the endpoint reports what the publisher sent."""

POLL = 0.5
"""Seconds between two looks; seldom, since everything shares the machine's cores."""

SETTLED = 2.0
"""Seconds without movement after which what is missing counts as missing, if given up."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for; `rate` is in messages per second, 0 = as fast as it goes."""

    home: Path
    messages: int
    rate: float
    patience: float
    """Seconds in which nothing moves until the demo gives up."""
    report: Path | None = None
    """Where the report is to be written."""


async def demo(options: Options, environ: Mapping[str, str], stop: asyncio.Event) -> int:
    """Run the demo and return its exit status."""
    for variable in ("INGESTOR_URL", "PUBLISHER_URL"):
        if environ.get(variable, "").strip():
            raise run.Refused(
                f"{variable} is set, but the demo measures the built-in feed and endpoint; "
                f"unset it, or use 'up'"
            )
    if options.report and not options.report.parent.is_dir():
        raise run.Refused(f"there is no directory for the report: {options.report.parent}")
    began = clock.monotonic()
    async with run.running(options.home, environ, stop, persist=False) as here:
        redis = valkey.client(here.redis_url)
        borrowed = False
        try:
            if not here.embedded:
                await _refuse_used(redis)
                borrowed = True
            # Named beforehand, the feed finds its orderer at work when the first message comes.
            await redis.sadd(keys.FEEDS, FEED)
            wired = wire(
                environ,
                here.redis_url,
                feed_settings(options, environ),
                RELAY,
                usual_ports=False,
            )
            ops = {service.name: service.ops for service in wired}
            simulator = next(service for service in wired if service.name == "simulator")
            site = f"http://127.0.0.1:{simulator.environ['SIMULATOR_PORT']}"
            await run.start(here.stack, wired[:-1], stop)
            await run.patiently(here.stack, stop, "orderer", partial(_idle, redis, site))
            print(f"Ready after {clock.monotonic() - began:.1f} s: {_plan(options)}", flush=True)
            await run.start(here.stack, wired[-1:], stop)
            record = Record()
            listening = asyncio.ensure_future(_listen(record, site, options, stop))
            try:
                result = await _watch(options, here.stack, site, ops, redis, record, stop)
            finally:
                await end(listening)
        finally:
            if borrowed:
                await here.stack.stop()
                await _tidy(redis)
            await redis.aclose()
    print(summary.text(result))
    if options.report:
        options.report.write_text(report.page(result, record), encoding="utf-8")
        print(f"Report             {options.report}")
    if summary.status(result):
        print(f"Logs               {options.home / 'logs'}")
    return summary.status(result)


def feed_settings(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """Choose what the feed does and what the orderer knows of it, where the user did not.

    The disorder is slight: some messages come a few places late. Messages that are held up for
    a second are a test of patience, and at full speed one of them holds up 100 000 others.
    The first id is told, since finding it out takes a moment that would count as delay.
    """
    first = environ.get("SIMULATOR_FIRST_ID", "").strip() or "1"
    ours = {"SIMULATOR_DELAYED": "0", "SIMULATOR_FIRST_ID": first, "ORDERER_FIRST_ID": first}
    return {
        "SIMULATOR_MESSAGES": str(options.messages),
        "SIMULATOR_RATE": f"{options.rate:f}",
        **{name: value for name, value in ours.items() if not environ.get(name, "").strip()},
    }


async def _idle(redis: Redis, site: str) -> str | None:
    """Tell what is not yet at work, None if only the feed is missing."""
    if not await redis.exists(lease_key(FEED, "orderer")):
        return "nobody orders the feed"
    if SURNAME not in (await endpoints.get_json(f"{site}/report") or {}):
        return "the publisher has not connected to the endpoint"
    return None


def _plan(options: Options) -> str:
    speed = f"{options.rate:,.0f} a second".replace(",", " ") if options.rate else "at full speed"
    return f"{summary.count(options.messages)} messages, {speed}"


async def _watch(
    options: Options,
    stack: Stack,
    site: str,
    ops: Mapping[str, str],
    redis: Redis,
    record: Record,
    stop: asyncio.Event,
) -> Outcome:
    """Show progress until everything has arrived, or nothing moves any more.

    What the orderer has given up will never come, and is not waited for.
    """
    moved_at = began = clock.monotonic()
    before: object = None
    feed: dict[str, Any] | None = None
    checked: dict[str, Any] | None = None
    unfinished = ""
    with display(Console()) as shown:
        while True:
            try:
                stack.check()
            except Failed as failure:
                unfinished = str(failure)
                break
            feed = await endpoints.get_json(f"{site}/feed") or feed
            reports = await endpoints.get_json(f"{site}/report") or {}
            checked = reports.get(SURNAME, checked)
            now = summary.outcome(feed, checked, [])
            shown.show(await _snapshot(options, now, ops))
            if options.report:
                record.delays.append((clock.monotonic() - began, await _delays(ops)))
            if now.finished and now.arrived >= now.sent:
                break
            if (now.sent, now.received) != before:
                before = (now.sent, now.received)
                moved_at = clock.monotonic()
            elif (
                now.finished
                and clock.monotonic() - moved_at > SETTLED
                and now.arrived + sum(gap.size for gap in await _gaps(redis)) >= now.sent
            ):
                break
            elif clock.monotonic() - moved_at > options.patience:
                unfinished = f"nothing has moved for {options.patience:g} s"
                break
            await run.pause(stop, POLL)
    return summary.outcome(feed, checked, await _gaps(redis), unfinished, await _delays(ops))


async def _listen(record: Record, site: str, options: Options, stop: asyncio.Event) -> None:
    """Note in which order the feed sends, if that is to be reported."""
    if options.report:
        await sample.listen(site, record.ids, stop)


async def _delays(ops: Mapping[str, str]) -> Rows:
    """Read how many messages had which delay by now, as the endpoint has measured it."""
    return histogram.read(await endpoints.exposition(ops["simulator"]), DELAYS)


async def _snapshot(options: Options, now: Outcome, ops: Mapping[str, str]) -> Snapshot:
    figures = await endpoints.metrics(ops["orderer"])
    held = figures.get("orderer_held")
    gaps = figures.get("orderer_gaps_total")
    return Snapshot(
        total=options.messages,
        sent=now.sent,
        received=now.arrived,
        held=None if held is None else int(held),
        lag=figures.get("orderer_lag_seconds"),
        gaps=None if gaps is None else int(gaps),
        delay=now.delay,
    )


async def _gaps(redis: Redis) -> list[Gap]:
    """Read the gap ledger; nothing is known of it when the server is gone."""
    try:
        entries: Any = await redis.xrange(keys.gaps(FEED, FEED))
    except (RedisError, OSError):
        return []
    return [
        Gap(
            first=int(fields[keys.GAP_FIRST]),
            last=int(fields[keys.GAP_LAST]),
            cause=fields[keys.GAP_CAUSE].decode(),
        )
        for _, fields in entries
    ]


# A server of the user's: the demo needs the feed's keys for itself, and leaves none behind.


def _patterns() -> list[str]:
    services = ("ingestor", "orderer", "publisher")
    return [f"*:{{{FEED}}}*", keys.FEEDS, *(replicas_key(service) for service in services)]


async def _refuse_used(redis: Redis) -> None:
    if await redis.exists(keys.FEEDS, keys.raw(FEED), keys.ordered(FEED), keys.order(FEED)):
        raise run.Refused(
            "REDIS_URL names a database that holds feeds already; the demo needs one without"
        )


async def _tidy(redis: Redis) -> None:
    # A server that is gone has nothing to tidy up.
    with contextlib.suppress(RedisError, OSError):
        for pattern in _patterns():
            async for key in redis.scan_iter(match=pattern, count=1000):
                await redis.unlink(key)
