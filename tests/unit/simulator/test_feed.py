"""The feed's schedule and its numbering."""

from __future__ import annotations

import time
from collections import Counter

import orjson
import pytest

from chassis.settings import SettingsError, load
from simulator.feed import CUTS, Binary, Chunk, Feed
from simulator.numbering import LAST_ID, PRIME, Numbering
from simulator.settings import Settings

CALM = {"REORDER": 0, "DELAYED": 0, "RATE": 0}
"""A feed that is in order, to which a test adds the one thing it is about."""


def make(**values: float) -> Feed:
    """Make a calm feed with these settings, named without their prefix."""
    environ = {f"SIMULATOR_{name}": str(value) for name, value in {**CALM, **values}.items()}
    settings = load(Settings, "simulator", environ)
    return Feed(settings, Numbering(settings.seed, settings.first_id, settings.restart_every))


def drain(feed: Feed, places: int = 1000) -> Chunk:
    """Take the whole feed and put its chunks together."""
    whole = Chunk()
    while not feed.finished:
        chunk = feed.take(places)
        whole.frames += chunk.frames
        whole.spans += chunk.spans
        whole.sent += chunk.sent
        whole.repeated += chunk.repeated
        whole.lost += chunk.lost
        whole.garbage += chunk.garbage
    return whole


def ids(frames: list[bytes]) -> list[int]:
    return [orjson.loads(frame)["id"] for frame in frames]


def test_calm_feed_is_in_order() -> None:
    """Without disorder asked for, a relay's speed and delay could not be measured alone."""
    whole = drain(make(MESSAGES=5000))
    assert ids(whole.frames) == list(range(1, 5001))
    assert whole.sent == 5000
    assert sum(stop - start for start, stop in whole.spans) == 5000


@pytest.mark.parametrize("first", [0, 1, 10**12, LAST_ID - 99])
def test_first_id(first: int) -> None:
    """Ids anywhere in their range would not be sent, or not with their texts."""
    feed = make(MESSAGES=100, FIRST_ID=first, REORDER=0.2)
    assert sorted(ids(drain(feed).frames)) == list(range(first, first + 100))


def test_feed_ends_where_the_numbers_do() -> None:
    """An endless feed would send ids above 2⁶³−1 that nobody can accept."""
    feed = make(FIRST_ID=LAST_ID - 9)
    assert ids(drain(feed).frames) == list(range(LAST_ID - 9, LAST_ID + 1))


LIVELY = {
    "MESSAGES": 20_000, "REORDER": 0.1, "DEPTH": 50, "DELAYED": 0.01, "DELAY": 0.001,
    "REPEATS": 0.05, "LOSSES": 0.01, "GARBAGE": 0.01, "RESTART_EVERY": 7000,
}  # fmt: skip


def test_same_seed_same_feed() -> None:
    """A failure seen with a seed could not be made to happen again."""
    whole = drain(make(**LIVELY), 1000)
    assert drain(make(**LIVELY), 7).frames == whole.frames
    assert drain(make(**LIVELY, SEED=2), 1000).frames != whole.frames


def test_settings_do_not_shift_each_other() -> None:
    """Adding repeats would change which messages are lost, so that runs cannot be compared."""
    alone = drain(make(MESSAGES=5000, LOSSES=0.05))
    together = drain(make(MESSAGES=5000, LOSSES=0.05, REPEATS=0.2, REORDER=0.2, GARBAGE=0.1))
    valid = [frame for frame in together.frames if b"garbage" not in frame]
    assert set(ids(valid)) == set(ids(alone.frames))


def test_each_message_is_sent_exactly_once() -> None:
    """A checker would blame the relay for what the feed left out or sent twice."""
    whole = drain(make(MESSAGES=20_000, REORDER=0.3, DEPTH=200, DELAYED=0.02))
    assert sorted(ids(whole.frames)) == list(range(1, 20_001))
    sent = sorted(number for start, stop in whole.spans for number in range(start, stop))
    assert sent == list(range(20_000))


@pytest.mark.parametrize("depth", [1, 5, 300])
def test_depth_is_never_exceeded(depth: int) -> None:
    """A buffer of DEPTH would not do, although the setting says so."""
    order = ids(drain(make(MESSAGES=20_000, REORDER=0.2, DEPTH=depth)).frames)
    behind = Counter[int]()
    highest = 0
    for place, id in enumerate(order):
        overtaken_by = sum(other > id for other in order[max(0, place - 2 * depth - 2) : place])
        behind[overtaken_by] += 1
        assert highest - id <= depth
        highest = max(highest, id)
    assert max(behind) <= depth
    assert max(behind) >= depth * 0.9
    late = sum(count for places, count in behind.items() if places)
    assert 0.12 <= late / 20_000 <= 0.21


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("LOSSES", "lost"), ("REPEATS", "repeated"), ("GARBAGE", "garbage")],
)
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_shares(setting: str, kind: str, share: float) -> None:
    """A hostile feed would be less hostile than it was set to be."""
    whole = drain(make(MESSAGES=20_000, **{setting: share}))
    count = getattr(whole, kind)
    assert count == pytest.approx(20_000 * share, rel=0.15 if share < 1 else 0)
    assert whole.sent == 20_000 - whole.lost
    assert len(whole.frames) == whole.sent + whole.repeated + whole.garbage


def test_repeats_come_within_the_depth_and_after_the_first() -> None:
    """A repeat would be recorded as the first sending of its id, or come at any time."""
    order = ids(drain(make(MESSAGES=5000, REPEATS=0.2, DEPTH=10)).frames)
    places: dict[int, list[int]] = {}
    for place, id in enumerate(order):
        places.setdefault(id, []).append(place)
    twice = [found for found in places.values() if len(found) == 2]
    assert len(twice) > 800
    assert all(0 < second - first <= 10 * 1.5 + 5 for first, second in twice)


def test_delays_have_the_median_and_the_cap_that_were_set() -> None:
    """Gap time-outs would be tuned against delays of some other length."""
    feed = make(MESSAGES=40_000, DELAYED=0.05, DELAY=0.01, DELAY_MAX=0.1)
    delays, place = [], 0
    while not feed.finished:
        chunk = feed.take(1)
        for start, _ in chunk.spans:
            if start < place:
                delays.append(place - start)
        place += 1
    delays.sort()
    assert len(delays) == pytest.approx(2000, rel=0.15)
    # At RATE=0 a place counts 10 µs.
    assert delays[len(delays) // 2] == pytest.approx(1000, rel=0.15)
    assert delays[0] >= 600
    assert delays[-1] == pytest.approx(10_000, abs=1)
    assert delays[int(len(delays) * 0.9)] > 2500


def test_delays_are_honoured_after_the_last_message() -> None:
    """The end of a feed would come in order, or never."""
    feed = make(MESSAGES=10, DELAYED=1, DELAY=100, DELAY_MAX=1, RATE=100)
    assert feed.take(10).frames == []
    assert feed.held == 10
    assert ids(feed.take(95).frames) == [1, 2, 3, 4, 5]
    assert ids(feed.take(1000).frames) == [6, 7, 8, 9, 10]
    assert feed.finished
    assert feed.take(1000).frames == []


def test_nobody_is_late_beyond_the_last_message() -> None:
    """A slow feed's end would wait for places at which nothing is sent."""
    feed = make(MESSAGES=10, REORDER=1, REPEATS=1, DEPTH=100_000)
    assert sorted(ids(feed.take(10).frames)) == sorted([*range(1, 11)] * 2)
    assert feed.finished


def test_restarts_flush_the_old_generation() -> None:
    """A message of the old numbering would come after the new one has begun."""
    feed = make(MESSAGES=5000, RESTART_EVERY=1000, FIRST_ID=7, REORDER=0.2, DELAYED=0.05)
    numbering = Numbering(1, 7, 1000)
    frames = [orjson.loads(frame) for frame in drain(feed).frames]
    ordinals = [numbering.ordinal(frame["id"], frame["text"]) for frame in frames]
    assert sorted(number for number in ordinals if number is not None) == list(range(5000))
    for generation in range(5):
        part = frames[generation * 1000 : (generation + 1) * 1000]
        assert sorted(frame["id"] for frame in part) == list(range(7, 1007))


def test_cuts_come_after_every_n_places_and_vary() -> None:
    """Reconnecting would be tested with one kind of end only, or at the wrong place."""
    feed = make(MESSAGES=6000, DISCONNECT_EVERY=1000)
    cuts = []
    while not feed.finished:
        chunk = feed.take(300)
        if chunk.cut is not None:
            cuts.append((feed.place, chunk.cut))
    assert cuts == [(1000 * (index + 1), code) for index, code in enumerate(CUTS)]


def test_rewind_repeats_the_last_frames() -> None:
    """A reconnect would not bring what the setting says: the last frames once more."""
    feed = make(MESSAGES=1000, REWIND=30)
    assert feed.rewind().frames == []
    taken = feed.take(500).frames
    again = feed.rewind()
    assert again.frames == taken[-30:]
    assert (again.repeated, again.sent, again.spans) == (30, 0, [])
    assert feed.rewind().frames == taken[-30:]
    assert len(feed.take(1000).frames) == 500
    assert make(MESSAGES=10).rewind().frames == []


def test_garbage_is_never_a_message() -> None:
    """An orderer that accepts a piece of garbage could not be told from one that does not."""
    whole = drain(make(MESSAGES=3000, GARBAGE=1, LOSSES=1))
    kinds = set()
    for frame in whole.frames:
        assert b"garbage" in frame
        assert len(frame) < 126
        try:
            value = orjson.loads(frame)
        except orjson.JSONDecodeError:
            kinds.add("binary" if type(frame) is Binary else "no JSON")
            continue
        id = value.get("id") if isinstance(value, dict) else None
        assert type(id) is not int or not 0 <= id <= LAST_ID
        kinds.add(type(value).__name__ + " " + type(id).__name__)
    assert kinds == {
        "binary", "no JSON", "list NoneType", "dict NoneType", "dict str", "dict bool",
        "dict float", "dict int",
    }  # fmt: skip


def test_making_messages_is_cheap() -> None:
    """The feed would be what limits the measured speed of a relay."""
    feed = make(MESSAGES=200_000)
    began = time.process_time()
    while not feed.finished:
        feed.take(1000)
    # It takes about 0.3 µs; the bound leaves room for a busy machine.
    assert (time.process_time() - began) / 200_000 < 1e-6


@pytest.mark.parametrize("restart_every", [0, 1000])
@pytest.mark.parametrize("first_id", [0, 1, 10**12, LAST_ID - 5000])
def test_numbering_round_trip(first_id: int, restart_every: int) -> None:
    """The checker would not find the message that belongs to an id and a text."""
    numbering = Numbering(5, first_id, restart_every)
    for ordinal in [0, 1, 999, 1000, 1001, 4999]:
        generation, id = numbering.locate(ordinal)
        (frame,) = numbering.frames(ordinal, ordinal + 1)
        message = orjson.loads(frame)
        assert message["id"] == id
        assert 0 <= message["text"] < PRIME
        assert numbering.texts(generation, [id]) == [message["text"]]
        assert numbering.ordinal(id, message["text"]) == ordinal
        altered = numbering.ordinal(id, (message["text"] + 1) % PRIME)
        assert altered is None or altered > 10**6


def test_generations_and_seeds_differ_in_their_texts() -> None:
    """A stale message of an earlier numbering could pass for a new one."""
    texts = [Numbering(1, 1, 10).texts(generation, [3])[0] for generation in range(1000)]
    assert len(set(texts)) == 1000
    assert Numbering(1, 1, 0).texts(0, [3]) != Numbering(2, 1, 0).texts(0, [3])


def test_a_close_code_that_may_not_be_sent_is_a_mistake() -> None:
    """The endpoint would fail on its first close instead of at the start."""
    with pytest.raises(SettingsError, match="SIMULATOR_CLOSE_CODE"):
        load(Settings, "simulator", {"SIMULATOR_CLOSE_CODE": "1006"})
