"""Plain requests, and handshakes as browsers and proxies make them: what the servers answer."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.processes import Service
from tests.support.stack import Stack
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

REBOUND = "rebound.example"
"""A name that somebody else's server has led here."""

ASKED = {
    "chat": ("/", "/app.js"),
    "wisdom": ("/", "/listening"),
    "viewer": ("/", "/feeds"),
    "simulator": ("/", "/report", "/feed"),
}


def started(start: Stack, directory: Path, name: str, **settings: object) -> Service:
    """Start a service that listens, on a port of its own."""
    own = {f"{name.upper()}_HOST": "127.0.0.1", f"{name.upper()}_PORT": 0}
    if name == "chat":
        own["CHAT_LOG_FILE"] = directory / "messages.json"
    service = start.service(name, **own, **settings)
    service.wait_ready()
    return service


def port(service: Service) -> int:
    bound: int = service.wait_for(f"{service.module} listens")["port"]
    return bound


def ask(
    port: int, path: str, host: str = "", method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Make a request; returns status, headers and all that came after them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, headers={"Host": host} if host else {})
        assert connection.sock is not None
        with connection.sock.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            headers = http.client.parse_headers(stream)
            return status, headers, stream.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ASKED)
def test_a_name_that_was_led_here_gets_nothing(start: Stack, tmp_path: Path, name: str) -> None:
    """Any page that somebody visits could read what this machine shows to itself only."""
    service = started(start, tmp_path, name)
    ops = service.wait_for("ops endpoint listens")["port"]
    asked = [(port(service), path) for path in ASKED[name]]
    for where, path in [*asked, (ops, "/metrics"), (ops, "/readyz")]:
        assert ask(where, path)[0] == 200
        assert ask(where, path, f"localhost:{where}")[0] == 200
        assert ask(where, path, f"{REBOUND}:{where}")[0] == 421
    service.terminate()
    service = started(start, tmp_path, name, ALLOWED_HOSTS=f"other.example {REBOUND}")
    for path in ASKED[name]:
        assert ask(port(service), path, f"{REBOUND}:80")[0] == 200


@pytest.mark.parametrize("name", ASKED)
def test_methods(start: Stack, tmp_path: Path, name: str) -> None:
    """Who asks only for the headers would get a page after them; who posts, as if it were taken."""
    service = started(start, tmp_path, name)
    ops = service.wait_for("ops endpoint listens")["port"]
    for where, path in [(port(service), "/"), (ops, "/healthz")]:
        got, asked = ask(where, path), ask(where, path, method="HEAD")
        assert (asked[0], asked[2]) == (200, b"")
        assert asked[1]["Content-Length"] == got[1]["Content-Length"] == str(len(got[2]))
        for method in ("POST", "DELETE", "OPTIONS"):
            status, headers, _ = ask(where, path, method=method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("name", ["chat", "wisdom"])
def test_pages_that_may_connect(start: Stack, tmp_path: Path, name: str) -> None:
    """A page led here could speak in a visitor's name; whoever is refused would not learn why."""
    service = started(start, tmp_path, name)

    def status(origin: str | None, host: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port(service), timeout=DEADLINE)
        wanted = HANDSHAKE | {"Host": host} | ({"Origin": origin} if origin else {})
        connection.request("GET", "/", headers=wanted)
        answer = connection.getresponse().status
        connection.close()
        return answer

    assert status("http://localhost:4000", "localhost:4000") == 101
    assert status(None, "chat.example") == 101  # no page, so nobody's browser was led astray
    for origin, host in [
        (f"http://{REBOUND}", REBOUND),
        ("http://localhost#@evil.example", "localhost"),
        ("http://evil.example", "localhost"),
        ("null", "localhost"),
    ]:
        assert status(origin, host) == 403
    told = service.wait_for("a page may not connect")
    assert len(service.events("a page may not connect")) == 1
    assert told["level"] == "warning"
    assert (told["origin"], told["host"], told["known"]) == (f"http://{REBOUND}", REBOUND, False)
    service.terminate()

    variable = f"{name.upper()}_ORIGINS"
    service = started(start, tmp_path, name, **{variable: "capacitor://localhost null file://"})
    for origin in ("capacitor://localhost", "null", "file://"):
        assert status(origin, "chat.example") == 101
    assert status("http://localhost", "localhost") == 403


@pytest.mark.parametrize("name", ["chat", "wisdom"])
def test_handshakes_as_they_come(start: Stack, tmp_path: Path, name: str) -> None:
    """Behind a proxy with long cookies, or from a client that names a protocol, nobody came in."""
    service = started(start, tmp_path, name)
    url = f"ws://127.0.0.1:{port(service)}/"
    long = {"Cookie": "; ".join(f"_proxy_{number}={'x' * 3900}" for number in range(5))}
    with connect(url, proxy=None, additional_headers=long) as connection:
        assert connection.recv()
    status, _, _ = ask(port(service), "/")
    assert status == 200
    with connect(url, proxy=None, subprotocols=["chat", "json"]) as connection:  # type: ignore[list-item]
        assert connection.subprotocol == "chat"
    # What is longer than any cookie is not waited for.
    many = {f"X-{number}": "x" * 8_000 for number in range(20)}
    with pytest.raises(Exception), connect(url, proxy=None, additional_headers=many):  # noqa: B017, PT011
        pass
