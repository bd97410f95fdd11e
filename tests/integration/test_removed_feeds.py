"""What a feed has left when it is removed from the file: it is ordered by the words that held."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_ingestor_feeds import one_server
from tests.support import streams
from tests.support.processes import command
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import write_event, write_raw
from tests.support.waiting import until

GONE = """
[feed.gone]
url = "wss://example/?token=${TOKEN}"
headers = { Authorization = "Bearer ${TOKEN}" }
first_id = 1
id = "data.seq"
ignore = [{ kind = "beat", token = "${TOKEN}" }, "hi"]
drop = { kind = "drop" }
"""

OTHER = "[feed.other]\nurl = 'ws://other/'\nfirst_id = 1\n"


def line(seq: int, kind: str = "") -> bytes:
    """Make a frame with an id two levels down."""
    return b'{"data":{"seq":"%d"},"kind":"%s"}' % (seq, kind.encode())


def out(redis: Server) -> list[bytes]:
    return streams.ordered_frames(redis.client, "gone")


def rejected(redis: Server) -> list[bytes]:
    return [reject.frame for reject in streams.rejected(redis.client, "gone")]


def status(redis: Server) -> str:
    return command("orderer", "status", "gone", REDIS_URL=redis.url).stdout


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of feeds."""

    def write(*tables: str) -> Path:
        file = tmp_path / "feeds.toml"
        file.write_text("\n".join(tables))
        return file

    return write


@one_server
@pytest.mark.parametrize("then", ["goes on", "restarts", "hands over"])
def test_it_is_ordered_to_its_end(
    redis: Server, start: Stack, write: Callable[..., Path], then: str
) -> None:
    """What it holds would be read by other words, found to have no id, and be rejected."""
    orderer = start.orderer(FEEDS_FILE=write(GONE + "gap_timeout = 3600", OTHER))
    write_raw(redis.client, [line(1), line(3), line(4, "drop")], feed="gone")
    until(lambda: out(redis) == [line(1)], "one is held")
    until(lambda: redis.client.hget("order:{gone}", "waiting") == b"gone", "that is committed")
    file = write(OTHER)
    if then == "goes on":
        os.kill(orderer.pid, signal.SIGHUP)
        until(lambda: orderer.events("feeds taken over"), "the file is taken over")
    else:
        if then == "hands over":
            start.orderer(FEEDS_FILE=file).wait_ready()
        orderer.kill()
        if then == "restarts":
            start.orderer(FEEDS_FILE=file)
        start.services[-1].wait_for("not in the file, ordered by what they left", feeds=["gone"])
    write_raw(redis.client, [b"hi", line(5), line(2)], feed="gone")
    until(lambda: out(redis) == [line(1), line(2), line(3), line(5)], "all comes out")
    assert rejected(redis) == []


@one_server
def test_no_secret_is_left(redis: Server, start: Stack, write: Callable[..., Path]) -> None:
    """A token would stand in Redis, where viewers read, and stay there for ever."""
    start.orderer(FEEDS_FILE=write(GONE), TOKEN="s3cret")
    write_raw(redis.client, [line(1)], feed="gone")
    until(lambda: redis.client.hget("order:{gone}", "words"), "the words are left")
    words = redis.client.hget("order:{gone}", "words").decode()
    assert "s3cret" not in words
    assert '"id":"data.seq"' in words
    assert "example" not in words
    assert "Authorization" not in words


@one_server
@pytest.mark.parametrize("running", [True, False])
def test_what_it_waits_for_is_given_up(
    redis: Server, start: Stack, write: Callable[..., Path], running: bool
) -> None:
    """What it holds would stay there for ever: time stands still when nobody is connected."""
    orderer = start.orderer(FEEDS_FILE=write(GONE + "gap_timeout = 1.5", OTHER))
    write_event(redis.client, "connected", feed="gone")
    write_raw(redis.client, [line(1), line(3)], feed="gone")
    write_event(redis.client, "disconnected", feed="gone")
    until(lambda: out(redis) == [line(1)], "one is held")
    until(lambda: redis.client.hget("order:{gone}", "waiting") == b"gone", "that is committed")
    write(OTHER)
    if running:
        os.kill(orderer.pid, signal.SIGHUP)
    else:
        orderer.kill()
        orderer = start.orderer(FEEDS_FILE=write(OTHER))
    until(lambda: out(redis) == [line(1), line(3)], "what was held comes out")
    until(lambda: streams.given_up(redis.client, "gone") == [2], "and the gap is in the ledger")
    assert [gap.cause for gap in streams.gaps(redis.client, "gone")] == ["timeout"]
    until(lambda: redis.client.xlen("raw:{gone}") == 0, "nothing is left in the input")
    orderer.kill()
    start.orderer(FEEDS_FILE=write(GONE, OTHER))
    write_raw(redis.client, [line(2), line(4)], feed="gone")
    until(lambda: out(redis) == [line(1), line(3), line(4)], "a restart finds it as it is")


@one_server
def test_verbs_need_no_table(redis: Server, start: Stack, write: Callable[..., Path]) -> None:
    """What waits for an operator would wait for ever: no verb would go by the feed's words."""
    never = GONE + "gap_timeout = 'never'"
    orderer = start.orderer(FEEDS_FILE=write(never, OTHER))
    write_raw(redis.client, [line(1), line(3), line(5)], feed="gone")
    until(lambda: "held       2" in status(redis), "two are held")
    file = write(OTHER)
    orderer.kill()
    done = command("orderer", "skip", "gone", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert "gone: skipped; next was 2, is 4" in done.stdout, done.stderr
    start.orderer(FEEDS_FILE=file)
    until(lambda: out(redis) == [line(1), line(3)], "the first of them is out")
    done = command("orderer", "reset", "gone", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert "epoch 2 begun" in done.stdout, done.stderr
    until(lambda: out(redis) == [line(1), line(3), line(5)], "and the other")
    assert rejected(redis) == []
