"""The chat's log file where something stands in its way: each time somebody is told."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from tests.support.chat import replica, url, visit
from tests.support.processes import Service
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def said(path: Path) -> list[str]:
    records = json.loads(path.read_text()) if path.exists() else []
    return [record["message"] for record in records if record["type"] == "message"]


def told(service: Service) -> str:
    """Read from /readyz why nothing is written; empty if it is."""
    _, body = service.get("/readyz")
    return str(json.loads(body).get("log", ""))


async def test_what_was_moved_away_is_not_written_again(start: Stack, tmp_path: Path) -> None:
    """After each rotation and restart the new file would begin with all that the old ones have."""
    path = tmp_path / "messages.json"
    service = replica(start, tmp_path)
    async with visit(url(service)) as visitor:
        await visitor.say("old")
        await eventually(lambda: said(path) == ["old"], "it is written down")
    assert service.terminate() == 0
    path.rename(tmp_path / "messages-2026.json")
    service = replica(start, tmp_path)
    async with visit(url(service)) as visitor:
        await visitor.say("new")
        await eventually(lambda: said(path) == ["new"], "it is written down, and nothing else")
    assert service.terminate() == 0


async def test_a_lock_that_somebody_keeps(start: Stack, tmp_path: Path) -> None:
    """The log would end without a word as soon as somebody else locks it."""
    path = tmp_path / "messages.json"
    lock = os.open(tmp_path / ".messages.json.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    service = replica(start, tmp_path)
    async with visit(url(service)) as visitor:
        await visitor.say("one")
        await eventually(
            lambda: service.events("another process keeps the log file locked"), "it is told"
        )
        await eventually(lambda: service.metric("chat_log_failures_total") >= 2, "and counted")
        assert "locked" in told(service)
        assert service.get("/readyz")[0] == 200  # who chats is not concerned
        assert len(service.events("another process keeps the log file locked")) == 1
        os.close(lock)
        await eventually(lambda: said(path) == ["one"], "it is written down")
        assert told(service) == ""
        assert service.events("the log file is open")


async def test_a_directory_that_is_none(start: Stack, tmp_path: Path) -> None:
    """A path that cannot be would look like a log that is written."""
    (tmp_path / "file").touch()
    service = replica(start, tmp_path / "file")
    await eventually(lambda: "cannot open the log file" in told(service), "it is told")
