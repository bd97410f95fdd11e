"""What a flood does to its neighbours while Redis is at its memory's limit.

    python -m tests.bench.floods [kind …] [--memory 128mb] [--seconds 30] [--compose]

A stack of real processes around one Valkey, or the one in containers: a feed of 100 small messages
a second goes through the relay, and one visitor of the chat talks to another. Before, during and
after each flood their delays are measured; at the end it is checked that both got everything, in
order, and once, and told how long after the flood all was well again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.waiting import eventually

from .flooded import Flooded, containers, processes
from .flooder import DRAINED_WITHIN, KINDS

RATE = 100
"""Messages per second of the witness' feed."""

TALK = 0.2
"""Seconds between two messages in the chat."""

WELL = 0.1
"""Seconds of delay at most that half of what is sent within a second has when all is well."""


BROKEN = (OSError, TimeoutError, InvalidHandshake, ConnectionClosed)


@dataclass
class Delays:
    """Delays of numbered messages, by when they were sent."""

    sent: dict[int, float] = field(default_factory=dict)
    took: dict[int, float] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    def send(self, number: int) -> None:
        """Note that a message is being sent."""
        self.sent[number] = time.monotonic()

    def receive(self, number: int) -> None:
        """Note that it has come."""
        self.order.append(number)
        self.took.setdefault(number, time.monotonic() - self.sent.get(number, 0.0))

    def between(self, begin: float, end: float) -> list[float]:
        """List the delays of what was sent within a time, the shortest first."""
        return sorted(
            self.took.get(number, time.monotonic() - at)
            for number, at in self.sent.items()
            if begin <= at < end
        )

    def well_since(self, end: float) -> str:
        """Tell after which second from `end` on half of what was sent came soon in each."""
        seconds: dict[int, list[float]] = {}
        for number, at in self.sent.items():
            if at >= end:
                seconds.setdefault(int(at - end), []).append(self.took.get(number, math.inf))
        ill = [second for second, took in seconds.items() if statistics.median(took) > WELL]
        return f"well {max(ill, default=-1) + 1} s after"

    @property
    def missing(self) -> int:
        """Count what was sent and has not come."""
        return len(self.sent.keys() - self.took.keys())

    @property
    def verdict(self) -> str:
        """Tell what is wrong with what came."""
        doubled = len(self.order) - len(set(self.order))
        jumps = sum(a > b for a, b in zip(self.order, self.order[1:], strict=False))
        exact = not (self.missing or doubled or jumps)
        return (
            "exact" if exact else f"MISSING {self.missing}, DOUBLED {doubled}, OUT OF ORDER {jumps}"
        )


def shown(delays: list[float]) -> str:
    """Describe sorted delays: median, 99th percentile and longest, ms."""
    if not delays:
        return "none sent"
    chosen = statistics.median(delays), delays[int(0.99 * len(delays))], delays[-1]
    return " / ".join(f"{1000 * delay:.1f}" for delay in chosen)


class Witness:
    """The feed and the endpoint of the relay's witness."""

    def __init__(self) -> None:
        self.delays = Delays()
        self.stopped = asyncio.Event()
        self._next = 1

    async def feed(self, connection: ServerConnection) -> None:
        """Send, a hundredth of a second apart."""
        with contextlib.suppress(ConnectionClosed):
            due = time.monotonic()
            while not self.stopped.is_set():
                number, self._next = self._next, self._next + 1
                self.delays.send(number)
                await connection.send(b'{"id":%d}' % number, text=True)
                due = max(due + 1 / RATE, time.monotonic() - 0.1)
                await asyncio.sleep(due - time.monotonic())
            await connection.wait_closed()

    async def endpoint(self, connection: ServerConnection) -> None:
        """Note what comes."""
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                self.delays.receive(json.loads(message)["id"])


class Talk:
    """Two visitors of the chat: one talks, one hears; only what is acknowledged counts.

    Who is sent away, as a reader who lags behind a flood is, comes back.
    """

    def __init__(self) -> None:
        self.delays = Delays()
        self.refused = 0
        self.visits = 0
        self.said: list[float] = []
        """When each message was sent; its number is its place."""
        self._back = ""
        """The query with which the hearer comes back to where it was."""

    async def run(self, address: str, stop: asyncio.Event) -> None:
        """Talk and hear until `stop`."""
        hearing = asyncio.ensure_future(self._hear(address))
        while not stop.is_set():
            with contextlib.suppress(*BROKEN):
                async with connect(address) as talker:
                    self.visits += 1
                    await self._say(talker, stop)
        hearing.cancel()
        await asyncio.wait([hearing])

    async def _say(self, talker: ClientConnection, stop: asyncio.Event) -> None:
        answers = asyncio.ensure_future(self._answers(talker))
        try:
            while not stop.is_set():
                text, key = f"w {len(self.said)}", str(len(self.said))
                self.said.append(time.monotonic())
                await talker.send(json.dumps({"type": "message", "message": text, "key": key}))
                await asyncio.sleep(TALK)
            await asyncio.sleep(1)
        finally:
            answers.cancel()
            await asyncio.wait([answers])

    async def _answers(self, talker: ClientConnection) -> None:
        async for text in talker:
            frame = json.loads(text)
            if frame["type"] == "ack":
                number = int(frame["key"])
                self.delays.sent[number] = self.said[number]
            elif frame["type"] == "error":
                self.refused += 1

    async def _hear(self, address: str) -> None:
        while True:
            with contextlib.suppress(*BROKEN):
                async with connect(address + self._back, max_size=None) as hearer:
                    self.visits += 1
                    await self._listen(hearer)
            await asyncio.sleep(0.1)

    async def _listen(self, hearer: ClientConnection) -> None:
        welcome = json.loads(await hearer.recv())
        query = "?epoch={epoch}&seq={seq}&token=" + welcome["token"]
        self._back = self._back or query.format(**welcome)
        async for text in hearer:
            frame = json.loads(text)
            for record in frame["records"] if frame["type"] == "history" else [frame]:
                if record["type"] == "message":
                    self._heard(record)
                    self._back = query.format(**record)

    def _heard(self, record: dict[str, Any]) -> None:
        if record["message"].startswith("w "):
            number = int(record["message"][2:])
            self.delays.sent[number] = self.said[number]
            self.delays.receive(number)


@contextlib.asynccontextmanager
async def flooding(kind: str, host: str, chat: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Have a process play the other feed and endpoint; it floods when told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.flooder", kind, host, chat,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hear(process: asyncio.subprocess.Process) -> str:
    """Wait for the flooder's next line."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def tell(process: asyncio.subprocess.Process, word: str) -> str:
    """Tell the flooder something and return its answer."""
    assert process.stdin is not None
    process.stdin.write(word.encode() + b"\n")
    return await hear(process)


async def play(kind: str, memory: str, seconds: float, flooded: Flooded) -> None:
    """Play one flood and print what came of it."""
    witness, talk = Witness(), Talk()
    async with (
        serve(witness.feed, flooded.host, 0, compression=None) as feed,
        serve(witness.endpoint, flooded.host, 0, compression=None) as endpoint,
        flooding(kind, flooded.host, flooded.chat) as flooder,
    ):
        at, to = (
            f"witness=ws://{flooded.host}:{server.sockets[0].getsockname()[1]}"
            for server in (feed, endpoint)
        )
        port = await hear(flooder)
        flood = f"flood=ws://{flooded.host}:{port}"
        await flooded.start(f"{at} {flood}/feed", f"{to} {flood}/endpoint")
        print(f"\n{kind}, Redis may use {memory}, {seconds:g} s: ", end="")
        await measure(seconds, witness, talk, flooded, flooder)


async def measure(
    seconds: float, witness: Witness, talk: Talk, flooded: Flooded,
    flooder: asyncio.subprocess.Process,
) -> None:  # fmt: skip
    """Let the flood come and go."""
    stop = asyncio.Event()
    talking = asyncio.ensure_future(talk.run(flooded.chat, stop))
    watching = asyncio.ensure_future(flooded.watch())
    await asyncio.sleep(8)
    calm, begun = time.monotonic() - 5, time.monotonic()
    await tell(flooder, "flood")
    await asyncio.sleep(seconds)
    await tell(flooder, "stop")
    ended = time.monotonic()
    await asyncio.sleep(15)
    witness.stopped.set()
    stop.set()
    await talking
    with contextlib.suppress(AssertionError):
        await eventually(lambda: not witness.delays.missing, "all comes out", DRAINED_WITHIN)
    print(await tell(flooder, "report"))
    watching.cancel()
    await asyncio.wait([watching])
    for name, delays in (("relay", witness.delays), ("chat", talk.delays)):
        print(
            f"  {name:<6} p50 / p99 / most, ms: before {shown(delays.between(calm, begun))};"
            f" during {shown(delays.between(begun, ended))};"
            f" after {shown(delays.between(ended, math.inf))};"
            f" {delays.well_since(ended)}; {delays.verdict}"
        )
    findings = await asyncio.to_thread(flooded.findings)
    print(
        f"  chat refused {talk.refused} of {len(talk.said)}, sent away {talk.visits - 2};"
        f" {findings}",
        flush=True,
    )


def main() -> None:
    """Play the floods that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floods", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []])
    parser.add_argument("--memory", default="128mb")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--compose", action="store_true", help="around the stack in containers")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}", flush=True)
    flood = containers if options.compose else processes
    for kind in options.kinds or KINDS:
        with flood(options.memory) as flooded:
            asyncio.run(play(kind, options.memory, options.seconds, flooded))


if __name__ == "__main__":
    main()
