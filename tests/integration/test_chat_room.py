"""The room, by clients that know nothing but `websockets`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.chat import Frame, replica, url, visit
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually, until

GREETING = "Добро пожаловать в чат!"
FAREWELL = "Сессия завершена. До свидания!"

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def logged(directory: Path) -> list[Frame]:
    """Load the log file."""
    try:
        records: list[Frame] = json.loads((directory / "messages.json").read_text())
    except FileNotFoundError:
        return []
    return records


async def test_a_conversation_of_three(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Nobody could chat: no greeting, history, acknowledgement, broadcast, goodbye or log."""
    here = url(replica(start, tmp_path))
    async with visit(here) as first, visit(here) as second:
        assert [first.frames[at]["type"] for at in (0, 1)] == ["welcome", "history"]
        for number, visitor in enumerate((first, second), 1):
            welcome = visitor.of("welcome")[0]
            assert welcome["client_id"] == f"Client_{number}"
            assert welcome["message"] == GREETING
            assert welcome["sender"] == "server"
            assert welcome["recovered"] is None
        await first.connection.send("привет 🐺")
        ack = await first.get("ack")
        await second.say("hello", key="k1")
        async with visit(here) as third:
            assert third.texts == ["привет 🐺", "hello"]
            await third.say('say "so"\n</script>')
            for visitor in (first, second, third):
                await eventually(lambda v=visitor: len(v.texts) == 3, "all is heard")  # type: ignore[misc]
            assert first.records == second.records == third.records
            assert first.records[0]["seq"] == ack["seq"]
            assert first.records[0]["client_id"] == "Client_1"
            assert not second.of("ack")[1:]
            await third.connection.send('{"type":"goodbye"}')
            assert await third.end() == (1000, FAREWELL)
            goodbye = await third.get("goodbye")
            assert (goodbye["message"], goodbye["code"]) == (FAREWELL, 1000)
    until(lambda: len(logged(tmp_path)) == 12, "all is logged")
    records = logged(tmp_path)
    for record in records:
        assert record.keys() >= {"time", "client_id", "message", "sender", "type", "seq", "epoch"}
    assert [record["seq"] for record in records] == list(range(1, 13))
    kinds = [record["type"] for record in records]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "connect": 3, "greeting": 3, "message": 3, "disconnect": 3,
    }  # fmt: skip
    ends = {r["client_id"]: (r["code"], r["status"]) for r in records if r["type"] == "disconnect"}
    assert ends == {
        "Client_1": (1000, "left"), "Client_2": (1000, "left"), "Client_3": (1000, "goodbye"),
    }  # fmt: skip


@one_server
async def test_what_was_missed_comes_with_the_resume(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A broken connection would leave a hole, or the client could not tell whether it did."""
    replicas = [replica(start, tmp_path, CHAT_HISTORY=2, CHAT_RATE=1000) for _ in range(2)]
    here, there = map(url, replicas)
    async with visit(here) as talker:
        await talker.say("0")
        seen = talker.records[-1] if talker.records else await talker.get("message")
        token = talker.of("welcome")[0]["token"]
        query = f"?epoch={seen['epoch']}&seq={seen['seq']}&token={token}"
        for number in range(1, 6):
            await talker.say(str(number))
        for address in (here, there):
            async with visit(address + query) as back:
                assert back.of("welcome")[0]["recovered"] is True
                assert back.texts == ["1", "2", "3", "4", "5"]
            async with visit(address) as newcomer:
                assert newcomer.texts == ["4", "5"]
            async with visit(f"{address}?epoch=7&seq=3") as stranger:
                assert stranger.of("welcome")[0]["recovered"] is False
                assert stranger.texts == ["4", "5"]
            ahead = f"?epoch={seen['epoch']}&seq={seen['seq'] + 10_000}"
            async with visit(address + ahead) as stranger:
                assert stranger.of("welcome")[0]["recovered"] is False
        # A replica that starts anew has only the latest in memory; the rest is in the log.
        late = replica(start, tmp_path, CHAT_HISTORY=2)
        async with visit(url(late) + query) as back:
            assert back.of("welcome")[0]["recovered"] is True
            assert back.texts == ["1", "2", "3", "4", "5"]


@one_server
async def test_much_is_made_up_for_in_parts(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Who missed more than 1 MiB would be cut off by its own library at each attempt."""
    service = replica(start, tmp_path, CHAT_HISTORY=10, CHAT_RATE=1_000_000)
    async with visit(url(service)) as talker:
        first = await talker.say("first")
        for number in range(300):
            await talker.connection.send(f"{number} ".ljust(8000, "x"))
            await talker.get("ack", max(1, number - 10))  # who does not read is cut
        await talker.get("ack", 301)
        token = talker.of("welcome")[0]["token"]
        query = f"?epoch={first['epoch']}&seq={first['seq']}&token={token}"
        late = replica(start, tmp_path, CHAT_HISTORY=10)
        for address in (url(service), url(late)):
            async with visit(address + query) as back:
                await eventually(lambda: len(back.records) == 300, "all comes")
                assert back.seqs_grow()
                assert [frame.get("more", False) for frame in back.of("history")][-1] is False
                assert len(back.of("history")) > 4


@one_server
async def test_a_key_makes_a_repetition_harmless(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Who sends again what was not acknowledged would say it twice, or swallow another's words."""
    here = url(replica(start, tmp_path))
    async with visit(here) as first, visit(here) as second:
        ack = await first.say("once", key="k")
        again = await first.say("once", key="k")
        assert (again["seq"], again["repeated"], again["key"]) == (ack["seq"], True, "k")
        assert "repeated" not in await first.say("other words", key="k")
        assert "repeated" not in await second.say("once", key="k")
        query = f"?epoch={ack['epoch']}&seq={ack['seq']}&token="
        async with visit(here + query + first.of("welcome")[0]["token"]) as back:
            assert (await back.say("other words", key="k"))["repeated"]
        await second.say("end")
        await eventually(lambda: "end" in first.texts, "the end is heard")
        assert first.texts == ["once", "other words", "once", "end"]


@one_server
async def test_a_token_keeps_the_name(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Who comes back would have another name, or could take anybody's."""
    replicas = [replica(start, tmp_path) for _ in range(2)]
    async with visit(url(replicas[0])) as first:
        token = first.of("welcome")[0]["token"]
    async with visit(f"{url(replicas[1])}?token={token}") as back:
        assert back.of("welcome")[0]["client_id"] == "Client_1"
    async with visit(url(replicas[0]), subprotocols=["chat", f"token.{token}"]) as back:
        assert back.of("welcome")[0]["client_id"] == "Client_1"
        assert back.connection.subprotocol == "chat"
    for forged in ("Client_1.", "Client_1." + "0" * 32, "Client_2." + token[9:], "x", "é.ü"):
        async with visit(f"{url(replicas[1])}?token={forged}") as thief:
            assert thief.of("welcome")[0]["client_id"] not in ("Client_1", "Client_0")


BAD: dict[str, tuple[Any, str]] = {
    "half a JSON object": ('{"type":"message"', "malformed"),
    "JSON that is not JSON": ('{"type":"message","message":NaN}', "malformed"),
    "a lone surrogate": ('{"type":"message","message":"\\ud800"}', "malformed"),
    "no type": ('{"message":"hi"}', "unknown_type"),
    "an unknown type": ('{"type":"dance"}', "unknown_type"),
    "a type that is no text": ('{"type":["message"]}', "unknown_type"),
    "no message": ('{"type":"message"}', "empty"),
    "a blank message": ("  \n", "empty"),
    "nothing": ("", "empty"),
    "a message that is no text": ('{"type":"message","message":{"a":1}}', "malformed"),
    "a key that is no text": ('{"type":"message","message":"hi","key":7}', "bad_key"),
    "an endless key": ('{"type":"message","message":"hi","key":"%s"}' % ("k" * 129), "bad_key"),
    "binary": (b"\x00\x01", "binary"),
    "oversized": ("x" * 8193, "too_long"),
    "oversized in bytes": ("ж" * 5000, "too_long"),
    "nested too deep": ('{"type":' * 3000, "malformed"),
}  # fmt: skip


@one_server
async def test_bad_input_gets_an_error_and_harms_nobody(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A client's mistake would end its connection, or be seen by others, or go unanswered."""
    service = replica(start, tmp_path, CHAT_RATE=100)
    async with visit(url(service)) as bad, visit(url(service)) as good:
        for number, (name, (data, code)) in enumerate(BAD.items(), 1):
            await bad.connection.send(data)
            error = await bad.get("error", number)
            assert error["code"] == code, name
            assert error["temporary"] is False
        await bad.say("fine [now]")
        await good.get("message")
        assert good.texts == ["fine [now]"]
        assert service.metric("chat_errors_total") == len(BAD)


@one_server
async def test_who_talks_too_fast_is_refused_then_sent_away(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A flood of 10 000 messages would be passed on to everybody."""
    service = replica(start, tmp_path, CHAT_RATE=5)
    async with visit(url(service)) as flood, visit(url(service)) as good:
        for number in range(12):
            said = {"type": "message", "message": "x", "key": f"{number}"}
            await flood.connection.send(json.dumps(said))
        error = await flood.get("error")
        assert (error["code"], error["temporary"], error["key"]) == ("rate", True, "10")
        assert 0 < error["retry_after_ms"] <= 201
        try:
            for _ in range(10_000):
                await flood.connection.send("flood")
        except ConnectionClosed:
            pass
        assert (await flood.end())[0] == 1008
        goodbye = await flood.get("goodbye")
        assert (goodbye["code"], goodbye["reason"]) == (1008, "flood")
        assert goodbye["retry_after_ms"] >= 5000
        await good.say("calm")
        assert len(good.records) < 30


@one_server
@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007, "encoding"),
        (b"\x81\xff\0\0\0\0\0\x01\0\x01\0\0\0\0", 1009, None),
        (b"\x83\x80\0\0\0\0", 1002, None),
        (b"\x81\x02hi", 1002, None),
    ],
    ids=["bad UTF-8", "far too big", "reserved opcode", "not masked"],
)
async def test_what_breaks_the_protocol_ends_the_connection(
    redis: Server, start: Stack, tmp_path: Path, frames: bytes, code: int, reason: str | None
) -> None:
    """A hostile client would be served on, or would not be told why it is not."""
    service = replica(start, tmp_path)
    async with visit(url(service)) as hostile:
        hostile.connection.transport.write(frames)
        assert (await hostile.end())[0] == code
        assert [goodbye["reason"] for goodbye in hostile.of("goodbye")] == (
            [reason] if reason else []
        )
    until(lambda: service.metric("chat_closes_total") == 1, "the end is counted")

    def ends() -> list[int]:
        return [record["code"] for record in logged(tmp_path) if record["type"] == "disconnect"]

    until(lambda: ends() == [code], "the end is logged")


@one_server
async def test_who_gives_no_sign_of_life_is_sent_away(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Connections of clients that vanished would pile up; or quiet ones would be cut."""
    service = replica(start, tmp_path, CHAT_IDLE_TIMEOUT=2)
    async with visit(url(service)) as quiet, visit(url(service), ping_interval=None) as gone:
        gone.connection.transport.pause_reading()
        await eventually(
            lambda: service.metric("chat_closes_total", reason="idle") == 1, "it is noticed"
        )
        gone.connection.transport.resume_reading()
        assert (await gone.get("goodbye"))["reason"] == "idle"
        assert (await gone.end())[0] == 4408
        await quiet.say("still here")


@one_server
async def test_everybody_is_counted_and_listed(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Who is in the room would be told wrong, or for one replica only."""
    replicas = [replica(start, tmp_path) for _ in range(2)]
    async with visit(url(replicas[0])) as first:
        assert (await first.get("presence"))["online"] == 1
        async with visit(url(replicas[1])) as second:
            for visitor in (first, second):
                await eventually(
                    lambda v=visitor: v.of("presence")[-1:] and v.of("presence")[-1]["online"] == 2,  # type: ignore[misc]
                    "both are counted",
                )
            await second.connection.send('{"type":"who"}')
            who = await second.get("who")
            assert (who["online"], who["clients"]) == (2, ["Client_1", "Client_2"])
        await eventually(lambda: first.of("presence")[-1]["online"] == 1, "one is gone")
        await first.connection.send('{"type":"ping"}')
        await first.get("pong")


@one_server
async def test_a_stopping_server_sends_everybody_away(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A restart would cut everybody off without a word, or bring all back at the same moment."""
    service = replica(start, tmp_path)
    async with visit(url(service)) as first, visit(url(service)) as second:
        await first.say("last words")
        service.ask_to_stop()
        pauses = []
        for visitor in (first, second):
            assert (await visitor.end())[0] == 1012
            goodbye = await visitor.get("goodbye")
            assert (goodbye["code"], goodbye["reason"]) == (1012, "restart")
            pauses.append(goodbye["retry_after_ms"])
        assert len(set(pauses)) == 2 or pauses[0] >= 500
        assert await asyncio.to_thread(service.wait) == 0
    records = logged(tmp_path)
    assert [r["status"] for r in records if r["type"] == "disconnect"] == ["restart"] * 2
    assert redis.client.hgetall("chat:{main}:presence") == {}
    assert (await asyncio.to_thread(service.wait)) == 0


async def test_a_connection_that_never_was(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A half-open handshake or a plain TCP connection would disturb the chat."""
    service = replica(start, tmp_path)
    address = url(service)
    host, bound = "127.0.0.1", int(address.split(":")[2].strip("/"))
    reader, writer = await asyncio.open_connection(host, bound)
    writer.write(b"GET / HTTP/1.1\r\nUpgr")
    _, other = await asyncio.open_connection(host, bound)
    other.write(b"\x16\x03\x01" * 100)
    async with connect(address, proxy=None) as connection:
        assert json.loads(await connection.recv())["type"] == "welcome"
    writer.close()
    other.close()
    del reader
