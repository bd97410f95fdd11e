"""One feed's state: entries in, commits out."""

from __future__ import annotations

import math

from orderer.feed import PARK_AT_ONCE, Commit, Feed, Options, State
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Epoch, Gap, Run
from relay import keys
from relay.raw import Entry

LIMITS = Limits(1000, 2**63, 1000, 0)


def make(state: State | None = None, timeout: float = math.inf, limits: Limits = LIMITS) -> Feed:
    return Feed("f", state or State(), Options(limits, "id", timeout))


def entry(number: int, *ids: int, at: float = 0.0, mark: str = "", event: bytes = b"") -> Entry:
    frames = [b'{"id":%d%s}' % (seq, mark.encode()) for seq in ids]
    return Entry(b"%d-0" % number, number, b"line", b"conn", at, event, frames)


def committed(feed: Feed) -> Commit:
    commit = feed.commit()
    assert commit is not None
    return commit


def numbers(commit: Commit) -> list[int]:
    return [
        item.first + at
        for item in commit.outputs
        if isinstance(item, Run)
        for at in range(len(item.frames))
    ]


def test_commits_follow_each_other() -> None:
    """A commit would not begin where the one before ends, and Redis would refuse it."""
    feed = make()
    feed.take_in([entry(1, 0, 1), entry(2, 3)])
    first = committed(feed)
    assert (numbers(first), first.after.next, first.after.raw) == ([0, 1], 2, b"1-0")
    feed.take_in([entry(3, 2)])
    second = committed(feed)
    assert second.before == first.after
    assert (numbers(second), second.after.next, second.after.raw) == ([2, 3], 4, b"3-0")
    assert feed.commit() is None


def test_a_checkpoint_alone_can_wait() -> None:
    """Every sign of life of a silent feed would cost a commit."""
    feed = make()
    feed.take_in([entry(1, event=keys.ALIVE)])
    assert feed.commit(checkpoint=False) is None
    commit = committed(feed)
    assert (commit.outputs, commit.after.raw, commit.after.seen) == ([], b"1-0", b"1-0")


def test_resumes_from_what_was_committed() -> None:
    """A crash would lose what is held, or publish something again."""
    feed = make()
    entries = [entry(1, 0, 2), entry(2, 4, 1), entry(3, 6)]
    feed.take_in(entries)
    commit = committed(feed)
    again = make(commit.after)
    assert again.cursor == b"1-0"
    again.take_in(entries[1:])
    again.take_in([entry(4, 3, 5)])
    assert numbers(committed(again)) == [3, 4, 5, 6]


def test_time_comes_with_the_entries() -> None:
    """A gap would be given up while nobody listens, or never in silence."""
    feed = make(timeout=1.0)
    feed.take_in([entry(1, 0, 2, at=10.0)])
    feed.take_in([entry(2, at=10.9, event=keys.ALIVE)])
    assert numbers(committed(feed)) == [0]
    feed.take_in([entry(3, at=11.0, event=keys.ALIVE)])
    commit = committed(feed)
    assert [item.cause for item in commit.outputs if isinstance(item, Gap)] == ["timeout"]
    assert numbers(commit) == [2]


def test_late_frames_of_a_gap_that_is_not_written_yet() -> None:
    """The ledger would have two rows for one gap, or not count its late frames."""
    feed = make(timeout=1.0)
    feed.take_in([entry(1, 0, 2, at=1.0), entry(2, at=2.0, event=keys.ALIVE), entry(3, 1, at=2.0)])
    commit = committed(feed)
    assert [gap.late for gap in commit.outputs if isinstance(gap, Gap)] == [1]
    assert commit.amended == []
    feed.take_in([entry(4, 1, at=2.0)])
    (amended,) = committed(feed).amended
    assert (amended.first, amended.late) == (1, 2)


def test_bad_frames_are_kept_and_counted() -> None:
    """A bad frame would shift the places of those beside it, or vanish."""
    feed = make()
    bad = Entry(b"1-0", 1, b"line", b"conn", 0.0, b"", [b"{}", b'{"id":0}', b"no", b'{"id":1}'])
    feed.take_in([bad])
    assert numbers(committed(feed)) == [0, 1]
    assert feed.rejects.reasons == {"missing": 1, "json": 1}
    assert [reject.frame for reject in feed.rejects.kept] == [b"{}", b"no"]
    feed.take_in([Entry(b"2-0", 2, b"line", b"conn", 0.0, b"", [b"no"] * 1000)])
    assert feed.rejects.reasons["json"] == 1001
    assert len(feed.rejects.kept) == PARK_AT_ONCE


def test_an_epochs_origin_is_dropped_when_it_is_settled() -> None:
    """Every commit would carry places in the input that nobody reads again."""
    feed = make()
    feed.take_in([entry(1, *range(10))])
    committed(feed)
    feed.take_in([entry(2, *range(4), mark=',"n":2')])
    assert feed.committed.epoch == 1
    feed.take_in([entry(3, 6, 4, mark=',"n":2')])
    commit = committed(feed)
    (epoch,) = [item for item in commit.outputs if isinstance(item, Epoch)]
    assert epoch.origin is not None
    assert {place.entry for place in epoch.origin.carried} == {b"2-0", b"3-0"}
    assert numbers(commit) == [0, 1, 2, 3, 4]
    assert (commit.after.raw, commit.after.origin) == (b"2-0", epoch.origin)
    feed.take_in([entry(4, 5, mark=',"n":2')])
    assert committed(feed).after.origin is None


def test_what_older_frames_say_is_left_out() -> None:
    """After a crash in the birth of an epoch, old frames would be published in the new one."""
    feed = make()
    feed.take_in([entry(1, *range(10))])
    committed(feed)
    birth = [entry(2, 0, 1, mark=',"n":2'), entry(3, 12), entry(4, 2, 3, 4, mark=',"n":2')]
    feed.take_in(birth)
    commit = committed(feed)
    assert commit.after.epoch == 2
    held = make(State(epoch=2, next=0, raw=b"1-0", seen=b"4-0", origin=commit.after.origin))
    held.take_in(birth)
    again = committed(held)
    assert numbers(again) == [0, 1, 2, 3, 4]
    runs = [item for item in again.outputs if isinstance(item, Run)]
    assert all(frame.endswith(b'"n":2}') for run in runs for frame in run.frames)


def test_the_first_id_that_was_set_is_known() -> None:
    """After a start, frames below a configured first id would pass for a new numbering."""
    feed = make(limits=Limits(1000, 2**63, 1000, 50))
    feed.take_in([entry(1, 50, 51)])
    assert committed(feed).after.first == 50


def test_status() -> None:
    """An operator would see nothing of what is waited for."""
    feed = make(timeout=5.0)
    feed.take_in([entry(1, 0, 3, 4, at=1.0), entry(2, at=2.0, event=keys.ALIVE)])
    status = feed.status()
    assert (status["held"], status["full"], status["timeout"]) == (2, False, 5.0)
    assert status["gaps"] == [{"first": 1, "last": 2, "age": 1.0}]
    assert make().status()["timeout"] is None
