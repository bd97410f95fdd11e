"""How an endpoint wants its messages: in which words, how many a second, how many at a time."""

from __future__ import annotations

import asyncio
import math

from chassis import clock
from chassis.tasks import until
from relay.conversation import Conversation
from relay.feedfile import Endpoint
from relay.frames.template import Values

TOGETHER = 0.02
"""Seconds of a rate that may go out at once."""


class Manner:
    """What an endpoint's words say of each message."""

    def __init__(self, words: Endpoint, conversation: Conversation) -> None:
        self.ack = words.ack
        self.most: float = words.max_in_flight or math.inf
        """Messages that may be unconfirmed."""
        self._conversation = conversation
        self._template = words.message
        self._rate = words.rate
        self._due = 0.0
        """When the rate allows the next message."""

    def put(self, message: bytes) -> bytes:
        """Put a message into the endpoint's words, with the next count of the connection."""
        template = self._template
        if template is None:
            return message
        conversation = self._conversation
        count = conversation.count() if template.counts else 0
        now = clock.wall_us() // 1000
        values = Values(
            count=count, now=now, message=message, secrets=conversation.secrets
        )  # fmt: skip
        return (template.render(values) or "").encode()

    @property
    def count(self) -> int:
        """The count of the message that was put last."""
        return self._conversation.counted

    async def allow(self, wanted: int, stop: asyncio.Event) -> int:
        """Wait until the rate allows some messages; returns how many, `wanted` at most.

        None, if `stop` is set and it would still have to wait.
        """
        if self._rate is None:
            return wanted
        if await until(stop, left := self._due - clock.monotonic()) and left > 0:
            return 0
        allowed = min(wanted, max(1, int(self._rate * TOGETHER)))
        self._due = max(self._due, clock.monotonic()) + allowed / self._rate
        return allowed
