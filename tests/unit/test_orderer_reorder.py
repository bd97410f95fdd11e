"""Schedules that the reordering buffer once got wrong, with its real limits."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from orderer import ledger
from orderer.checkpoint import since
from orderer.lateness import FixedTimeout
from orderer.probation import PATIENCE, PROOF, QUIET
from orderer.reorder import SETTLING, Reorder
from orderer.runs import Batch, Epoch, Gap, Joined, Run

FAR = 1000


class Bench:
    """A buffer, its output, and what would be read again after a crash."""

    def __init__(
        self, first_id: int | None = 1, timeout: float | None = 1.0, far: int = FAR
    ) -> None:
        self.first_id = first_id
        self.far = far
        self.timeout = timeout
        self.entries: list[tuple[float, list[tuple[int, bytes]]]] = []
        self.output: dict[tuple[int, int], bytes] = {}
        self.gaps: list[tuple[int, int]] = []
        self.epochs = 0
        self.begun = b""
        self.buffer = self._buffer(1, None, 0)

    def _buffer(self, epoch: int, next: int | None, settled: int) -> Reorder:
        return Reorder(
            timeout=FixedTimeout(self.timeout), capacity=FAR, far=self.far, first_id=self.first_id,
            epoch=epoch, next=next, settled=b"%d-0" % settled, begun=self.begun,
        )  # fmt: skip

    def receive(self, ids: Iterable[int], tag: str = "", now: float = 0.0) -> None:
        """Receive frames with these ids as one entry; `tag` makes their bytes different."""
        self.entries.append((now, [(seq, f"{tag}{seq}".encode()) for seq in ids]))
        self._read(len(self.entries), replayed=False)

    def crash(self) -> None:
        """Go on with a new buffer, from what was published with the checkpoint."""
        assert self.buffer.next is not None
        checkpoint = int(self.buffer.checkpoint.partition(b"-")[0])
        self.buffer = self._buffer(self.buffer.epoch, self.buffer.next, checkpoint)
        for number in range(checkpoint + 1, len(self.entries) + 1):
            self._read(number, replayed=True)

    def _read(self, number: int, *, replayed: bool) -> None:
        now, frames = self.entries[number - 1]
        batch = Batch(b"%d-0" % number, number, now, replayed)
        if replayed:
            left = since(self.begun, batch.entry, [frame for _, frame in frames])
            frames = frames[len(frames) - len(left) :]
        self.buffer.begin(batch)
        for seq, frame in frames:
            if self.buffer.accept(seq, frame, batch):
                self.publish()
                epoch = self.buffer.epoch
                known = {
                    seq: self.output[epoch, seq]
                    for seq in self.buffer.echoes
                    if (epoch, seq) in self.output
                }
                self.buffer.judge(known)
        self.buffer.settle(now)
        self.publish()

    def publish(self) -> None:
        for item in self.buffer.take():
            match item:
                case Run():
                    for at, frame in enumerate(item.frames):
                        key = item.epoch, item.first + at
                        assert key not in self.output
                        self.output[key] = frame
                case Gap():
                    self.gaps.append((item.first, item.last))
                case Epoch():
                    self.epochs += 1
                    self.begun = item.since
                case Joined():
                    self.begun = item.since

    def released(self, epoch: int = 1) -> list[int]:
        """List the ids that came out in this epoch."""
        return [seq for number, seq in self.output if number == epoch]


def test_many_gaps_over_many_entries() -> None:
    """What is kept of old gaps and entries would be mistaken for newer ones, or never dropped."""
    bench = Bench(timeout=None)
    for start in range(1, 2000, 400):
        for seq in range(start + 1, start + 400, 2):
            bench.receive([seq])
        assert len(bench.buffer.gaps) == 200
        for seq in range(start, start + 400, 2):
            bench.receive([seq])
        assert bench.buffer.checkpoint == b"%d-0" % len(bench.entries)
    assert bench.released() == list(range(1, 2001))
    assert len(bench.buffer._checkpoint) == 0
    assert len(bench.buffer._checkpoint._batches) < 500


def test_more_gaps_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of late frames would grow without bound, or forget the latest gaps."""
    monkeypatch.setattr(ledger, "REMEMBERED", 10)
    bench = Bench()
    for at in range(1, 101):
        bench.receive([10 * at])
        bench.buffer.skip()
    bench.publish()
    bench.receive([10 * at + 5 for at in range(50, 100)])
    assert bench.buffer.late >= 10
    bench.receive([985, 995])
    assert [gap.first for gap in bench.buffer.amended][-2:] == [981, 991]
    assert len(bench.buffer._ledger._gaps) <= 20


def test_a_frame_ahead_after_a_long_time_in_order() -> None:
    """A frame that overtakes one, after more frames in order than `far`, would be refused."""
    bench = Bench()
    bench.receive(range(1, 2 * FAR))
    bench.receive([2 * FAR + 1])
    bench.receive([2 * FAR])
    assert bench.released() == list(range(1, 2 * FAR + 2))
    assert bench.buffer.held == 0


@pytest.mark.parametrize("began", [0.001, 0.003, 0.3, 3.3, 1e9 / 3])
def test_first_id_is_found_at_the_deadline(began: float) -> None:
    """Rounding would leave nothing to do at the very deadline, and the buffer would fail."""
    bench = Bench(first_id=None)
    bench.receive([7], now=began)
    deadline = bench.buffer.deadline
    assert deadline == began + SETTLING
    bench.buffer.settle(deadline)
    bench.publish()
    assert bench.released() == [7]


def test_strays_that_the_feed_has_caught_up_with() -> None:
    """A stray that has become the next id would be held for ever, and what follows with it."""
    bench = Bench()
    stray = 2 * FAR
    jump = stray + FAR
    bench.receive([1, stray, *range(2, stray), *range(jump + 1, jump + PROOF), jump])
    assert bench.released() == list(range(1, stray + 1))
    assert bench.buffer.gaps[0][:2] == (stray + 1, jump - 1)


def test_a_stray_before_others_that_come_in_a_row() -> None:
    """One old stray would keep strays that come one after another from being believed."""
    bench = Bench(timeout=None)
    bench.receive([1, 10**6, 2])
    for at in range(PROOF):
        bench.receive([10**7 * (at + 1)])
    assert bench.buffer.held == PROOF + 1
    assert bench.buffer.gaps[0][:2] == (3, 10**7 - 1)


def test_strays_are_not_believed_because_of_a_crash() -> None:
    """Strays with released frames between them would follow one another when read again."""
    bench = Bench()
    for at in range(PROOF):
        bench.receive([10 * at + 1, 10**6 * (at + 1), *range(10 * at + 2, 10 * at + 11)])
    bench.crash()
    bench.receive(range(10 * PROOF + 1, 100))
    assert not bench.buffer.gaps
    assert bench.released() == list(range(1, 100))


@pytest.mark.parametrize("ordinary", [0, 1, 500])
def test_a_new_numbering_after_a_replay(ordinary: int) -> None:
    """The first frames of a new numbering would be dropped as the rest of an earlier replay."""
    bench = Bench(first_id=0)
    bench.receive(range(1000))
    bench.receive(range(900, 910))
    bench.receive(range(1000, 1000 + ordinary))
    bench.receive(range(2 * QUIET), "new ")
    assert bench.released(1) == list(range(1000 + ordinary))
    assert bench.released(2) == list(range(2 * QUIET))


def test_a_new_numbering_that_looks_like_a_replay_at_first() -> None:
    """The frames after the first few, which are the same as before, would be lost."""
    bench = Bench(first_id=0)
    bench.receive(range(1000))
    bench.buffer.reconnected()
    bench.receive(range(5))
    bench.receive(range(5, 5 + 2 * QUIET), "new ")
    assert bench.epochs == 1
    bench.buffer.settle(10.0)
    bench.publish()
    assert bench.released(2) == list(range(5, 5 + 2 * QUIET))
    assert bench.gaps == [(0, 4)]


def test_a_repeat_before_a_new_numbering() -> None:
    """A repeated frame on probation would take the place of its namesake in a new numbering."""
    bench = Bench(first_id=0)
    bench.receive(range(20))
    bench.receive([3])
    bench.receive(range(10), "new ")
    assert bench.released(2) == list(range(10))
    assert bench.output[2, 3] == b"new 3"


def test_a_feed_below_the_configured_first_id() -> None:
    """Every frame would begin another epoch."""
    bench = Bench(first_id=10**6)
    for seq in range(100):
        bench.receive([seq])
    bench.receive(range(10**6, 10**6 + 10))
    assert bench.epochs == 0
    assert bench.released() == list(range(10**6, 10**6 + 10))


def test_nothing_is_left_after_a_reset() -> None:
    """After an operator's reset, the old frames would be read again as the new numbering's."""
    bench = Bench(first_id=None)
    bench.receive([*range(10), 10**6, 5])
    bench.receive(range(10, 20))
    bench.buffer.reset()
    bench.publish()
    assert bench.buffer.held == 0
    assert bench.buffer.checkpoint == b"2-0"


def test_a_replay_that_the_output_no_longer_holds() -> None:
    """After a crash, frames long published and trimmed would pass for a new numbering."""
    bench = Bench()
    bench.receive([1, 900, 1800, 2700])
    bench.receive(range(2, 2699))
    assert bench.buffer.checkpoint == b"0-0"
    bench.output.clear()
    bench.crash()
    bench.receive([2699])
    assert bench.epochs == 0
    assert bench.released() == [2699, 2700]


def test_a_crash_does_not_cut_the_waiting_short() -> None:
    """A frame that ran far ahead would, after a crash, have all those below it given up."""
    bench = Bench()
    bench.receive([1, 900])
    for seq in range(2, 500):
        bench.receive([seq], now=seq / 100)
    bench.crash()
    bench.receive(range(500, 901), now=5.0)
    assert not bench.gaps
    assert bench.released() == list(range(1, 901))


def test_a_crash_between_two_numberings() -> None:
    """Frames of the old numbering that are read again would be taken for the new one's."""
    bench = Bench(first_id=0)
    bench.receive(range(100))
    bench.receive([*range(100, 110), *range(10), 15], "new ")
    assert bench.released(2) == list(range(10))
    bench.crash()
    bench.receive(range(10, 15), "new ")
    bench.buffer.settle(100.0)
    bench.publish()
    assert bench.released(2) == list(range(16))


def test_few_large_frames_are_bounded_too() -> None:
    """Held frames would be bounded in number alone, and large ones fill the memory."""
    buffer = Reorder(
        timeout=FixedTimeout(60), capacity=FAR, capacity_bytes=250, far=FAR, first_id=1
    )
    batch = Batch(b"1-0", 0, 0.0)
    buffer.begin(batch)
    for seq in (2, 3):
        buffer.accept(seq, b"x" * 100, batch)
    buffer.settle(0.0)
    assert buffer.next == 1
    buffer.accept(4, b"x" * 100, batch)
    buffer.settle(0.0)
    assert (buffer.next, buffer.held) == (5, 0)
    gap, run = buffer.take()
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last, gap.cause) == (1, 1, "capacity")
    assert isinstance(run, Run)
    assert run.first == 2


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_new_numbering_below_where_we_joined(crash: bool, late: bool) -> None:
    """Whoever joins in the middle would drop a new numbering as late, up to where it joined."""
    joined = 2 * PATIENCE
    bench = Bench(first_id=None, far=100 * FAR)
    bench.receive([*range(joined, joined + 200), *([joined - PATIENCE] if late else [])])
    assert bench.buffer.late == late
    if crash:
        bench.crash()
    bench.buffer.reconnected()
    bench.receive(range(1, 500), "new ")
    assert bench.released(2) == list(range(1, 500))


def test_frames_just_below_where_we_joined_are_late() -> None:
    """Stragglers of the moment in which we joined would begin another epoch, after a crash too."""
    bench = Bench(first_id=None, far=100 * FAR)
    joined = 2 * PATIENCE
    for late in (range(joined - 100, joined - 50), range(joined - 50, joined)):
        bench.receive(range(joined, joined + 200))
        bench.receive(late)
        assert bench.buffer.late == 50
        bench.crash()
    assert bench.epochs == 0


@pytest.mark.parametrize("disconnected", [True, False])
def test_a_short_connection_before_the_first_id_is_found(disconnected: bool) -> None:
    """A feed that sends a little and closes would deliver nothing, or its first messages only."""
    bench = Bench(first_id=None)
    for epoch in range(1, 4):
        bench.buffer.reconnected()
        bench.receive(range(1, 31), f"{epoch} ")
        if disconnected:
            bench.buffer.disconnected()
            bench.publish()
            assert bench.released(epoch) == list(range(1, 31))
    bench.buffer.reconnected()
    bench.publish()
    assert list(bench.output) == [(epoch, seq) for epoch in (1, 2, 3) for seq in range(1, 31)]


def test_another_line_does_not_end_the_search_for_the_first_id() -> None:
    """With two lines, whatever the first one gets out of order at the beginning would be lost."""
    bench = Bench(first_id=None)
    bench.receive([3])
    bench.buffer.reconnected(alone=False)
    bench.receive([1, 2])
    bench.receive([4], now=SETTLING)
    assert bench.released() == [1, 2, 3, 4]
