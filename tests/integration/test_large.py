"""Large messages: buffers are bounded in bytes, and what is slow is not taken for stuck."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

MEBIBYTE = 1024 * 1024


class Messages:
    """`count` messages of `size` bytes, made anew each time they are gone through."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self._padding = b"x" * size

    def __iter__(self) -> Iterator[bytes]:
        for seq in range(1, self.count + 1):
            yield b'{"id":%d,"padding":"%s"}' % (seq, self._padding)


def test_a_backlog_of_large_messages_takes_little_memory(redis: Server, start: Stack) -> None:
    """A backlog of large messages would stop the orderer, or fill a service's memory."""
    messages = Messages(300, 900_000)
    endpoint = start.endpoint()
    feed = start.feed(messages)
    ingestor = start.ingestor(feed.url)
    until(lambda: ingestor.metric("ingestor_frames_total") >= messages.count, "all is in Redis", 30)
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    publisher = start.publisher(endpoint.url)
    peak = 0

    def arrived() -> bool:
        nonlocal peak
        peak = max(peak, orderer.memory, publisher.memory)
        return len(endpoint.messages) >= messages.count

    until(arrived, "everything has arrived", 60)
    # 270 MB went through; without a bound in bytes most of it was held at a time.
    assert peak < 150 * MEBIBYTE


def test_a_slow_reader_of_large_messages_is_not_stuck(redis: Server, start: Stack) -> None:
    """An endpoint that reads slowly would be dropped and sent the same messages for ever."""
    messages = Messages(800, 20_000)
    endpoint = start.endpoint(pause=0.004)
    feed = start.feed(messages)
    start.ingestor(feed.url)
    start.orderer(ORDERER_FIRST_ID=1)
    publisher = start.publisher(endpoint.url, PUBLISHER_STUCK_TIMEOUT=1)
    until(lambda: len(endpoint.messages) >= messages.count, "everything has arrived", 60)
    stuck = partial(publisher.metric, "publisher_disconnects_total", ending="stuck")
    assert stuck() == 0
    assert len(endpoint.connections) == 1
