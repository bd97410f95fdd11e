"""What the demo and `up` share: a server, services around it, and waiting for all of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chassis import clock
from chassis.settings import redact
from chassis.tasks import until

from . import endpoints, valkey
from .services import Wired
from .stack import Child, Failed, Stack

MISTAKES = 10.0
"""Seconds for which services are waited for to find the mistakes in their settings."""

START_LIMIT = 30.0
"""Seconds that a process may take until it is ready."""


class Refused(Exception):
    """What was asked for makes no sense; the message is for the user."""


class Stopped(Exception):
    """The user wants it to end."""


@dataclass(frozen=True)
class Running:
    """A stack whose server answers."""

    stack: Stack
    redis_url: str
    embedded: bool


@asynccontextmanager
async def running(
    home: Path, environ: Mapping[str, str], stop: asyncio.Event, *, persist: bool
) -> AsyncIterator[Running]:
    """Run a stack with a server: the one that REDIS_URL names, else an embedded one."""
    async with Stack(home) as stack:
        named = environ.get("REDIS_URL", "").strip()
        if named:
            trouble = await valkey.trouble(named)
            if trouble:
                raise Failed(f"no answer from REDIS_URL={redact(named)}: {trouble}")
            yield Running(stack, named, embedded=False)
            return
        directory = home / "data"
        directory.mkdir(exist_ok=True)
        socket = valkey.socket_path(home)
        command = valkey.command(socket, directory, persist=persist)
        await stack.start("valkey", command, os.environ)
        try:
            url = valkey.url(socket)
            await patiently(stack, stop, "valkey", partial(valkey.trouble, url))
            yield Running(stack, url, embedded=True)
        finally:
            await stack.stop()
            socket.unlink(missing_ok=True)
            if socket.parent != home:
                socket.parent.rmdir()


async def start(stack: Stack, services: Sequence[Wired], stop: asyncio.Event) -> None:
    """Start services, and wait until all of them are ready."""
    for service in services:
        await stack.start(service.name, service.command, service.environ)
    try:
        for service in services:
            await patiently(stack, stop, service.name, partial(endpoints.unready, service.ops))
    except Failed:
        # Others may have mistakes in their settings, too, and not have come to them yet.
        deadline = clock.monotonic() + MISTAKES
        while clock.monotonic() < deadline and any(map(_may_end, stack.children)):
            await pause(stop, 0.05)
        stack.check()
        raise


def _may_end(child: Child) -> bool:
    """Tell whether a process has not got past its settings: it is silent, or tells mistakes."""
    told = child.tail(1)
    return not child.ended and (not told or told.startswith(f"{child.name}: "))


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait; raises Stopped as soon as the user wants it to end."""
    if await until(stop, seconds):
        raise Stopped


async def patiently(
    stack: Stack, stop: asyncio.Event, name: str, trouble: Callable[[], Awaitable[str | None]]
) -> None:
    """Wait until there is no trouble; raises Failed if a process ends or it takes too long."""
    deadline = clock.monotonic() + START_LIMIT
    while reason := await trouble():
        stack.check()
        if clock.monotonic() > deadline:
            child = next(child for child in stack.children if child.name == name)
            raise Failed(f"{name} did not get ready: {reason}; its log ends with\n{child.tail()}")
        await pause(stop, 0.05)
