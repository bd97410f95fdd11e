"""The client on a terminal: a line being typed stays whole, whatever comes in above it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from . import text
from .link import Link
from .shell import PARTING, obey, stay

BATCH = 0.02
"""Seconds for which incoming lines are collected, so that a busy room costs few redraws."""

STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "own": "bold",
        "name0": "ansicyan",
        "name1": "ansigreen",
        "name2": "ansiyellow",
        "name3": "ansimagenta",
        "name4": "ansiblue",
        "name5": "ansibrightred",
        "notice": "ansibrightblack",
        "problem": "ansired",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)


class Screen:
    """Prints lines above the prompt, those of one moment together."""

    def __init__(self) -> None:
        self._lines: deque[text.Line] = deque()
        self._news = asyncio.Event()

    def show(self, line: text.Line) -> None:
        """Print a line soon."""
        self._lines.append(line)
        self._news.set()

    async def run(self) -> None:
        """Print what comes, for ever."""
        while True:
            await self._news.wait()
            await asyncio.sleep(BATCH)
            self.flush()

    def flush(self) -> None:
        """Print what has been collected."""
        self._news.clear()
        width = os.get_terminal_size(1).columns
        pieces = [
            (f"class:{style}" if style else "", words)
            for line in self._lines
            for style, words in (*text.wrapped(line, width), ("", "\n"))
        ]
        self._lines.clear()
        if pieces:
            print_formatted_text(FormattedText(pieces), style=STYLE, end="")


async def interactive(link: Link, screen: Screen) -> int:
    """Let the user read and type; returns the exit status."""
    # What is typed vanishes with Enter: it appears in its place in the room when it is there.
    session: PromptSession[str] = PromptSession(erase_when_done=True, style=STYLE)

    def toolbar() -> str:
        waiting = len(link.outbox)
        people = "" if link.room.online is None else f" · {link.room.online} here"
        return f"{link.state}{people}" + (f" · {waiting} unsent" if waiting else "")

    async def typing() -> None:
        with suppress(EOFError, KeyboardInterrupt):
            while await obey(
                link,
                screen.show,
                await session.prompt_async(
                    lambda: f"{link.room.client_id or '…'}> ",
                    bottom_toolbar=toolbar,
                    refresh_interval=0.5,
                ),
            ):
                pass

    with patch_stdout():
        printing = asyncio.create_task(screen.run())
        try:
            return await stay(link, typing(), PARTING, screen.show)
        finally:
            printing.cancel()
            screen.flush()
