"""The orderer with a file of feeds: ids, heartbeats and cuts where real feeds have them."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_ingestor_feeds import one_server, play, table
from tests.support import streams
from tests.support.processes import command
from tests.support.replay import Replay
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import write_event, write_raw
from tests.support.transcripts import NAMES, Transcript, transcript
from tests.support.waiting import until

__all__ = ["play"]

FEED = """
    [feed.default]
    url = "wss://example/?token=${TOKEN}"
    first_id = 1
    gap_timeout = 3600
"""


def line(seq: int, text: str = "") -> bytes:
    """Make a frame with an id two levels down."""
    return b'{"data":{"seq":"%d"},"kind":"%s"}' % (seq, text.encode())


def out(redis: Server) -> list[bytes]:
    return streams.ordered_frames(redis.client)


@pytest.fixture
def words(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file of feeds."""

    def write(text: str) -> Path:
        file = tmp_path / "feeds.toml"
        file.write_text(FEED + text)
        return file

    return write


@one_server
def test_ids_stand_anywhere(redis: Server, start: Stack, words: Callable[[str], Path]) -> None:
    """A feed whose ids are text, or a level deeper, would be rejected as a whole."""
    start.orderer(FEEDS_FILE=words('id = "data.seq"'))
    write_raw(redis.client, [line(3), line(1), b'{"data":{}}', line(2)])
    until(lambda: out(redis) == [line(1), line(2), line(3)], "they are in order")
    until(lambda: [r.reason for r in streams.rejected(redis.client)] == ["missing"], "the rest")
    until(
        lambda: (
            '1 missing at `data.seq`: {"data":{}}'
            in command("orderer", "status", REDIS_URL=redis.url).stdout
        ),
        "the status shows it, with the path",
    )


@one_server
def test_what_is_ignored_and_what_is_dropped(
    redis: Server, start: Stack, words: Callable[[str], Path]
) -> None:
    """A heartbeat would take a message's place, or leave a gap; or a restart would find one."""
    file = words('id = "data.seq"\nignore = { kind = "beat" }\ndrop = { kind = "confirmed" }')
    orderer = start.orderer(FEEDS_FILE=file)
    write_raw(redis.client, [line(1), line(2, "beat"), line(2, "confirmed"), line(4), line(3)])
    until(lambda: out(redis) == [line(1), line(3), line(4)], "what is a message goes out")
    write_raw(redis.client, [line(5, "confirmed")])
    until(lambda: streams.order(redis.client)["next"] == "6", "what is dropped has its place")
    until(lambda: orderer.metric("orderer_frames_total", fate="ignored") == 1, "it is counted")
    until(
        lambda: "ignored" in command("orderer", "status", REDIS_URL=redis.url).stdout,
        "the status says so",
    )
    orderer.kill()
    start.orderer(FEEDS_FILE=file)
    write_raw(redis.client, [line(6)])
    until(lambda: out(redis) == [line(1), line(3), line(4), line(6)], "it goes on")
    assert streams.gaps(redis.client) == []
    assert streams.ordered(redis.client)[-1].entry.endswith(b"-4")


@one_server
def test_frames_hold_several_messages(
    redis: Server, start: Stack, words: Callable[[str], Path]
) -> None:
    """The messages of one frame would stick together, or lose bytes."""
    start.orderer(FEEDS_FILE=words('decompress = "gzip"\nmessages = "[]"'))
    frames = [b'[{"id":3, "x":"\xc3\xa9"},{"id":1}]', b'[{"id":2},{"id":5}]', b'[{"id":4}]']
    write_raw(redis.client, [gzip.compress(frame) for frame in frames])
    until(
        lambda: (
            out(redis)
            == [b'{"id":1}', b'{"id":2}', b'{"id":3, "x":"\xc3\xa9"}', b'{"id":4}', b'{"id":5}']
        ),
        "each is by itself",
    )


@one_server
@pytest.mark.parametrize("how", ["alone", "killed", "replicas"])
@pytest.mark.parametrize("name", NAMES)
def test_documented_protocols(
    redis: Server, start: Stack, play: Callable[[Transcript], Replay], tmp_path: Path,
    name: str, how: str,
) -> None:  # fmt: skip
    """What a real feed sends would not come out as it should, byte for byte, key by key."""
    script = transcript(name)
    server = play(script)
    file = tmp_path / "feeds.toml"
    timeout = script.expect["settings"]["gap_timeout"]
    text = table(script, server.origin)
    file.write_text(text.replace("\nid = ", f"\ngap_timeout = {timeout}\nid = "))
    endpoint = start.endpoint()
    for _ in range(2 if how == "replicas" else 1):
        orderer = start.orderer(FEEDS_FILE=file)
        orderer.wait_ready()  # a cursor is named only once something is settled
        start.service("ingestor", FEEDS_FILE=file, **script.expect["env"])
        start.publisher(f"{name}={endpoint.url}")
    expected = {
        key: [message.encode() for _, message in messages]
        for key, messages in script.expect["output"].items()
    }
    if how == "killed":
        # Before, the feed would be asked to go on from where it no longer can.
        until(lambda: server.resumed, "the feed has come back")
        orderer.kill()
        start.orderer(FEEDS_FILE=file)
    until(lambda: by_key(redis, name) == expected, "all comes out")
    sent = [
        message
        for _, values in streams.entries(redis.client, f"ordered:{{{name}}}")
        for message in values[5::2]
    ]
    until(lambda: list(endpoint.messages) == sent, "and is sent")
    assert len(server.refused) == script.expect["refusals"]
    gaps: dict[str, list[list[int]]] = {}
    for gap in streams.gaps(redis.client, name):
        gaps.setdefault(gap.key, []).append([gap.first, gap.last])
    assert gaps == {key: each for key, each in script.expect["gaps"].items() if each}
    # Only what has no number at all, as confirmations that its table does not name.
    assert {reject.reason for reject in streams.rejected(redis.client, name)} <= {"missing"}
    epochs = {key: max(each) for key, each in numberings(redis, name).items()}
    assert epochs == {key: len(each) for key, each in script.expect["epochs"].items()}


@one_server
def test_ids_that_grow_by_a_step(redis: Server, start: Stack, words: Callable[[str], Path]) -> None:
    """All ids between two that follow each other would be missing."""
    file = words('id = "data.seq"\nstep = 5').read_text().replace("first_id = 1", "first_id = 5")
    path = words("")
    path.write_text(file)
    start.orderer(FEEDS_FILE=path)
    write_raw(redis.client, [line(10), line(5), line(20), line(15)])
    until(lambda: out(redis) == [line(5), line(10), line(15), line(20)], "they are in order")
    until(
        lambda: "last id" in command("orderer", "status", REDIS_URL=redis.url).stdout,
        "the status says how far it is",
    )


@one_server
@pytest.mark.parametrize("restarts", ["never", "connection"])
def test_when_a_numbering_begins_anew(
    redis: Server, start: Stack, words: Callable[[str], Path], restarts: str
) -> None:
    """Repeats would be taken for news, or a connection's own numbers for repeats."""
    start.orderer(FEEDS_FILE=words(f'id = "data.seq"\nrestarts = "{restarts}"'))
    first = [line(seq) for seq in range(1, 8)]
    anew = [line(seq, "anew") for seq in range(1, 8)]
    write_event(redis.client, "connected")
    write_raw(redis.client, first)
    until(lambda: out(redis) == first, "the first numbering")
    write_event(redis.client, "connected")
    if restarts == "connection":
        write_raw(redis.client, anew[:1])
        expected = [*first, anew[0]]
    else:
        write_raw(redis.client, [*anew, line(8)])
        expected = [*first, line(8)]
    until(lambda: out(redis) == expected, "the rest")
    assert streams.gaps(redis.client) == []


def numberings(redis: Server, feed: str) -> dict[str, set[int]]:
    """Read in which epochs messages of each key came out."""
    found: dict[str, set[int]] = {}
    for _, values in streams.entries(redis.client, f"ordered:{{{feed}}}"):
        key = values[4].rpartition(b":")[0].decode()
        found.setdefault(key, set()).add(int(values[3].partition(b":")[0]))
    return found


def by_key(redis: Server, feed: str) -> dict[str, list[bytes]]:
    """Read what came out of each key."""
    found: dict[str, list[bytes]] = {}
    for _, values in streams.entries(redis.client, f"ordered:{{{feed}}}"):
        key = values[4].rpartition(b":")[0].decode()
        found.setdefault(key, []).extend(values[5::2])
    return found


SYMBOLS = 'id = "seq"\nkey = "symbol"'


def quote(symbol: str, seq: int) -> bytes:
    return b'{"symbol":"%s","seq":%d}' % (symbol.encode(), seq)


@one_server
def test_verbs_know_keys(redis: Server, start: Stack, words: Callable[[str], Path]) -> None:
    """An operator could not tell which symbol waits, or would give up another's messages."""
    file = words(SYMBOLS)
    start.orderer(FEEDS_FILE=file)
    odd = 'a: "b" \u00e9'
    messages = [quote("x", 1), quote("x", 3), json.dumps({"symbol": odd, "seq": 1}).encode()]
    write_raw(redis.client, [*messages, json.dumps({"symbol": odd, "seq": 3}).encode()])
    until(lambda: len(by_key(redis, "default")) == 2, "the first of each is out")

    def status() -> str:
        return command("orderer", "status", REDIS_URL=redis.url).stdout

    until(lambda: "open gaps  2" in status(), "both wait")
    assert "keys       2" in status()
    assert f"{odd} 2, open for" in status()
    done = command("orderer", "skip", "--key", "y", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert (done.returncode, "no key 'y'" in done.stderr) == (2, True)
    done = command("orderer", "skip", "--key", odd, REDIS_URL=redis.url, FEEDS_FILE=file)
    assert f"default {odd}: skipped; next was 2, is 4" in done.stdout, done.stderr
    assert [gap.key for gap in streams.gaps(redis.client)] == [odd]
    done = command("orderer", "skip", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert "default x: skipped; next was 2, is 4" in done.stdout, done.stderr
    done = command("orderer", "reset", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert done.stdout.count("epoch 2 begun") == 2


@one_server
def test_many_keys_survive_kills(redis: Server, start: Stack, words: Callable[[str], Path]) -> None:
    """With thousands of symbols something would be lost, doubled or mixed up at a crash."""
    file = words(SYMBOLS)
    endpoint = start.endpoint()
    start.publisher(endpoint.url)
    symbols = [f"s{number}" for number in range(500)]
    for seq in range(1, 13, 2):
        orderer = start.orderer(FEEDS_FILE=file)
        write_raw(redis.client, [quote(symbol, seq + 1) for symbol in symbols])
        orderer.wait_for("ordering")
        write_raw(redis.client, [quote(symbol, seq) for symbol in symbols])
        until(lambda: len(by_key(redis, "default")) > 10, "some is out")
        orderer.kill()
    start.orderer(FEEDS_FILE=file)
    expected = {symbol: [quote(symbol, seq) for seq in range(1, 13)] for symbol in symbols}
    until(lambda: by_key(redis, "default") == expected, "all of it is out")
    until(lambda: len(endpoint.messages) == 12 * len(symbols), "the endpoint has it")
    assert len(set(endpoint.messages)) == 12 * len(symbols)
    assert streams.gaps(redis.client) == []


@one_server
def test_verbs_go_by_the_same_words(
    redis: Server, start: Stack, words: Callable[[str], Path]
) -> None:
    """A verb that reads other ids would destroy what is held."""
    start.orderer(FEEDS_FILE=words('id = "data.seq"'), ORDERER_CAPACITY=500)
    write_raw(redis.client, [line(1), line(3)])
    until(lambda: out(redis) == [line(1)], "one is held")
    until(
        lambda: "held       1" in command("orderer", "status", REDIS_URL=redis.url).stdout,
        "the status says so",
    )
    ended = command("orderer", "skip", REDIS_URL=redis.url, FEEDS_FILE=words('id = "other"'))
    assert (ended.returncode, "FEEDS_FILE" in ended.stderr) == (2, True), ended.stderr
    ended = command("orderer", "skip", REDIS_URL=redis.url, ORDERER_CAPACITY=600)
    assert (ended.returncode, "ORDERER_CAPACITY" in ended.stderr) == (2, True), ended.stderr
    ended = command("orderer", "skip", REDIS_URL=redis.url, FEEDS_FILE=words('id = "data.seq"'))
    assert "skipped; next was 2, is 4" in ended.stdout, ended.stderr
    write_raw(redis.client, [line(5)])
    until(
        lambda: "held       1" in command("orderer", "status", REDIS_URL=redis.url).stdout,
        "another is held",
    )
    ended = command("orderer", "skip", REDIS_URL=redis.url)
    assert "skipped; next was 4, is 6" in ended.stdout, ended.stderr
    assert out(redis) == [line(1), line(3), line(5)]


@one_server
def test_a_changed_file_is_taken_over(
    redis: Server, start: Stack, words: Callable[[str], Path]
) -> None:
    """Ids would be looked for where they no longer are, until a restart that stops all feeds."""
    file = words('id = "data.seq"')
    other = "\n[feed.other]\nurl = 'ws://other/'\nfirst_id = 1\ngap_timeout = 3600\n"
    file.write_text(file.read_text() + other)
    orderer = start.orderer(FEEDS_FILE=file)
    write_raw(redis.client, [line(1), line(3)])
    write_raw(redis.client, [b'{"id":1}', b'{"id":3}'], feed="other")
    until(lambda: out(redis) == [line(1)], "one is held")
    until(lambda: streams.ordered_ids(redis.client, "other") == [1], "and one of the other")
    file.write_text("[feed")
    os.kill(orderer.pid, signal.SIGHUP)
    until(lambda: orderer.events("feeds not taken over"), "a broken file is refused")
    file.write_text(FEED + 'id = "seq"\n' + other)
    os.kill(orderer.pid, signal.SIGHUP)
    until(lambda: orderer.events("feeds taken over"), "the file is taken over")
    until(lambda: len(orderer.events("ordering")) == 3, "one feed is taken up anew")
    assert orderer.events("ordering")[-1]["feed"] == "default"
    # What was held is read again by the new words, and is no message any more.
    write_raw(redis.client, [b'{"seq":3}', b'{"seq":2}'])
    until(lambda: out(redis) == [line(1), b'{"seq":2}', b'{"seq":3}'], "it goes by the new words")
    write_raw(redis.client, [b'{"id":2}'], feed="other")
    until(lambda: streams.ordered_ids(redis.client, "other") == [1, 2, 3], "the other has its own")
