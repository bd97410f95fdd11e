"""The demo's command line and display, and how `up` keeps services alive."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from standalone import __main__ as program
from standalone import up
from standalone.progress import Bar, Lines, Snapshot
from standalone.stack import Stack
from standalone.summary import Delay
from standalone.watch import Watched
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own settings out."""
    for name in ("INGESTOR_URL", "PUBLISHER_URL", "SIMULATOR_MESSAGES", "SIMULATOR_RATE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["demo", "--messages", "0"],
        ["demo", "--messages", "many"],
        ["demo", "--rate", "-1"],
        ["demo", "--rate", "nan"],
        ["up", "--messages", "5"],
    ],
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nonsense on the command line would start a stack, or fail with a traceback."""
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["INGESTOR_URL", "PUBLISHER_URL"])
def test_demo_measures_the_built_in_pair(
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The demo would flood the user's own endpoint, or wait for reports that never come."""
    monkeypatch.setenv(variable, "ws://example.org/")
    assert program.main(["demo", "--home", str(tmp_path)]) == 2
    assert f"{variable} is set" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_simulators_variables_are_the_demos_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIMULATOR_MESSAGES and SIMULATOR_RATE in the environment would have no effect."""
    assert vars(program.parser().parse_args(["demo"]))["messages"] == 100_000
    monkeypatch.setenv("SIMULATOR_MESSAGES", "50 000")
    monkeypatch.setenv("SIMULATOR_RATE", "0")
    options = program.parser().parse_args(["demo"])
    assert (options.messages, options.rate) == (50_000, 0)
    assert program.parser().parse_args(["demo", "--messages", "7"]).messages == 7


SNAPSHOT = Snapshot(
    total=100_000, sent=3000, received=2000, held=12, lag=0.0, gaps=1, delay=Delay(0.3, 1.4, 4.9)
)


def test_plain_lines() -> None:
    """A log would get no progress, wrong figures, or a line for every look."""
    lines: list[str] = []
    times = iter([100.0, 100.0, 100.0, 100.5, 100.5, 101.0, 101.0, 102.0, 102.0])
    display = Lines(lines.append, lambda: next(times))
    for received in (0, 1000, 2000):
        display.show(Snapshot(total=100_000, sent=received, received=received))
    display.show(SNAPSHOT)
    assert lines == [
        "  0.0 s  0 of 100 000 in order  0/s  sent 0",
        "  1.0 s  2 000 of 100 000 in order  2 000/s  sent 2 000",
        "  2.0 s  2 000 of 100 000 in order  1 000/s  sent 3 000  held 12  lag 0.00 s  gaps 1"
        "  delay median 1.4 ms  p99 4.9 ms",
    ]


def test_bar() -> None:
    """The live display would crash, or leave figures out."""
    console = Console(force_terminal=True, width=120, record=True)
    with Bar(console) as bar:
        bar.show(Snapshot(total=100_000, sent=0, received=0))
        bar.show(SNAPSHOT)
    shown = console.export_text()
    for figure in ("2%", "2000/100000", "sent 3 000", "held 12", "gaps 1", "p99 4.9 ms"):
        assert figure in shown


async def test_up_starts_again_what_died(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crashed service would stay away, or come back without a word."""
    stop = asyncio.Event()
    script = "import time; print('up', flush=True); time.sleep(600)"
    async with Stack(tmp_path) as stack:
        environ = {"PATH": os.environ["PATH"]}
        child = await stack.start("fickle", [sys.executable, "-ISc", script], environ)
        keeping = asyncio.ensure_future(up.keep(stack, stop, Watched({})))
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: child.pid != first and not child.ended, "it runs again")
        stop.set()
        await keeping
    said = capsys.readouterr().out
    assert "fickle ended: killed by SIGKILL; again in 0." in said
    assert "fickle started again" in said
