"""Run a command that prints credentials, as kubectl's and git's helpers do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Sequence

from .tasks import end

LARGEST = 64 * 1024
"""Bytes that a command may print."""


class CommandFailed(Exception):
    """A command did not say what it should; the message holds nothing of what it printed."""


async def ask(command: Sequence[str], within: float) -> dict[str, str]:
    """Run `command` and get the `NAME=value` lines that it prints.

    What it writes to its standard error is not read: it may be a secret. Raises CommandFailed if
    it cannot be run, fails, prints anything else, or takes longer than `within` seconds.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise CommandFailed(f"{command[0]} cannot be run ({why})") from None
    reading = asyncio.ensure_future(_output(process))
    try:
        async with asyncio.timeout(within):
            output = await asyncio.shield(reading)
            status = await process.wait()
    except TimeoutError:
        raise CommandFailed(f"{command[0]} took longer than {within:g} s") from None
    finally:
        await end(reading)
        # What it has started goes with it.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if status != 0:
        raise CommandFailed(f"{command[0]} ended with status {status}")
    return _parsed(output, command[0])


async def _output(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    output = b""
    while piece := await process.stdout.read(LARGEST):
        output += piece
        if len(output) > LARGEST:
            return output
    return output


def _parsed(output: bytes, name: str) -> dict[str, str]:
    if len(output) > LARGEST:
        raise CommandFailed(f"{name} printed more than {LARGEST} bytes")
    try:
        lines = output.decode().splitlines()
    except UnicodeDecodeError:
        raise CommandFailed(f"{name} printed what is not UTF-8") from None
    found = {}
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", line, re.ASCII)
        if match is None:
            raise CommandFailed(f"line {at} that {name} printed is not NAME=value")
        found[match[1]] = match[2]
    return found
