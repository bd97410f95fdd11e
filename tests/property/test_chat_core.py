"""The chat's pure parts, on anything that may come."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcast.bucket import Bucket
from chat import protocol
from chat.follower import Follower
from chat.history import History
from chat.log import unpack
from chat.protocol import Ask, Refused, Say
from chat.records import Position, Record, bounded


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_is_sent_is_said_or_refused(data: bytes) -> None:
    """A client could break the server with what it sends."""
    try:
        said = protocol.read(data, 100)
    except (Refused, UnicodeDecodeError) as error:
        if isinstance(error, Refused):
            protocol.error(error.code, error.key)
        return
    assert isinstance(said, Say | Ask)
    if isinstance(said, Say):
        assert 0 < len(said.text.encode()) <= 100
        protocol.record("message", "Client_1", said.text, "client")


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_the_query_is(path: str, token: str) -> None:
    """A client could break the server with where it connects to."""
    protocol.query(f"/?{path}&token={token}")


@given(
    st.floats(0.1, 1000),
    st.floats(1, 100),
    st.lists(st.floats(0, 5), max_size=200),
)
def test_a_bucket_never_gives_more_than_promised(
    rate: float, burst: float, pauses: list[float]
) -> None:
    """A client could talk faster than it may, or would have to wait longer than it must."""
    bucket = Bucket(rate, burst, 0.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        if bucket.take(now):
            taken += 1
        else:
            wait = bucket.wait(now)
            assert 0 < wait <= 1 / rate + 1e-9
            now += wait + 1e-6
            assert bucket.take(now)
            taken += 1
        assert taken <= burst + now * rate + 1e-3


records = st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=60).map(
    lambda drawn: [
        Record(Position(1, seq), shown, b"x" * size) for seq, (shown, size) in enumerate(drawn, 1)
    ]
)


@given(records, st.integers(1, 10), st.integers(1, 400), st.integers(0, 60), st.integers(1, 300))
def test_what_the_history_covers_it_has(
    log: list[Record], length: int, size: int, at: int, limit: int
) -> None:
    """Somebody who comes back would miss a message, or get one twice."""
    history = History(length, size)
    history.begin(Position(1, 0))
    for record in log:
        history.append(record)
    position = Position(1, at)
    missed = [record for record in log if record.shown and record.position > position]
    if history.covers(position):
        found, whole = history.after(position, limit)
        assert found == missed[: len(found)]
        assert whole == (len(found) == len(missed))
        assert found or not missed
    else:
        assert at < len(log)
    assert not history.covers(Position(2, at))
    shown = [record for record in log if record.shown]
    latest = history.latest(5, 10_000)
    assert latest == shown[len(shown) - len(latest) :]
    assert bounded(missed, 1)[:1] == missed[:1]


class _RoomLog:
    """A log in memory, from which the oldest records go."""

    room = "main"

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def begin(self, seen: Position = Position(0, 0)) -> Position:  # noqa: B008
        return Position(1, 0)

    async def before(self, position: Position, count: int) -> list[Record]:
        return []

    async def after(self, position: Position, count: int) -> list[Record]:
        return [record for record in self.records if record.position > position][:count]


class _Log:
    def warning(self, *_: object, **__: object) -> None: ...


def follow(room_log: Any, delivered: list[Record | str]) -> Follower:
    """Make a follower that delivers into a list, and says "broken" there."""

    async def deliver(batch: list[Record], _sent: float | None) -> None:
        delivered.extend(batch)

    log: Any = _Log()
    return Follower(
        room_log, History(1000, 1_000_000), log,
        wanted=0, written=lambda: None, deliver=deliver, broken=lambda: delivered.append("broken"),
    )  # fmt: skip


def publication(batch: list[Record]) -> bytes:
    head = f"{batch[0].position.epoch} {batch[0].position.seq} 1 1"
    words = " ".join(f"{'m' if record.shown else 'e'}{len(record.data)}" for record in batch)
    return f"{head} {words}\n".encode() + b"".join(record.data for record in batch)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),  # records in a batch
            st.sampled_from(["heard", "heard", "lost", "twice", "trimmed", "epoch"]),
        ),
        max_size=40,
    )
)
def test_the_follower_leaves_no_silent_hole(script: list[tuple[int, str]]) -> None:
    """Messages lost on the way would be missing, doubled or out of order at the clients."""
    room_log: Any = _RoomLog()
    delivered: list[Record | str] = []
    follower = follow(room_log, delivered)

    async def play() -> list[Record]:
        await follower._start()
        everything: list[Record] = []
        epoch, seq = 1, 0
        for number, (size, fate) in enumerate(script):
            if fate == "epoch":
                epoch, seq = epoch + 1, 0
                room_log.records = [Record(Position(epoch, 0), False, b"")]
            batch = []
            for _ in range(size):
                seq += 1
                batch.append(Record(Position(epoch, seq), seq % 3 > 0, b"%d" % number))
            everything += batch
            room_log.records += batch
            assert unpack(publication(batch)).records == batch
            if fate == "trimmed":
                room_log.records = room_log.records[-1:]
            elif fate != "lost":
                await follower.heard([publication(batch)] * (2 if fate == "twice" else 1))
        await follower._fill("canary")
        return everything

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        everything = loop.run_until_complete(play())
    shown = [record for record in everything if record.shown]
    got = [record for record in delivered if isinstance(record, Record)]
    assert got == sorted(set(got))
    assert set(got) <= set(shown)
    if "broken" not in delivered:
        assert got == shown
    # Whatever is missing is missing right before a "broken".
    last = -1
    announced = True
    for item in delivered:
        if isinstance(item, str):
            announced = True
        else:
            at = shown.index(item)
            assert at == last + 1 or announced, (item, last)
            last, announced = at, False


def test_numbers_given_twice_are_noticed() -> None:
    """After a failover that lost a record two replicas' clients would read different things."""
    room_log: Any = _RoomLog()
    delivered: list[Record | str] = []
    follower = follow(room_log, delivered)
    one, two, three, four = (
        Record(Position(1, seq), True, text)
        for seq, text in ((1, b"one"), (2, b"two"), (2, b"three"), (3, b"four"))
    )

    async def play() -> None:
        await follower._start()
        for records in ([one, two], [one, two], [three], [four], [three, four]):
            await follower.heard([publication(records)])

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(play())
    assert delivered == [one, two, "broken", three, four]
