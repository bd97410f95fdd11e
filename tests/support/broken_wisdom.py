"""A wisdom that does not fill holes, on purpose: the checks of these tests must find it out."""

from __future__ import annotations

from chassis import lifecycle
from wisdom.follower import Follower
from wisdom.service import serve
from wisdom.settings import Settings


async def _fill(self: Follower, cause: str) -> None:
    """Look into the stream never again."""


if __name__ == "__main__":
    Follower._fill = _fill  # type: ignore[method-assign] # that is the point
    lifecycle.run("wisdom", Settings, serve)
