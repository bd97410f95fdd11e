"""Under `make up` a changed file of feeds is taken over without being asked for."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from standalone.stack import Stack
from standalone.up import keep
from standalone.watch import Watched
from tests.support.waiting import eventually

HEARS = [
    sys.executable,
    "-ISc",
    "import signal, time\n"
    "signal.signal(signal.SIGHUP, lambda *_: print('heard', flush=True))\n"
    "print('up', flush=True)\n"
    "while True: time.sleep(600)",
]
TABLE = "[feed.x]\nurl = 'ws://x/?t=${TOKEN}'\n"


async def test_services_hear_of_a_changed_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed file would do nothing, or a half-written one be told of three times in logs."""
    file = tmp_path / "feeds.toml"
    file.write_text(TABLE)
    environ = {"FEEDS_FILE": str(file), "TOKEN": "t", "PATH": os.environ["PATH"]}
    stop = asyncio.Event()
    said = ""

    async def says(text: str) -> None:
        def found() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return text in said

        await eventually(found, f"it says {text!r}")

    async with Stack(tmp_path) as stack:
        names = ("valkey", "publisher", "orderer", "ingestor")
        children = {name: await stack.start(name, HEARS, environ) for name in names}
        for child in children.values():
            await eventually(lambda child=child: child.tail() == "up", "it is up")  # type: ignore[misc]
        keeping = asyncio.ensure_future(keep(stack, stop, Watched(environ)))
        file.write_text(TABLE + "idd = 'seq'\n")
        await says("not taken over:\n")
        await says("did you mean id?")
        assert {child.tail() for child in children.values()} == {"up"}
        file.write_text(TABLE + "id = 'seq'\n")
        await says("has changed and is taken over.")
        for name in names[1:]:
            await eventually(lambda name=name: children[name].tail(1) == "heard", "it hears")  # type: ignore[misc]
        other = tmp_path / "new.toml"
        other.write_text(TABLE)
        other.replace(file)  # as editors do
        for name in names[1:]:
            await eventually(
                lambda name=name: children[name].tail().count("heard") == 2,  # type: ignore[misc]
                "it hears again",
            )
        assert children["valkey"].tail() == "up"
        stop.set()
        await keeping


def test_there_is_no_file() -> None:
    """A stack without one would end, or hear of changes of the checkout."""
    assert not Watched({"FEEDS_FILE": " "}).changed()
    assert not Watched({"FEEDS_FILE": "/nowhere/feeds.toml"}).changed()
