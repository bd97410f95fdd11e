"""Orders that are not dense: crashes at any step neither lose, double nor disorder anything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderer import lane as lanes
from orderer.feed import Options
from orderer.lane import Entry, Lane, LaneState
from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import Limits, Order
from orderer.reorder.outputs import Epoch, Gap, Run
from orderer.sequence import State
from relay import keys
from relay.entry import position
from relay.frames.path import parse_path
from relay.frames.reader import Reader, Words

TIMEOUT = 1.0
STEP = 20
"""Milliseconds between two entries."""


@dataclass
class Script:
    """What a feed sends, and what is to come out of it."""

    sent: list[bytes]
    """In the right order."""
    lost: set[int]
    """Places of those that never come."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    order: Order = Order.RANGES
    step: int = 1

    @property
    def expected(self) -> list[bytes]:
        """What is to come out."""
        return [message for at, message in enumerate(self.sent) if at not in self.lost]


def lose(rng: random.Random, count: int, apart: int = 1) -> set[int]:
    """Choose places to be lost: neither the first nor the last, and none beside another."""
    lost: set[int] = set()
    for at in range(1 + apart, count - 2):
        if rng.random() < 0.08 and not lost.intersection(range(at - apart, at)):
            lost.add(at)
    return lost


def ranges(rng: random.Random) -> Script:
    """Make messages that cover some ids each."""
    sent, spans, at = [], [], rng.choice([1, 10**12])
    for _ in range(rng.randint(6, 40)):
        last = at + rng.randint(0, 5)
        spans.append((at, last))
        sent.append(b'{"p":%d,"id":%d}' % spans[-1])
        at = last + 1
    lost = lose(rng, len(sent))
    return Script(sent, lost, [spans[place] for place in sorted(lost)])


def steps(rng: random.Random) -> Script:
    """Make ids that grow by ten."""
    begin = rng.choice([10, 7])
    sent = [b'{"id":%d}' % (begin + 10 * at) for at in range(rng.randint(6, 40))]
    lost = lose(rng, len(sent))
    gaps = [(begin + 10 * at, begin + 10 * at) for at in sorted(lost)]
    return Script(sent, lost, gaps, step=10)


def chain(rng: random.Random) -> Script:
    """Make messages that name the one before."""
    ids = rng.sample(range(1000), rng.randint(6, 40))
    sent, names, before = [], [], rng.choice([-1, 5000])
    for id in ids:
        names.append((before, id))
        sent.append(b'{"p":%d,"id":%d}' % names[-1])
        before = id
    # Two pieces of a chain that are both without a beginning come in no order of their own.
    lost = lose(rng, len(sent), 14)
    gaps = [(names[at][0], names[at][1]) for at in sorted(lost)]
    return Script(sent, lost, gaps, Order.CHAIN)


def sparse(rng: random.Random) -> Script:
    """Make ids with holes; some are equal."""
    sent, at = [], 10**15
    for number in range(rng.randint(6, 40)):
        at += rng.choice([0, 1, 3, 10**6]) if number else 0
        sent.append(b'{"id":%d,"n":%d}' % (at, number))
    return Script(sent, lose(rng, len(sent)), [], Order.SPARSE)


def entries(rng: random.Random, script: Script) -> list[Entry]:
    """Send a script out of order and some of it twice, in entries; then nothing for a while."""
    depth = rng.choice([0, 2, 8])
    came = [(at + rng.randint(0, depth), at) for at in range(len(script.sent))]
    came += [(at + rng.randint(0, 12), at) for _, at in came if rng.random() < 0.15]
    frames = [script.sent[at] for _, at in sorted(came) if at not in script.lost]
    made, number = [entry(1, 0, keys.CONNECTED)], 1
    while frames:
        number, count = number + 1, rng.randint(1, 5)
        made.append(entry(number, number * STEP, None, frames[:count]))
        del frames[:count]
    return made + [
        entry(number + more, number * STEP + 1000 * more, keys.ALIVE) for more in range(1, 8)
    ]


def entry(number: int, up: int, event: bytes | None, frames: Sequence[bytes] = ()) -> Entry:
    """Make an entry of the input."""
    words = [keys.T, b"%d" % (number * 1000), keys.LINE, b"l", keys.CONN, b"c", keys.UP, b"%d" % up]
    words += [keys.EVENT, event] if event else []
    words += [word for at, frame in enumerate(frames) for word in (b"%d" % at, frame)]
    return lanes.entry("f", b"%d-0" % number, words)


class Life:
    """An orderer that is begun anew from what it has committed, again and again."""

    def __init__(self, script: Script) -> None:
        words = Words(
            id=parse_path("id"),
            link=parse_path("p") if script.order is Order.CHAIN or script.step == 1 else None,
        )
        bounds = Limits(1000, 10**9, 1000, order=script.order, step=script.step)
        self.options = Options(bounds, "id", TIMEOUT, reader=Reader(words))
        self.state = LaneState()
        self.out: list[bytes] = []
        self.gaps: list[Gap] = []
        self.epochs = 0
        self._prints = Fingerprints(10_000)
        self.begin()

    def begin(self) -> None:
        """Begin from what is committed."""
        self.lane = Lane("f", self.state, lambda _: self.options, 10**9)

    def commit(self, *, checkpoint: bool) -> None:
        """Commit what came out."""
        commit = self.lane.commit(checkpoint=checkpoint)
        if commit is None:
            return
        feeds = dict(self.state.feeds)
        for move in commit.moves:
            for item in move.outputs:
                if isinstance(item, Run):
                    self.out += item.frames
                    self._prints.extend(item.first, item.prints)
                elif isinstance(item, Gap):
                    self.gaps.append(item)
                elif isinstance(item, Epoch):
                    self._prints = Fingerprints(10_000)
                    self.gaps, self.epochs = [], self.epochs + 1
            feeds["f"] = {"": move.after}
        published = Fingerprints(10_000)
        published.extend(0, self._prints.latest())
        kept: dict[str, State] = {
            key: state._replace(published=published, gaps=list(self.gaps))
            for key, state in feeds.get("f", {}).items()
        }
        self.state = LaneState(commit.after, {"f": kept} if kept else {})


def play(rng: random.Random, script: Script, crashes: float) -> Life:
    """Play a script with crashes."""
    life, made = Life(script), entries(rng, script)
    at = 0
    while at < len(made):
        count = rng.randint(1, 4)
        life.lane.take_in(made[at : at + count])
        at += count
        if rng.random() < 0.6:
            life.commit(checkpoint=rng.random() < 0.5)
        if rng.random() < crashes:
            life.begin()
            raw = position(life.state.mark.raw)
            at = next((i for i, one in enumerate(made) if position(one.id) > raw), len(made))
    life.commit(checkpoint=True)
    return life


@pytest.mark.parametrize("make", [ranges, steps, chain, sparse])
@given(seed=st.integers(0, 2**32), crashes=st.sampled_from([0.0, 0.2, 0.5]))
def test_what_comes_out(make: object, seed: int, crashes: float) -> None:
    """A message would be lost, come twice, or before another, or a gap be told that is none."""
    rng = random.Random(seed)
    script: Script = make(rng)  # type: ignore[operator]
    life = play(rng, script, crashes)
    if script.order is Order.SPARSE:
        # Which of two with one id is first, nobody can tell.
        assert sorted(life.out) == sorted(script.expected)
        ids = [message.split(b",")[0] for message in life.out]
        assert ids == [message.split(b",")[0] for message in script.expected]
    else:
        assert life.out == script.expected
    assert [(gap.first, gap.last) for gap in life.gaps] == script.gaps
    assert life.epochs == 0
    assert life.state.mark.raw == life.lane.cursor, "all is settled"


@given(seed=st.integers(0, 2**32))
def test_a_new_numbering(seed: int) -> None:
    """Where ids are ranges, a feed that begins anew would be taken for repeats, for ever."""
    rng = random.Random(seed)
    script = ranges(rng)
    anew = [b'{"p":%d,"id":%d,"anew":1}' % (at, at) for at in range(1, 30)]
    life, made = Life(script), entries(rng, Script(script.expected, set()))
    old = [
        b'{"p":%d,"id":%d}' % (10**13 + at, 10**13 + at) for at in range(3)
    ] if b'"p":1,' in script.sent[0] else []  # fmt: skip
    number = len(made) + 100
    frames = old + anew
    for at in range(0, len(frames), 3):
        number += 1
        made.append(entry(number, 60_000 + number * STEP, None, frames[at : at + 3]))
    made += [entry(number + at, 90_000 + 1000 * at, keys.ALIVE) for at in range(1, 5)]
    at = 0
    while at < len(made):
        life.lane.take_in(made[at : at + 2])
        at += 2
        life.commit(checkpoint=rng.random() < 0.5)
        if rng.random() < 0.2:
            life.begin()
            raw = position(life.state.mark.raw)
            at = next((i for i, one in enumerate(made) if position(one.id) > raw), len(made))
    life.commit(checkpoint=True)
    assert life.out[-len(anew) :] == anew
    assert life.out[: len(script.expected)] == script.expected
    assert life.epochs == 1
