"""What is typed: commands and messages, from a terminal or a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from chassis import clock
from chassis.output import visible

from . import text
from .link import Link

HELP = """\
type a message and press Enter; commands are
  /who    who is in the room
  /stats  this connection in figures
  /help   this list
  /quit   leave (so does Ctrl-D)
  //text  send a message that starts with a slash"""

LINGER = 10.0
"""Seconds that a piped client waits for the room, and for acknowledgements, after its input."""

PARTING = 2.0
"""Seconds that a client on a terminal waits for acknowledgements before it leaves."""

LINES_AHEAD = 100
"""Lines read from a pipe before they are dealt with."""

Show = Callable[[text.Line], None]


async def obey(link: Link, show: Show, line: str) -> bool:
    """Do what a line says; False if it says to leave."""
    if not line.strip():
        return True
    if not line.startswith("/") or line.startswith("//"):
        await link.say(line.removeprefix("/") if line.startswith("//") else line)
        return True
    match line.split()[0]:
        case "/quit" | "/exit":
            return False
        case "/who":
            if not await link.ask_who():
                show(text.problem("nobody answers"))
        case "/stats":
            for told in link.stats.lines(clock.monotonic(), len(link.outbox)):
                show(text.notice(told))
        case "/help":
            show(text.notice(HELP))
        case command:
            show(text.problem(f"no such command: {visible(command)} (see /help)"))
    return True


async def stay(link: Link, typing: Coroutine[Any, Any, None], patience: float, show: Show) -> int:
    """Be in the room while `typing` goes on; returns the exit status.

    When typing has ended, waits up to `patience` seconds for what is still on its way.
    Raises `Refused` when the server does not want us.
    """
    running = asyncio.create_task(link.run())
    typed = asyncio.create_task(typing)
    try:
        await asyncio.wait({running, typed}, return_when=asyncio.FIRST_COMPLETED)
        if typed.done():
            typed.result()
            await _wait(link.settled(), patience, running)
    finally:
        await link.close()
        await _end(typed)
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await asyncio.wait({running})
        await _end(running)
    if running.done() and not running.cancelled():
        running.result()
    unsent = len(link.outbox)
    if unsent:
        show(text.problem(f"{unsent} not sent"))
    return 1 if unsent or link.failed else 0


async def _wait(
    wanted: Coroutine[Any, Any, Any], patience: float, *instead: asyncio.Task[Any]
) -> None:
    """Wait for this, or for `patience` seconds, or until one of the others is done `instead`."""
    task = asyncio.create_task(wanted)
    await asyncio.wait({task, *instead}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    await _end(task)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task; again, where Python 3.11 swallows it."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)


# Without a terminal -------------------------------------------------------------------------


def write(line: text.Line) -> None:
    """Print a line of the room to the output, and what is about it to the error output."""
    stream = sys.stderr if line[0][0] in ("notice", "problem") else sys.stdout
    if stream.isatty():
        line = text.wrapped(line, os.get_terminal_size(stream.fileno()).columns)
    print(text.plain(line), file=stream, flush=True)


async def piped(link: Link) -> int:
    """Send the lines of the standard input; returns the exit status."""

    async def typing() -> None:
        async for line in _lines():
            if line.startswith("/") and not line.startswith("//"):
                await _wait(link.entered.wait(), LINGER)  # in the order written
                await _wait(link.settled(), LINGER)
            if not await obey(link, write, line):
                return
        # Who pipes nothing wants to see the room, so be there once.
        await _wait(link.entered.wait(), LINGER)
        if not link.entered.is_set():
            raise ConnectionError("no connection")

    try:
        return await stay(link, typing(), LINGER, write)
    except ConnectionError as error:
        write(text.problem(str(error)))
        return 1


async def _lines() -> AsyncIterator[str]:
    """Read the standard input, whatever it is; files cannot be awaited, so a thread reads."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(LINES_AHEAD)

    def read() -> None:
        with suppress(RuntimeError):  # the loop has ended first
            # Not sys.stdin: its lock would hold up the end of the interpreter.
            with open(os.dup(0), encoding="utf-8", errors="replace") as stdin:
                for line in stdin:
                    asyncio.run_coroutine_threadsafe(queue.put(line.rstrip("\n")), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line
