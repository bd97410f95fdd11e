"""Sequences laid down and taken up at every step do what those do that are never laid down."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderer import lane as lanes
from orderer.feed import Feed, Options
from orderer.lane import Commit, Entry, Lane, LaneState
from orderer.reorder import limits
from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import Limits, Order
from orderer.reorder.outputs import Epoch, Gap, Output, Run
from orderer.sequence import Sequence
from orderer.sequences import Sequences
from relay import keys
from relay.entry import position
from relay.frames.path import parse_path
from relay.frames.pattern import parse_pattern
from relay.frames.reader import Reader, Words

KEYS = ("a", "b", "c")

KINDS = {
    "plain": (Order.DENSE, 1),
    "step": (Order.RANGES, 10),
    "first": (Order.RANGES, 1),
    "previous": (Order.CHAIN, 1),
    "step any": (Order.SPARSE, 1),
}

SMALL = {
    "FINGERPRINTS_OF_KEY": 8, "GAPS_OF_KEY": 2, "PROBATION": 8, "SILENCE": 1.0,
    "PROBATION_SECONDS": 20.0,
}  # fmt: skip
"""What is remembered is forgotten within a short schedule."""


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(limits, name, value)
        yield


class Step(NamedTuple):
    entry: Entry
    commit: bool
    checkpoint: bool
    crash: bool


class Source:
    """What one key sends."""

    def __init__(self, rng: random.Random, key: str, kind: str) -> None:
        self._rng, self._key, self._kind = rng, key, kind
        self._begin = rng.choice([0, 1, 70, 5000])
        self._marks = 0
        self._next, self._last = self._begin, -1
        self._sent: list[tuple[int, int]] = []
        self._mark = ""
        self._missing: list[bytes] = []

    def _message(self, id: int, link: int, mark: str) -> bytes:
        return b'{"id":%d,"p":%d,"of":"%s","is":"%s"}' % (
            id, link, self._key.encode(), mark.encode(),
        )  # fmt: skip

    def _new(self) -> bytes:
        rng, id, link = self._rng, self._next, self._last
        if self._kind == "first":
            link, id = id, id + rng.randint(0, 3)
            self._next = id + 1
        elif self._kind == "step any":
            self._next += rng.choice([0, 1, 5])
        else:
            self._next += 10 if self._kind == "step" else 1
        self._last = id
        self._sent.append((id, link))
        return self._message(id, link, self._mark)

    def send(self) -> list[bytes]:
        """Send something."""
        rng = self._rng
        what = rng.choice(
            ["next"] * 14 + ["lose"] * 3 + ["late"] * 3
            + ["again", "old", "other", "anew", "row", "far", "pair", "said"]
        )  # fmt: skip
        sent = self._sent or [(self._begin, -1)]
        if what == "lose":
            self._missing.append(self._new())
            return []
        if what == "late" and self._missing:
            return [self._missing.pop(rng.randrange(len(self._missing)))]
        if what == "again":
            return [self._message(*rng.choice(sent[-4:]), self._mark)]
        if what == "old":
            return [self._message(*rng.choice(sent), self._mark)]
        if what == "other":
            return [self._message(*rng.choice(sent[-12:]), "other")]
        if what == "far":
            return [self._message(self._next + 1000, self._next + 999, self._mark)]
        if what == "pair":  # of a new numbering, maybe
            return [self._message(self._begin + at, self._begin + at - 1, "pair") for at in (0, 1)]
        if what in ("anew", "said"):
            self._marks += 1
            self._mark, self._missing = f"{self._marks}", []
            self._next, self._last, self._sent = self._begin, -1, []
            first = self._new()
            said = first.replace(b'"is":"', b'"is":"first","as":"') if what == "said" else first
            return [said, *(self._new() for _ in range(rng.choice([0, 2, 6])))]
        if what == "row":
            at = rng.randrange(len(sent))
            return [self._message(*one, self._mark) for one in sent[at : at + 6]]
        return [self._new() for _ in range(rng.choice([1, 1, 1, 3]))]


def schedule(rng: random.Random, kind: str) -> list[Step]:
    """Make up what comes, and when it is committed."""
    sources = [Source(rng, key, kind) for key in KEYS]
    made, up = [], 0
    for number in range(1, rng.randint(10, 90)):
        later = rng.choice([20, 20, 20, 200, 700, 1900])
        up += later
        event = rng.choice([None] * 12 + [keys.CONNECTED, keys.DISCONNECTED, keys.ALIVE])
        frames: list[bytes] = []
        if event is None:
            for _ in range(rng.choice([1, 1, 2, 4])):
                frames += rng.choice(sources).send()
            frames += [b'{"hello":1}'] * (rng.random() < 0.01)
        words = [keys.T, b"%d" % (number * 1000), keys.LINE, b"l", keys.CONN, b"c"]
        words += [keys.UP, b"%d" % up, *((keys.EVENT, event) if event else ())]
        words += [word for at, frame in enumerate(frames) for word in (b"%d" % at, frame)]
        entry = lanes.entry("f", b"%d-0" % number, words)
        commits = rng.random() < 0.7, rng.random() < 0.5
        made.append(Step(entry, *commits, rng.random() < 0.03))
    return made


def options(rng: random.Random, kind: str) -> Options:
    """Make up what the feed is told."""
    order, step = KINDS[kind]
    words = Words(
        id=parse_path("id"),
        key=(parse_path("of"),),
        link=parse_path("p") if kind in ("first", "previous") else None,
        restarts=(parse_pattern({"is": "first"}), parse_pattern({"hello": "*"})),
        ignore=(parse_pattern({"hello": "*"}),),
        drop=(parse_pattern({"is": "pair"}),) if rng.random() < 0.2 else (),
    )
    bounds = Limits(
        rng.choice([12, 1000]), 10**9, 30, rng.choice([None, None, 1]), of_key=True, order=order,
        step=step, restarts=rng.random() < 0.8, by_connection=rng.random() < 0.2,
    )  # fmt: skip
    return Options(bounds, "", rng.choice([None, 0.5, math.inf]), reader=Reader(words))


class Life:
    """An orderer, and what it has committed."""

    def __init__(self, options: Options, *, lays_down: bool) -> None:
        self._options = options
        self._lays_down = lays_down
        self._state = LaneState()
        self._prints: dict[str, list[tuple[int, Any]]] = {}
        self._gaps: dict[str, dict[int, Gap]] = {}
        self.laid = 0
        self.begin()

    def begin(self) -> None:
        """Begin from what is committed."""
        feeds = {
            name: {
                key: state._replace(
                    published=self._published(key),
                    gaps=[gap for _, gap in sorted(self._gaps.get(key, {}).items())],
                )
                for key, state in states.items()
            }
            for name, states in self._state.feeds.items()
        }
        state = LaneState(self._state.mark, feeds)
        self.lane = Lane("f", state, lambda _: self._options, 10**9)

    def _published(self, key: str) -> Fingerprints | None:
        stretches = self._prints.get(key)
        if not stretches:
            return None
        published = Fingerprints(10_000)
        for first, prints in stretches:
            published.extend(first, prints)
        return published

    @property
    def feed(self) -> Feed:
        return self.lane.feeds["f"]

    def play(self, step: Step) -> list[Any]:
        """Take a step; tells what came of it."""
        self.lane.take_in([step.entry])
        told: list[Any] = [self.feed.status()]
        if step.commit:
            commit = self.lane.commit(checkpoint=step.checkpoint)
            if commit is not None:
                self._keep(commit)
                told.append(commit.after)
                told += sorted(map(_told, commit.moves))
            if self._lays_down:
                latest = self.feed.latest
                self.feed.sequences.lay_down(replaying=latest is None or latest.replayed)
                self.laid += len(self.feed.sequences) - len(self.feed.sequences.awake)
        told += (self.feed.status(), self.feed.timeout.in_time, self.feed.timeout.too_late)
        return told

    def _keep(self, commit: Commit) -> None:
        states = dict(self._state.feeds.get("f", {}))
        for move in commit.moves:
            for item in [*move.outputs, *move.amended]:
                if isinstance(item, Run):
                    self._prints.setdefault(move.key, []).append((item.first, item.prints))
                elif isinstance(item, Gap) and item.epoch == move.after.epoch:
                    self._gaps.setdefault(move.key, {})[item.first] = item
                elif isinstance(item, Epoch):
                    self._prints[move.key], self._gaps[move.key] = [], {}
            states[move.key] = move.after
        self._state = LaneState(commit.after, {"f": states})

    @property
    def unread(self) -> tuple[int, int]:
        """The entry behind which all is to be read again."""
        return position(self._state.mark.raw)


def _told(move: Any) -> Any:
    return (
        move.key, str([_flat(item) for item in move.outputs]),
        str(sorted(map(_flat, move.amended))), str((move.before, move.after)),
    )  # fmt: skip


def _flat(item: Output) -> Any:
    if isinstance(item, Run):
        entries = [batch.entry for batch in item.batches]
        return ("run", item.epoch, item.first, item.frames, entries, list(item.prints), item.ids)
    return (type(item).__name__, str(item))


def same(seed: int, kind: str, never: pytest.MonkeyPatch) -> tuple[bool, int]:
    """Play a schedule twice; tells whether the same came of it, and how much was laid down."""
    rng = random.Random(seed)
    told, steps = options(rng, kind), schedule(rng, kind)
    with never.context() as patch:
        patch.setattr(Sequence, "rest", lambda self, *, replaying: None)
        plain = _played(steps, Life(told, lays_down=False))
    life = Life(told, lays_down=True)
    try:
        laid = _played(steps, life)
    except (AssertionError, LookupError, TypeError, ValueError):
        return False, life.laid
    return laid == plain, life.laid


def _played(steps: list[Step], life: Life) -> list[Any]:
    found = []
    for at, step in enumerate(steps):
        found.append(life.play(step))
        if step.crash:
            life.begin()
            found += [
                life.play(again._replace(commit=False))
                for again in steps[: at + 1]
                if position(again.entry.id) > life.unread
            ]
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_whoever_is_at_rest_forgets_nothing(kind: str, seed: int) -> None:
    """A key that was idle for a moment would lose, double or give up what another does not."""
    agree, _ = same(seed, kind, pytest.MonkeyPatch())
    assert agree


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_laid_down(kind: str) -> None:
    """The test above would compare what is never at rest."""
    assert sum(same(seed, kind, pytest.MonkeyPatch())[1] for seed in range(10)) > 50


WORDS = ("epoch", "next", "first", "serial", "last", "written", "heard", "prints", "gaps")

Forget = Callable[[dict[str, Any]], None]


def gap_word(at: int, value: Any) -> Forget:
    def forget(words: dict[str, Any]) -> None:
        for row in words["gaps"]:
            row[at] = value

    return forget


FORGOTTEN: dict[str, tuple[str, Forget]] = {
    "the first id": ("plain", lambda words: words.update(first=0)),
    "how many came out": ("plain", lambda words: words.update(serial=0)),
    "the last id": ("first", lambda words: words.update(last=None)),
    "that it stands in Redis": ("plain", lambda words: words.update(written=False)),
    "that a line was connected": ("plain", lambda words: words.update(heard=2**31)),
    "that a message came since": ("plain", lambda words: words.update(heard=-1)),
    "what came out": ("plain", lambda words: words.update(prints=[])),
    "the oldest that came out": (
        "plain",
        lambda words: words.update(prints=words["prints"][-2:]),
    ),
    "what came out, with links": ("previous", lambda words: words.update(prints=[0, b""])),
    "what came out, of ranges": ("first", lambda words: words.update(prints=[0, b""])),
    "what came out, of any ids": ("step any", lambda words: words.update(prints=[0, b""])),
    "gaps": ("plain", lambda words: words.update(gaps=[])),
    "gaps of ranges": ("step", lambda words: words.update(gaps=[])),
    "gaps of chains": ("previous", lambda words: words.update(gaps=[])),
    "when a gap opened": ("plain", gap_word(2, None)),
    "when a gap was revealed": ("plain", gap_word(3, 0)),
    "why a gap was given up": ("plain", gap_word(4, 3)),
    "how many came late": ("plain", gap_word(5, 0)),
    "that a gap is one of a chain": ("previous", gap_word(6, False)),
    "what leads to a gap": ("previous", gap_word(7, 0)),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_who_forgets_something_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would pass whatever is laid down."""
    kind, forget = FORGOTTEN[what]
    take_up = Sequences._take_up

    def forgetful(self: Sequences, key: str, laid: bytes) -> Sequence:
        words = dict(zip(WORDS, msgspec.msgpack.decode(laid), strict=True))
        forget(words)
        return take_up(self, key, msgspec.msgpack.encode(list(words.values())))

    monkeypatch.setattr(Sequences, "_take_up", forgetful)
    assert not all(same(seed, kind, pytest.MonkeyPatch())[0] for seed in range(400))
