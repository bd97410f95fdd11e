"""What `make up` tells its user."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from standalone.run import Running
from standalone.services import SERVICES, wire
from standalone.stack import Stack
from standalone.up import Options, guide


def told(tmp_path: Path, environ: dict[str, str], *, usual_ports: bool = False) -> str:
    wired = wire(environ, "redis://h", usual_ports=usual_ports)
    options = Options(tmp_path, persist=True)
    return guide(wired, Running(Stack(tmp_path), "redis://h", embedded=True), options)


def test_the_built_in_feed_is_told(tmp_path: Path) -> None:
    """A user would not know what is relayed, nor where to look at it."""
    lines = told(tmp_path, {"SIMULATOR_PORT": "9876"}).splitlines()
    rows = dict(line.strip().split("  ", 1) for line in lines[1:])
    assert rows["reads"].strip() == "ws://127.0.0.1:9876/raw-messages"
    assert rows["writes to"].strip() == "ws://127.0.0.1:9876/ordered-messages/demo"
    assert rows["its report"].strip() == "http://127.0.0.1:9876/report"


def test_a_feed_of_ones_own_is_told(tmp_path: Path) -> None:
    """A user would be shown the test feed's addresses, as if that were relayed."""
    environ = {
        "INGESTOR_URL": "wss://u:secret@feed.example/raw other=ws://feed.example/b?t=secret",
        "PUBLISHER_URL": "ws://endpoint.example/ordered",
    }
    shown = told(tmp_path, environ)
    assert "wss://u:***@feed.example/raw\n" in shown
    assert "other=ws://feed.example/b?t=***\n" in shown
    assert "ws://endpoint.example/ordered\n" in shown
    assert "secret" not in shown
    assert "/report" not in shown
    assert "/report" in told(tmp_path, environ | {"PUBLISHER_URL": ""})


def test_a_file_of_feeds_is_told(tmp_path: Path) -> None:
    """A user would be shown the test feed's addresses, though the file is what is relayed."""
    shown = told(tmp_path, {"FEEDS_FILE": "my/feeds.toml"})
    assert "my/feeds.toml, read again when it changes\n" in shown
    assert "/raw-messages" not in shown
    assert "/report" not in shown


def test_a_port_that_is_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would open the usual address and see another program, or nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chat = next(service for service in SERVICES if service.name == "chat")
        monkeypatch.setitem(chat.__dict__, "listens", port)
        shown = told(tmp_path, {}, usual_ports=True)
    assert f"Port {port} is taken: chat listens on another, as shown." in shown
    assert "is taken: chat" not in told(tmp_path, {"CHAT_PORT": str(port)}, usual_ports=True)
