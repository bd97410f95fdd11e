"""Schedules that the core once got wrong, or might, with its real limits."""

from __future__ import annotations

import math

import pytest

from orderer.reorder.limits import JOIN_SECONDS, JOIN_SLACK, MIN_SEQUENTIAL, Limits
from orderer.reorder.outputs import Batch, Epoch, Gap, Joined
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout, LearnedTimeout
from tests.support.reorder import FAR, Bench, Frame, batch, frames, limits


def test_many_gaps_over_many_entries() -> None:
    """What is kept of old gaps and entries would be mistaken for newer ones, or never dropped."""
    bench = Bench(timeout=math.inf)
    for start in range(1, 2000, 400):
        for seq in range(start + 1, start + 400, 2):
            bench.receive([seq])
        assert len(bench.core.gaps) == 200
        for seq in range(start, start + 400, 2):
            bench.receive([seq])
        assert bench.checkpoint.entry == b"%d-0" % len(bench.entries)
    assert bench.released() == list(range(1, 2001))
    assert len(bench.checkpoint) == 0
    assert len(bench.checkpoint._batches) < 500


def test_a_frame_ahead_after_a_long_time_in_order() -> None:
    """A frame that overtakes one, after more frames in order than a jump, would be refused."""
    bench = Bench()
    bench.receive(range(1, 2 * FAR))
    bench.receive([2 * FAR + 1])
    bench.receive([2 * FAR])
    assert bench.released() == list(range(1, 2 * FAR + 2))
    assert bench.core.held == 0


@pytest.mark.parametrize("began", [0.001, 0.003, 0.3, 3.3, 1e9 / 3])
def test_first_id_is_found_at_the_deadline(began: float) -> None:
    """Rounding would leave nothing to do at the very deadline."""
    bench = Bench(first_id=None)
    bench.receive([7], now=began)
    assert bench.core.deadline == began + JOIN_SECONDS
    bench.receive([], now=bench.core.deadline)
    assert bench.released() == [7]


def test_outliers_that_the_feed_has_caught_up_with() -> None:
    """An outlier that has become the next id would be held for ever, and what follows with it."""
    bench = Bench()
    outlier = 2 * FAR
    jump = outlier + FAR
    bench.receive([1, outlier, *range(2, outlier), *range(jump + 1, jump + MIN_SEQUENTIAL), jump])
    assert bench.released() == list(range(1, outlier + 1))
    assert bench.core.gaps[0][:2] == (outlier + 1, jump - 1)


def test_an_outlier_before_others_that_come_in_a_row() -> None:
    """One old outlier would keep outliers that come one after another from being believed."""
    bench = Bench(timeout=math.inf)
    bench.receive([1, 10**6, 2])
    for at in range(MIN_SEQUENTIAL):
        bench.receive([10**7 * (at + 1)])
    assert bench.core.held == MIN_SEQUENTIAL + 1
    assert bench.core.gaps[0][:2] == (3, 10**7 - 1)


def test_outliers_are_not_believed_because_of_a_crash() -> None:
    """Outliers with released frames between them would follow one another when read again."""
    bench = Bench()
    for at in range(MIN_SEQUENTIAL):
        bench.receive([10 * at + 1, 10**6 * (at + 1), *range(10 * at + 2, 10 * at + 11)])
    bench.crash()
    bench.receive(range(10 * MIN_SEQUENTIAL + 1, 100))
    assert not bench.core.gaps
    assert bench.released() == list(range(1, 100))


def test_outliers_do_not_agree_because_the_first_id_is_looked_for() -> None:
    """Wrong ids that came while frames were held would seem to follow one another."""
    bench = Bench(first_id=None)
    for at in range(2 * MIN_SEQUENTIAL):
        bench.receive([7 + at, 10**6 * (at + 1)])
    bench.receive(range(7 + 2 * MIN_SEQUENTIAL, 100), now=JOIN_SECONDS)
    assert bench.released() == list(range(7, 100))
    assert not bench.core.gaps


@pytest.mark.parametrize("ordinary", [0, 1, 500])
def test_a_new_numbering_after_a_replay(ordinary: int) -> None:
    """The first frames of a new numbering would be dropped as the rest of an earlier replay."""
    bench = Bench(first_id=0)
    bench.receive(range(1000))
    bench.receive(range(900, 910))
    bench.receive(range(1000, 1000 + ordinary))
    bench.receive(range(200), "new ")
    assert bench.released(1) == list(range(1000 + ordinary))
    assert bench.released(2) == list(range(200))


def test_a_new_numbering_that_looks_like_a_replay_at_first() -> None:
    """The frames after the first few, which are the same as before, would be lost."""
    bench = Bench(first_id=0)
    bench.receive(range(1000))
    bench.core.reconnected(0.0)
    bench.receive(range(5))
    bench.receive(range(5, 200), "new ")
    assert bench.epoch == 2
    bench.receive([], now=10.0)
    # Rows of two were settled; the fifth frame came right before the first that differs.
    assert bench.released(2) == list(range(4, 200))
    assert bench.given_up == [(0, 3)]


@pytest.mark.parametrize("after_crash", [False, True])
def test_a_repeat_before_a_new_numbering(after_crash: bool) -> None:
    """A repeated frame on probation would take the place of its namesake in a new numbering."""
    bench = Bench(first_id=0)
    bench.receive(range(20))
    bench.receive([3])
    if after_crash:
        bench.crash()
    bench.receive(range(10), "new ")
    assert bench.released(2) == list(range(10))
    assert bench.output[2, 3] == b"new 3"


def test_repeats_in_a_row_with_a_new_numbering() -> None:
    """Old frames that the feed repeated just before would come out again in the new numbering."""
    bench = Bench(first_id=0)
    bench.receive([*range(40), 3, 4])
    bench.receive([0, 1, 2], "new ")
    assert bench.epoch == 1
    bench.receive(range(3, 10), "new ")
    assert [bench.output[2, seq] for seq in range(10)] == [b"new %d" % seq for seq in range(10)]


@pytest.mark.parametrize("same", [{0}, {0, 1}, {2}, {1, 3, 5}, {0, 2, 4}, {5}])
def test_frames_that_are_the_same_in_each_numbering(same: set[int]) -> None:
    """A new numbering would lose the frames that look like the old one's."""
    bench = Bench(first_id=0)
    bench.receive(range(100))
    numbered = [(seq, b"%d" % seq if seq in same else b"new %d" % seq) for seq in range(20)]
    for frame in numbered:
        bench.receive_frames([frame])
    assert [(seq, bench.output[2, seq]) for seq in bench.released(2)] == numbered
    assert bench.core.fates.duplicates == 0


def test_a_feed_below_the_configured_first_id() -> None:
    """Every frame would begin another epoch."""
    bench = Bench(first_id=10**6)
    for seq in range(100):
        bench.receive([seq])
    bench.receive(range(10**6, 10**6 + 10))
    assert bench.epoch == 1
    assert bench.released() == list(range(10**6, 10**6 + 10))


def test_nothing_is_left_after_a_reset() -> None:
    """After an operator's reset, the old frames would be read again as the new numbering's."""
    bench = Bench(first_id=None)
    bench.receive([*range(10), 10**6, 5])
    bench.receive(range(10, 20))
    bench.core.reset(0.0)
    bench.publish()
    assert bench.core.held == 0
    assert bench.checkpoint.entry == b"2-0"
    assert bench.origin is None


def test_a_replay_that_the_output_no_longer_holds() -> None:
    """After a crash, frames long published and trimmed would pass for a new numbering."""
    bench = Bench()
    bench.receive([1, 900, 1800, 2700])
    bench.receive(range(2, 2699))
    assert bench.checkpoint.entry == b"0-0"
    bench.output.clear()
    bench.crash()
    bench.receive([2699])
    assert bench.epoch == 1
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


def test_a_crash_after_an_outlier_was_caught_up_with() -> None:
    """An old outlier, held at once when read again, would have all those below it given up."""
    bench = Bench(first_id=0, timeout=3.0)
    bench.receive([FAR + 1])
    bench.receive([], now=30.0)
    bench.receive(range(10), now=30.0)
    bench.crash()
    bench.receive(range(10, FAR + 1), now=31.0)
    assert not bench.gaps
    assert bench.released() == list(range(FAR + 2))


def test_a_crash_between_two_numberings() -> None:
    """Frames of the old numbering that are read again would be taken for the new one's."""
    bench = Bench(first_id=0)
    bench.receive(range(100))
    bench.receive([*range(100, 110), *range(10), 15], "new ")
    assert bench.released(2) == list(range(10))
    bench.crash()
    bench.receive(range(10, 15), "new ")
    bench.receive([], now=100.0)
    assert bench.released(2) == list(range(16))


def test_a_crash_after_an_altered_repeat() -> None:
    """Published frames, read again around one odd repeat, would pass for a new numbering."""
    bench = Bench(first_id=0)
    bench.receive_frames([(seq, b"%d" % seq) for seq in range(3)])
    bench.receive_frames([(2, b"odd"), *((seq, b"%d" % seq) for seq in range(3, 8))])
    bench.crash()
    bench.receive(range(8, 20))
    assert bench.epoch == 1
    assert bench.released() == list(range(20))


def test_a_crash_after_a_reconnect() -> None:
    """Two frames of a new numbering with old ones between would be settled after a crash."""
    core = Reorder(limits(0), FixedTimeout(math.inf))
    for number, replayed in ((1, False), (2, True)):
        if replayed:
            known = core._phase.buffer.published  # type: ignore[union-attr]  # it is a Numbering
            core = Reorder(limits(0), FixedTimeout(math.inf), next=3, published=known)
        else:
            core.take_in(batch(), [0, 1], [b"0", b"1"])
        core.reconnected(0.0)
        core.take_in(batch(number, replayed=replayed), [0, 2, 1], [b"new 0", b"2", b"new 1"])
        assert (core.epoch, core.next, core.held) == (1, 3, 2)


CUTS = [[1] * 1000, [100, 1, 1, 1, 4], [101, 1, 2, 2], [102, 6], [107], [50, 52, 5]]


def entries(sent: list[Frame], cut: list[int]) -> list[list[Frame]]:
    """Cut frames into entries of these sizes, and one of the rest."""
    parts = []
    for size in cut:
        parts.append(sent[:size])
        sent = sent[size:]
    return [part for part in [*parts, sent] if part]


def numbered(number: int, ids: list[int]) -> list[Frame]:
    """Make frames of a numbering."""
    return [(seq, b"%d:%d" % (number, seq)) for seq in ids]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("pause", [0.0, 30.0])
def test_stragglers_among_the_frames_that_prove_a_numbering(cut: list[int], pause: float) -> None:
    """After a crash, the old numbering's last frames would stand in for the new one's."""
    bench = Bench(first_id=0)
    sent = numbered(1, [*range(100), 101]) + numbered(2, [1]) + numbered(1, [100])
    for entry in entries(sent + numbered(2, [2, 3, 4, 5]), cut):
        bench.receive_frames(entry)
    assert bench.epoch == 2
    bench.crash()
    bench.receive_frames(numbered(2, [0, 6, 7]))
    # With nothing missing, no time is long.
    for entry in entries(numbered(2, list(range(8, 120))), cut):
        bench.receive_frames(entry, now=pause)
    assert not bench.gaps
    assert bench.released(1) == list(range(102))
    assert bench.released(2) == list(range(120))
    assert [bench.output[2, seq] for seq in range(120)] == [b"2:%d" % seq for seq in range(120)]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_odd_frame_long_before_a_new_numbering(size: int, crash: bool) -> None:
    """Frames that are just coming would be given up at once, since an old one waits for them."""
    bench = Bench(first_id=None, timeout=3.0)
    for seq in range(1, 1001):
        bench.receive([seq], "old ", now=seq / 1000)
    bench.receive([200], "odd ", now=2.0)
    bench.core.disconnected(30.0)
    bench.core.reconnected(30.0)
    for at in range(1, 1001, size):
        ids = range(at, min(at + size, 1001))
        bench.receive(ids, "new ", now=30.0 + at / 1000)
        if crash and at < 50:
            bench.crash()
    bench.receive([], now=40.0)
    assert not bench.gaps
    assert bench.released(2) == list(range(1, 1001))
    # Its namesake came second, unless it came among those that proved the numbering.
    odd = [seq for seq in range(1, 1001) if bench.output[2, seq] != b"new %d" % seq]
    assert odd in ([], [200])


def test_an_odd_frame_does_not_teach_patience() -> None:
    """The time-out would be a minute because an old frame had waited without being believed."""
    timeout = LearnedTimeout()
    core = Reorder(limits(0), timeout)
    core.take_in(batch(), list(range(1000)), [b"old"] * 1000)
    core.take_in(batch(2, 2.0), [200], [b"odd"])
    for seq in range(1000):
        core.take_in(batch(3 + seq, 30.0 + seq / 1000), [seq], [b"new"])
        core.expire(batch(3 + seq, 30.0 + seq / 1000))
    assert (core.epoch, core.next) == (2, 1000)
    assert timeout.seconds <= LearnedTimeout().seconds


def test_few_large_frames_are_bounded_too() -> None:
    """Held frames would be bounded in number alone, and large ones fill the memory."""
    core = Reorder(Limits(FAR, 250, FAR, 1), FixedTimeout(60))
    first, second = batch(1), batch(2)
    core.take_in(first, [2, 3], [b"x" * 100, b"x" * 100])
    core.expire(first)
    assert core.next == 1
    core.take_in(second, [4], [b"x" * 100])
    core.expire(second)
    assert (core.next, core.held) == (5, 0)
    gap, run = core.take()
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last, gap.cause) == (1, 1, "capacity")
    assert len(frames(run)) == 3


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_new_numbering_below_where_we_joined(crash: bool, late: bool) -> None:
    """Whoever joins in the middle would drop a new numbering as late, up to where it joined."""
    joined = 2 * JOIN_SLACK
    bench = Bench(first_id=None, max_jump=100 * FAR)
    bench.receive([*range(joined, joined + 200), *([joined - JOIN_SLACK] if late else [])])
    assert bench.core.fates.late == late
    if crash:
        bench.crash()
    bench.core.reconnected(0.0)
    bench.receive(range(1, 500), "new ")
    assert bench.released(2) == list(range(1, 500))


def test_frames_just_below_where_we_joined_are_late() -> None:
    """Stragglers of the moment in which we joined would begin another epoch, after a crash too."""
    bench = Bench(first_id=None, max_jump=100 * FAR)
    joined = 2 * JOIN_SLACK
    for late in (range(joined - 100, joined - 50), range(joined - 50, joined)):
        bench.receive(range(joined, joined + 200))
        bench.receive(late)
        assert bench.core.fates.late == 50
        bench.crash()
    assert bench.epoch == 1


@pytest.mark.parametrize("disconnected", [True, False])
def test_a_short_connection_before_the_first_id_is_found(disconnected: bool) -> None:
    """A feed that sends a little and closes would deliver nothing, or its first messages only."""
    bench = Bench(first_id=None)
    for epoch in range(1, 4):
        bench.core.reconnected(0.0)
        bench.receive(range(1, 31), f"{epoch} ")
        if disconnected:
            bench.core.disconnected(0.0)
            bench.publish()
            assert bench.released(epoch) == list(range(1, 31))
    bench.core.reconnected(0.0)
    bench.publish()
    assert list(bench.output) == [(epoch, seq) for epoch in (1, 2, 3) for seq in range(1, 31)]


def test_another_line_does_not_end_the_search_for_the_first_id() -> None:
    """With two lines, whatever the first one gets out of order at the beginning would be lost."""
    bench = Bench(first_id=None)
    bench.receive([3])
    bench.core.reconnected(0.0, alone=False)
    bench.receive([1, 2])
    bench.receive([4], now=JOIN_SECONDS)
    assert bench.released() == [1, 2, 3, 4]


def test_an_entry_that_ends_a_numbering_and_joins_the_next() -> None:
    """What stands behind the frame that ends a phase would be lost, or be the old one's."""
    core = Reorder(limits(), FixedTimeout(math.inf))
    read = batch()
    core.take_in(read, [*range(9), *range(6), 7], [b"old"] * 9 + [b"new"] * 7)
    core.expire(read)
    joined, old, epoch, joined_again, new = core.take()
    assert (joined, joined_again) == (Joined(1, 0), Joined(2, 0))
    assert isinstance(epoch, Epoch)
    assert (epoch.epoch, epoch.next) == (2, None)
    assert frames(old) == [b"old"] * 9
    assert frames(new) == [b"new"] * 6
    assert (core.next, core.held, read.pins) == (6, 1, 1)


def test_only_some_frames_of_an_entry() -> None:
    """An epoch would name the wrong frames as its own, when some of an entry were left out."""
    core = Reorder(limits(0), FixedTimeout(math.inf))
    core.take_in(batch(1), list(range(9)), [b"old"] * 9)
    core.take_in(batch(2), [0, 1, 2, 3, 4], [b"new"] * 5, [1, 3, 5, 7, 9])
    *_, epoch, _ = core.take()
    assert isinstance(epoch, Epoch)
    assert epoch.origin is not None
    assert epoch.origin.last == (b"2-0", 9)
    assert {place.at for place in epoch.origin.carried} == {1, 3, 5, 7, 9}


@pytest.mark.parametrize("first_id", [None, 0])
def test_an_operator_skips(first_id: int | None) -> None:
    """An operator could not end a wait, or would be told of one that is not there."""
    core = Reorder(limits(first_id), FixedTimeout(math.inf))
    assert not core.skip(0.0)
    core.take_in(batch(), [5], [b"5"])
    assert core.skip(0.0)
    assert core.next == 6
    assert not core.skip(0.0)


def test_is_full_only_without_a_time_out() -> None:
    """Reading would pause although time will make room, or memory fill although it will not."""
    for seconds, full in ((math.inf, True), (1.0, False)):
        core = Reorder(limits(0, capacity=3), FixedTimeout(seconds))
        read = batch()
        core.take_in(read, [1, 2, 3, 4], [b""] * 4)
        core.expire(read)
        assert core.full == full


def test_late_frames_survive_a_crash() -> None:
    """A late frame would be counted twice, or forgotten, when it is read again."""
    bench = Bench(timeout=1.0)
    bench.receive([1, 4, 6])
    bench.receive([], now=2.0)
    bench.receive([2, 9], now=2.0)
    assert [gap.late for gap in bench.core.fates.amended.values()] == [1]
    bench.crash()
    assert bench.core.fates.late == 1
    assert not bench.core.fates.amended


def test_time_of_an_unused_batch() -> None:
    """A batch whose frames all came out would keep the checkpoint back."""
    core = Reorder(limits(0), FixedTimeout(1.0))
    first = Batch(b"1-0", 1, 0.0)
    core.take_in(first, [1, 2], [b"1", b"2"])
    assert first.pins == 2
    core.take_in(Batch(b"2-0", 2, 0.0), [0], [b"0"])
    assert first.pins == 0
