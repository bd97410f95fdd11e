"""The most memory that a service takes when crowds do all that they may, with default settings.

    python -m tests.bench.crowds [chat] [wisdom] [relay] [--connections 10000] [--seconds 15]

To chat and wisdom come as many as there are places for, from many addresses: they listen, leave a
message half said, and stop reading while some talk as much as they may; who is cut comes back.
Through the relay goes as much as the simulator makes, in all disorder. Each service is one process,
and the figure is the most that was ever resident, against what its container may use.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from tests.support import chat as chats
from tests.support import servers, wisdom
from tests.support.processes import Service
from tests.support.stack import Stack

from .chat_crowd import Client, masked
from .wisdom import PING, Subscriber

LIMIT = 512
"""MiB that a service's container may use."""

ADDRESS = 1000
"""Connections that come from one address."""

AT_ONCE = 50
"""Connections that are begun together."""

TALKERS = 10

PACE = 19
"""Messages a second of each of them, just within the rate."""

HALF = masked(b"x" * 8000)[:4000]
"""Half of a message: as much as anybody may leave unfinished."""

LONG = b"x" * 8100
"""About as much as may be said at once."""

Person = Client | Subscriber
Kind = Callable[[], Person]


def heard() -> Client:
    """Make a client of the chat."""
    return Client("chat", observes=False)


class Listener(Subscriber):
    """A subscriber of wisdom that pings by itself."""

    def __init__(self) -> None:
        super().__init__({})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._ping()

    def _ping(self) -> None:
        if not self.transport.is_closing():
            if self.own:
                self.say("ping")
            asyncio.get_running_loop().call_later(PING, self._ping)


async def come(kind: Kind, port: int, place: int) -> Person:
    """Connect somebody, from an address that few have; raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    address = f"127.0.1.{1 + place // ADDRESS}"
    _, person = await loop.create_connection(kind, "127.0.0.1", port, local_addr=(address, 0))
    async with asyncio.timeout(10):
        await person.ready
    return person


async def get_in(kind: Kind, port: int, place: int) -> Person:
    """Connect somebody, sooner or later."""
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            return await come(kind, port, place)


async def gather(kind: Kind, port: int, number: int) -> list[Person]:
    """Connect so many."""
    crowd: list[Person] = []
    while len(crowd) < number:
        places = range(len(crowd), min(number, len(crowd) + AT_ONCE))
        crowd += await asyncio.gather(*(get_in(kind, port, place) for place in places))
    return crowd


def staying(crowd: list[Person]) -> list[Person]:
    """List those who have not been sent away."""
    return [person for person in crowd if not person.transport.is_closing()]


def go_deaf(person: Person) -> None:
    """Read nothing any longer."""
    with contextlib.suppress(RuntimeError):
        person.transport.pause_reading()


async def come_back(kind: Kind, port: int, crowd: list[Person]) -> None:
    """Replace those who were cut, for ever; the new ones do not read either."""
    while True:
        for place, person in enumerate(crowd):
            if person.transport.is_closing():
                with contextlib.suppress(OSError, TimeoutError):
                    crowd[place] = await come(kind, port, place)
                    go_deaf(crowd[place])
        await asyncio.sleep(0.1)


def tell(what: str, service: Service) -> None:
    """Print a service's memory."""
    print(
        f"  {service.module:<10} {what:<34} {service.memory >> 20:4} MiB,"
        f" at most {service.peak >> 20:4} of {LIMIT}",
        flush=True,
    )


@contextlib.contextmanager
def stack() -> Iterator[tuple[Stack, Path]]:
    """Run a server of its own, and end all that was started on it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = {"maxmemory": "1gb", "maxmemory-policy": "noeviction"}
        with servers.running("valkey", directory, config) as redis:
            running = Stack(redis)
            try:
                yield running, directory
            finally:
                running.close()


async def visit(
    service: Service, kind: Kind, port: int, number: int, talk: Callable[[], Awaitable[None]]
) -> None:
    """Have a crowd come and misbehave while some `talk`."""
    tell("nobody is there", service)
    crowd = await gather(kind, port, number)
    await asyncio.sleep(2)
    tell(f"{len(staying(crowd))} listen", service)
    for person in staying(crowd):
        person.transport.write(HALF)
    await asyncio.sleep(2)
    tell(f"{len(staying(crowd))} have half a message said", service)
    for person in crowd:
        go_deaf(person)
    coming = asyncio.ensure_future(come_back(kind, port, crowd))
    await talk()
    tell("nobody reads", service)
    coming.cancel()
    for person in crowd:
        person.transport.abort()


async def fill_chat(options: argparse.Namespace) -> None:
    """Fill the chat, whose history is as long as can be, and go on talking."""
    with stack() as (running, directory):
        service = chats.replica(running, directory, LEASE_TTL=3)
        port = chats.port(service)

        async def talk() -> None:
            talkers = [await come(heard, port, place) for place in range(TALKERS)]
            for _ in range(int(PACE * options.seconds)):
                for talker in staying(talkers):
                    talker.transport.write(masked(LONG))
                await asyncio.sleep(1 / PACE)
            tell(f"{len(staying(talkers))} of {TALKERS} talkers have stayed", service)
            for talker in talkers:
                talker.transport.abort()

        await talk()
        await visit(service, heard, port, options.connections - TALKERS, talk)


async def fill_wisdom(options: argparse.Namespace) -> None:
    """Fill wisdom."""
    with stack() as (running, _):
        service = wisdom.replica(running, LEASE_TTL=3, WISDOM_PERIOD=5)

        async def wait() -> None:
            await asyncio.sleep(options.seconds)

        await visit(service, Listener, wisdom.port(service), options.connections, wait)


async def fill_relay(options: argparse.Namespace) -> None:
    """Relay what the simulator makes at full speed."""
    with stack() as (running, _):
        simulator = running.simulator(
            RATE=0, REORDER=1, DEPTH=1000, DELAYED=0.01, DELAY_MAX=0.5, REPEATS=0.2,
            GARBAGE=0.1, SEED=1,
        )  # fmt: skip
        services = running.relay(simulator.feed_url, simulator.endpoint_url, LEASE_TTL=3)
        await asyncio.sleep(2 * options.seconds)
        relayed = f"{simulator.received} messages relayed"
        for service in (simulator, *services):
            tell(relayed, service)


CROWDS = {"chat": fill_chat, "wisdom": fill_wisdom, "relay": fill_relay}


def main() -> None:
    """Play what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowds", description=__doc__)
    parser.add_argument("crowds", nargs="*", choices=[*CROWDS, []])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for crowd in options.crowds or CROWDS:
        uvloop.run(CROWDS[crowd](options))


if __name__ == "__main__":
    main()
