"""What is logged about a feed, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.logs import Log
from orderer.feed import Rejects
from orderer.notices import GAPS_EVERY, REJECTS_EVERY, SHOWN, USELESS, Notices
from orderer.reorder.outputs import Cause, Gap
from relay.messages import Reject


class Recorded(Log):
    """A log that is kept."""

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    def take(self) -> list[dict[str, Any]]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def log() -> Recorded:
    return Recorded()


def gap(first: int, last: int) -> Gap:
    return Gap(1, first, last, 0.0, 0, Cause.TIMEOUT)


def rejects(frame: bytes, **counts: int) -> Rejects:
    return Rejects([Reject(next(iter(counts)), b"line", frame)], counts)


def test_gaps_share_a_line(log: Recorded) -> None:
    """A feed that leaves out every second id would fill the disk with log."""
    notices = Notices("f", log)
    notices.gap(gap(1, 3))
    notices.tell(0.0)
    assert log.take() == [
        {
            "event": "gap given up",
            "feed": "f",
            "epoch": 1,
            "first": 1,
            "last": 3,
            "cause": "timeout",
        }
    ]
    for first in range(10, 20, 2):
        notices.gap(gap(first, first))
        notices.tell(GAPS_EVERY / 2)
    assert log.take() == []
    notices.tell(GAPS_EVERY)
    assert log.take() == [
        {"event": "gaps given up", "feed": "f", "epoch": 1, "first": 10, "last": 18,
         "cause": "timeout", "gaps": 5, "ids": 5}
    ]  # fmt: skip
    notices.tell(9.0)
    assert log.take() == []


def test_rejected_frames_share_a_line(log: Recorded) -> None:
    """Nobody would hear that all that a feed sends is rejected, or of nothing else."""
    notices = Notices("f", log)
    notices.rejected(rejects(b"\x1b[2J\n" + b"x" * 1000, json=2))
    notices.tell(0.0)
    (line,) = log.take()
    assert (line["event"], line["frames"], line["reasons"]) == ("frames rejected", 2, "2 json")
    assert line["frame"] == r"\x1b[2J\n" + "x" * (SHOWN - 5)
    for _ in range(100):
        notices.rejected(rejects(b"{}", missing=3, type=1))
    notices.tell(REJECTS_EVERY - 1)
    assert log.take() == []
    notices.tell(REJECTS_EVERY)
    assert [line["reasons"] for line in log.take()] == ["300 missing, 100 type"]


def test_what_is_left_is_told_at_the_end(log: Recorded) -> None:
    """What came in an orderer's last moments would not be told."""
    notices = Notices("f", log)
    for _ in range(2):
        notices.gap(gap(1, 3))
        notices.rejected(rejects(b"{}", missing=3))
        notices.tell(0.0, all=True)
        assert [line["event"] for line in log.take()] == ["gap given up", "frames rejected"]


def test_nothing_but_what_is_dropped(log: Recorded) -> None:
    """A feed whose every message is taken for a duplicate would look like one that is silent."""
    notices = Notices("f", log)
    assert [notices.look(at, "one", 0) for at in range(3)] == [0.0, 0.0, 0.0]
    for second in range(200):
        assert notices.look(3.0 + second, "one", 5 * (second + 1)) == second
    lines = log.take()
    assert [line["seconds"] for line in lines] == [USELESS + 60 * at for at in range(4)]
    assert lines[0]["dropped"] == 55
    assert notices.look(300.0, "two", 1000) == 0.0


def test_one_duplicate_before_a_silence(log: Recorded) -> None:
    """Whoever has two lines would be warned whenever they fall silent."""
    notices = Notices("f", log)
    notices.look(0.0, "one", 0)
    for second in range(100):
        notices.look(1.0 + second, "one", 1)
    assert log.take() == []
