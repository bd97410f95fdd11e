"""What becomes of the few frames that a feed sends before it falls silent."""

from __future__ import annotations

import pytest

from orderer.reorder.limits import PROBATION_SECONDS, SILENCE
from orderer.reorder.timeout import INITIAL, LearnedTimeout
from tests.support.reorder import Bench

TOLD = pytest.mark.parametrize("crash", [False, True], ids=["alive", "crashed"])


def falls_silent(bench: Bench, now: float, seconds: float) -> None:
    """Have signs of life come for so long, one a second."""
    for second in range(1, round(seconds) + 1):
        bench.receive([], now=now + second)


def begun(first_id: int | None = 1) -> Bench:
    """Make a feed that has sent 1 … 50, the last of them at 0.5 s."""
    bench = Bench(first_id)
    for seq in range(1, 51):
        bench.receive([seq], now=seq / 100)
    falls_silent(bench, 0.5, 2)
    return bench


@TOLD
@pytest.mark.parametrize("first_id", [1, None])
def test_a_numbering_that_restarts_on_a_slow_feed(first_id: int | None, crash: bool) -> None:
    """What came at midnight would be held for as long as nothing else comes."""
    bench = begun(first_id)
    for seq in range(1, 5):
        bench.receive([seq], "new ", now=3.0 + seq / 4)
    falls_silent(bench, 4.0, SILENCE - 1)
    assert bench.released(2) == []
    if crash:
        bench.crash()
    falls_silent(bench, 4.0 + SILENCE - 1, 3)
    assert bench.released(2) == [1, 2, 3, 4]
    assert bench.core.held == bench.core.doubtful == 0


@TOLD
def test_one_message_after_a_reconnect(crash: bool) -> None:
    """A feed that begins anew with each connection would be one message behind."""
    bench = begun()
    bench.core.reconnected(2.5)
    bench.receive([1], "new ", now=3.0)
    falls_silent(bench, 3.0, SILENCE)
    assert bench.output[2, 1] == b"new 1"


@pytest.mark.parametrize(("seq", "reconnected"), [(1, False), (2, True), (50, True)])
def test_one_odd_message_begins_no_numbering(seq: int, reconnected: bool) -> None:
    """A correction, or one wrong id, would close the numbering that goes on a minute later."""
    bench = begun()
    if reconnected:
        bench.core.reconnected(2.5)
    bench.receive([seq], "odd ", now=3.0)
    falls_silent(bench, 3.0, 60)
    assert bench.core.epoch == 1
    assert bench.core.doubtful_since == 3.0
    bench.receive([51], now=64.0)
    falls_silent(bench, 64.0, SILENCE)
    assert (bench.released()[-1], bench.core.doubtful) == (51, 0)


@TOLD
def test_a_jump_on_a_slow_feed(crash: bool) -> None:
    """Four messages from far ahead would be held for as long as nothing else comes."""
    bench = begun()
    far = list(range(2**53 + 1, 2**53 + 5))
    for at, seq in enumerate(far, 1):
        bench.receive([seq], now=3.0 + at / 4)
    if crash:
        bench.crash()
    falls_silent(bench, 4.0, SILENCE + 2)
    assert bench.released()[-4:] == far
    assert bench.given_up == [(51, 2**53)]
    # Four seconds after the first of them it was silent for long enough.
    assert bench.gaps[0].revealed_at > 5_000_000


def test_one_wrong_id_moves_nothing_and_does_not_wait_for_ever() -> None:
    """One wrong id on a slow feed would mute it, or pin the input for good."""
    bench = begun()
    bench.receive([2**53], now=3.0)
    falls_silent(bench, 3.0, PROBATION_SECONDS - 1)
    assert (bench.core.doubtful, bench.core.fates.outliers) == (1, 0)
    falls_silent(bench, 3.0 + PROBATION_SECONDS - 1, 1)
    assert (bench.core.doubtful, bench.core.fates.outliers) == (0, 1)
    assert bench.core.next == 51


@pytest.mark.parametrize("reconnected", [False, True])
@pytest.mark.parametrize("entries", [1, 1000])
def test_an_odd_frame_long_before_a_restart(reconnected: bool, entries: int) -> None:
    """One odd frame would take the place of an honest one of the next numbering, or of many."""
    bench = Bench(1, timeout=3.0)
    bench.receive(range(1, 1001), "old ", now=1.0)
    bench.receive([200], "odd ", now=2.0)
    if reconnected:
        bench.core.reconnected(29.0)
    else:
        bench.receive([1001], "old ", now=2.1)
    size = 1000 // entries
    for at in range(entries):
        bench.receive(range(1 + at * size, 1 + (at + 1) * size), "new ", now=30.0 + at / 1000)
    falls_silent(bench, 31.0, 10)
    assert [bench.output.get((2, seq)) for seq in range(1, 1001)] == [
        b"new %d" % seq for seq in range(1, 1001)
    ]
    assert [gap for gap in bench.gaps if gap.epoch == 2] == []


def test_lateness_of_what_was_believed_late() -> None:
    """One frame that waited to be believed would stretch the time-out to a minute."""
    learned = LearnedTimeout()
    learned.observe(-PROBATION_SECONDS)
    assert learned.seconds == INITIAL
