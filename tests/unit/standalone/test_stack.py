"""The processes of a run: started, watched, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standalone import stack as stack_module
from standalone.stack import ROOT, Failed, Stack
from tests.support.waiting import eventually

ENVIRON = {"PATH": os.environ["PATH"]}
SLEEPER = [sys.executable, "-ISc", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-ISc",
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(600)",
]


async def test_start_and_stop(tmp_path: Path) -> None:
    """Processes would not run, not log, or not be gone when the stack has ended."""
    async with Stack(tmp_path) as stack:
        children = [await stack.start(name, SLEEPER, ENVIRON) for name in ("one", "two")]
        for child in children:
            await eventually(lambda child=child: child.tail() == "up", "it is up")  # type: ignore[misc]
            assert child.ended is None
        stack.check()
    assert [child.ended for child in children] == ["killed by SIGTERM"] * 2


async def test_last_started_stops_first(tmp_path: Path) -> None:
    """A server would go before the services that still write to it while they drain."""
    order = tmp_path / "order"
    script = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    with open(sys.argv[1], 'a') as file: print(sys.argv[2], file=file)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    names = ["server", "middle", "front"]
    async with Stack(tmp_path) as stack:
        for name in names:
            command = [sys.executable, "-ISc", script, str(order), name]
            child = await stack.start(name, command, ENVIRON)
            await eventually(lambda child=child: child.tail() == "up", "it is up")  # type: ignore[misc]
    assert order.read_text().split() == names[::-1]


async def test_stubborn_process_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM would keep the stack from ending."""
    monkeypatch.setattr(stack_module, "_TURN", 0.05)
    async with Stack(tmp_path, grace=0.2) as stack:
        child = await stack.start("stubborn", STUBBORN, ENVIRON)
        other = await stack.start("other", SLEEPER, ENVIRON)
        await eventually(lambda: child.tail() == other.tail() == "up", "both are up")
    assert child.ended == "killed by SIGKILL"
    assert other.ended == "killed by SIGTERM"


async def test_death_is_noticed_with_its_log(tmp_path: Path) -> None:
    """A service that dies would go unnoticed, or the user would not learn why."""
    async with Stack(tmp_path) as stack:
        crash = [sys.executable, "-ISc", "import sys; print('bad setting'); sys.exit(2)"]
        child = await stack.start("broken", crash, ENVIRON)
        await eventually(lambda: child.ended is not None, "it has ended")
        with pytest.raises(Failed, match=r"(?s)broken ended: exit status 2.*bad setting"):
            stack.check()


async def test_restart_keeps_the_log(tmp_path: Path) -> None:
    """A restarted service would run twice, or its log would forget why it died."""
    async with Stack(tmp_path) as stack:
        child = await stack.start("fickle", SLEEPER, ENVIRON)
        await eventually(lambda: child.tail() == "up", "it is up")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await eventually(lambda: child.ended == "killed by SIGKILL", "its death is noticed")
        await stack.restart(child)
        await eventually(lambda: child.tail() == "up\nup", "it is up again")
        assert child.ended is None


TALKER = [sys.executable, "-ISuc", "for n in range(10**9): print(f'{n:09}', '.' * 90, flush=True)"]


async def test_logs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that is left running would fill the disk with its logs."""
    monkeypatch.setattr(stack_module, "LOG_BYTES", 100_000)
    async with Stack(tmp_path) as stack:
        child = await stack.start("talker", TALKER, ENVIRON)
        former = stack_module.former(child.log)
        for _ in range(3):
            await eventually(lambda: child.log.stat().st_size >= 100_000, "the log is long")
            child.rotate()
            assert former.stat().st_size >= 100_000
        await eventually(lambda: child.log.stat().st_size > 1_000, "it goes on")
        assert not child.log.read_bytes().startswith(b"\0")
        assert child.log.stat().st_size < 2**22
    async with Stack(tmp_path) as stack:
        last = child.log.read_bytes()
        await stack.start("talker", SLEEPER, ENVIRON)
        assert former.read_bytes() == last  # what the last run said, and why it ended


async def test_a_home_that_cannot_be(tmp_path: Path) -> None:
    """Who has a checkout that is not theirs would see a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match=r"cannot write to .*file/home: .*--home"):
        async with Stack(tmp_path / "file" / "home"):
            pass


async def test_an_error_stops_everything(tmp_path: Path) -> None:
    """A bug in the stack's own program would leave its processes running."""
    with pytest.raises(ZeroDivisionError):
        async with Stack(tmp_path) as stack:
            child = await stack.start("one", SLEEPER, ENVIRON)
            raise ZeroDivisionError
    assert child.ended == "killed by SIGTERM"


async def test_one_run_per_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers would write the same data at the same time."""
    monkeypatch.setattr(stack_module, "PATIENCE", 0.0)
    async with Stack(tmp_path):
        with pytest.raises(Failed, match="another run"):
            async with Stack(tmp_path):
                pass
    async with Stack(tmp_path):
        pass


PARENT = """
import asyncio, sys
from pathlib import Path
from standalone.stack import Stack

# The child holds the FIFO open for as long as it lives.
CHILD = '''
import signal, sys, time
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = open(sys.argv[2], "w")
held.write(".")
held.flush()
time.sleep(600)
'''

async def main(home, fifo):
    async with Stack(Path(home)) as stack:
        for name in ("stubborn", "plain"):
            await stack.start(name, [sys.executable, "-ISc", CHILD, name, fifo], {})
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def fifo_at(path: Path) -> Iterator[int]:
    """Open a FIFO for reading, without waiting for a writer."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


def at_end(reader: int) -> bool:
    """Tell whether nobody has the FIFO open for writing any more."""
    with contextlib.suppress(BlockingIOError):
        return os.read(reader, 1) == b""
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_orphans(tmp_path: Path, number: signal.Signals) -> None:
    """Services would live on, and hold their ports, after the terminal program was killed."""
    home = tmp_path / "home"
    with fifo_at(tmp_path / "fifo") as reader:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(home), str(tmp_path / "fifo")], cwd=ROOT
        )
        try:
            alive = 0

            def both_alive() -> bool:
                nonlocal alive
                with contextlib.suppress(BlockingIOError):
                    alive += len(os.read(reader, 2))
                return alive == 2

            await eventually(both_alive, "both live")
            parent.send_signal(number)
            await eventually(lambda: at_end(reader), "both are gone")
        finally:
            parent.kill()
            parent.wait()
    # The reaper holds the lock until it has ended them all.
    async with Stack(home):
        pass
