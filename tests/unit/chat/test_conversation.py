"""The conversation against a Redis that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from chassis import logs
from chassis.redis import Link
from chassis.settings import load
from chat.conversation import READERS, Conversation
from chat.records import Position
from chat.settings import Settings


class Slow:
    """A connection on which every command has others before it."""

    def __init__(self) -> None:
        self.asked = 0
        self.most = 0

    async def exchange(self, commands: Sequence[Any]) -> list[Any]:
        """Answer with nothing, after a while."""
        self.asked += 1
        self.most = max(self.most, self.asked)
        await asyncio.sleep(0)
        self.asked -= 1
        return [[] for _ in commands]

    async def close(self) -> None:
        """End it."""


async def test_few_are_read_out_to_at_a_time() -> None:
    """What is said would wait until all who come back have been told a part of what they missed."""
    redis = Slow()
    link = Link(
        "redis://nowhere", logs.get("chat"), timeout=1, stop=asyncio.Event(), make=lambda _: redis
    )
    settings = load(Settings, "chat", {"REDIS_URL": "redis://nowhere"})
    conversation = Conversation(link, "me", settings, logs.get("chat"))
    await asyncio.gather(*(conversation._read(Position(1, 0), 100) for _ in range(10 * READERS)))
    assert redis.most == READERS
