"""A chat that does not fill holes, on purpose: the checks of these tests must find it out."""

from __future__ import annotations

from chassis import lifecycle
from chat.dispatcher import Dispatcher
from chat.position import Record
from chat.service import serve
from chat.settings import Settings


async def _fill(self: Dispatcher, cause: str) -> None:
    """Look into the log never again."""


async def _replay(self: Dispatcher, records: list[Record]) -> None:
    """Take a jump in the numbers for granted."""
    await self._move(records, None)


if __name__ == "__main__":
    Dispatcher._fill = _fill  # type: ignore[method-assign] # that is the point
    Dispatcher._replay = _replay  # type: ignore[method-assign] # that is the point
    lifecycle.run("chat", Settings, serve)
