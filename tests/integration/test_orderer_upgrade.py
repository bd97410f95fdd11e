"""The orderer goes on with what the previous version left in Redis."""

from __future__ import annotations

import time
from hashlib import blake2b

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import frame, frames, ordered_ids
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

NOW = time.time_ns() // 1000


def new(seq: int) -> bytes:
    """Make a frame of the second numbering."""
    return b'{"id":%d,"new":true}' % seq


def former_raw(redis: Server, messages: list[bytes]) -> bytes:
    """Write a batch as the previous version did, without `up`."""
    fields = {"t": NOW, "line": "a-line", "conn": "c0ffee"}
    entry: bytes = redis.client.xadd(
        "raw:{default}", {**fields, **{str(at): message for at, message in enumerate(messages)}}
    )
    return entry


def leave(redis: Server, *, told: bool) -> None:
    """Leave what the previous version has when its second numbering has just begun.

    Ids 1 … 3 and 6 of the first are published, 4 and 5 given up; of the second 1 … 3 are
    published and 5 and 6 held, and an entry holds the end of the first and the beginning of it.
    """
    client = redis.client
    client.sadd("feeds", "default")
    settled = former_raw(redis, frames([1, 2, 3]))
    birth = former_raw(redis, [frame(6), new(1), new(2)])
    held = former_raw(redis, [new(3), new(5), new(6)])
    for epoch, messages in ((1, frames([1, 2, 3])), (1, [frame(6)]), (2, [new(1), new(2), new(3)])):
        numbers = streams.ids(messages)
        fields = {str(seq): message for seq, message in zip(numbers, messages, strict=True)}
        client.xadd("ordered:{default}", {"t": NOW, **fields}, id=f"{epoch}-{numbers[-1]}")
    times = {"opened": NOW, "closed": NOW}
    client.xadd(
        "gaps:{default}",
        {"epoch": 1, "first": 4, "last": 5, **times, "cause": "reset", "late": 0},
    )
    digest = blake2b(new(1), digest_size=8).hexdigest()
    client.hset(
        "order:{default}",
        mapping={
            "incarnation": "0123456789abcdef", "epoch": 2, "next": 4, "raw": settled,
            "seen": held, "lines": "a-line" if told else "*",
            "begun": birth + f" {digest} 1".encode(), "commit": "7:somebody#12",
        },
    )  # fmt: skip


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("killed", [True, False])
def test_goes_on_exactly(redis: Server, start: Stack, told: bool, killed: bool) -> None:
    """An upgrade would send messages again, lose those that are held, or mix numberings."""
    leave(redis, told=told)
    settings = {"ORDERER_GAP_TIMEOUT": 3600}
    first = start.orderer(**settings)
    first.wait_for("ordering")
    if killed:
        first.kill()
        former_raw(redis, [new(8)])
        start.orderer(**settings)
    else:
        former_raw(redis, [new(8)])
    former_raw(redis, [new(4)])
    former_raw(redis, [new(7), *map(new, range(9, 20))])
    until(
        lambda: ordered_ids(redis.client) == [1, 2, 3, 6, *range(1, 20)],
        "the second numbering goes on",
    )
    assert streams.ordered_frames(redis.client)[4:] == [new(seq) for seq in range(1, 20)]
    assert [(gap.first, gap.last) for gap in streams.gaps(redis.client)] == [(4, 5)]
    assert streams.order(redis.client)["epoch"] == "2"
    until(lambda: streams.order(redis.client)["begun"] == "", "nothing older is left to be read")
    assert streams.order(redis.client)["first"] == "1"
