"""Wisdom by its protocol: the scenario, bad input, who may come in, what is served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.support import http
from tests.support.processes import ROOT, Service, command
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually, until
from tests.support.wisdom import Wolf, howl, port, published, replica, url

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

EVENTS = ("connect", "subscribe", "unsubscribe", "ping", "disconnect")


@one_server
@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_the_scenario_to_the_letter(redis: Server, start: Stack, path: str) -> None:
    """A client written after the protocol's description would not understand the server."""
    service = replica(start)
    async with connect(url(service, path), proxy=None) as connection, asyncio.timeout(20):

        async def receive() -> Any:
            message = await connection.recv()
            assert isinstance(message, str)
            return json.loads(message)

        async def send(kind: str) -> None:
            await connection.send(json.dumps({"type": kind, "payload": {"id": own}}))

        initial = await receive()
        own = initial["payload"]["id"]
        assert str(uuid.UUID(own, version=4)) == own
        assert initial == {"type": "initial", "payload": {"id": own}}
        await send("connect")
        await send("ping")
        await send("subscribe")
        assert await receive() == {"type": "subscribe_confirmation", "payload": {"status": "ok"}}
        for _ in range(3):
            quote = await receive()
            text = quote["payload"]["message"]
            assert quote == {"type": "wisdom_distribution", "payload": {"message": text}}
            assert isinstance(text, str)
            assert text
        await send("unsubscribe")
        # What was on its way may still come; after that, three ticks bring nothing.
        await connection.send("?")
        while (message := await receive())["type"] != "error":
            assert message["type"] == "wisdom_distribution"
        ticked = published(service)
        await eventually(lambda: published(service) >= ticked + 3, "it goes on ticking")
        await send("disconnect")
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1000


@one_server
async def test_it_ticks_for_nobody_too(redis: Server, start: Stack) -> None:
    """Quotes would wait for somebody to come, or come twice in a row."""
    service = replica(start, WISDOM_PERIOD=0.1)
    until(lambda: published(service) >= 10, "it ticks")
    quotes = [event["quote"] for event in service.events("quote published")]
    assert len(set(quotes[:10])) == 10
    assert all(event["listening"] == 0 for event in service.events("quote published"))
    assert 0 < redis.client.xlen("quotes:{wisdom}") <= published(service) + 1


OWN = object()
"""Stands for the session's own id."""

BAD: dict[str, tuple[Any, str]] = {
    "nothing": ("", "malformed"),
    "no JSON": ("hello", "malformed"),
    "half of it": ('{"type":"connect","payload":', "malformed"),
    "no object": ("[]", "malformed"),
    "a number": ("17", "malformed"),
    "a BOM": ('\ufeff{"type":"ping","payload":{}}', "malformed"),
    "NaN": ('{"type":"ping","payload":{"id":NaN}}', "malformed"),
    "no type": ({"payload": {"id": OWN}}, "malformed"),
    "a number as type": ({"type": 1, "payload": {"id": OWN}}, "malformed"),
    "no payload": ({"type": "connect"}, "malformed"),
    "a text as payload": ({"type": "connect", "payload": "x"}, "malformed"),
    "far too deep": ('{"type":' * 500, "malformed"),
    "an unknown type": ({"type": "howl", "payload": {"id": OWN}}, "unknown_type"),
    "the server's own type": ({"type": "initial", "payload": {"id": OWN}}, "unknown_type"),
    "upper case": ({"type": "CONNECT", "payload": {"id": OWN}}, "unknown_type"),
    "no id": ({"type": "connect", "payload": {}}, "bad_id"),
    "null as id": ({"type": "connect", "payload": {"id": None}}, "bad_id"),
    "a number as id": ({"type": "connect", "payload": {"id": 1}}, "bad_id"),
    "no UUID": ({"type": "connect", "payload": {"id": "wolf"}}, "bad_id"),
    "nobody's id": ({"type": "connect", "payload": {"id": str(uuid.UUID(int=1))}}, "wrong_id"),
    "subscribe first": ({"type": "subscribe", "payload": {"id": OWN}}, "not_connected"),
    "unsubscribe first": ({"type": "unsubscribe", "payload": {"id": OWN}}, "not_connected"),
    "too long": (f'{{"type":"ping","pad":"{"x" * 5000}"}}', "too_long"),
    "binary": (b'{"type":"ping"}', "binary"),
}
"""What a client may do wrong, each with the code that it is answered with."""


@one_server
async def test_bad_input_gets_a_typed_error(redis: Server, start: Stack) -> None:
    """A client's mistake would end its session, change it, or go without an answer."""
    service = replica(start)
    async with howl(url(service)) as wolf:
        for number, (name, (said, code)) in enumerate(BAD.items(), 1):
            if isinstance(said, dict):
                payload = said.get("payload")
                if isinstance(payload, dict) and payload.get("id") is OWN:
                    said = said | {"payload": {"id": wolf.id}}
                said = json.dumps(said)
            await wolf.connection.send(said)
            error = await wolf.get("error", number)
            assert error["payload"]["code"] == code, name
            assert error["payload"].keys() == {"code", "message"}
        await wolf.say("connect", "connect", "unsubscribe")
        await eventually(
            lambda: wolf.errors[-2:] == ["already_connected", "not_subscribed"], "told so"
        )
        assert not wolf.quotes
        await wolf.say("subscribe", "subscribe")
        await wolf.get("subscribe_confirmation", 2)
        await wolf.get("wisdom_distribution", 2)
        assert len(set(wolf.quotes[:2])) == 2
    assert service.metric("wisdom_errors_total") == len(BAD) + 2


@one_server
async def test_an_id_of_another_session_changes_nothing_there(redis: Server, start: Stack) -> None:
    """Who learns an id could end, silence or subscribe somebody else's session."""
    replicas = [replica(start) for _ in range(2)]
    async with (
        howl(url(replicas[0])) as thief,
        howl(url(replicas[0])) as connected,
        howl(url(replicas[0])) as subscribed,
        howl(url(replicas[1])) as elsewhere,
    ):
        await connected.say("connect")
        await subscribed.subscribe()
        await elsewhere.subscribe()
        await thief.subscribe()
        for event in EVENTS:
            for victim in (connected, subscribed, elsewhere):
                await thief.say(event, id=victim.id)
        await eventually(lambda: len(thief.errors) == 3 * len(EVENTS), "all are refused")
        assert set(thief.errors) == {"wrong_id"}
        ticked = len(subscribed.quotes)
        for wolf in (thief, subscribed, elsewhere):
            await wolf.get("wisdom_distribution", ticked + 2)
            assert not wolf.closed
        assert not connected.quotes
        assert not connected.closed
        assert not connected.errors
        await connected.subscribe()


@one_server
async def test_who_says_too_much_is_refused_then_sent_away(redis: Server, start: Stack) -> None:
    """A client could keep the server busy with nonsense."""
    service = replica(start)
    async with howl(url(service)) as flood, howl(url(service)) as calm:
        await calm.subscribe()
        for _ in range(60):
            await flood.say("ping")
        error = await flood.get("error")
        assert error["payload"]["code"] == "rate"
        assert 0 < error["payload"]["retry_after_ms"] <= 51
        with contextlib.suppress(ConnectionClosed):
            for _ in range(10_000):
                await flood.say("ping")
        assert (await flood.end())[0] == 1008
        await calm.get("wisdom_distribution", len(calm.quotes) + 1)
        assert not calm.errors
    until(lambda: service.metric("wisdom_closes_total", reason="flood") == 1, "it is counted")


@one_server
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
        (b"\x81\xff\0\0\0\0\0\x01\0\x01\0\0\0\0", 1009),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x81\x02hi", 1002),
    ],
    ids=["bad UTF-8", "far too big", "reserved opcode", "not masked"],
)
async def test_what_breaks_the_websocket_protocol_ends_the_session(
    redis: Server, start: Stack, frames: bytes, code: int
) -> None:
    """A hostile client would be served on, or would not be told why it is not."""
    service = replica(start)
    async with howl(url(service)) as hostile:
        hostile.connection.transport.write(frames)
        assert (await hostile.end())[0] == code
    until(lambda: service.metric("wisdom_closes_total") == 1, "the end is counted")
    assert service.metric("wisdom_connections") == 0


@one_server
async def test_only_who_may_comes_in(redis: Server, start: Stack) -> None:
    """Foreign pages could use a visitor's connection, or one address take all places."""
    service = replica(start, WISDOM_CONNECTIONS=4, WISDOM_CONNECTIONS_PER_ADDRESS=2)

    async def status(path: str = "/", origin: str | None = None) -> int:
        try:
            async with connect(url(service, path), proxy=None, origin=origin):  # type: ignore[arg-type]
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert await status() == await status(origin=f"http://127.0.0.1:{port(service)}") == 101
    assert await status(origin="http://evil.example") == 403
    assert await status("/nowhere") == 404
    async with howl(url(service)), howl(url(service)):
        assert await status() == 429
    await eventually(lambda: service.metric("wisdom_connections") == 0, "all are gone")
    assert await status() == 101
    for reason, count in (("origin", 1), ("path", 1), ("address", 1), ("connections", 0)):
        assert service.metric("wisdom_refused_connections_total", reason=reason) == count


@one_server
async def test_too_few_files_harm_nobody_who_is_in(redis: Server, start: Stack) -> None:
    """The last who come would take the files that Redis and health checks need."""
    service = replica(start, "tests.support.few_files")
    warning = service.wait_for("fewer connections than wanted, for want of open files")
    async with contextlib.AsyncExitStack() as crowd:
        for _ in range(warning["connections"]):
            await crowd.enter_async_context(howl(url(service)))
        for _ in range(20):
            with pytest.raises(InvalidStatus, match="503"):
                await crowd.enter_async_context(connect(url(service), proxy=None))
        assert await asyncio.to_thread(lambda: service.ready)
        ticked = published(service)
        await eventually(lambda: published(service) > ticked, "it goes on ticking")
    assert service.metric("wisdom_refused_connections_total", reason="connections") == 20


async def gets_in(service: Service) -> bool:
    """Tell whether a newcomer is let in."""
    try:
        async with howl(url(service)) as wolf:
            await wolf.subscribe()
    except (OSError, InvalidHandshake, ConnectionClosed, EOFError):
        return False
    return True


@one_server
async def test_who_connects_and_says_nothing(redis: Server, start: Stack) -> None:
    """A machine that opens connections and is silent would keep everybody else out."""
    service = replica(start, "tests.support.few_files")

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return service.ready
        return False

    with contextlib.ExitStack() as silent:
        for _ in range(500):
            silent.enter_context(socket.create_connection(("127.0.0.1", port(service))))
        # All of them at once take all the files there are, for a moment, in which one is sent away.
        await asyncio.to_thread(until, answers, "it answers again")
        await eventually(partial(gets_in, service), "one gets in")
        for _ in range(5):
            async with howl(url(service)) as wolf:
                await wolf.subscribe()


@one_server
async def test_the_page_is_served_and_who_listens_is_counted(redis: Server, start: Stack) -> None:
    """A browser would get no page, or the page would tell a wrong number of listeners."""
    replicas = [replica(start) for _ in range(2)]
    response = await asyncio.to_thread(http.get, port(replicas[0]), "/")
    assert response.status == 200
    assert b"<html" in response.body
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for path in ("/quotes.txt", "/../quotes.txt", "/%2e%2e/settings.py", "/page/", "//"):
        assert (await asyncio.to_thread(http.get, port(replicas[0]), path)).status == 404

    def listening() -> list[int]:
        return [http.get(port(one), "/listening").json()["listening"] for one in replicas]

    async with howl(url(replicas[0])) as first, howl(url(replicas[1])) as second:
        await first.say("connect")
        await second.subscribe()
        await eventually(lambda: listening() == [1, 1], "one listens")
        await first.say("subscribe")
        await eventually(lambda: listening() == [2, 2], "two listen")
        await second.say("unsubscribe")
        await eventually(lambda: listening() == [1, 1], "one listens")


@one_server
async def test_a_stopping_replica_sends_everybody_away(redis: Server, start: Stack) -> None:
    """A restart would cut everybody off without a word, or leave traces of who was there."""
    service, other = replica(start), replica(start)
    async with howl(url(service)) as first, howl(url(service)) as second, howl(url(other)) as third:
        for wolf in (first, second, third):
            await wolf.subscribe()
        service.ask_to_stop()
        for wolf in (first, second):
            assert (await wolf.end())[0] == 1012
        assert await asyncio.to_thread(service.wait) == 0
        await third.get("wisdom_distribution", len(third.quotes) + 2)
        assert not third.closed
    assert len(redis.client.hgetall("wisdom:{wisdom}:presence")) == 1


@one_server
def test_bad_quotes_stop_the_start(redis: Server, tmp_path: Path) -> None:
    """A mistake in one's own file would show as silence."""
    path = tmp_path / "quotes.txt"
    path.write_text("# nothing but comments\n")
    for value, said in (
        (path, f"WISDOM_QUOTES: '{path}' has no quotes"),
        (tmp_path / "nowhere", "WISDOM_QUOTES: "),
        ("/dev/zero", "no regular file"),
    ):
        ended = command("wisdom", WISDOM_QUOTES=value, WISDOM_PERIOD="often")
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 2
        assert said in ended.stderr
        assert "WISDOM_PERIOD: 'often' is not a number" in ended.stderr


@one_server
async def test_ones_own_quotes(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A user's quotes would be mangled, or others be sent beside them."""
    quotes = ['<b>«Ауф»</b> & "кавычки"\\n', "🐺 " + "в" * 900]
    path = tmp_path / "quotes.txt"
    path.write_text("\n".join(["# mine", *quotes, ""]))
    service = replica(start, WISDOM_QUOTES=path, WISDOM_PERIOD=0.1)
    async with howl(url(service)) as wolf:
        await wolf.subscribe()
        await wolf.get("wisdom_distribution", 6)
        assert wolf.quotes[:6] in (quotes * 3, quotes[::-1] * 3)


@one_server
async def test_the_example_of_the_protocol_page_works(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Who begins with the documentation's example would begin with an error."""
    service = replica(start)
    page = (ROOT / "wisdom" / "README.md").read_text()
    example = tmp_path / "example.py"
    example.write_text(page.split("```python\n")[1].split("```")[0])
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(example), url(service)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for kind in ("initial", "subscribe_confirmation", "wisdom_distribution"):
        assert kind in ran.stdout


@one_server
async def test_a_thousand_lives_leave_nothing(redis: Server, start: Stack) -> None:
    """Each session that ends in whatever way would leave a file or memory behind."""
    service = replica(start, WISDOM_PERIOD=0.1, LOG_LEVEL="info")
    files = Path(f"/proc/{service.pid}/fd")

    async def live(at: int) -> None:
        async with connect(url(service), proxy=None, compression=None) as connection:
            wolf = Wolf(connection)
            await wolf.get("initial")
            if at % 4:
                await wolf.subscribe()
            if at % 2:
                connection.transport.abort()
            elif at % 3:
                await wolf.say("disconnect")
                await wolf.end()
            else:
                await connection.close()
            await wolf._reading

    async def lives(count: int) -> None:
        for begin in range(0, count, 20):
            await asyncio.gather(*(live(at) for at in range(begin, begin + 20)))
        await eventually(lambda: service.metric("wisdom_connections") == 0, "all are gone")

    await lives(300)
    memory, opened = service.memory, len(list(files.iterdir()))
    await lives(1000)
    assert service.metric("wisdom_joins_total") == service.metric("wisdom_closes_total") == 1300
    assert service.metric("wisdom_subscribers") == 0
    # The ops endpoint's connection may be still there in one count and not in the other.
    assert abs(len(list(files.iterdir())) - opened) <= 1
    assert service.memory - memory < 3_000_000
