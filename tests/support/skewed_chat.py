"""A chat on a host whose clock is three minutes ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chassis import clock, lifecycle
from chat import protocol
from chat.service import serve
from chat.settings import Settings

AHEAD = timedelta(minutes=3)


def _now() -> str:
    return (datetime.now(UTC) + AHEAD).isoformat(timespec="milliseconds")


def _wall_us(true: int) -> int:
    return true + int(AHEAD.total_seconds()) * 1_000_000


if __name__ == "__main__":
    right = clock.wall_us
    clock.wall_us = lambda: _wall_us(right())
    protocol.now = _now
    lifecycle.run("chat", Settings, serve)
