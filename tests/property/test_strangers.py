"""Whatever stands in the input, written by whomever, a feed takes it in and goes on."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orderer import lane as lanes
from orderer.commit import Target, steps
from orderer.feed import Options
from orderer.lane import Lane, LaneState
from orderer.reorder.limits import Limits
from relay import keys

LARGEST = 2**63 - 1
NUMBERS = st.one_of(
    st.integers(0, 40), st.integers(LARGEST - 3, LARGEST + 2), st.integers(-2, 2**70),
    st.sampled_from([10**18, 10**2000]),
).map(lambda number: f"{number}".encode() if number < 10**999 else b"9" * 2000)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from([b"", b"line", b"two words", b"line\n", b"\xff\xfe", b"\xc3\xa9", b"\0"]),
    st.binary(max_size=6),
)
FRAMES = st.one_of(
    NUMBERS.map(lambda number: b'{"id":%s}' % number),
    st.integers(0, 40).map(lambda seq: b'{"id":%d,"x":1}' % seq),
    st.sampled_from(
        [b"", b"{}", b"[]", b'{"id":null}', b'{"id":true}', b'{"id":1.0}', b'{"id":"1"}', b"\xff",
         b'{"id":NaN}', b'{"id":1,"id":2}', b"[" * 1100, b'{"id":[' + b"[" * 1100, b'"id"', b"1"]
    ),
    WORDS,
)  # fmt: skip
EVENTS = st.one_of(
    st.sampled_from([keys.CONNECTED, keys.DISCONNECTED, keys.ALIVE, keys.PAUSED, b"other"]), WORDS
)
FIELDS = st.one_of(
    st.tuples(st.sampled_from([keys.T, keys.UP]), st.one_of(NUMBERS, WORDS)),
    st.tuples(st.sampled_from([keys.LINE, keys.CONN]), WORDS),
    st.tuples(st.just(keys.EVENT), EVENTS),
    st.tuples(st.just(keys.FEED), st.one_of(st.sampled_from([b"a", b"b"]), WORDS)),
    st.tuples(st.sampled_from([b"0", b"1", b"2", b"\xc2\xb2"]), FRAMES),
    st.tuples(WORDS, WORDS),
)


@st.composite
def values(draw: st.DrawFn) -> list[bytes]:
    """Make an entry's fields: an ingestor's, or anybody's."""
    if draw(st.booleans()):
        return [word for field in draw(st.lists(FIELDS, min_size=1, max_size=6)) for word in field]
    head = [keys.FEED, draw(WORDS)] if draw(st.booleans()) else []
    head += [keys.T, draw(NUMBERS), keys.LINE, draw(WORDS), keys.CONN, draw(WORDS)]
    if draw(st.booleans()):
        head += [keys.UP, draw(NUMBERS)]
    if draw(st.booleans()):
        return [*head, keys.EVENT, draw(EVENTS)]
    frames = draw(st.lists(FRAMES, min_size=1, max_size=8))
    return [*head, *(word for at, frame in enumerate(frames) for word in (b"%d" % at, frame))]


@given(
    entries=st.lists(st.tuples(values(), st.integers(1, 2000)), max_size=12),
    first_id=st.sampled_from([None, 0, 3]),
    timeout=st.sampled_from([None, 0.001, math.inf]),
    jump=st.sampled_from([10, 1000]),
)
def test_nothing_in_the_input_ends_a_feed(
    entries: list[tuple[list[bytes], int]], first_id: int | None, timeout: float | None, jump: int
) -> None:
    """One entry written by hand, or by a hostile feed, would end the orderer at every start."""
    options = Options(Limits(10, 200, jump, first_id), "id", timeout)
    state, at, known = LaneState(), 0, []
    for fields, later in entries:
        at += later
        known.append(lanes.entry("f", b"%d-0" % at, fields))
    for start in range(len(known) + 1):
        # Each time from what was committed last, as after a crash.
        lane = Lane("f", state, lambda _: options, 200)
        unread = [entry for entry in known if int(entry.id[:-2]) > int(state.mark.raw[:-2])]
        lane.take_in(unread[: start + 2])
        for feed in lane.feeds.values():
            feed.status()
        commit = lane.commit()
        if commit is None:
            continue
        target = Target("f", "lease", b"i", "", 100)
        made = list(steps(commit, target, "1:me", 1))
        assert all(before.name != after.name for before, after in pairwise(made))
        feeds = {name: dict(states) for name, states in state.feeds.items()}
        for move in commit.moves:
            feeds.setdefault(move.feed, {})[move.key] = move.after
        state = LaneState(commit.after, feeds)
