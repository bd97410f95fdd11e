"""Commands that print credentials."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from chassis.command import CommandFailed, ask
from tests.support.peers import Run
from tests.support.waiting import eventually

PYTHON = sys.executable


def alive(status: Path) -> bool:
    try:
        return status.read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_printed(run: Run) -> None:
    """A token would not be found, or be cut."""

    async def scenario() -> None:
        code = "print('A=1\\n\\nB_2=x=y z\\nC=')"
        assert await ask([PYTHON, "-c", code], 10) == {"A": "1", "B_2": "x=y z", "C": ""}

    run(scenario())


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print('s3cr3t')", "line 1 that .* printed is not NAME=value"),
        ("print('A=1\\n1B=s3cr3t')", "line 2 that .* printed is not NAME=value"),
        ("import sys; print('A=s3cr3t'); sys.exit(3)", "ended with status 3"),
        ("print('A=' + 's3cr3t' * 20_000)", "printed more than 65536 bytes"),
        ("import os; os.write(1, b'A=\\xff')", "printed what is not UTF-8"),
    ],
)
def test_failures(run: Run, code: str, why: str) -> None:
    """A secret would stand in the log, or a half one be used."""

    async def scenario() -> None:
        with pytest.raises(CommandFailed, match=why) as error:
            await ask([PYTHON, "-c", code], 10)
        assert "s3cr3t" not in str(error.value)

    run(scenario())


def test_commands_that_are_none(run: Run, tmp_path: Path) -> None:
    """A misspelled command would end the service."""

    async def scenario() -> None:
        with pytest.raises(CommandFailed, match=r"cannot be run \(No such file or directory\)"):
            await ask([str(tmp_path / "nothing")], 10)
        with pytest.raises(CommandFailed, match=r"cannot be run \(Permission denied\)"):
            await ask([str(tmp_path)], 10)

    run(scenario())


def test_commands_that_do_not_end(run: Run, tmp_path: Path) -> None:
    """A command that hangs would keep a feed from being connected, or be left behind."""
    note = tmp_path / "pid"
    code = (
        "import os, subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); child.wait()"
    )

    async def scenario() -> None:
        with pytest.raises(CommandFailed, match=r"took longer than 1\.5 s"):
            await ask([PYTHON, "-c", code], 1.5)
        own, child = map(int, note.read_text().split())
        with pytest.raises(ProcessLookupError):
            os.kill(own, 0)
        # What it left behind is gone, too, or is about to be taken off by init.
        status = Path(f"/proc/{child}/stat")
        await eventually(lambda: not alive(status), "the child has ended")

    run(scenario())
