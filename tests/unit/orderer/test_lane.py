"""One lane's state: entries in, commits out."""

from __future__ import annotations

import math

import pytest

from orderer.feed import PARK_AT_ONCE, Options
from orderer.lane import Entry, Lane, LaneState, Mark
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Epoch, Gap, Run
from orderer.sequence import State
from relay import keys
from relay.forgotten import Forgotten
from tests.support.lane import (
    LIMITS,
    committed,
    entry,
    make,
    moved,
    numbers,
    outputs,
    part,
    resumed,
    shared,
)


def test_commits_follow_each_other() -> None:
    """A commit would not begin where the one before ends, and Redis would refuse it."""
    lane = make()
    lane.take_in([entry(1, 0, 1), entry(2, 3)])
    first = committed(lane)
    assert (numbers(first), moved(first).after.next, first.after.raw) == ([0, 1], 2, b"1-0")
    lane.take_in([entry(3, 2)])
    second = committed(lane)
    assert second.before == first.after
    assert moved(second).before == moved(first).after
    assert (numbers(second), moved(second).after.next, second.after.raw) == ([2, 3], 4, b"3-0")
    assert lane.commit() is None


def test_a_checkpoint_alone_can_wait() -> None:
    """Every sign of life of a silent feed would cost a commit."""
    lane = make()
    lane.take_in([entry(1, event=keys.ALIVE)])
    assert lane.commit(checkpoint=False) is None
    commit = committed(lane)
    assert (outputs(commit), commit.after.raw, commit.after.seen) == ([], b"1-0", b"1-0")


def test_resumes_from_what_was_committed() -> None:
    """A crash would lose what is held, or publish something again."""
    lane = make()
    entries = [entry(1, 0, 2), entry(2, 4, 1), entry(3, 6)]
    lane.take_in(entries)
    commit = committed(lane)
    again = resumed(commit)
    assert again.cursor == b"1-0"
    again.take_in(entries[1:])
    again.take_in([entry(4, 3, 5)])
    assert numbers(committed(again)) == [3, 4, 5, 6]


def test_time_comes_with_the_entries() -> None:
    """A gap would be given up while nobody listens, or never in silence."""
    lane = make(timeout=1.0)
    lane.take_in([entry(1, 0, 2, at=10.0)])
    lane.take_in([entry(2, at=10.9, event=keys.ALIVE)])
    assert numbers(committed(lane)) == [0]
    lane.take_in([entry(3, at=11.0, event=keys.ALIVE)])
    commit = committed(lane)
    assert [item.cause for item in outputs(commit) if isinstance(item, Gap)] == ["timeout"]
    assert numbers(commit) == [2]


def test_late_frames_of_a_gap_that_is_not_written_yet() -> None:
    """The ledger would have two rows for one gap, or not count its late frames."""
    lane = make(timeout=1.0)
    lane.take_in([entry(1, 0, 2, at=1.0), entry(2, at=2.0, event=keys.ALIVE), entry(3, 1, at=2.0)])
    commit = committed(lane)
    assert [gap.late for gap in outputs(commit) if isinstance(gap, Gap)] == [1]
    assert moved(commit).amended == []
    lane.take_in([entry(4, 1, at=2.0)])
    (amended,) = moved(committed(lane)).amended
    assert (amended.first, amended.late) == (1, 2)


def test_bad_frames_are_kept_and_counted() -> None:
    """A bad frame would shift the places of those beside it, or vanish."""
    lane = make()
    frames = [b"{}", b'{"id":0}', b"no", b'{"id":1}']
    bad = Entry(b"1-0", [("f", part(1)._replace(frames=frames))])
    lane.take_in([bad])
    assert numbers(committed(lane)) == [0, 1]
    assert lane.feeds["f"].rejects.reasons == {"missing": 1, "json": 1}
    assert [reject.frame for reject in lane.feeds["f"].rejects.kept] == [b"{}", b"no"]
    lane.take_in([Entry(b"2-0", [("f", part(2)._replace(frames=[b"no"] * 1000))])])
    assert lane.feeds["f"].rejects.reasons["json"] == 1001
    assert len(lane.feeds["f"].rejects.kept) == PARK_AT_ONCE


def test_an_epochs_origin_is_dropped_when_it_is_settled() -> None:
    """Every commit would carry places in the input that nobody reads again."""
    lane = make()
    lane.take_in([entry(1, *range(10))])
    committed(lane)
    lane.take_in([entry(2, *range(4), mark=',"n":2')])
    assert lane.feeds["f"].sequence("").committed.epoch == 1
    lane.take_in([entry(3, 6, 4, mark=',"n":2')])
    commit = committed(lane)
    (epoch,) = [item for item in outputs(commit) if isinstance(item, Epoch)]
    assert epoch.origin is not None
    assert {place.entry for place in epoch.origin.carried} == {b"2-0", b"3-0"}
    assert numbers(commit) == [0, 1, 2, 3, 4]
    assert (commit.after.raw, moved(commit).after.origin) == (b"2-0", epoch.origin)
    lane.take_in([entry(4, 5, mark=',"n":2')])
    assert moved(committed(lane)).after.origin is None


def test_what_older_frames_say_is_left_out() -> None:
    """After a crash in the birth of an epoch, old frames would be published in the new one."""
    lane = make()
    lane.take_in([entry(1, *range(10))])
    committed(lane)
    birth = [entry(2, 0, 1, mark=',"n":2'), entry(3, 12), entry(4, 2, 3, 4, mark=',"n":2')]
    lane.take_in(birth)
    commit = committed(lane)
    after = moved(commit).after
    assert after.epoch == 2
    held = make(Mark(b"1-0", b"4-0"), feeds={"f": State(epoch=2, next=0, origin=after.origin)})
    held.take_in(birth)
    again = committed(held)
    assert numbers(again) == [0, 1, 2, 3, 4]
    runs = [item for item in outputs(again) if isinstance(item, Run)]
    assert all(frame.endswith(b'"n":2}') for run in runs for frame in run.frames)


def test_the_first_id_that_was_set_is_known() -> None:
    """After a start, frames below a configured first id would pass for a new numbering."""
    lane = make(limits=Limits(1000, 2**63, 1000, 50))
    lane.take_in([entry(1, 50, 51)])
    assert moved(committed(lane)).after.first == 50


def test_status() -> None:
    """An operator would see nothing of what is waited for."""
    lane = make(timeout=5.0)
    lane.take_in([entry(1, 0, 3, 4, at=1.0), entry(2, at=2.0, event=keys.ALIVE)])
    status = lane.feeds["f"].status()
    assert (status["held"], lane.full, status["timeout"]) == (2, False, 5.0)
    assert status["gaps"] == [{"first": 1, "last": 2, "age": 1.0}]
    assert make(feeds={"f": State()}).feeds["f"].status()["timeout"] is None


ROOM = 100_000


def large(number: int, *ids: int, mark: str = "") -> Entry:
    """Make an entry of frames that fill a tenth of the room each."""
    return entry(number, *ids, mark=mark + f',"x":"{"x" * (ROOM // 10)}"')


@pytest.mark.parametrize(
    "doubtful",
    [
        entry(2, 10**6),
        entry(2, 1, mark=',"odd":1'),
        entry(2, 1, 10**6, mark=',"odd":1'),
    ],
    ids=["outlier", "repeat", "both"],
)
def test_the_input_that_a_doubtful_frame_keeps_is_bounded(doubtful: Entry) -> None:
    """One small frame on probation would keep a thousand large ones in Redis, which fills."""
    lane = make(limits=Limits(1000, ROOM, 1000, 0))
    lane.take_in([entry(1, 0, 1, 2), doubtful])
    for seq in range(3, 30):
        lane.take_in([large(seq, seq)])
        assert seq < 12 or committed(lane).after.raw == b"%d-0" % seq
    assert lane.feeds["f"].doubtful == 0


@pytest.mark.parametrize("timeout", [10.0, math.inf])
def test_the_input_that_a_gap_keeps_is_bounded(timeout: float) -> None:
    """While a frame is missing, a feed that repeats itself would fill Redis."""
    lane = make(timeout=timeout, limits=Limits(1000, ROOM, 1000, 0))
    lane.take_in([entry(1, 0, 1, 2), entry(2, 4)])
    for number in range(3, 30):
        if not lane.full:
            lane.take_in([large(number, 1)])
    if timeout == math.inf:
        assert (lane.full, lane.feeds["f"].held, lane.cursor) == (True, 1, b"12-0")
    else:
        assert numbers(committed(lane)) == [0, 1, 2, 4]


# Several feeds ------------------------------------------------------------------------------


def test_feeds_of_a_lane_have_an_order_each() -> None:
    """The messages of one feed would be taken for another's."""
    lane = make()
    lane.take_in([shared(1, a=[0, 1], b=[0]), shared(2, b=[2], a=[2]), shared(3, b=[1])])
    commit = committed(lane)
    assert (numbers(commit, "a"), numbers(commit, "b")) == ([0, 1, 2], [0, 1, 2])
    assert (moved(commit, "a").after.serial, moved(commit, "b").after.serial) == (3, 3)
    assert (commit.after.serial, commit.after.raw) == (6, b"3-0")


def test_a_gap_of_one_feed_does_not_hold_up_another() -> None:
    """All feeds of a lane would wait for the slowest of them."""
    lane = make()
    lane.take_in([shared(1, a=[0], b=[0]), shared(2, a=[2], b=[1]), shared(3, b=[2])])
    commit = committed(lane)
    assert (numbers(commit, "a"), numbers(commit, "b")) == ([0], [0, 1, 2])
    assert (commit.after.raw, commit.after.seen, commit.after.waiting) == (b"1-0", b"3-0", ["a"])
    lane.take_in([shared(4, a=[1])])
    commit = committed(lane)
    assert [move.feed for move in commit.moves] == ["a"]
    assert (numbers(commit, "a"), commit.after.raw, commit.after.waiting) == ([1, 2], b"4-0", [])


def test_an_entry_is_settled_when_all_its_parts_are() -> None:
    """What is held would be dropped with another feed's part of the same entry."""
    lane = make()
    lane.take_in([shared(1, a=[0], b=[0], c=[0]), shared(2, a=[1], b=[2], c=[1])])
    assert committed(lane).after.raw == b"1-0"
    lane.take_in([shared(3, b=[1])])
    assert committed(lane).after.raw == b"3-0"


def test_a_crash_between_feeds() -> None:
    """What one feed holds would be lost, or what another has published come again."""
    entries = [shared(1, a=[0, 2], b=[0, 1]), shared(2, a=[3], b=[2])]
    lane = make()
    lane.take_in(entries)
    commit = committed(lane)
    again = resumed(commit)
    assert again.cursor == b"0-0"
    again.take_in(entries)
    again.take_in([shared(3, a=[1], b=[3])])
    commit = committed(again)
    assert (numbers(commit, "a"), numbers(commit, "b")) == ([1, 2, 3], [3])


def test_only_the_feed_that_keeps_the_input_is_settled_early() -> None:
    """For want of room, the gaps of all feeds would be given up."""
    lane = make(timeout=10.0, limits=Limits(1000, ROOM, 1000, 0))
    lane.take_in([shared(1, a=[0, 2], b=[0]), shared(2, b=[2])])
    for number in range(3, 16):
        lane.take_in([Entry(b"%d-0" % number, [("c", large(number, number).parts[0][1])])])
    commit = committed(lane)
    assert numbers(commit, "a") == [0, 2]
    assert numbers(commit, "b") == [0, 2]
    assert [item.cause for item in outputs(commit, "a") if isinstance(item, Gap)] == ["capacity"]


def test_a_new_feed_begins_above_what_was_lost() -> None:
    """Its ids would seem to be those of an epoch that Redis has lost."""
    lane = make(Mark(floor=7))
    lane.take_in([shared(1, a=[0])])
    assert moved(committed(lane), "a").after.epoch == 7


def test_lines_are_known_after_a_restart() -> None:
    """A line that was connected while nothing came out would not be known any longer."""
    lane = make()
    lane.take_in([entry(1, event=keys.CONNECTED)])
    assert lane.commit(checkpoint=False) is None
    assert committed(lane).after.lines == {"f": ["line"]}
    lane.take_in([entry(2, 0)])
    assert committed(lane).after.lines == {"f": ["line"]}


def test_what_a_forgotten_feed_has_left_is_nobodys() -> None:
    """A feed would come back to life from what stands in the input, or hold that up for ever."""
    gone = {"b": Forgotten(b"3-0", b"9-9", 6)}
    state = LaneState(Mark(seen=b"2-0"), {}, gone)
    options = Options(LIMITS, "id", 10.0)
    lane = Lane("+0", state, lambda _: options, LIMITS.capacity_bytes)
    lane.take_in([shared(1, b=[0, 2]), shared(2, a=[0], b=[3]), shared(3, b=[5])])
    commit = committed(lane)
    assert (numbers(commit, "a"), commit.after.raw, commit.after.waiting) == ([0], b"3-0", [])
    assert set(lane.feeds) == {"a"}
    lane.take_in([shared(4, a=[1], b=[0, 2])])
    commit = committed(lane)
    assert (numbers(commit, "a"), numbers(commit, "b")) == ([1], [0])
    assert (moved(commit, "a").after.epoch, moved(commit, "b").after.epoch) == (1, 6)
    assert commit.after.raw == b"3-0"
