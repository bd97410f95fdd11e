"""One lane, what it takes in and what it commits, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from orderer.feed import Options
from orderer.lane import Commit, Entry, Lane, LaneState, Mark
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Output, Run
from orderer.sequence import Move, State
from relay import raw

LIMITS = Limits(1000, 2**63, 1000, 0)


def make(
    mark: Mark | None = None, timeout: float = math.inf, limits: Limits = LIMITS,
    feeds: Mapping[str, State] | None = None,
) -> Lane:  # fmt: skip
    state = LaneState(mark or Mark(), {name: {"": each} for name, each in (feeds or {}).items()})
    options = Options(limits, "id", timeout)
    return Lane("f", state, lambda _: options, limits.capacity_bytes)


def resumed(commit: Commit) -> Lane:
    """Begin anew with what was committed, as after a crash."""
    return make(commit.after, feeds={move.feed: move.after for move in commit.moves})


def part(number: int, *ids: int, at: float = 0.0, mark: str = "", event: bytes = b"") -> raw.Entry:
    frames = [b'{"id":%d%s}' % (seq, mark.encode()) for seq in ids]
    return raw.Entry(b"%d-0" % number, number, b"line", b"conn", at, event, frames)


def entry(number: int, *ids: int, at: float = 0.0, mark: str = "", event: bytes = b"") -> Entry:
    return Entry(b"%d-0" % number, [("f", part(number, *ids, at=at, mark=mark, event=event))])


def shared(number: int, **ids: Sequence[int]) -> Entry:
    """Make an entry of a lane that carries several feeds."""
    return Entry(b"%d-0" % number, [(feed, part(number, *seqs)) for feed, seqs in ids.items()])


def committed(lane: Lane) -> Commit:
    commit = lane.commit()
    assert commit is not None
    return commit


def moved(commit: Commit, feed: str = "f") -> Move:
    (move,) = [move for move in commit.moves if move.feed == feed]
    return move


def outputs(commit: Commit, feed: str = "f") -> list[Output]:
    return [item for move in commit.moves if move.feed == feed for item in move.outputs]


def numbers(commit: Commit, feed: str = "f") -> list[int]:
    return [
        item.first + at
        for item in outputs(commit, feed)
        if isinstance(item, Run)
        for at in range(len(item.frames))
    ]
