"""The verb `try`: connect to a feed for ten seconds, and say what each frame is taken for.

It needs no Redis and writes nothing anywhere. It says to the feed what the ingestor would say, so
a feed that allows one connection only is taken away from an ingestor at work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

import uvloop

from chassis import clock, output
from chassis.command import CommandFailed, ask
from chassis.websocket import BatchingClient, ConnectionClosed, InvalidHandshake, dial
from relay.conversation import Conversation, Unready
from relay.feedfile import Feed, FeedFileError, load
from relay.frames.template import Values
from relay.talking import COMMAND_LIMIT, options
from relay.trial import Trial

SECONDS = 10.0

FILE = "feeds.toml"
"""Where the feeds are, unless FEEDS_FILE says otherwise."""

AGAIN = 0.05
"""Seconds between two looks at whether a ping is due."""


def main(arguments: Sequence[str]) -> int:
    """Try a feed; returns the exit status: 0 a message came, 1 none did, 2 misuse."""
    output.forgive()
    parser = argparse.ArgumentParser(prog="python -m ingestor", description=__doc__)
    command = parser.add_subparsers(dest="verb", required=True).add_parser(
        "try", help="say what each frame of a feed is taken for", description=__doc__
    )
    command.add_argument("feed", nargs="?", help="name of the feed; may be left out if one")
    command.add_argument("--seconds", type=float, default=SECONDS, help="how long (%(default)g)")
    chosen = parser.parse_args(arguments)
    file = os.environ.get("FEEDS_FILE", "").strip() or FILE
    try:
        feeds = load(file, os.environ)
    except FeedFileError as error:
        for mistake in error.mistakes:
            print(f"ingestor: {mistake}", file=sys.stderr)
        return 2
    name = chosen.feed or (next(iter(feeds)) if len(feeds) == 1 else "")
    if name not in feeds:
        print(f"ingestor: which feed? {file} has: {', '.join(feeds)}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Trying(feeds[name]).run(chosen.seconds))


class _Trying:
    def __init__(self, words: Feed) -> None:
        self._words = words
        self._conversation = Conversation(words)
        self._trial = Trial(words, self._conversation.hide)

    async def run(self, seconds: float) -> int:
        """Connect, listen and talk, and sum up."""
        try:
            came = await self._connect(seconds)
        except (CommandFailed, Unready, OSError, EOFError, InvalidHandshake) as error:
            self._tell([f"no connection: {str(error) or type(error).__name__}"])
            return 1
        self._tell(["", *self._trial.summary()])
        return 0 if came else 1

    async def _connect(self, seconds: float) -> bool:
        words, conversation = self._words, self._conversation
        if words.credentials:
            command = [text.render(Values()) or "" for text in words.credentials]
            conversation.secrets = await ask(command, COMMAND_LIMIT)
        plan = conversation.plan(_wall())
        async with dial(plan.url, **options(words, plan)) as connection:
            chosen = f", subprotocol {connection.subprotocol}" if connection.subprotocol else ""
            self._tell([f"connected{chosen}"])
            self._say(connection, conversation.opened(_now(), _wall()))
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.gather(self._listen(connection), self._ping(connection))
            except TimeoutError:
                pass
            except ConnectionClosed as closed:
                told = closed.rcvd
                why = f"{told.code} {told.reason}".strip() if told else "without a word"
                self._tell([f"closed: {why}"])
        return conversation.fruitful

    async def _listen(self, connection: BatchingClient) -> None:
        while True:
            for frame in await connection.receive():
                self._tell(self._trial.heard(frame))
                self._say(connection, self._conversation.heard(frame, _wall()))

    async def _ping(self, connection: BatchingClient) -> None:
        while True:
            await asyncio.sleep(max(AGAIN, min(self._conversation.due - _now(), 1.0)))
            self._say(connection, self._conversation.ping(_now(), _wall()))

    def _say(self, connection: BatchingClient, texts: Sequence[str]) -> None:
        for text in texts:
            connection.write([text.encode()])
            self._tell([self._trial.said(text)])

    def _tell(self, lines: Sequence[str], write: Callable[[str], None] = print) -> None:
        for line in lines:
            write(self._conversation.hide(line))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _wall() -> int:
    return clock.wall_us() // 1000
