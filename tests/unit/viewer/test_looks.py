"""Looks that are shared."""

from __future__ import annotations

import asyncio

import pytest

from viewer.looks import Shared


class Redis:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: asyncio.Future[bytes | None] = asyncio.Future()

    async def look(self) -> bytes | None:
        self.asked += 1
        return await self.answer


async def test_all_who_look_at_once_share_one_look() -> None:
    """Each open page would cost as much as the first; who leaves would take the others' look."""
    redis = Redis()
    shared = Shared(redis.look, fresh=3600)
    waiting = [asyncio.ensure_future(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    redis.answer.set_result(b"{}")
    assert await waiting[1] == await waiting[2] == await shared.get() == b"{}"
    assert redis.asked == 1
    shared.fresh = 0
    assert await shared.get() == b"{}"
    assert redis.asked == 2


async def test_a_failure_is_everybodys_and_is_tried_again() -> None:
    """Somebody would see the past for ever after Redis had been away once."""
    redis = Redis()
    shared = Shared(redis.look, fresh=0)
    redis.answer.set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await shared.get()
    redis.answer = asyncio.Future()
    redis.answer.set_result(None)
    assert await shared.get() is None
