"""The connection to the server: everybody gets the replies to what he asked, or hears why not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from chassis.logs import Log
from chassis.redis import Link, Subscriber, address
from chassis.redis.wire import Wire
from tests.support import servers
from tests.support.servers import Server, free_port
from tests.support.waiting import DEADLINE, eventually


@pytest.fixture
async def wire(server: Server) -> AsyncIterator[Wire]:
    server.client.flushall()
    wire = Wire(address(server.url), 0.5)
    yield wire
    await wire.close()


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def impostor(answer: Answer) -> AsyncIterator[Wire]:
    """Run a server that is none, and make a wire to it."""
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            await answer(reader, writer)
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        wire = Wire(address(f"redis://127.0.0.1:{port}"), 0.3)
        yield wire
        await wire.close()
        await asyncio.gather(*(task for task in serving if task))


async def test_many_share_one_connection(server: Server, wire: Wire) -> None:
    """Replies would get to others than those who asked, or each task need a connection."""
    before = int(server.client.info("stats")["total_connections_received"])
    replies = await asyncio.gather(
        *(wire.exchange([("ECHO", f"{n}"), ("ECHO", f"{n}+")]) for n in range(1000))
    )
    assert replies == [[b"%d" % n, b"%d+" % n] for n in range(1000)]
    assert int(server.client.info("stats")["total_connections_received"]) == before + 1


async def test_who_gives_up_does_not_shift_the_replies(wire: Wire) -> None:
    """The next to ask would get the reply to what was asked before."""
    given_up = asyncio.ensure_future(wire.exchange([("ECHO", "old")]))
    await wire.exchange([("PING",)])
    late = asyncio.ensure_future(wire.exchange([("ECHO", "late")]))
    await asyncio.sleep(0)
    late.cancel()
    assert await wire.exchange([("ECHO", "new")]) == [b"new"]
    assert await given_up == [b"old"]


async def test_a_reader_that_is_woken_leaves_no_reply_behind(server: Server) -> None:
    """What a read was given up for would come to the next one: entries of the wrong stream."""
    server.client.flushall()
    link = Link(server.url, Log("example"), timeout=0.5, stop=asyncio.Event())
    for _ in range(3):
        reading = asyncio.ensure_future(link.read({"one": b"$"}, count=1))
        await eventually(lambda: server.client.info("clients")["blocked_clients"] == 1, "waiting")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        server.client.xadd("one", {"a": "b"})
        server.client.xadd("two", {"c": "d"})
        found = await link.read({"two": b"0-0"}, count=1)
        assert list(found) == ["two"]
        await eventually(lambda: server.client.info("clients")["blocked_clients"] == 0, "none")
    await link.close()


async def test_an_end_is_told_to_all_who_wait(server: Server, wire: Wire) -> None:
    """A command whose reply can no longer come would be waited for without end."""
    assert await wire.exchange([("PING",)]) == [b"PONG"]
    server.freeze()
    asking = [asyncio.ensure_future(wire.exchange([("INCR", "n")])) for _ in range(3)]
    await asyncio.sleep(0)
    wire.abort()
    for error in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(error, ConnectionError)
    server.thaw()
    async with asyncio.timeout(DEADLINE):
        assert await wire.exchange([("PING",)]) == [b"PONG"]


async def test_silence_ends_a_connection(server: Server, wire: Wire) -> None:
    """A server that is frozen would be waited for without end."""
    assert await wire.exchange([("PING",)]) == [b"PONG"]
    server.freeze()
    try:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(TimedOut):
                await wire.exchange([("PING",)])
    finally:
        server.thaw()


async def test_slow_is_not_silent(server: Server) -> None:
    """Where much is on its way, what was asked last would be given up although all is well."""
    size = 1_000_000
    server.client.set("large", b"x" * size)
    wire = Wire(address(server.url), 0.5)
    replies = await asyncio.gather(*(wire.exchange([("GET", "large")]) for _ in range(300)))
    assert {len(reply) for [reply] in replies} == {size}
    await wire.close()


async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def say_nothing(_reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    pass


async def say_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"+PONG\r\n+SURPLUS\r\n")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(babble, ConnectionError), (hang_up, ConnectionError), (say_nothing, TimedOut)],
)
async def test_what_is_no_server(answer: Answer, error: type[Exception]) -> None:
    """Garbage would be taken for replies, or silence be waited on for ever."""
    async with impostor(answer) as wire, asyncio.timeout(DEADLINE):
        with pytest.raises(error):
            await wire.exchange([("PING",)])


async def test_a_reply_that_nobody_asked_for() -> None:
    """All replies that follow would get to the wrong ones."""
    async with impostor(say_too_much) as wire:
        for _ in range(3):
            assert await wire.exchange([("PING",)]) == [b"PONG"]
            await asyncio.sleep(0)


async def test_nobody_listens() -> None:
    """A server that is away would look like a bug."""
    wire = Wire(address(f"redis://127.0.0.1:{free_port()}"), 0.5)
    with pytest.raises(ConnectionError):
        await wire.exchange([("PING",)])
    with pytest.raises(ConnectionError):
        await Wire(address("unix:///nowhere"), 0.5).exchange([("PING",)])
    with pytest.raises(ConnectionError):
        await Wire(address("redis://no-such-host.invalid"), 5.0).exchange([("PING",)])


async def test_users_and_databases(server: Server) -> None:
    """A password would not be told, or the keys of another database be used."""
    server.client.execute_command("ACL", "SETUSER", "someone", "on", ">secret", "~*", "+@all")
    server.client.set("where", "0")
    host = server.url.removeprefix("redis://").split("/")[0]
    wire = Wire(address(f"redis://someone:secret@{host}/3"), 0.5)
    assert await wire.exchange([("ACL", "WHOAMI"), ("GET", "where")]) == [b"someone", None]
    await wire.close()
    wire = Wire(address(f"redis://someone:wrong@{host}/3"), 0.5)
    for _ in range(2):
        with pytest.raises(ResponseError, match="WRONGPASS"):
            await wire.exchange([("PING",)])
    await wire.close()


async def test_tls(tmp_path: Path) -> None:
    """A server's certificate would not be looked at, or TLS not work at all."""
    program = servers.binary("redis-server")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("needs redis-server and openssl")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    config = {
        "tls-port": f"{port}", "tls-cert-file": f"{certificate}", "tls-key-file": f"{key}",
        "tls-auth-clients": "no",
    }  # fmt: skip
    with servers.running("redis-server", tmp_path, config):
        good = f"rediss://localhost:{port}?ssl_ca_certs={certificate}"
        wire = Wire(address(good), 2.0)
        assert await wire.exchange([("PING",)]) == [b"PONG"]
        await wire.close()
        for bad in (f"rediss://localhost:{port}", good.replace("localhost", "127.0.0.1")):
            with pytest.raises(ConnectionError, match="certificate"):
                await Wire(address(bad), 2.0).exchange([("PING",)])
    with pytest.raises(ValueError, match="No such file"):
        address("rediss://localhost?ssl_ca_certs=/nowhere")


async def test_a_subscriber_that_does_not_listen(server: Server) -> None:
    """What is published would pile up in a process without a bound."""
    subscriber = Subscriber(address(server.url), 0.5)
    await subscriber.subscribe(b"flood")
    assert await subscriber.next(DEADLINE) == (b"flood", None)
    for _ in range(50):
        pipeline = server.client.pipeline(transaction=False)
        for _ in range(100):
            pipeline.publish("flood", b"x" * 1000)
        await asyncio.to_thread(pipeline.execute)
    heard = 0
    while await subscriber.next(0.2):
        heard += 1
    assert heard == 5000
    server.client.client_kill_filter(_type="pubsub")
    with pytest.raises(ConnectionError):
        await subscriber.next(DEADLINE)
    await subscriber.close()
