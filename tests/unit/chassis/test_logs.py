"""Logs: one event a line, for machines or for people."""

from __future__ import annotations

import logging
import re
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from chassis import logs


@pytest.fixture(autouse=True)
def undo() -> Iterator[None]:
    """Leave logging as it was, for the other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name).level for name in ("websockets", "asyncio", "redis")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in libraries.items():
        logging.getLogger(name).setLevel(before)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A log could not be searched by its fields."""
    logs.configure("info", "json")
    log = logs.get("orderer")
    log.info("started", feed="default", line="два\nlines", share=0.5, ids=[1, 2**63 - 1])
    log.warning("gap given up", first=7, none=None)
    log.error("lost", odd={1}, raw=b"\xff")
    entries = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [entry["level"] for entry in entries] == ["info", "warning", "error"]
    assert [entry["event"] for entry in entries] == ["started", "gap given up", "lost"]
    assert {entry["service"] for entry in entries} == {"orderer"}
    assert entries[0]["line"] == "два\nlines"
    assert entries[0]["ids"] == [1, 2**63 - 1]
    assert entries[1]["none"] is None
    assert entries[2]["odd"] == "{1}"
    when = datetime.fromisoformat(entries[0]["time"])
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A person at a terminal would have to read JSON."""
    logs.configure("debug", "text")
    logs.get("orderer").debug("gap given up", first=7, last=9)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} DEBUG   orderer   gap given up  first=7  last=9\n",
        capsys.readouterr().err,
    )


HOSTILE = "x\n12:00:00.000 WARNING orderer   all is well\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_peers_write_is_shown_and_not_obeyed(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A feed could write entries of its own, or to the terminal of whoever reads the log."""
    logs.configure("info", style)
    log = logs.get("ingestor")
    log.warning("disconnected", reason=HOSTILE, bytes=HOSTILE.encode())
    try:
        raise OSError(HOSTILE)
    except OSError:
        log.error(HOSTILE, exc_info=True)
    shown = capsys.readouterr().err
    assert not {letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cf")} - {"\n"}
    lines = shown.splitlines()
    assert not [line for line in lines if line.startswith("12:00")]
    own = [line for line in lines if not line.startswith(" ")]
    assert len(own) == 2
    if style == "json":
        assert orjson.loads(own[0])["reason"] == orjson.loads(own[1])["event"] == HOSTILE


@pytest.mark.parametrize(("terminal", "begins"), [(True, r"\d\d:"), (False, r"\{")])
def test_auto(
    terminal: bool, begins: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers would log text, or terminals JSON."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    logs.configure("info", "auto")
    logs.get("orderer").info("started")
    assert re.match(begins, capsys.readouterr().err)


@pytest.mark.parametrize("style", ["json", "text"])
def test_tracebacks(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug would be logged without the place where it is; in JSON as several lines."""
    logs.configure("info", style)
    try:
        raise LookupError("over here")
    except LookupError:
        logs.get("orderer").error("failed", exc_info=True, feed="default")
    shown = capsys.readouterr().err
    assert "LookupError: over here" in shown
    assert "test_tracebacks" in shown
    if style == "json":
        [line] = shown.splitlines()
        assert orjson.loads(line)["feed"] == "default"


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """LOG_LEVEL would not be heeded, or libraries would chatter."""
    logs.configure("warning", "json")
    log = logs.get("orderer")
    log.debug("no")
    log.info("no")
    log.warning("yes")
    logs.configure("debug", "json")
    logging.getLogger("websockets.client").debug("no")
    logging.getLogger("asyncio").info("no")
    logging.getLogger("redis").warning("yes")
    events = [orjson.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["yes", "yes"]


def test_configured_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Every event would be logged twice."""
    logs.configure("info", "json")
    logs.configure("info", "json")
    logs.get("orderer").info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
