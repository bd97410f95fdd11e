"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 20.0
"""Seconds after which a test gives up; what works takes milliseconds."""


def until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Call `condition` until it returns something true, and return that.

    Fails with `what` and the last value when `deadline` seconds have gone by.
    """
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what} (last: {value!r})")
        time.sleep(pause)
        pause = min(0.05, 1.5 * pause)


def settled(value: Callable[[], T], what: str, still: float = 0.5, deadline: float = DEADLINE) -> T:
    """Call `value` until it has not changed for `still` seconds, and return it."""
    last = value()
    since = time.monotonic()

    def unchanged() -> bool:
        nonlocal last, since
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= still

    until(unchanged, f"{what} comes to rest", deadline)
    return last


async def eventually(
    condition: Callable[[], Any], what: str | Callable[[], str], deadline: float = DEADLINE
) -> Any:
    """Do as `until` does in an event loop that goes on; `condition` may be a coroutine's, too."""
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline:g} s: {told} (last: {value!r})")
        await asyncio.sleep(pause)
        pause = min(0.01, 1.5 * pause)
