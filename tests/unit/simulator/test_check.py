"""The checker finds every fault: the negative control for all tests that rely on it."""

from __future__ import annotations

import random
from collections.abc import Iterable

import orjson
import pytest

from simulator.check import BUDGET, Checker, Progress, Seen
from simulator.delays import Delays
from simulator.numbering import LAST_ID, Numbering
from simulator.sent import BLOCK, WINDOW, Sent

FAULTS = ("out_of_order", "repeated", "missing", "corrupted", "unknown")


class Bench:
    """A feed that has sent `sent` ordinals, one per ms from 100 s on, and a checker."""

    def __init__(self, sent: int = 100, first_id: int = 1, restart_every: int = 0) -> None:
        self.numbering = Numbering(1, first_id, restart_every)
        self.sent = Sent()
        self.observed: list[tuple[float, int]] = []
        self.checker = Checker(
            self.numbering, self.sent, lambda delay, count: self.observed.append((delay, count))
        )
        for ordinal in range(sent):
            self.sent.note([(ordinal, ordinal + 1)], 100 + ordinal / 1000)

    def frames(self, ordinals: Iterable[int]) -> list[bytes]:
        return [self.numbering.frames(number, number + 1)[0] for number in ordinals]

    def receive(self, ordinals: Iterable[int], now: float = 101.0) -> Progress:
        """Receive these in one batch on a new connection."""
        progress = self.checker.connect()
        self.checker.check(progress, self.frames(ordinals), now)
        return progress

    def faults(self) -> dict[str, int]:
        """Tell the faults that were found, without the zeros."""
        report = self.checker.report()
        return {fault: report[fault] for fault in FAULTS if report[fault]}


@pytest.mark.parametrize("first_id", [0, 1, 10**12, LAST_ID - 99])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_flawless_stream_has_no_faults(first_id: int, batch: int) -> None:
    """The checker would report faults that are not there."""
    bench = Bench(first_id=first_id)
    progress = bench.checker.connect()
    frames = bench.frames(range(100))
    for start in range(0, 100, batch):
        bench.checker.check(progress, frames[start : start + batch], 101)
    assert bench.faults() == {}
    report = bench.checker.report()
    assert (report["received"], report["highest"], report["connections"]) == (
        100, first_id + 99, 1,
    )  # fmt: skip


def test_a_swapped_pair_is_out_of_order() -> None:
    """A relay that does not sort would pass."""
    bench = Bench()
    bench.receive([0, 1, 3, 2, 4])
    assert bench.faults() == {"out_of_order": 1}


def test_swapped_batches_are_out_of_order() -> None:
    """Order would be checked within a batch only."""
    bench = Bench()
    progress = bench.receive(range(10, 20))
    bench.checker.check(progress, bench.frames(range(10)), 101)
    assert bench.faults() == {"out_of_order": 10}


def test_a_repeat_is_found() -> None:
    """A relay that does not deduplicate would pass."""
    bench = Bench()
    bench.receive([0, 1, 2, 2, 3])
    assert bench.faults() == {"out_of_order": 1, "repeated": 1}


def test_a_replay_on_a_new_connection_is_repeated_but_in_order() -> None:
    """At-least-once delivery after a reconnect would look like disorder, or like nothing."""
    bench = Bench()
    bench.receive(range(50))
    bench.receive(range(40, 100))
    assert bench.faults() == {"repeated": 10}
    assert bench.checker.report()["connections"] == 2


def test_a_hole_is_missing_and_what_was_never_sent_is_not() -> None:
    """A lossy relay would pass, or a lossy feed be held against the relay."""
    bench = Bench(0)
    bench.sent.note([(0, 10), (11, 20)], 100)
    bench.receive([0, 1, 2, 5, 6, 7, 8, 9, 11, 12])
    assert bench.faults() == {"missing": 2}
    # 10 comes out late, when its place has been passed.
    bench.sent.note([(10, 11)], 101)
    assert bench.faults() == {"missing": 3}
    bench.receive([3])
    assert bench.faults() == {"missing": 2}


def test_holes_between_batches_are_missing() -> None:
    """A relay could lose whole batches unnoticed."""
    bench = Bench()
    progress = bench.receive(range(10))
    bench.checker.check(progress, bench.frames(range(20, 30)), 101)
    assert bench.faults() == {"missing": 10}


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":3,"text":1}', b'{"id":3}', b'{"id":3,"text":null}', b'{"id":3,"text":true}',
        b"[3]", b"3", b"", b"\xff\xfe", b'{"id":3', b'{"id":"3","text":1}', b'{"id":true}',
        b'{"id":3.0,"text":1}', b'{"id":-3,"text":1}', b'{"id":9223372036854775808,"text":1}',
    ],
)  # fmt: skip
def test_an_altered_frame_is_corrupted(frame: bytes) -> None:
    """A relay could change what it passes on; and one bad frame must not spoil its batch."""
    bench = Bench()
    progress = bench.checker.connect()
    good = bench.frames(range(6))
    bench.checker.check(progress, [*good[:2], frame, *good[3:]], 101)
    assert bench.faults() == {"corrupted": 1, "missing": 1}
    assert bench.checker.report()["received"] == 6


def test_a_message_under_a_wrong_id_is_corrupted() -> None:
    """Ids could be given out anew, which makes any stream look sorted and complete."""
    bench = Bench()
    texts = [orjson.loads(frame)["text"] for frame in bench.frames([0, 2, 1, 3])]
    frames = [orjson.dumps({"id": id, "text": text}) for id, text in enumerate(texts, 1)]
    bench.checker.check(bench.checker.connect(), frames, 101)
    assert bench.faults() == {"corrupted": 2, "missing": 2}


def test_a_message_that_was_not_sent_is_corrupted() -> None:
    """A relay could make up what the feed had lost."""
    bench = Bench(0)
    bench.sent.note([(0, 5), (6, 10)], 100)
    bench.receive(range(10))
    assert bench.faults() == {"corrupted": 1}
    assert bench.checker.delays.high == 1


def test_a_message_beyond_its_numbering_is_unknown() -> None:
    """An id that the feed never uses would pass for one of the next numbering."""
    bench = Bench(100, restart_every=10)
    texts = bench.numbering.texts(2, [9, 10, 11, 12])
    frames = [
        orjson.dumps({"id": id, "text": text})
        for id, text in zip([9, 10, 11, 12], texts, strict=True)
    ]
    bench.checker.check(bench.checker.connect(), frames, 101)
    assert bench.faults() == {"unknown": 2, "missing": 28}


def test_a_message_of_a_later_numbering_is_no_repeat() -> None:
    """A feed whose ids restart would look like repeats and disorder."""
    bench = Bench(1000, restart_every=100)
    progress = bench.checker.connect()
    frames = bench.frames(range(1000))
    for start in range(0, 1000, 64):
        bench.checker.check(progress, frames[start : start + 64], 102)
    assert bench.faults() == {}
    report = bench.checker.report()
    assert (report["generation"], report["highest"]) == (9, 100)


def test_faults_across_a_restart_are_found() -> None:
    """The end of an old numbering could be lost, or come after the new one has begun."""
    bench = Bench(1000, restart_every=100)
    progress = bench.receive(range(95))
    bench.checker.check(progress, bench.frames(range(100, 150)), 102)
    assert bench.faults() == {"missing": 5}
    bench.checker.check(progress, bench.frames([97]), 102)
    assert bench.faults() == {"missing": 4, "out_of_order": 1}
    bench.checker.check(progress, bench.frames([20]), 102)
    assert bench.faults() == {"missing": 4, "out_of_order": 2, "repeated": 1}


def test_a_foreign_feed_is_unknown_but_its_order_and_repeats_are_checked() -> None:
    """With somebody else's feed the endpoint would be of no use."""
    bench = Bench(0)
    progress = bench.checker.connect()
    ids = [5, 6, 8, 7, 9, 9, 10**15]
    frames = [orjson.dumps({"id": id, "text": "abc", "more": [1]}) for id in ids]
    bench.checker.check(progress, frames, 101)
    assert bench.faults() == {"unknown": 7, "out_of_order": 2, "repeated": 1}
    report = bench.checker.report()
    assert report["delay_ms"] == {"min": None, "median": None, "p99": None}
    assert report["highest"] == 10**15
    bench.checker.check(progress, frames[:0], 150)
    bench.checker.check(bench.checker.connect(), frames[:1], 103.5)
    assert bench.faults() == {"unknown": 8, "out_of_order": 2, "repeated": 2}
    assert bench.checker.report()["seconds"] == 2.5


def test_random_streams_are_judged_as_by_a_plain_model() -> None:
    """The quick check of whole batches could disagree with the definition of the faults."""
    dice = random.Random(1)
    for _ in range(200):
        bench = Bench(0, restart_every=dice.choice([0, 40]))
        sent = [number for number in range(120) if dice.random() < 0.9]
        for number in sent:
            bench.sent.note([(number, number + 1)], 100 + number)
        came: set[int] = set()
        out_of_order = repeated = 0
        for _ in range(3):
            progress, highest = bench.checker.connect(), -1
            stream = [number for number in sent if dice.random() < 0.9]
            for _ in range(dice.choice([0, 0, 3])):
                i, j = dice.randrange(len(stream)), dice.randrange(len(stream))
                stream[i], stream[j] = stream[j], stream[i]
            while stream:
                size = dice.randint(1, 30)
                batch, stream = stream[:size], stream[size:]
                bench.checker.check(progress, bench.frames(batch), 500)
                for number in batch:
                    out_of_order += number <= highest
                    repeated += number in came
                    highest = max(highest, number)
                    came.add(number)
        missing = len({number for number in sent if number < max(came)} - came)
        report = bench.checker.report()
        assert [report[fault] for fault in FAULTS] == [out_of_order, repeated, missing, 0, 0]
        assert bench.checker.delays.count == len(came)


def test_delays_are_those_from_the_first_sending() -> None:
    """The relay's delay would be measured from some other moment."""
    bench = Bench(100)
    progress = bench.checker.connect()
    for number in range(100):
        # Each is received 5 ms after it was sent, the last 500 ms.
        now = 100 + number / 1000 + (0.005 if number < 99 else 0.5)
        bench.checker.check(progress, bench.frames([number]), now)
    delay = bench.checker.report()["delay_ms"]
    assert delay["min"] == pytest.approx(5)
    assert delay["median"] == pytest.approx(5, rel=0.01)
    assert delay["p99"] == pytest.approx(5, rel=0.01)
    assert bench.checker.delays.quantile(1) == pytest.approx(0.5, rel=0.01)
    assert sum(count for _, count in bench.observed) == 100
    assert bench.checker.report()["seconds"] == pytest.approx(0.599)


@pytest.mark.parametrize("batch", [1, 10])
def test_added_delay_leaves_out_what_ordering_demands(batch: int) -> None:
    """A late message would be held against the relay that had to wait for it."""
    bench = Bench(0)
    bench.sent.note([(0, 3), (4, 10)], 100)
    bench.sent.note([(3, 4)], 102)
    progress = bench.checker.connect()
    frames = bench.frames(range(10))
    bench.checker.check(progress, frames[:3], 100.004)
    for start in range(3, 10, batch):
        bench.checker.check(progress, frames[start : start + batch], 102.004)
    report = bench.checker.report()
    assert report["delay_ms"]["min"] == pytest.approx(4)
    assert report["delay_ms"]["median"] == pytest.approx(2004, rel=0.01)
    assert report["added_ms"]["min"] == pytest.approx(4)
    assert report["added_ms"]["p99"] == pytest.approx(4, rel=0.01)


def test_an_endless_stream_is_counted_right_while_the_window_slides() -> None:
    """After two million messages the counts would go wrong, or memory grow without end."""
    bench = Bench(0)
    sent, checker = bench.sent, bench.checker
    progress = checker.connect()
    total, step = (WINDOW + 8) * BLOCK, 8192
    for start in range(0, total, step):
        sent.note([(start, start + step - 1)], 100 + start / 1e6)
        frames = bench.numbering.frames(start, start + step - 2)
        if start % (64 * step) == 0:
            checker.check(progress, frames, 101 + start / 1e6)
        else:
            # Most go the short way; that their frames are right is not what this is about.
            checker._seen.add_run(start, start + step - 2)
            checker._highest = progress.ordinal = start + step - 3
            checker._different += step - 2
    # Of each step one was never sent, and one, but for the last step, never came.
    assert bench.faults() == {"missing": total // step - 1}
    assert sent.count == total - total // step
    assert len(sent._times) == WINDOW
    assert len(checker._seen._blocks) == WINDOW


def test_what_leaves_the_window_is_settled_first() -> None:
    """A surname that is done would show other numbers once the feed has gone far ahead."""
    bench = Bench(0)
    bench.sent.note([(0, 500), (600, 2000)], 100)
    bench.receive([*range(400), *range(600, 1001)])
    assert bench.faults() == {"missing": 100}
    bench.sent.note([(2000, 2000 + (WINDOW + 3) * BLOCK)], 101)
    assert bench.sent.sent_up_to(1000) is None
    assert bench.faults() == {"missing": 100}
    # What it gets after all is still checked for order, repeats and content.
    bench.receive(range(1001, 1011), 102)
    assert bench.faults() == {"missing": 100}
    bench.receive([1005], 102)
    assert bench.faults() == {"missing": 100, "repeated": 1}
    # And once it is back within what is remembered, all that it skipped counts.
    far = 2000 + (WINDOW + 2) * BLOCK
    bench.receive([far], 102)
    assert bench.faults() == {"missing": 100 + far - 1011, "repeated": 1}


def test_seen_remembers_two_million_numbers() -> None:
    """A repeat far behind would pass for new, or memory grow with the ids' distance."""
    seen = Seen()
    assert seen.add(5)
    assert not seen.add(5)
    seen.add_run(BLOCK - 3, BLOCK + 3)
    assert not seen.add(BLOCK + 2)
    assert seen.add(BLOCK + 3)
    far = 2**62
    assert seen.add(far)
    assert not seen.add(far)
    assert not seen.add(6)
    assert seen.add(far - (WINDOW - 1) * BLOCK)
    assert len(seen._blocks) == 2


def test_many_names_share_what_may_be_remembered() -> None:
    """Whoever connects under many names would take all memory there is."""
    before = Seen.taken
    many = [Seen() for _ in range(100)]
    for seen in many:
        for number in range(0, WINDOW * BLOCK, BLOCK):
            seen.add(number)
    assert (Seen.taken - before) * BLOCK <= BUDGET + 100 * BLOCK
    for seen in many:
        latest = (WINDOW - 1) * BLOCK
        assert seen.add(latest + 1)
        assert not seen.add(latest)
        assert not seen.add(0)  # what nobody knows any more passes for a repeat
    del many, seen
    assert Seen.taken == before


def test_sent_tells_times_across_blocks() -> None:
    """Delays would be taken from the wrong message wherever a block ends."""
    sent = Sent()
    sent.note([(BLOCK - 5, BLOCK + 5)], 7)
    assert list(sent.times(BLOCK - 7, BLOCK + 7)) == [0, 0, *[7] * 10, 0, 0]
    assert sent.count == 10
    assert [sent.sent_up_to(number) for number in (3, BLOCK - 5, BLOCK, 2 * BLOCK)] == [
        0, 1, 6, 10,
    ]  # fmt: skip
    assert not sent.has(3)
    assert sent.has(BLOCK)
    assert not sent.has(BLOCK + 5)


def test_quantiles_are_within_one_percent() -> None:
    """The reported delays would be coarser than is said."""
    dice = random.Random(3)
    values = sorted(10 ** dice.uniform(-5, 2) for _ in range(10_001))
    delays = Delays()
    for value in values:
        delays.add(value)
    for share in (0.01, 0.5, 0.99):
        exact = values[max(0, -(-int(share * 1e6) * len(values) // 10**6) - 1)]
        assert delays.quantile(share) == pytest.approx(exact, rel=0.01)
    assert delays.quantile(0) == values[0]
    assert delays.quantile(1) == pytest.approx(values[-1], rel=0.01)
    assert Delays().quantile(0.5) is None
    zero = Delays()
    zero.add(-1e-9)
    zero.add(1e9)
    assert zero.low == 0.0
    assert zero.quantile(0.5) == pytest.approx(0.0, abs=1e-6)
