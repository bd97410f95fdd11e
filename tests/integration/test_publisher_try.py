"""The verb `try` of the publisher, against endpoints, without Redis and without other services."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.handshakes import Handshakes, accepted
from tests.support.processes import command
from tests.support.servers import free_port
from tests.support.stranger import Endpoint, Received

TABLE = """
    [feed.a]
    url = "wss://feed.example/?token=${FEED_TOKEN}"
    [feed.a.endpoint.shop]
    url = "%s"
"""


def silent() -> Handshakes:
    """Start a server that takes each handshake, reads until it is left, and never says a word."""

    def stay(connection: socket.socket) -> None:
        while connection.recv(4096)[:1] not in (b"", b"\x88"):
            pass

    return Handshakes(accepted, stay)


Ending = Callable[[Endpoint | Handshakes], None]


@pytest.fixture
def ending() -> Iterator[Ending]:
    """Stop servers when the test ends."""
    running: list[Endpoint | Handshakes] = []
    yield running.append
    for server in running:
        server.stop()


class Try:
    """Tries the only endpoint of a file, with these words."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(
        self, url: str, words: str = "", seconds: float = 1.0, **settings: object
    ) -> CompletedProcess[str]:
        self._file.write_text(TABLE % url + words)
        return command(
            "publisher", "try", "--seconds", f"{seconds}", FEEDS_FILE=self._file, **settings
        )


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Try endpoints."""
    return Try(tmp_path / "feeds.toml")


def lines(tried: CompletedProcess[str]) -> list[str]:
    """List what was told, without times."""
    assert tried.stderr == ""
    return [re.sub(r"\d+\.\d ms", "… ms", line) for line in tried.stdout.splitlines()]


def test_an_endpoint_in_its_own_words(ending: Ending, attempt: Try) -> None:
    """Whoever writes an endpoint's words would have to send it messages to see what they do."""

    def answer(received: Received) -> list[str]:
        if len(received) > 1:
            return []
        return ['[3,"1",{}]', '[3,"17",{}]', '{"ping":7}', '["hello"]']

    endpoint = Endpoint(answer=answer)
    ending(endpoint)
    tried = attempt(
        endpoint.url,
        """
        headers = { Authorization = "Bearer ${SHOP_TOKEN}" }
        open_message = '[2,"{{$count}}","boot",{"token":"${SHOP_TOKEN}"}]'
        message = '[2,"{{$count}}","put",{{$message}}]'
        ack = { 0 = 3, 1 = "{{$count}}" }
        replies = [{ on = { ping = "*" }, send = '{"pong":{{ping}}}' }]
        ping_message = "still here"
        ping_interval = 0.7
        """,
        SHOP_TOKEN="s3cr3t-token",
    )
    assert tried.returncode == 0
    told = lines(tried)
    assert told[:2] == ["connected", '> [2,"1","boot",{"token":"***"}]']
    told.remove("> a ping")
    told.remove("< its pong, after … ms")
    assert told[2:] == [
        '< confirms no message: 1 is the count of something else that was sent  [3,"1",{}]',
        '< confirms message 17  [3,"17",{}]',
        '< does not fit `ack`, confirms nothing, answered  {"ping":7}',
        '> {"pong":7}',
        '< does not fit `ack`, confirms nothing  ["hello"]',
        "> still here",
        "",
        "4 frames, 3 sent, a pong after … ms",
        "  1 fits `ack` for something else that was sent",
        "  1 fits `ack`",
        "  1 does not fit `ack`, confirms nothing, answered",
        "  1 does not fit `ack`, confirms nothing",
        "no message was sent, and `ack` fits 1: does it fit too much?",
    ]
    assert endpoint.headers["Authorization"] == "Bearer s3cr3t-token"
    [received] = endpoint.connections
    assert list(received) == [
        b'[2,"1","boot",{"token":"s3cr3t-token"}]', b'{"pong":7}', b"still here",
    ]  # fmt: skip
    assert received.code == 1000


def test_a_plain_endpoint(ending: Ending, attempt: Try) -> None:
    """An endpoint that only listens would be told to be wrong, or be sent something."""
    endpoint = Endpoint()
    ending(endpoint)
    tried = attempt(endpoint.url, seconds=0.5)
    assert tried.returncode == 0
    assert lines(tried) == [
        "connected",
        "> a ping",
        "< its pong, after … ms",
        "",
        "0 frames, 0 sent, a pong after … ms",
        "nothing came: it only listens, or does it want an `open_message`, `headers` or"
        " `subprotocols`?",
        "no `ack` is set; the endpoint's pongs count, and it sends them",
    ]
    assert endpoint.messages == []


def test_an_endpoint_without_pongs(ending: Ending, attempt: Try) -> None:
    """It would be left and tried again for ever at work, and nobody had said so before."""
    endpoint = silent()
    ending(endpoint)
    tried = attempt(endpoint.origin, seconds=0.5)
    assert tried.returncode == 1
    assert "nothing would count as delivered" in tried.stdout
    assert attempt(endpoint.origin, 'ack = "ok"\n', seconds=0.5).returncode == 0


def test_an_endpoint_that_closes(ending: Ending, attempt: Try) -> None:
    """Nobody would see why it throws us out, or what it has said before."""
    endpoint = Endpoint(answer=lambda _: ["bad key s3cr3t-key", (4001, "no s3cr3t-key")])
    ending(endpoint)
    tried = attempt(endpoint.url, 'open_message = "${KEY}"\n', 20, KEY="s3cr3t-key")
    assert tried.returncode == 1
    told = lines(tried)
    assert {"> ***", "< its own words  bad key ***", "closed: 4001 no ***"} <= set(told)
    assert any(line.startswith("it has ended the connection") for line in told)


@pytest.mark.parametrize("service", ["publisher", "ingestor"])
def test_a_no_right_after_the_handshake(service: str, ending: Ending, tmp_path: Path) -> None:
    """Who says no before we have said anything would leave us with a traceback, or unheard."""
    said = b"\x81\x06go off" + b"\x88\x04" + (1008).to_bytes(2, "big") + b"no"
    server = Handshakes(lambda head: accepted(head) + said)
    ending(server)
    words = f'url = "{server.origin}"\nopen_message = "hello"\n'
    file = tmp_path / "feeds.toml"
    file.write_text(f"[feed.a]\n{words}[feed.a.endpoint.b]\n{words}")
    tried = command(service, "try", FEEDS_FILE=file)
    assert tried.returncode == 1
    told = lines(tried)
    assert any(line.startswith("< ") and line.endswith("  go off") for line in told)
    assert "closed: 1008 no" in told


def test_secrets_are_not_shown(ending: Ending, attempt: Try, tmp_path: Path) -> None:
    """An endpoint that repeats a token would bring it, or half of it, into a terminal."""
    sign = tmp_path / "sign"
    sign.write_text("#!/bin/sh\necho 'SIGN=s3cr3t \"sign\"'\n")
    sign.chmod(0o755)
    said = ["x" * 92 + "s3cr3t-key", '{"sign":"s3cr3t \\"sign\\""}']
    endpoint = Endpoint(answer=lambda received: said if len(received) == 1 else [])
    ending(endpoint)
    words = (
        f"credentials = ['{sign}']\n"
        'headers = { Authorization = "Bearer ${KEY}" }\n'
        'open_message = \'{"sign":"${SIGN}"}\'\n'
    )
    tried = attempt(endpoint.url, words, KEY="s3cr3t-key")
    assert tried.returncode == 0
    assert endpoint.headers["Authorization"] == "Bearer s3cr3t-key"
    assert endpoint.messages == [b'{"sign":"s3cr3t \\"sign\\""}']
    told = lines(tried)
    assert '> {"sign":"***"}' in told
    assert '< its own words  {"sign":"***"}' in told
    assert "s3c" not in tried.stdout


def test_no_connection(ending: Ending, attempt: Try) -> None:
    """A user would see a traceback, or wait for as long as the library likes."""
    endpoint = Endpoint(refuse=1)
    ending(endpoint)
    tried = attempt(endpoint.url)
    assert (tried.returncode, tried.stderr) == (1, "")
    assert tried.stdout == "no connection: server rejected WebSocket connection: HTTP 503\n"
    tried = attempt(f"ws://127.0.0.1:{free_port()}/${{KEY}}", KEY="s3cr3t-key")
    assert (tried.returncode, tried.stderr) == (1, "")
    assert tried.stdout.startswith("no connection: ")
    assert "s3cr3t" not in tried.stdout
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        tried = attempt(f"ws://127.0.0.1:{deaf.getsockname()[1]}", "connect_timeout = 0.3\n")
    assert (tried.returncode, tried.stderr) == (1, "")
    assert tried.stdout.startswith("no connection: ")
    assert time.monotonic() - began < 9  # the library would wait for ten seconds


def test_a_proxy(ending: Ending, attempt: Try) -> None:
    """An endpoint behind a proxy would be tried on another way than it is reached at work."""
    tried = attempt("ws://h.invalid/", f'proxy_url = "http://127.0.0.1:{free_port()}"\n')
    assert tried.returncode == 1
    assert "Connect" in tried.stdout
    assert "h.invalid" not in tried.stdout


FILE = """
    [feed.one]
    url = "ws://h"
    [feed.two]
    url = "ws://h"
    [feed.two.endpoint.a]
    url = "ws://h/${KEY}"
    [feed.two.endpoint.b]
    url = "ws://h"
    [feed.three]
    url = "ws://h"
    [feed.three.endpoint.c]
    url = "ws://h"
"""


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ([], "which feed? {} has endpoints of: two, three"),
        (["four"], "which feed? {} has endpoints of: two, three"),
        (["one"], "{}: the feed one has no endpoint"),
        (["two"], "which endpoint? the feed two has: a, b"),
        (["two", "c"], "which endpoint? the feed two has: a, b"),
        (["three", "c", "--seconds", "-1"], "argument --seconds: -1 is not in 0 … 86400"),
        (["three", "c", "--seconds", "nan"], "argument --seconds: nan is not in 0 … 86400"),
        (["three", "c", "d"], "unrecognized arguments: d"),
    ],
)
def test_misuse(arguments: list[str], mistake: str, tmp_path: Path) -> None:
    """A user would not be told what there is to choose from."""
    file = tmp_path / "feeds.toml"
    file.write_text(FILE)
    tried = command("publisher", "try", *arguments, FEEDS_FILE=file, KEY="x")
    assert (tried.returncode, tried.stdout) == (2, "")
    assert tried.stderr.splitlines()[-1].partition(": ")[2].endswith(mistake.format(file))


def test_mistakes_in_the_file(tmp_path: Path) -> None:
    """A user would mend one mistake at a time, or be asked for the tokens of feeds."""
    file = tmp_path / "feeds.toml"
    file.write_text(TABLE % "ws://h/?k=${KEY}" + "rate = 0\nmesage = 'x'\n")
    tried = command("publisher", "try", FEEDS_FILE=file)
    assert (tried.returncode, tried.stdout) == (2, "")
    assert len(tried.stderr.splitlines()) == 3
    assert all(line.startswith(f"publisher: {file}: ") for line in tried.stderr.splitlines())
    assert "FEED_TOKEN" not in tried.stderr
    file.write_text('[feed.a]\nurl = "ws://h"\n')
    tried = command("publisher", "try", FEEDS_FILE=file)
    assert (tried.returncode, tried.stderr) == (2, f"publisher: {file} has no endpoint\n")
    tried = command("publisher", "try", FEEDS_FILE=tmp_path / "nothing.toml")
    assert (tried.returncode, "cannot be read" in tried.stderr) == (2, True)


def test_a_feed_s_trial_wants_no_secrets_of_endpoints(tmp_path: Path) -> None:
    """Whoever tries a feed would be asked for the tokens of all endpoints."""
    file = tmp_path / "feeds.toml"
    file.write_text(f'[feed.a]\nurl = "ws://127.0.0.1:{free_port()}"\n' + FILE)
    tried = command("ingestor", "try", "a", FEEDS_FILE=file)
    assert (tried.returncode, tried.stderr) == (1, "")
