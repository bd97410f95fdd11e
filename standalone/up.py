"""Keep everything running until the user has had enough; start again what dies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chassis import clock
from chassis.backoff import Backoff
from chassis.settings import redact
from chassis.tasks import until

from . import run
from .services import Wired, wire
from .stack import Child, Stack

POLL = 0.25
"""Seconds between two looks at whether everything is alive."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    home: Path
    persist: bool


async def up(options: Options, environ: Mapping[str, str], stop: asyncio.Event) -> int:
    """Run the stack until `stop` and return the exit status."""
    async with run.running(options.home, environ, stop, persist=options.persist) as here:
        wired = wire(environ, here.redis_url, usual_ports=True)
        await run.start(here.stack, wired, stop)
        print(guide(wired, here, options), flush=True)
        await keep(here.stack, stop)
        print("Stopping.", flush=True)
    return 0


def guide(wired: list[Wired], here: run.Running, options: Options) -> str:
    """Tell the user what is there and how to reach it."""
    rows = [("redis", redact(here.redis_url))]
    rows += [(label, url) for service in wired for label, url in service.shows.items()]
    rows += [(f"{service.name} metrics", f"{service.ops}/metrics") for service in wired]
    rows.append(("logs", str(here.stack.home / "logs")))
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {url}" for label, url in rows]
    kept = "kept for the next time" if options.persist or not here.embedded else "not kept"
    return "\n".join(["Running; Ctrl-C ends it. Data is " + kept + ".", *lines])


async def keep(stack: Stack, stop: asyncio.Event) -> None:
    """Start again, ever more patiently, what ends by itself; return when the user stops it."""
    patience: dict[Child, Backoff] = {child: Backoff(0.5, 30.0) for child in stack.children}
    due: dict[Child, float] = {}
    for backoff in patience.values():
        backoff.succeeded()
    while not stop.is_set():
        for child, backoff in patience.items():
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
