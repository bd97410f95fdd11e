"""A wisdom that does not fill holes, on purpose: the checks of these tests must find it out."""

from __future__ import annotations

from chassis import lifecycle
from wisdom.dispatcher import Dispatcher
from wisdom.service import serve
from wisdom.settings import Settings


async def _fill(self: Dispatcher, cause: str) -> None:
    """Look into the stream never again."""


if __name__ == "__main__":
    Dispatcher._fill = _fill  # type: ignore[method-assign] # that is the point
    lifecycle.run("wisdom", Settings, serve)
