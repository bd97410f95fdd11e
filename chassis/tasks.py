"""Tasks: end one for certain, wait for a stop, run several until the first is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


async def end(task: asyncio.Future[Any], within: float = 5.0) -> None:
    """Cancel `task` until it is done; its result or error is dropped.

    Cancelling once is not enough on Python 3.11, where `asyncio.timeout()` can swallow a
    cancellation that arrives in the same turn as its own (cpython #86296).
    """
    deadline = asyncio.get_running_loop().time() + within
    while not task.done() and asyncio.get_running_loop().time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    if task.done() and not task.cancelled():
        task.exception()


async def until(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, at most `seconds`; tell whether it is set."""
    if seconds > 0 and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


async def first(*jobs: Coroutine[Any, Any, Any]) -> None:
    """Run `jobs` side by side until one returns or raises, then end the others.

    Raises what that first one raised, and not what a second one did in consequence.
    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    done: list[asyncio.Task[Any]] = []
    for task in tasks:
        task.add_done_callback(done.append)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done[0].result()
    finally:
        for task in tasks:
            await end(task)
