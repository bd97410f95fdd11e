"""Shows how the demo is getting on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from chassis import clock

from .summary import Delay, count


@dataclass(frozen=True)
class Snapshot:
    """Where the relay stands; None where nothing is known (yet)."""

    total: int
    sent: int
    received: int
    held: int | None = None
    lag: float | None = None
    """Seconds from now back to the oldest message that has not been passed on."""
    gaps: int | None = None
    delay: Delay | None = None


class Display(Protocol):
    """Shows snapshots between entering and leaving it."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...

    def show(self, now: Snapshot) -> None:
        """Show a snapshot."""


class Rate:
    """Messages per second over the last few snapshots."""

    def __init__(self, now: Callable[[], float] = clock.monotonic, window: float = 2.0) -> None:
        self._clock = now
        self._window = window
        self._points: deque[tuple[float, int]] = deque()

    def at(self, received: int) -> float:
        """Note how many have been received by now and return the rate."""
        now = self._clock()
        self._points.append((now, received))
        while len(self._points) > 2 and now - self._points[0][0] > self._window:
            self._points.popleft()
        since, before = self._points[0]
        return (received - before) / (now - since) if now > since else 0.0


class Lines(contextlib.AbstractContextManager["Lines"]):
    """One plain line a second, for logs and pipes."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float]) -> None:
        self._write = write
        self._clock = now
        self._rate = Rate(now)
        self._began = now()
        self._last = -1.0

    def __exit__(self, *_error: object) -> None:
        return None

    def show(self, now: Snapshot) -> None:
        """Write a line, unless the last one is younger than a second."""
        rate = self._rate.at(now.received)
        passed = self._clock() - self._began
        if self._last >= 0 and passed - self._last < 0.95:
            return
        self._last = passed
        parts = [
            f"{passed:5.1f} s",
            f"{count(now.received)} of {count(now.total)} in order",
            f"{count(round(rate))}/s",
            *(f"{label} {value}" for label, value in figures(now)),
        ]
        self._write("  ".join(parts))


class Bar(contextlib.AbstractContextManager["Bar"]):
    """A bar and a row of figures that are redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._rate = Rate()
        self._bar = Progress(
            TextColumn("in order"),
            BarColumn(bar_width=40),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}/s"),
            console=console,
        )
        self._task = self._bar.add_task("", total=None, rate="0")
        self._live = Live(self._bar, console=console, auto_refresh=False)

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()

    def show(self, now: Snapshot) -> None:
        """Redraw."""
        self._bar.update(
            self._task,
            total=now.total,
            completed=now.received,
            rate=count(round(self._rate.at(now.received))),
        )
        row = Table.grid(padding=(0, 3))
        row.add_row(*(f"[dim]{label}[/dim] {value}" for label, value in figures(now)))
        self._live.update(Group(self._bar, row), refresh=True)


def figures(now: Snapshot) -> list[tuple[str, str]]:
    """Label what is known beyond the number of messages."""
    known = [("sent", count(now.sent))]
    if now.held is not None:
        known.append(("held", count(now.held)))
    if now.lag is not None:
        known.append(("lag", f"{now.lag:.2f} s"))
    if now.gaps is not None:
        known.append(("gaps", count(now.gaps)))
    if now.delay is not None:
        known.append(("delay median", f"{now.delay.median:.1f} ms"))
        known.append(("p99", f"{now.delay.p99:.1f} ms"))
    return known


def display(console: Console) -> Display:
    """Choose the display that suits where the output goes."""
    if console.is_terminal:
        return Bar(console)
    return Lines(lambda line: print(line, flush=True), clock.monotonic)
