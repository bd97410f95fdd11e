"""Run the chat client: `python -m chat.client [url]`.

Exit status: 0 left, 1 not wanted by the server or messages not sent, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from chassis import output

from . import text
from .link import Link, Refused, address
from .shell import HELP, piped, write

DEFAULT = "ws://127.0.0.1:4000/"


def parse(arguments: list[str]) -> str:
    """Read the command line; returns the room's address."""
    parser = argparse.ArgumentParser(
        prog="python -m chat.client",
        description="Chat in a terminal, or through a pipe: lines in, lines out.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", default=DEFAULT, help=f"the room (default {DEFAULT})")
    given = parser.parse_args(arguments).url
    try:
        return address(given)
    except ValueError as error:
        parser.error(f"{given}: {error}")


async def chat(url: str) -> int:
    """Talk until the user leaves; returns the exit status."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        try:
            from .terminal import Screen, interactive
        except ModuleNotFoundError as error:
            if error.name != "prompt_toolkit":
                raise
            write(text.problem("prompt_toolkit is not installed; incoming lines may tear yours"))
        else:
            screen = Screen()
            link = Link(url, screen.show)
            return await interactive(link, screen)
    return await piped(Link(url, write))


async def main(url: str) -> int:
    """Run the client until it ends or is told to; returns the exit status."""
    task = asyncio.ensure_future(chat(url))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except Refused as error:
        print(f"! {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 0


if __name__ == "__main__":
    output.forgive()
    target = parse(sys.argv[1:])
    try:
        status = asyncio.run(main(target))
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # Who reads us has had enough; and the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 0
    sys.exit(status)
