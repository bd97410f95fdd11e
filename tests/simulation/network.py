"""The network between simulated processes and the simulated server, and what goes wrong on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TimedOut

from .loop import VirtualLoop
from .redis import Server

HOP = 0.0003
"""Seconds that a request or a reply is on its way, about."""

POLL = 0.02
"""Seconds between two looks of a blocking read."""


@dataclass
class Faults:
    """How often what goes wrong, as chances of one exchange."""

    lost_request: float = 0.0
    lost_reply: float = 0.0
    stall: float = 0.0
    """It arrives only after a time in which a lease can run out, and its sender has given up."""


class Process:
    """One process: it may be killed, between any two instructions that the world can see."""

    def __init__(self, name: str, *, stalls: bool = True) -> None:
        """Describe a process; `stalls`: a request may arrive although it was given up."""
        self.name = name
        self.stalls = stalls
        self.alive = True
        self.frozen_until = 0.0

    def kill(self) -> None:
        """End it: nothing more goes out, nothing more comes in; what is on its way arrives."""
        self.alive = False


class Network:
    """Carries commands of processes to the server and replies back."""

    def __init__(self, loop: VirtualLoop, server: Server, dice: random.Random) -> None:
        self.loop = loop
        self.server = server
        self.faults = Faults()
        self.up = True
        """Whether the server can be reached."""
        self.executed: list[Callable[[Sequence[Any], Any], None]] = []
        """Called with each command and its reply, once it was executed."""
        self._dice = dice
        self._generation = 0

    def cut(self) -> None:
        """Drop all connections, with what is on its way."""
        self._generation += 1

    def client(self, process: Process) -> Callable[[float], Client]:
        """Make what makes a process's connections."""
        return lambda timeout: Client(self, process, timeout)

    async def exchange(
        self, process: Process, commands: Sequence[Sequence[Any]], timeout: float
    ) -> list[Any]:
        """Have commands executed one after the other; errors stand in place of replies."""
        dice, faults = self._dice, self.faults
        await self._pass(process, HOP * dice.random())
        reply: asyncio.Future[list[Any]] = self.loop.create_future()
        generation = self._generation
        delay = HOP * (0.5 + dice.random())
        lost = dice.random() < faults.lost_request
        unanswered = dice.random() < faults.lost_reply and process.stalls
        if dice.random() < faults.stall and process.stalls:
            delay += dice.choice([0.5, 3.0, 6.0])

        def execute() -> None:
            if not self.up or lost or generation != self._generation:
                return
            replies = [self._execute(command) for command in commands]
            nothing = replies == [None] and commands[0][0] == "XREAD" and "BLOCK" in commands[0]
            if nothing and not reply.done() and process.alive and self.loop.time() < until:
                self.loop.call_later(POLL, execute)
            elif not process.stalls:
                answer(replies)
            elif not unanswered:
                self.loop.call_later(HOP * (0.5 + dice.random()), answer, replies)

        def answer(replies: list[Any]) -> None:
            if not reply.done() and generation == self._generation:
                reply.set_result(replies)

        until = self.loop.time() + 1.0
        self.loop.call_later(delay, execute)
        try:
            async with asyncio.timeout(timeout):
                replies = await reply
        except TimeoutError:
            await self._pass(process, 0)
            if generation != self._generation:
                raise Disconnected("cut") from None
            raise TimedOut("no reply") from None
        await self._pass(process, 0)
        return replies

    async def _pass(self, process: Process, seconds: float) -> None:
        """Let time go by for a process; a dead one never goes on."""
        if seconds:
            await asyncio.sleep(seconds)
        while process.alive and (left := process.frozen_until - self.loop.time()) > 0:  # noqa: ASYNC110 # it may be frozen again
            await asyncio.sleep(left)
        if not process.alive:
            await self.loop.create_future()

    def _execute(self, command: Sequence[Any]) -> Any:
        try:
            reply = self.server.execute(*command)
        except ResponseError as error:
            return error
        for listener in self.executed:
            listener(command, reply)
        return reply


class Client:
    """What a link needs of a connection."""

    def __init__(self, network: Network, process: Process, timeout: float) -> None:
        self._network = network
        self._process = process
        self._timeout = timeout

    async def exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together."""
        return await self._network.exchange(self._process, commands, self._timeout)

    async def close(self) -> None:
        """Close nothing."""
