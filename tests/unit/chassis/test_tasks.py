"""Tasks end when they are told to, and what one raises is not lost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from chassis.tasks import end, first, until


async def test_end_repeats_itself() -> None:
    """A cancellation that is swallowed, as Python 3.11 may do, would leave a task running."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.ensure_future(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 2


async def test_end_gives_up() -> None:
    """A task that cannot be ended would keep the process from ending."""
    release = asyncio.Event()

    async def immortal() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    task = asyncio.ensure_future(immortal())
    await asyncio.sleep(0)
    await end(task, within=0.25)
    assert not task.done()
    release.set()
    await task


async def test_end_drops_what_is_raised() -> None:
    """The error of a task that is ended anyway would hide why it is ended."""

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    task = asyncio.ensure_future(failing())
    await asyncio.sleep(0)
    await end(task)
    assert task.done()


async def test_until() -> None:
    """A pause would not be cut short by the end of the service, or not tell of it."""
    stop = asyncio.Event()
    assert not await until(stop, 0)
    assert not await until(stop, -1)
    assert not await until(stop, 0.001)
    asyncio.get_running_loop().call_soon(stop.set)
    assert await until(stop, 3600)
    assert await until(stop, 3600)


async def test_first_ends_the_others() -> None:
    """A half of a connection would live on when the other has ended."""
    ended = []

    async def waiting(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def quick() -> None:
        await asyncio.sleep(0)

    await first(waiting("a"), quick(), waiting("b"))
    assert sorted(ended) == ["a", "b"]


async def test_first_raises() -> None:
    """The error that ended a connection would be lost."""
    ended = asyncio.Event()

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("over here")

    with pytest.raises(LookupError, match="over here"):
        await first(waiting(), failing())
    assert ended.is_set()


async def test_first_raises_the_cause() -> None:
    """What a broken connection's end was a consequence of would be told once in a while."""
    for _ in range(50):
        broken = asyncio.Event()

        async def cause(broken: asyncio.Event = broken) -> None:
            await asyncio.sleep(0)
            broken.set()
            raise LookupError("the cause")

        async def consequence(broken: asyncio.Event = broken) -> None:
            await broken.wait()
            raise OSError("what came of it")

        with pytest.raises(LookupError, match="the cause"):
            await first(consequence(), cause(), consequence())


async def test_first_is_ended_from_outside() -> None:
    """A service that is cancelled would leave the tasks of its connections behind."""
    ended = asyncio.Event()

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(first(waiting(), waiting()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert ended.is_set()
