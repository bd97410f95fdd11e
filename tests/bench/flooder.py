"""The hostile half of `tests.bench.floods`, in a process of its own: `flooder KIND HOST CHAT`.

It prints the port on which it listens. It is told by lines: `flood`, `stop`, `report`; each is
answered with a line, the last when all that the feed sent has come out, or a minute later.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.waiting import eventually

LARGE = 12 * 1024
SMALL = 1200
STRAY = 200 * 1024

LONG = "\x01" * 1350
"""As much as may be said in the chat at once: each of these becomes six bytes."""

DRAINED_WITHIN = 60.0
"""Seconds that what was sent may take to come out."""

Attack = Callable[["Flooder"], Awaitable[None]]


class Flooder:
    """A feed and an endpoint that may be hostile, and clients of the chat that are."""

    def __init__(self, kind: str, chat: str) -> None:
        self.kind = kind
        self.chat = chat
        self.on = asyncio.Event()
        self.sent = 0
        self.received = 0
        self.faults = 0
        self.tries = 0
        self._last = 0
        self._next = 1
        self._dice = random.Random(1)

    # A feed and its endpoint ------------------------------------------------------------------

    async def peer(self, connection: ServerConnection) -> None:
        """Serve the relay's connections."""
        with contextlib.suppress(ConnectionClosed):
            if connection.request is not None and connection.request.path == "/feed":
                await self._feed(connection)
            else:
                await self._endpoint(connection)

    async def _feed(self, connection: ServerConnection) -> None:
        while True:
            await self.on.wait()
            if self.kind == "strays":
                for _ in range(4):
                    await self._send(connection, 10**9 + self._dice.randrange(2**61), STRAY)
            size = {"large": LARGE, "dead": SMALL}.get(self.kind, 0)
            for _ in range(20 if size else 1):
                self.sent += 1
                await self._send(connection, self._next, size)
                self._next += 1
            await asyncio.sleep(0.005)

    async def _send(self, connection: ServerConnection, number: int, size: int) -> None:
        body = b"x" * size
        await connection.send(b'{"id":%d,"x":"%s"}' % (number, body), text=True)

    async def _endpoint(self, connection: ServerConnection) -> None:
        if self.kind == "dead" and self.on.is_set():
            await connection.close(1011)
            return
        async for message in connection:
            number = json.loads(message)["id"]
            self.received += number > self._last
            self.faults += number > self._last + 1
            self._last = max(self._last, number)
            if self.kind == "dead" and self.on.is_set():
                return

    async def drained(self) -> None:
        """Wait until all that was sent has come out, or for as long as that may take."""
        with contextlib.suppress(AssertionError):
            await eventually(lambda: self.received >= self.sent, "all comes out", DRAINED_WITHIN)

    # Clients of the chat ----------------------------------------------------------------------

    async def talk(self) -> None:
        """Say as much as may be said, as often as may be."""
        async with connect(self.chat) as client:
            reading = asyncio.ensure_future(self._drop(client))
            while self.on.is_set():
                await client.send(LONG)
                self.tries += 1
                await asyncio.sleep(1 / 19)
            reading.cancel()

    async def come_and_go(self) -> None:
        """Connect and leave at once."""
        async with connect(self.chat):
            self.tries += 1

    async def ask_for_all(self) -> None:
        """Ask for what was said since the beginning, as may who was here, and do not read it."""
        async with connect(self.chat) as client:
            welcome = json.loads(await client.recv())
        again = "{}?epoch={epoch}&seq=0&token={token}".format(self.chat, **welcome)
        async with connect(again, max_queue=1):
            self.tries += 1
            await asyncio.sleep(3)

    async def _drop(self, client: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in client:
                pass

    async def crowd(self, attacks: Iterable[Attack]) -> None:
        """Have a client for each attack, which attacks again and again."""

        async def one(attack: Attack) -> None:
            while True:
                await self.on.wait()
                try:
                    await attack(self)
                except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, KeyError):
                    await asyncio.sleep(0.1)

        await asyncio.gather(*map(one, attacks))


KINDS: dict[str, Sequence[Attack]] = {
    "large": [],
    "dead": [],
    "strays": [],
    "chat": [Flooder.talk] * 10,
    "events": [Flooder.come_and_go] * 50,
    "history": [Flooder.talk] * 10 + [Flooder.ask_for_all] * 200,
}
"""What can be played, and what each client of the chat does in it; nobody: the feed does it."""


async def main(kind: str, host: str, chat: str) -> None:
    """Serve, and do what is told."""
    flooder = Flooder(kind, chat)
    loop = asyncio.get_running_loop()
    words: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: words.put_nowait(sys.stdin.readline().strip()))
    crowd = KINDS[kind]
    attacking = asyncio.ensure_future(flooder.crowd(crowd))
    async with serve(flooder.peer, host, 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        for _ in itertools.count():
            word = await words.get()
            if word == "flood":
                flooder.on.set()
            elif word == "stop":
                flooder.on.clear()
            elif word == "report":
                await flooder.drained()
            elif not word:
                break
            tries = f"{flooder.tries} tries, " if crowd else ""
            fed = f"{flooder.received} of {flooder.sent} came out, {flooder.faults} jumps"
            print(tries + fed, flush=True)
    attacking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
