"""The chat while replicas die, subscriptions break, and Redis stops, freezes or forgets."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests.support.chat import Regular, port, replica, url, visit
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


async def crowd(
    start: Stack,
    redis: Server,
    directory: Path,
    *,
    clients: int,
    messages: int,
    module: str = "chat",
    cut: bool = False,
    kill: bool = False,
    every: float = 0.3,
    patience: float = 10,
    deadline: float = 60,
) -> list[Regular]:
    """Have a crowd on three replicas talk all at once, and wait until all have heard all."""
    settings = {"CHAT_RATE": 100_000, "CHAT_HISTORY": 100}
    replicas = [replica(start, directory, module, **settings) for _ in range(3)]
    urls = [url(service) for service in replicas]
    each = messages // clients

    def choose(at: int) -> str:
        return urls[at % len(urls)]

    go = asyncio.Event()
    regulars = [
        Regular(f"c{number}", lambda visits, at=number: choose(at + visits), go)  # type: ignore[misc]
        for number in range(clients)
    ]
    running = [asyncio.ensure_future(regular.run(each)) for regular in regulars]
    await eventually(lambda: all(regular.greeted for regular in regulars), "all are there")
    go.set()
    total = each * clients

    async def trouble() -> None:
        while True:
            await asyncio.sleep(every)
            if cut:
                redis.client.client_kill_filter(_type="pubsub")
            if kill:
                at = random.randrange(len(replicas))
                bound = port(replicas[at])
                await asyncio.to_thread(replicas[at].kill)
                replicas[at] = await asyncio.to_thread(
                    lambda at=at, bound=bound: replica(  # type: ignore[misc]
                        start, directory, module, **settings, CHAT_PORT=bound
                    )
                )

    troubling = asyncio.ensure_future(trouble())
    try:
        await eventually(
            lambda: all(regular.acked == each for regular in regulars),
            lambda: f"all is said: {[regular.acked for regular in regulars]}",
            deadline,
        )
    finally:
        troubling.cancel()
        await asyncio.wait([troubling])
    last = max(regular.last for regular in regulars)
    try:
        await eventually(
            lambda: all(regular.seqs and regular.seqs[-1] >= last for regular in regulars),
            lambda: f"all is heard by all of {total}: {[len(r.records) for r in regulars]}",
            patience,
        )
    finally:
        for regular in regulars:
            regular.leave()
        await asyncio.gather(*running)
    return regulars


def check(regulars: list[Regular], messages: int) -> None:
    """Check that all heard the same, in the same order, and each message once."""
    longest = max(regulars, key=lambda regular: len(regular.records))
    for regular in regulars:
        assert not regular.faults, regular.faults
        assert regular.seqs == sorted(set(regular.seqs))
    texts = {record["seq"]: record["message"] for record in longest.records}
    said = sorted(texts.values())
    each = messages // len(regulars)
    assert said == sorted(f"{r.name} {n}" for r in regulars for n in range(each))
    for regular in regulars:
        assert {record["seq"]: record["message"] for record in regular.records} == texts


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
async def test_everybody_hears_the_same(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Clients of different replicas would read different conversations."""
    regulars = await crowd(start, redis, tmp_path, clients=12, messages=1200)
    check(regulars, 1200)


@one_server
async def test_broken_subscriptions_leave_no_holes(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """What was published while a replica did not listen would be missing at its clients."""
    regulars = await crowd(start, redis, tmp_path, clients=9, messages=15_000, cut=True)
    check(regulars, 15_000)


@one_server
async def test_that_check_would_find_a_hole(redis: Server, start: Stack, tmp_path: Path) -> None:
    """The test above would pass whether or not holes are filled."""
    with pytest.raises(AssertionError):
        check(
            await crowd(
                start,
                redis,
                tmp_path,
                clients=9,
                messages=15_000,
                cut=True,
                module="tests.support.broken_chat",
                patience=2,
            ),
            15_000,
        )


@one_server
async def test_clients_of_a_dead_replica_miss_nothing(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Who comes back from a replica that died would have lost or doubled messages."""
    regulars = await crowd(start, redis, tmp_path, clients=9, messages=15_000, cut=True, kill=True)
    check(regulars, 15_000)
    assert max(regular.visits for regular in regulars) > 1


@one_server
async def test_redis_may_stop_for_a_while(redis: Server, start: Stack, tmp_path: Path) -> None:
    """An outage would cut connections, swallow messages without a word, or leave a hole."""
    redis.configure("appendonly", "yes")
    redis.configure("appendfsync", "always")
    service, other = (replica(start, tmp_path) for _ in range(2))
    async with visit(url(service)) as first, visit(url(other)) as second:
        await first.say("before")
        await asyncio.to_thread(redis.kill)
        await eventually(lambda: not service.ready, "the replica says that it is not ready")
        await first.connection.send(json.dumps({"type": "message", "message": "lost", "key": "k"}))
        error = await first.get("error")
        assert (error["code"], error["temporary"], error["key"]) == ("unavailable", True, "k")
        async with visit(url(service)) as late:
            assert (await late.end())[0] == 1013
            assert (await late.get("goodbye"))["retry_after_ms"] > 0
        redis._config |= {"appendonly": "yes"}
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(service.wait_ready)
        await asyncio.to_thread(other.wait_ready)
        await second.say("after")
        for visitor in (first, second):
            await eventually(lambda v=visitor: v.texts == ["before", "after"], "all is heard")  # type: ignore[misc]
        assert not first.closed


async def test_redis_may_freeze(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A server that takes and does not answer would not be noticed; or messages be doubled."""
    service, other = (replica(start, tmp_path) for _ in range(2))
    async with visit(url(service)) as first, visit(url(other)) as second:
        await first.say("before")
        redis.freeze()
        try:
            await first.connection.send("in between")
            await eventually(lambda: not service.ready and not other.ready, "both notice")
        finally:
            redis.thaw()
        await first.get("ack", 2)
        for each in (service, other):
            await asyncio.to_thread(each.wait_ready)
        await second.say("after")
        for visitor in (first, second):
            await eventually(
                lambda v=visitor: v.texts == ["before", "in between", "after"],  # type: ignore[misc]
                "all is heard, once",
            )


async def test_lost_data_begins_a_new_epoch(redis: Server, start: Stack, tmp_path: Path) -> None:
    """After a loss numbers would be given twice, and clients believe that they missed nothing."""

    def logged() -> list[str]:
        if not (tmp_path / "messages.json").exists():
            return []
        records = json.loads((tmp_path / "messages.json").read_text())
        return [
            r["message"] if r["type"] == "message" else "-"
            for r in records
            if r["type"] in ("message", "gap")
        ]

    service, other = (replica(start, tmp_path) for _ in range(2))
    async with visit(url(service)) as first, visit(url(other)) as second:
        await first.say("before")
        await second.get("message")
        seen = second.records[-1]
        query = f"?epoch={seen['epoch']}&seq={seen['seq']}"
        await eventually(lambda: logged() == ["before"], "it is logged")
        redis.client.flushall()
        for visitor in (first, second):
            welcome = await visitor.get("welcome", 2)
            assert welcome["recovered"] is False
            assert welcome["epoch"] > seen["epoch"]
            await visitor.get("history", 2)
        await first.say("after")
        await eventually(lambda: second.texts == ["before", "after"], "it goes on")
        async with visit(url(other) + query) as back:
            assert back.of("welcome")[0]["recovered"] is False
            assert back.texts == ["after"]
            names = {visitor.of("welcome")[0]["client_id"] for visitor in (first, second, back)}
            assert len(names) == 3
    for each in (service, other):
        assert each.metric("chat_data_loss_total", room="main") == 1

    await eventually(
        lambda: logged() == ["before", "-", "after"],
        lambda: f"the log tells of the gap: {logged()}",
    )


@one_server
async def test_a_dead_replicas_clients_are_buried(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Clients of a replica that was killed would stay in the room for ever."""
    service, other = (replica(start, tmp_path) for _ in range(2))
    async with visit(url(other)) as witness:
        await eventually(lambda: other.metric("chat_online", room="main") == 1, "it counts")
        async with visit(url(service)) as victim:
            await eventually(lambda: other.metric("chat_online", room="main") == 2, "it counts")
            service.kill()
            assert (await victim.end())[0] == 1006
        await eventually(
            lambda: witness.of("presence")[-1]["online"] == 1, "it is no longer counted", 30
        )

        def ends() -> list[tuple[str, str]]:
            records = json.loads((tmp_path / "messages.json").read_text())
            return [(r["client_id"], r["status"]) for r in records if r["type"] == "disconnect"]

        await eventually(lambda: ends() == [("Client_2", "lost")], "its end is logged")


@one_server
async def test_a_slow_reader_is_cut_and_told_why(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A client that stops reading would fill the server's memory, or slow down the others."""
    service = replica(start, tmp_path, CHAT_RATE=100_000)
    async with visit(url(service)) as talker, visit(url(service), max_queue=1) as slow:
        token = slow.of("welcome")[0]["token"]
        await talker.say("warm up")
        before = service.memory
        slow.connection.transport.pause_reading()
        sent = 0
        while not service.metric("chat_closes_total", reason="slow"):
            for _ in range(20):
                await talker.connection.send("x" * 8000)
            sent += 20
            await talker.get("ack", 1 + sent)
            assert sent < 3000
        assert service.memory - before < 40_000_000
        slow.connection.transport.abort()
        seen = talker.records[0]
        query = f"?epoch={seen['epoch']}&seq={seen['seq']}"
        async with visit(f"{url(service)}{query}&token={token}") as back:
            assert (await back.get("error"))["code"] == "slow_reader"
            assert back.of("welcome")[0]["client_id"] == slow.of("welcome")[0]["client_id"]
            await eventually(lambda: len(back.records) == sent, "what was missed comes")
        async with visit(f"{url(service)}?token={token}") as again:
            await again.say("told once")
            assert not again.of("error")


@pytest.mark.slow
@pytest.mark.skipif("not config.getoption('markexpr')", reason="takes minutes: pytest -m slow")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
@pytest.mark.parametrize("trouble", [False, True])
async def test_sixty_clients_hear_the_same(
    redis: Server, start: Stack, tmp_path: Path, trouble: bool
) -> None:
    """What holds for a few might not hold for many."""
    regulars = await crowd(
        start,
        redis,
        tmp_path,
        clients=60,
        messages=20_000,
        cut=trouble,
        kill=trouble,
        every=1,
        deadline=200,
    )
    check(regulars, 19_980)
