"""The processes of a run: started, watched, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standalone import stack as stack_module
from standalone.stack import ROOT, Failed, Stack

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


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def test_start_and_stop(tmp_path: Path) -> None:
    """Processes would not run, not log, or not be gone when the stack has ended."""
    async with Stack(tmp_path) as stack:
        children = [await stack.start(name, SLEEPER, ENVIRON) for name in ("one", "two")]
        for child in children:
            await until(lambda child=child: child.tail() == "up")  # type: ignore[misc]
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
            await until(lambda child=child: child.tail() == "up")  # type: ignore[misc]
    assert order.read_text().split() == names[::-1]


async def test_stubborn_process_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM would keep the stack from ending."""
    monkeypatch.setattr(stack_module, "_TURN", 0.05)
    async with Stack(tmp_path, grace=0.2) as stack:
        child = await stack.start("stubborn", STUBBORN, ENVIRON)
        other = await stack.start("other", SLEEPER, ENVIRON)
        await until(lambda: child.tail() == other.tail() == "up")
    assert child.ended == "killed by SIGKILL"
    assert other.ended == "killed by SIGTERM"


async def test_death_is_noticed_with_its_log(tmp_path: Path) -> None:
    """A service that dies would go unnoticed, or the user would not learn why."""
    async with Stack(tmp_path) as stack:
        crash = [sys.executable, "-ISc", "import sys; print('bad setting'); sys.exit(2)"]
        child = await stack.start("broken", crash, ENVIRON)
        await until(lambda: child.ended is not None)
        with pytest.raises(Failed, match=r"(?s)broken ended: exit status 2.*bad setting"):
            stack.check()


async def test_restart_keeps_the_log(tmp_path: Path) -> None:
    """A restarted service would run twice, or its log would forget why it died."""
    async with Stack(tmp_path) as stack:
        child = await stack.start("fickle", SLEEPER, ENVIRON)
        await until(lambda: child.tail() == "up")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda: child.ended == "killed by SIGKILL")
        await stack.restart(child)
        await until(lambda: child.tail() == "up\nup")
        assert child.ended is None


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

            await until(both_alive)
            parent.send_signal(number)
            await until(lambda: at_end(reader))
        finally:
            parent.kill()
            parent.wait()
    # The reaper holds the lock until it has ended them all.
    async with Stack(home):
        pass
