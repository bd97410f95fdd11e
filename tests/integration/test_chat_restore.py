"""A Redis that comes back older, two chats in one Redis, and hosts whose clocks differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat import replica, url, visit
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def logged(directory: Path) -> list[dict[str, Any]]:
    """Read the log file's messages, and what it says of gaps."""
    path = directory / "messages.json"
    records = json.loads(path.read_text()) if path.exists() else []
    return [record for record in records if record["type"] in ("message", "gap")]


def said(directory: Path, texts: list[str]) -> Callable[[], bool]:
    return lambda: [r["message"] for r in logged(directory) if r["type"] == "message"] == texts


def dump(redis: Server) -> dict[bytes, bytes]:
    return {key: redis.client.dump(key) for key in redis.client.scan_iter("chat:*")}


def restore(redis: Server, dumped: dict[bytes, bytes]) -> None:
    for key in list(redis.client.scan_iter("chat:*")):
        redis.client.delete(key)
    for key, value in dumped.items():
        redis.client.restore(key, 0, value, replace=True)  # it is written to meanwhile


@pytest.mark.parametrize("alive", [False, True], ids=["while all stop", "while all run"])
async def test_an_older_redis(redis: Server, start: Stack, tmp_path: Path, alive: bool) -> None:
    """Numbers would be given twice, and what has them never be written down; nobody would know."""
    service = replica(start, tmp_path)
    async with visit(url(service)) as visitor:
        welcome = await visitor.get("welcome")
        for number in range(8):
            await visitor.say(f"old {number}")
        older = dump(redis)
        for number in range(8, 20):
            last = await visitor.say(f"old {number}")
        old = [f"old {number}" for number in range(20)]
        await eventually(said(tmp_path, old), "all is written down")
    if not alive:
        service.terminate()
    restore(redis, older)
    if not alive:
        service = replica(start, tmp_path)
    else:
        service.wait_for("Redis has lost records")
    back = "/?epoch={epoch}&seq={seq}".format(**last) + f"&token={welcome['token']}"
    async with visit(url(service, back)) as visitor:
        assert (await visitor.get("welcome"))["recovered"] is False
        for number in range(20):
            frame = await visitor.say(f"new {number}")
            assert frame["epoch"] > welcome["epoch"]
    new = [f"new {number}" for number in range(20)]
    await eventually(said(tmp_path, old + new), "all that is new is written down, too")
    records = logged(tmp_path)
    numbers = [(record["epoch"], record["seq"]) for record in records]
    assert numbers == sorted(set(numbers))
    assert [record["type"] for record in records].count("gap") == 1


async def test_two_databases_are_two_chats(redis: Server, start: Stack, tmp_path: Path) -> None:
    """What is published in one database is heard in all: two chats would mix."""
    other_url = redis.url.removesuffix("/0") + "/1"
    (tmp_path / "other").mkdir()
    one = replica(start, tmp_path)
    other = replica(start, tmp_path / "other", REDIS_URL=other_url)
    async with visit(url(one)) as here, visit(url(other)) as there:
        await here.say("here")
        await there.say("there")
        await here.say("here, too")
        await eventually(lambda: here.texts == ["here", "here, too"], "one chat is whole")
        await eventually(lambda: there.texts == ["there"], "so is the other")
    for service in (one, other):
        assert service.metric("chat_data_loss_total") == 0
        assert service.metric("chat_resubscriptions_total") == 0


async def test_clocks_that_differ(redis: Server, start: Stack, tmp_path: Path) -> None:
    """What was said later would bear an earlier time, in the room and in the log."""
    replicas = [replica(start, tmp_path, f"{name}chat") for name in ("", "tests.support.skewed_")]
    async with visit(url(replicas[0])) as here, visit(url(replicas[1])) as there:
        texts = [f"message {number}" for number in range(6)]
        for number, text in enumerate(texts):
            await (here, there)[number % 2].say(text)
        await eventually(lambda: here.texts == there.texts == texts, "all is heard")
        told = [record["time"] for record in here.records]
    await eventually(said(tmp_path, texts), "all is written down")
    for service in replicas:
        service.terminate()
    redis.client.delete("chat:{main}:log")
    service = replica(start, tmp_path, "tests.support.skewed_chat")
    async with visit(url(service)) as visitor:
        await visitor.say("anew")
    await eventually(said(tmp_path, [*texts, "anew"]), "what is new is written down, too")
    service.terminate()
    records = json.loads((tmp_path / "messages.json").read_text())
    assert "gap" in [record["type"] for record in records]
    for times in (told, [record["time"] for record in records]):
        assert times == sorted(times)
