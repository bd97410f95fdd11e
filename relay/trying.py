"""The verb `try`: talk with a peer for some seconds as a service would, and tell what comes of it.

It needs no Redis and writes nothing anywhere. It says to the peer what the service would say, so
a peer that allows one connection only is taken away from a service at work. What comes is judged by
a `Trial`, which is pure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import uvloop

from chassis import output
from chassis.websocket import BatchingClient, ConnectionClosed, InvalidHandshake, dial

from .feedfile import FeedFileError
from .feeds import FILE
from .talking import NotReady, Talk, send, wall

T = TypeVar("T")

SECONDS = 10.0

LONGEST = 86400.0

USUAL = "feeds.toml"
"""Where the feeds are, unless the setting says otherwise."""


class Trial(Protocol):
    """What came of a peer so far. What it returns are lines for a person."""

    def heard(self, frame: bytes, answers: Sequence[str], /) -> list[str]:
        """Take in a frame, which is going to be answered so."""

    def said(self, text: str) -> str:
        """Note what was sent."""

    def closed(self, why: str) -> str:
        """Note that the connection has ended before its time."""

    def summary(self) -> list[str]:
        """Say what came in all, and what might be better."""

    @property
    def good(self) -> bool:
        """Whether the service could work like this."""


class Trying:
    """One connection to a peer, for a person to look at."""

    def __init__(self, talk: Talk, trial: Trial, **options: Any) -> None:
        """Prepare to `talk`, and to have `trial` judge; `options` are for dialing."""
        self._talk = talk
        self._trial = trial
        self._options = options

    async def run(self, seconds: float) -> int:
        """Connect, listen and talk, and sum up; returns the exit status."""
        try:
            await self._connect(seconds)
        except (NotReady, OSError, EOFError, InvalidHandshake) as error:
            self.tell([f"no connection: {str(error) or type(error).__name__}"])
            return 1
        self.tell(["", *self._trial.summary()])
        return 0 if self._trial.good else 1

    async def _connect(self, seconds: float) -> None:
        url, options = await self._talk.target()
        async with dial(url, **options, **self._options) as connection:
            chosen = f", subprotocol {connection.subprotocol}" if connection.subprotocol else ""
            self.tell([f"connected{chosen}"])
            try:
                async with asyncio.timeout(seconds):
                    await self._listen(connection)
            except TimeoutError:
                pass
            except ConnectionClosed as closed:
                self.tell([self._trial.closed(_why(closed))])

    async def _listen(self, connection: BatchingClient) -> None:
        speaking = _Speaking(connection, lambda text: self.tell([self._trial.said(text)]))
        async with self._talk.on(speaking, asyncio.Event()):
            self._connected(connection)
            while True:
                for frame in await connection.receive():
                    answers = self._talk.conversation.heard(frame, wall())
                    self.tell(self._trial.heard(frame, answers))
                    send(speaking, answers)

    def _connected(self, connection: BatchingClient) -> None:
        """Do what else is to be done on a connection, when its opening has been said."""

    def tell(self, lines: Iterable[str]) -> None:
        """Show lines, and in none of them a secret."""
        for line in lines:
            print(self._talk.hide(line))


class _Speaking:
    """A connection of which it is told what is said on it."""

    def __init__(self, connection: BatchingClient, said: Callable[[str], None]) -> None:
        self._connection = connection
        self._said = said

    def write(self, messages: Iterable[bytes]) -> None:
        """Write text messages; raises ConnectionClosed."""
        messages = list(messages)
        self._connection.write(messages)
        for message in messages:
            self._said(message.decode())

    @property
    def unwritten(self) -> int:
        """Bytes that the kernel has not yet taken."""
        return self._connection.unwritten

    def abort(self) -> None:
        """Drop the connection at once."""
        self._connection.abort()


def main(
    service: str, about: str, names: Mapping[str, str], arguments: Sequence[str],
    choose: Callable[..., Trying],
) -> int:  # fmt: skip
    """Try what `arguments` name; returns the exit status: 0 good, 1 not, 2 misuse.

    `names` says of each name that may be given what it is; `choose` gets the file's name and these,
    an empty one if it was not given, and raises FeedFileError.
    """
    output.forgive()
    parser = argparse.ArgumentParser(prog=f"python -m {service} try", description=about)
    for name, what in names.items():
        parser.add_argument(name, nargs="?", default="", help=what)
    parser.add_argument("--seconds", type=_seconds, default=SECONDS, help="how long (%(default)g)")
    chosen = parser.parse_args(arguments)
    file = os.environ.get(FILE, "").strip() or USUAL
    try:
        trying = choose(file, *[getattr(chosen, name) for name in names])
    except FeedFileError as error:
        for mistake in error.mistakes:
            print(f"{service}: {mistake}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(trying.run(chosen.seconds))


def pick(name: str, among: Mapping[str, T], which: str) -> T:
    """Get what has this name, or the only one; raises FeedFileError, which asks `which`."""
    if not name and len(among) == 1:
        return next(iter(among.values()))
    if name not in among:
        raise FeedFileError([f"{which} {', '.join(among)}"])
    return among[name]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 … {LONGEST:g}")
    return seconds


def _why(closed: ConnectionClosed) -> str:
    """Say who has ended a connection, and with which words."""
    told = closed.rcvd or closed.sent
    if told is None:
        return "without a word"
    ours = "" if closed.rcvd else "by us: "
    return f"{ours}{told.code} {told.reason}".strip()
