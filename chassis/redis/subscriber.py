"""A connection that hears what is published.

Redis forgets who did not hear a message, and redis-py connects anew by itself: the only trace is
another confirmation of each channel, so confirmations are handed on like messages.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Published(NamedTuple):
    """What a subscriber hears."""

    channel: bytes
    data: bytes | None
    """None confirms the subscription: from now on all is heard, but not what came before."""


class Subscriber:
    """Hears the channels that it has subscribed to; raises what the connection raises."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def subscribe(self, *channels: bytes) -> None:
        """Ask for channels; each is confirmed by itself."""
        await self._pubsub.subscribe(*channels)

    async def next(self, timeout: float) -> Published | None:
        """Wait for what comes next, `timeout` seconds at most."""
        message = await self._pubsub.get_message(timeout=timeout)
        if message is None or message["type"] not in ("subscribe", "message"):
            return None
        data = message["data"] if message["type"] == "message" else None
        return Published(message["channel"], data)

    async def close(self) -> None:
        """Hear no more."""
        await self._pubsub.aclose()
