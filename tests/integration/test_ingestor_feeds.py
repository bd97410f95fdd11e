"""The ingestor with a file of feeds, against servers that are as strict as the real ones."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import streams
from tests.support.handshakes import Handshakes
from tests.support.processes import Service, command
from tests.support.replay import Replay
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.transcripts import FOLDER, NAMES, Transcript, transcript
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

TABLES = (FOLDER.parent / "feeds.toml").read_text()


def table(script: Transcript, origin: str) -> str:
    """Get a feed's words, with the server's address in place of the real one."""
    name = re.escape(script.name)
    text = "\n".join(re.findall(rf"(?ms)^\[feed\.{name}[\].].*?(?=^\[|^# ---|\Z)", TABLES))
    text = re.sub(r'wss://[^/"]+', origin, text)
    interval = script.expect["settings"].get("ping_interval")
    return re.sub(r"ping_interval = \d+", f"ping_interval = {interval}", text)


@pytest.fixture
def play() -> Iterator[Callable[[Transcript], Replay]]:
    """Serve transcripts, until the test ends."""
    running: list[Replay] = []

    def start(script: Transcript) -> Replay:
        running.append(Replay(script.lines))
        return running[-1]

    yield start
    for replay in running:
        replay.stop()


def ingestor(start: Stack, file: Path, text: str, **settings: object) -> Service:
    """Start an ingestor with these feeds."""
    file.write_text(text)
    return start.service("ingestor", FEEDS_FILE=file, **settings)


@one_server
@pytest.mark.parametrize("name", NAMES)
def test_transcripts(
    name: str,
    redis: Server,
    start: Stack,
    play: Callable[[Transcript], Replay],
    tmp_path: Path,
) -> None:
    """A documented feed would refuse us or cut us off, or what it sends be lost."""
    script = transcript(name)
    server = play(script)
    if name == "azure-webpubsub":
        redis.client.hset(f"next:{{{name}}}", name, "1:2:1")  # something is settled
    service = ingestor(
        start, tmp_path / "feeds.toml", table(script, server.origin), **script.expect["env"]
    )
    until(server.finished.is_set, f"all of {name} is played")
    until(lambda: len(streams.raw_frames(redis.client, name)) >= len(server.sent), "all is in raw")
    assert len(server.refused) == script.expect["refusals"], server.refused
    assert server.unexpected == []
    assert streams.raw_frames(redis.client, name) == server.sent
    for secret in script.expect["env"].values():
        assert secret not in "\n".join(service.lines)


def answering(*answers: bytes) -> Handshakes:
    """Start a server that answers each handshake as it is told, at last always the same."""
    left = list(answers)
    return Handshakes(lambda _: left.pop(0) if len(left) > 1 else left[0])


@one_server
def test_a_no_is_not_asked_for_again_and_again(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A feed that does not want us would lock us out for asking; or our token be in the log."""
    server = answering(b"HTTP/1.1 401 No s3cr3t\r\nContent-Length: 0\r\n\r\n")
    text = f"""
        [feed.a]
        url = "{server.origin}/x?token=${{TOKEN}}"
        headers = {{ Authorization = "Bearer ${{TOKEN}}", User-Agent = "wolf/1" }}
        subprotocols = ["one", "two"]
        [feed.b]
        url = "{server.origin}/y"
    """
    service = ingestor(start, tmp_path / "feeds.toml", text, TOKEN="s3cr3t+/")
    until(lambda: sum(b"/x?" in head for head in server.heads) >= 4, "it has asked four times")
    server.stop()
    asked = [
        (at, head)
        for at, head in zip(server.times, server.heads, strict=True)
        if b"/x?token=s3cr3t%2B/ " in head
    ]
    pauses = [after[0] - before[0] for before, after in pairwise(asked)]
    assert pauses[0] > 0.4
    assert pauses[1] > 0.9
    assert pauses[2] > 1.9
    for _, head in asked:
        assert b"Authorization: Bearer s3cr3t+/\r\n" in head
        assert b"Sec-WebSocket-Protocol: one, two\r\n" in head
        assert head.count(b"User-Agent: ") == 1
        assert b"User-Agent: wolf/1\r\n" in head
    until(lambda: any("HTTP 401" in line for line in service.lines), "the log says why")
    assert "s3cr3t" not in "\n".join(service.lines)
    assert service.metric("ingestor_disconnects_total", feed="a", ending="refused") >= 4
    assert service.metric("ingestor_refusals", feed="a") >= 4
    states = json.loads(service.get("/readyz")[1])["lines"]
    [state] = [state for name, state in states.items() if name.startswith("a=")]
    assert state.startswith("waiting: ")
    assert "s3cr3t" not in state


@one_server
def test_credentials_are_asked_for_before_each_connect(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A single-use token would be used twice, or a wrong one for ever."""
    server = answering(b"HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    helper = tmp_path / "token"
    helper.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/count\necho TOKEN=t$(wc -l < {tmp_path}/count)\n"
    )
    helper.chmod(0o755)
    text = f"""
        [feed.a]
        credentials = ["{helper}"]
        url = "{server.origin}/?t=${{TOKEN}}"
    """
    ingestor(start, tmp_path / "feeds.toml", text)
    until(lambda: len(server.heads) >= 3, "it has asked three times")
    server.stop()
    assert [head.split()[1] for head in server.heads[:3]] == [b"/?t=t1", b"/?t=t2", b"/?t=t3"]
    assert server.times[1] - server.times[0] > 0.9


@one_server
def test_silence_of_messages(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A subscription that has died on a connection that stands would stay dead."""
    feed = start.feed([b'{"id":1}'])
    text = f"""
        [feed.a]
        url = "{feed.url}"
        message_timeout = 0.5
    """
    service = ingestor(start, tmp_path / "feeds.toml", text)
    until(lambda: service.metric("ingestor_disconnects_total", feed="a", ending="idle"), "it ends")


@pytest.mark.parametrize("name", NAMES)
def test_trying(name: str, play: Callable[[Transcript], Replay], tmp_path: Path) -> None:
    """A new user would have to start everything to see whether a feed's words are right."""
    script = transcript(name)
    server = play(script)
    (tmp_path / "feeds.toml").write_text(table(script, server.origin))
    tried = command(
        "ingestor", "try", name, "--seconds", "3",
        FEEDS_FILE=tmp_path / "feeds.toml", **script.expect["env"],
    )  # fmt: skip
    assert tried.returncode == 0, tried.stderr
    assert tried.stderr == ""
    assert server.refused == []
    lines = tried.stdout.splitlines()
    assert lines[0].startswith("connected")
    assert any(line.startswith("< message ") for line in lines)
    heard = sum(line.startswith("< ") for line in lines)
    assert heard >= len(server.sent)
    assert any(f"{len(server.sent)} frames, " in line for line in lines)
    for secret in script.expect["env"].values():
        if len(secret) > 3:
            assert secret not in tried.stdout


def test_trying_in_vain(tmp_path: Path) -> None:
    """A user would see a traceback, or a token."""
    server = answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    file = tmp_path / "feeds.toml"
    file.write_text(f'[feed.a]\nurl = "{server.origin}/?t=${{TOKEN}}"\n[feed.b]\nurl = "ws://h"\n')
    tried = command("ingestor", "try", "a", FEEDS_FILE=file, TOKEN="s3cr3t")
    server.stop()
    assert tried.returncode == 1
    assert tried.stdout == "no connection: server rejected WebSocket connection: HTTP 401\n"
    tried = command("ingestor", "try", FEEDS_FILE=file, TOKEN="s3cr3t")
    assert (tried.returncode, tried.stderr) == (2, f"ingestor: which feed? {file} has: a, b\n")
    tried = command("ingestor", "try", "a", FEEDS_FILE=file)
    assert tried.returncode == 2
    assert "${TOKEN} is not set" in tried.stderr
    tried = command("ingestor", "try", FEEDS_FILE=tmp_path / "nothing.toml")
    assert (tried.returncode, "cannot be read" in tried.stderr) == (2, True)


@one_server
def test_a_changed_file_is_taken_over(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A new feed would cost all others their connection, or a mistake stop everything."""
    feeds = [start.feed([b'{"id":1}']) for _ in range(4)]
    urls = [feed.url for feed in feeds]
    file = tmp_path / "feeds.toml"
    tables = [f'[feed.f{at}]\nurl = "{url}"\n' for at, url in enumerate(urls)]
    service = ingestor(start, file, "".join(tables[:3]))

    def lines() -> dict[str, str]:
        found: dict[str, str] = json.loads(service.get("/readyz")[1])["lines"]
        return {name.partition("=")[0]: state for name, state in found.items()}

    def connects(at: int) -> int:
        events = [batch.event for batch in streams.raw(redis.client, f"f{at}")]
        return events.count("connected")

    until(lambda: sorted(lines().values()) == ["connected"] * 3, "three are connected")
    file.write_text(tables[0] + "[feed.f1]\nurl = 5\nrat = 1\n")
    os.kill(service.pid, signal.SIGHUP)
    until(lambda: sum("not taken over" in line for line in service.lines) == 2, "both are told")
    assert len(lines()) == 3
    # The first stays as it is, the second gets a word more, the third goes, a fourth comes.
    file.write_text(tables[0] + tables[1] + "message_timeout = 600\n" + tables[3])
    os.kill(service.pid, signal.SIGHUP)
    until(lambda: lines() == dict.fromkeys(("f0", "f1", "f3"), "connected"), "they are read")
    until(lambda: connects(1) == 2, "the changed one is read anew")
    assert (connects(0), connects(2), connects(3)) == (1, 1, 1)
    assert streams.raw(redis.client, "f2")[-1].event == "disconnected"
    file.write_text(tables[0] + tables[1] + tables[3])
    os.kill(service.pid, signal.SIGHUP)
    until(lambda: connects(1) == 3, "what it was before, it is again")
    until(lambda: lines() == dict.fromkeys(("f0", "f1", "f3"), "connected"), "all are read")
    assert (connects(0), connects(3)) == (1, 1)
    assert service.running


@one_server
def test_mistakes_end_it(redis: Server, tmp_path: Path) -> None:
    """A file with mistakes would be half used, or each mistake cost a start."""
    file = tmp_path / "feeds.toml"
    file.write_text('[feed.a]\nurl = "wss://h/?t=${NO_SUCH_TOKEN}"\n[feed.b]\nuri = "wss://h"\n')
    ended = command("ingestor", FEEDS_FILE=file, REDIS_URL=redis.url)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"ingestor: {file}: [feed.a] url: ${{NO_SUCH_TOKEN}} is not set, "
        "and neither is NO_SUCH_TOKEN_FILE",
        f"ingestor: {file}: [feed.b] uri: there is no such word for a feed; did you mean url?",
    ]
