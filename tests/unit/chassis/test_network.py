"""Reaching hosts: names that nobody answers for, and addresses that lead nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chassis import network
from tests.support.peers import DEADLINE, Run
from tests.support.servers import free_port


@pytest.fixture
def nameserver(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Stand for the system's: it answers for `answers`, and for others when it is `released`."""
    released = threading.Event()
    asked: list[str] = []
    answers: dict[str, Any] = {}
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *, flags: int = 0, **options: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return system(host, port, flags=flags, **options)
        asked.append(host)
        if host not in answers:
            released.wait(DEADLINE)
            raise socket.gaierror("nobody answers")
        if isinstance(answers[host], OSError):
            raise answers[host]
        return system(answers[host], port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield {"released": released, "asked": asked, "answers": answers}
    released.set()


def test_dead_names_hold_up_no_other(run: Run, nameserver: dict[str, Any]) -> None:
    """A few feeds whose names cannot be looked up would keep Redis from being reached again."""

    async def scenario() -> None:
        nameserver["answers"]["alive"] = "127.0.0.1"
        dead = [
            asyncio.ensure_future(network.addresses(f"dead-{at % 20}", 80)) for at in range(100)
        ]
        async with asyncio.timeout(DEADLINE):
            for _ in range(10):
                [address] = await network.addresses("alive", 80)
                assert address.where == ("127.0.0.1", 80)
        # Who asks for the same name shares the answer, and the thread.
        assert sum(name.startswith("dead") for name in nameserver["asked"]) <= 20
        nameserver["released"].set()
        for error in await asyncio.gather(*dead, return_exceptions=True):
            assert isinstance(error, OSError)

    run(scenario())


def test_a_name_that_was_known_stays_so(run: Run, nameserver: dict[str, Any]) -> None:
    """A name server that is away for a while would end connections to what has not moved."""

    async def scenario() -> None:
        answers = nameserver["answers"]
        answers["moves"] = "127.0.0.1"
        known = await network.addresses("moves", 80)
        answers["moves"] = socket.gaierror("try again")
        assert await network.addresses("moves", 80) == known
        del answers["moves"]  # it hangs
        assert await network.addresses("moves", 80) == known
        nameserver["released"].set()
        while True:  # what hung has ended: the name is asked for anew
            answers["moves"] = "127.0.0.2"
            if (await network.addresses("moves", 80))[0].where[0] == "127.0.0.2":
                break

    run(scenario())


def test_hanging_names_do_not_hold_up_the_end() -> None:
    """A service could not be stopped while names are being looked up."""
    program = """
import asyncio, socket, time, uvloop
from chassis import network

def hang(*_, flags=0, **__):
    if flags:
        raise OSError
    time.sleep(3600)

async def main():
    for number in range(9):
        asyncio.ensure_future(network.connect(f"host-{number}", 1))
    await asyncio.sleep(0)

socket.getaddrinfo = hang
asyncio.run(main())
uvloop.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE)


def black_hole(port: int) -> list[socket.socket]:
    """Listen on ::1 without taking anybody in: further SYNs are dropped."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.bind(("::1", port))
    listener.listen(0)
    crowd = [listener]
    for _ in range(4):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("::1", port))
        crowd.append(sock)
    return crowd


def test_an_address_that_swallows_everything(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A host whose IPv6 leads nowhere would never be reached, though its IPv4 works."""
    port = free_port()
    try:
        crowd = black_hole(port)
    except OSError:
        pytest.skip("there is no IPv6 here")
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *, flags: int = 0, **options: Any) -> Any:
        if host != "both.example" or flags:
            return system(host, port, flags=flags, **options)
        return system("::1", port, **options) + system("127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def scenario() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with (
            await asyncio.start_server(greet, "127.0.0.1", port),
            asyncio.timeout(DEADLINE),
        ):
            sock = await network.connect("both.example", port)
            assert sock.getpeername() == ("127.0.0.1", port)
            sock.close()

    run(scenario())
    for sock in crowd:
        sock.close()


def test_what_cannot_be_reached(run: Run) -> None:
    """An address that nobody listens on would look like a bug."""

    async def scenario() -> None:
        port = free_port()
        for host, number in (
            ("127.0.0.1", port), ("::1", port), ("127.0.0.1", 99999), ("a..b", 80),
            ("no-such-host.invalid", 80), ("x" * 300, 80), ("nul\0", 80),
        ):  # fmt: skip
            with pytest.raises(OSError):  # noqa: PT011 # whichever it is
                await network.connect(host, number)

    run(scenario())
