"""The demo's verdict: what the reports say must be what the text and the exit status say."""

from __future__ import annotations

from typing import Any

import pytest

from standalone.summary import Gap, Outcome, causes, outcome, status, text

FEED = {"sent": 1000, "total": 1000, "finished": True, "connections": 1, "written": 1000, "lost": 0}
REPORT = {
    "received": 1000,
    "out_of_order": 0,
    "repeated": 0,
    "missing": 0,
    "connections": 1,
    "seconds": 2.0,
    "delay_ms": {"min": 0.31, "median": 1.42, "p99": 4.9},
    "added_ms": {"min": 0.3, "median": 0.9, "p99": 2.5},
    "corrupted": 0,
    "unknown": 0,
    "highest": 1000,
    "generation": 0,
}


def judged(unfinished: str = "", **report: Any) -> Outcome:
    return outcome(FEED, REPORT | report, [], unfinished)


def test_all_right() -> None:
    """A perfect run would not be called one, or its figures would be wrong."""
    result = judged()
    assert status(result) == 0
    assert text(result).splitlines() == [
        "Messages sent      1 000",
        "Messages received  1 000: ALL came out sorted and complete"
        " (0 missing, 0 repeated, 0 out of order, 0 corrupted)",
        "Time taken         2.00 s to send them in order",
        "Throughput         500 messages per second",
        "Receive → send     min 0.31 ms, median 1.42 ms, p99 4.90 ms",
        "  of it our own    min 0.30 ms, median 0.90 ms, p99 2.50 ms"
        " (once the earlier ids had come)",
        "Gaps given up      none",
    ]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"received": 990, "missing": 10}, "sorted, but NOT complete (10 missing)"),
        ({"received": 990}, "sorted, but NOT complete (10 missing)"),
        ({"out_of_order": 3}, "complete, but NOT right (3 out of order)"),
        ({"received": 1002, "repeated": 2}, "complete, but NOT right (2 repeated)"),
        ({"corrupted": 1}, "complete, but NOT right (1 corrupted)"),
        ({"received": 1001, "unknown": 1}, "complete, but NOT right (1 never sent)"),
        (
            {"received": 992, "missing": 10, "repeated": 2},
            "NEITHER right NOR complete (10 missing, 2 repeated)",
        ),
    ],
)
def test_each_fault_fails(report: dict[str, Any], words: str) -> None:
    """A demo with this fault would exit 0, or not say what was wrong."""
    result = judged(**report)
    assert status(result) == 1
    assert words in text(result)
    assert "ALL" not in text(result)


def test_repeats_do_not_hide_losses() -> None:
    """A message received twice would make up for one that never came."""
    result = judged(received=1000, repeated=1)
    assert status(result) == 1
    assert "1 missing" in text(result)


def test_unfinished_fails() -> None:
    """A demo that gave up waiting would exit 0 although its feed had more to send."""
    result = judged(unfinished="nothing has moved for 30 s")
    assert status(result) == 1
    assert text(result).startswith("Not finished: nothing has moved for 30 s")


def test_feed_with_more_to_send_fails() -> None:
    """A feed that stopped half-way would count as complete."""
    assert status(outcome(FEED | {"finished": False}, REPORT, [])) == 1


@pytest.mark.parametrize("feed", [None, FEED])
def test_nobody_answered(feed: dict[str, Any] | None) -> None:
    """A demo whose simulator or publisher never showed up would crash or exit 0."""
    result = outcome(feed, None, [], "publisher ended")
    assert status(result) == 1
    assert "Receive → send" not in text(result)


def test_delays_that_were_never_measured() -> None:
    """An endpoint that received nothing would crash the summary with its empty delays."""
    empty = {"min": None, "median": None, "p99": None}
    assert judged(delay_ms=empty, added_ms=empty).delay is None


def test_gaps_by_cause() -> None:
    """The ledger's causes would be mixed up, or ids counted for holes."""
    gaps = [Gap(1, 1, "timeout"), Gap(5, 9, "timeout"), Gap(20, 1219, "capacity")]
    assert causes(gaps) == "1 by capacity (1 200 ids), 2 by timeout (6 ids)"
