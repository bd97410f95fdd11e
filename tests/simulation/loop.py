"""An event loop on virtual time: it never waits, and does everything in the same order again."""

from __future__ import annotations

import asyncio
import logging
import selectors
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from typing import Any

EPOCH = 1_700_000_000.0
"""Seconds since 1970 at which a loop's wall clock begins."""

ROUNDS = 50
"""Times that the tasks left at the end are cancelled before they are given up."""


class Deadlock(RuntimeError):
    """Everybody waits, and nobody for a time."""


class _Selector(selectors.BaseSelector):
    """Waits for nothing: where a real one would wait, time goes by."""

    def __init__(self) -> None:
        self.now = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, -1, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, -1, 0, None)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("everybody waits, and nobody for a time")
        if timeout > 0:
            self.now += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number, so that a set of tasks is gone through in the same order."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one simulation."""

    def __init__(self) -> None:
        self._time = _Selector()
        self._step = 0.0
        super().__init__(self._time)
        # Sockets through which threads wake a loop: there are none.
        self._clock_resolution = 1e-9
        numbers = count()
        self.set_task_factory(
            lambda loop, coro, **options: _Task(next(numbers), coro, loop=loop, **options)
        )

    def time(self) -> float:
        """Tell the virtual seconds since the loop began."""
        return self._time.now

    def wall(self) -> float:
        """Tell the virtual seconds since 1970, as far as the hosts know."""
        return EPOCH + self._time.now + self._step

    def step_wall(self, seconds: float) -> None:
        """Set the hosts' clock forward or back."""
        self._step += seconds


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run `main(loop)` on a loop of its own to its end, and end whatever it has left."""
    loop = VirtualLoop()
    # What processes do when they are cancelled at the end is nobody's concern.
    loop.set_exception_handler(lambda *_: None)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main(loop))
    finally:
        try:
            _end(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _end(loop: VirtualLoop) -> None:
    for _ in range(ROUNDS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()
    logging.getLogger(__name__).error("tasks that do not end: %s", asyncio.all_tasks(loop))
