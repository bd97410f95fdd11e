"""A chat that does not fill holes, on purpose: the checks of these tests must find it out."""

from __future__ import annotations

from chassis import lifecycle
from chat.follower import Follower
from chat.records import Record
from chat.service import serve
from chat.settings import Settings


async def _fill(self: Follower, cause: str) -> None:
    """Look into the log never again."""


async def _replay(self: Follower, records: list[Record]) -> None:
    """Take a jump in the numbers for granted."""
    await self._move(records, None)


if __name__ == "__main__":
    Follower._fill = _fill  # type: ignore[method-assign] # that is the point
    Follower._replay = _replay  # type: ignore[method-assign] # that is the point
    lifecycle.run("chat", Settings, serve)
