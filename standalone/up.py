"""Keep everything running until the user has had enough; start again what dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chassis import clock
from chassis.backoff import Backoff
from chassis.settings import redact
from chassis.tasks import until
from chassis.version import version
from relay.feeds import DEFAULT_FEED, peers

from . import run, watch
from .services import HOST, Wired, wire
from .stack import ROOT, Child, Stack
from .watch import Watched

POLL = 0.25
"""Seconds between two looks at whether everything is alive."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    home: Path
    persist: bool


async def up(options: Options, environ: Mapping[str, str], stop: asyncio.Event) -> int:
    """Run the stack until `stop` and return the exit status."""
    if not os.access(ROOT, os.W_OK):
        # The chat would write its log there, where it runs.
        environ = {"CHAT_LOG_FILE": str(options.home / "messages.json"), **environ}
    async with run.running(options.home, environ, stop, persist=options.persist) as here:
        wired = wire(environ, here.redis_url, usual_ports=True)
        watched = Watched(environ)
        await run.start(here.stack, wired, stop)
        print(guide(wired, here, options), flush=True)
        await keep(here.stack, stop, watched)
        print("Stopping.", flush=True)
    return 0


def guide(wired: list[Wired], here: run.Running, options: Options) -> str:
    """Tell the user what is there and how to reach it."""
    rows = [("version", version()), ("redis", redact(here.redis_url))]
    told = peers_of(wired)
    rows += [(label, url) for label, url, _ in told]
    for service in wired:
        # The simulator's addresses are of no use to whoever has a feed and an endpoint.
        if service.name != "simulator" or any(simulated for _, _, simulated in told):
            rows += service.shows.items()
    rows += [(f"{service.name} metrics", f"{service.ops}/metrics") for service in wired]
    rows.append(("logs", str(here.stack.home / "logs")))
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {url}" for label, url in rows]
    kept = "kept for the next time" if options.persist or not here.embedded else "not kept"
    lines += [
        f"Port {service.taken} is taken: {service.name} listens on another, as shown."
        for service in wired
        if service.taken
    ]
    return "\n".join(["Running; Ctrl-C ends it. Data is " + kept + ".", *lines])


def peers_of(wired: Sequence[Wired]) -> list[tuple[str, str, bool]]:
    """List feeds and endpoints: what they are to us, where, and whether that is the simulator."""
    environs = {service.name: service.environ for service in wired}
    port = environs["simulator"]["SIMULATOR_PORT"]
    found = []
    if watch.named(environs["ingestor"]):
        return [
            ("feeds", f"{watch.named(environs['ingestor'])}, read again when it changes", False)
        ]
    for label, service in (("reads", "ingestor"), ("writes to", "publisher")):
        # What is wrong with them the service itself says.
        with contextlib.suppress(ValueError):
            for peer in peers(repeatable=True)(environs[service].get(f"{service.upper()}_URL", "")):
                feed = "" if peer.feed == DEFAULT_FEED else f"{peer.feed}="
                simulated = peer.url.startswith(f"ws://{HOST}:{port}/")
                found.append((label, feed + redact(peer.url), simulated))
    return found


async def keep(stack: Stack, stop: asyncio.Event, watched: Watched) -> None:
    """Start again, ever more patiently, what ends by itself; return when the user stops it.

    A changed file of feeds is taken over.
    """
    patience: dict[Child, Backoff] = {child: Backoff(0.5, 30.0) for child in stack.children}
    due: dict[Child, float] = {}
    for backoff in patience.values():
        backoff.succeeded()
    while not stop.is_set():
        if watched.changed():
            print(watched.take_over(stack), flush=True)
        for child, backoff in patience.items():
            child.rotate()
            if child.ended and child not in due:
                delay = backoff.delay()
                due[child] = clock.monotonic() + delay
                print(
                    f"{child.name} ended: {child.ended}; again in {delay:.1f} s. "
                    f"Its log ends with\n{child.tail(5)}",
                    flush=True,
                )
            elif child in due and clock.monotonic() >= due[child]:
                del due[child]
                await stack.restart(child)
                backoff.succeeded()
                print(f"{child.name} started again", flush=True)
        await until(stop, POLL)
