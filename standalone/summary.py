"""The demo's closing words and its exit status, from what the parts reported.

Pure: reports in, text out. The simulator's endpoint counts what it received, the simulator's
feed what it sent, and the gap ledger what was given up on the way and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import histogram
from .histogram import Rows


@dataclass(frozen=True)
class Gap:
    """A hole in the output, from `first` to `last`, as it stands in the ledger."""

    first: int
    last: int
    cause: str

    @property
    def size(self) -> int:
        """Count the ids that are missing."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Delay:
    """Milliseconds from receiving a message to sending it."""

    min: float
    median: float
    p99: float


@dataclass(frozen=True)
class Outcome:
    """What is known at the end of a demo.

    `sent` is how many messages the feed sent, and `finished` whether that is all it has; the
    rest is what the endpoint saw. `unfinished` tells why the demo ended before everything had
    arrived.
    """

    sent: int = 0
    finished: bool = False
    received: int = 0
    missing: int = 0
    repeated: int = 0
    out_of_order: int = 0
    corrupted: int = 0
    unknown: int = 0
    seconds: float = 0.0
    delay: Delay | None = None
    added: Delay | None = None
    delays: Rows = ()
    """How many messages had which delay."""
    gaps: Sequence[Gap] = field(default_factory=list)
    unfinished: str = ""

    @property
    def arrived(self) -> int:
        """Count the messages that the endpoint received, each once."""
        return max(0, self.received - self.repeated - self.unknown)

    @property
    def complete(self) -> bool:
        """Whether the feed has sent all it has, and all of that arrived."""
        return self.finished and self.arrived >= self.sent and not self.missing

    @property
    def sorted(self) -> bool:
        """Whether what arrived was right: in order, each once, and as it was sent."""
        return not (self.repeated or self.out_of_order or self.corrupted or self.unknown)


def outcome(
    feed: Mapping[str, Any] | None,
    report: Mapping[str, Any] | None,
    gaps: Sequence[Gap],
    unfinished: str = "",
    delays: Rows = (),
) -> Outcome:
    """Read the simulator's answers to `GET /feed` and, for one surname, `GET /report`.

    Either may be None, when nobody answered or nobody had connected.
    """
    feed = feed or {}
    report = report or {}
    return Outcome(
        sent=feed.get("sent", 0),
        finished=feed.get("finished", False),
        received=report.get("received", 0),
        missing=report.get("missing", 0),
        repeated=report.get("repeated", 0),
        out_of_order=report.get("out_of_order", 0),
        corrupted=report.get("corrupted", 0),
        unknown=report.get("unknown", 0),
        seconds=report.get("seconds") or 0.0,
        delay=delay(report.get("delay_ms")),
        added=delay(report.get("added_ms")),
        delays=delays,
        gaps=gaps,
        unfinished=unfinished,
    )


def delay(reported: Mapping[str, float | None] | None) -> Delay | None:
    """Read a delay as the simulator reports it; None while nothing has been measured."""
    least, median, p99 = ((reported or {}).get(name) for name in ("min", "median", "p99"))
    if least is None or median is None or p99 is None:
        return None
    return Delay(least, median, p99)


def status(result: Outcome) -> int:
    """Decide the exit status: 0 only if the order was right and nothing was lost."""
    return 0 if result.sorted and result.complete and not result.unfinished else 1


def text(result: Outcome) -> str:
    """Write the closing words: the figures, and the delays as bars."""
    return "\n".join([figures(result), *histogram.bars(result.delays)])


def figures(result: Outcome) -> str:
    """Write what came out, a line for each figure."""
    lines = []
    if result.unfinished:
        lines.append(f"Not finished: {result.unfinished}")
    lines.append(f"Messages sent      {count(result.sent)}")
    if result.sorted and result.complete:
        verdict = "ALL came out sorted and complete"
        detail = "0 missing, 0 repeated, 0 out of order, 0 corrupted"
    elif result.sorted:
        verdict = "sorted, but NOT complete"
        detail = _faults(result)
    elif result.complete:
        verdict = "complete, but NOT right"
        detail = _faults(result)
    else:
        verdict = "NEITHER right NOR complete"
        detail = _faults(result)
    lines.append(f"Messages received  {count(result.arrived)}: {verdict} ({detail})")
    if result.seconds > 0:
        rate = result.arrived / result.seconds
        lines.append(f"Time taken         {result.seconds:.2f} s to send them in order")
        lines.append(f"Throughput         {count(round(rate))} messages per second")
    if result.delay:
        lines.append(f"Receive → send     {_delay(result.delay)}")
    if result.added:
        lines.append(f"  of it our own    {_delay(result.added)} (once the earlier ids had come)")
    lines.append(f"Gaps given up      {causes(result.gaps)}")
    return "\n".join(lines)


def causes(gaps: Sequence[Gap]) -> str:
    """Sum up the gap ledger by cause."""
    if not gaps:
        return "none"
    holes = Counter(gap.cause for gap in gaps)
    ids: Counter[str] = Counter()
    for gap in gaps:
        ids[gap.cause] += gap.size
    return ", ".join(
        f"{count(number)} by {cause} ({count(ids[cause])} {'id' if ids[cause] == 1 else 'ids'})"
        for cause, number in sorted(holes.items())
    )


def count(number: int) -> str:
    """Write a number with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")


def _faults(result: Outcome) -> str:
    short = max(result.missing, result.sent - result.arrived)
    faults = {
        "missing": short,
        "repeated": result.repeated,
        "out of order": result.out_of_order,
        "corrupted": result.corrupted,
        "never sent": result.unknown,
    }
    return ", ".join(f"{count(number)} {name}" for name, number in faults.items() if number)


def _delay(delay: Delay) -> str:
    return f"min {delay.min:.2f} ms, median {delay.median:.2f} ms, p99 {delay.p99:.2f} ms"
