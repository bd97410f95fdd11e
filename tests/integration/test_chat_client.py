"""The terminal client in a real terminal and in a pipe, on a real server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from websockets.sync.client import connect

from tests.support.processes import ROOT, Service, environment
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.waiting import DEADLINE, until

DURABLE = ("valkey", {"appendonly": "yes", "appendfsync": "always"})
ROWS, COLUMNS = 30, 100


class Room:
    """A chat server that can be started again on its port."""

    def __init__(self, start: Stack, directory: Path) -> None:
        self._stack = start
        self._settings = {
            "CHAT_HOST": "127.0.0.1",
            "CHAT_PORT": free_port(),
            "CHAT_LOG_FILE": directory / "messages.json",
        }
        self.url = f"ws://127.0.0.1:{self._settings['CHAT_PORT']}/"
        self.start()

    def start(self) -> None:
        self.service: Service = self._stack.service("chat", **self._settings)
        self.service.wait_ready()

    def messages(self) -> list[str]:
        """Ask the server for the history, as a newcomer gets it."""
        with connect(self.url, open_timeout=DEADLINE) as newcomer:
            assert json.loads(newcomer.recv())["type"] == "welcome"
            records: list[dict[str, Any]] = json.loads(newcomer.recv())["records"]
            return [entry["message"] for entry in records if entry["sender"] == "client"]


@pytest.fixture
def room(start: Stack, tmp_path: Path) -> Room:
    return Room(start, tmp_path)


class Screen(pyte.Screen):
    """A screen that answers when it is asked where its cursor is, as terminals do."""

    answer: Callable[[str], None]

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Terminal:
    """The client in a terminal of its own, whose screen can be read."""

    def __init__(self, url: str) -> None:
        self._screen = Screen(COLUMNS, ROWS)
        self._screen.answer = self.type
        self._stream = pyte.ByteStream(self._screen)
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chat.client", url],
            cwd=ROOT,
            env=environment({"TERM": "xterm-256color"}),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self._lock = threading.Lock()
        self._open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while self._open:
            if not select.select([self._leader], [], [], 0.1)[0]:
                continue
            try:
                output = os.read(self._leader, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                return
            with self._lock:
                self._stream.feed(output)

    @property
    def lines(self) -> list[str]:
        """The screen's lines that are not empty."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display if line.strip()]

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def shows(self, *endings: str) -> None:
        """Wait until lines with these endings are on the screen, in this order."""

        def found() -> bool:
            lines = iter(self.lines)
            return all(any(line.endswith(end) for line in lines) for end in endings)

        try:
            until(found, f"the terminal shows {endings}")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines])) from None

    def wait(self) -> int:
        return self._process.wait(DEADLINE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE)
        self._open = False
        self._reader.join(DEADLINE)
        os.close(self._leader)


@pytest.fixture
def terminal(room: Room) -> Iterator[Terminal]:
    terminal = Terminal(room.url)
    yield terminal
    terminal.close()


def pipe(url: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run the client without a terminal, on this input."""
    return subprocess.run(
        [sys.executable, "-m", "chat.client", url],
        cwd=ROOT,
        env=environment({}),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
def test_a_line_being_typed_survives(room: Room, terminal: Terminal) -> None:
    """What others say would tear the line that is being typed, or their text rule the terminal."""
    terminal.shows("Client_1>")
    terminal.type("half a li")
    terminal.shows("Client_1> half a li")
    sent = pipe(room.url, "one\n\x1b[2J\x1b[Hgone\nabc\u202edef\n")
    assert sent.returncode == 0, sent.stderr
    terminal.shows(": one", ": ␛[2J␛[Hgone", ": abc<U+202E>def", "Client_1> half a li")
    terminal.type("ne\r")
    terminal.shows("Client_1: half a line", "Client_1>")
    assert not [line for line in terminal.lines if line.endswith("> half a line")]
    assert room.messages()[-1] == "half a line"
    terminal.type("/who\r")
    terminal.shows("1 here: Client_1 (you)")
    terminal.type("/stats\r")
    terminal.shows("messages in: 4, out: 1, waiting: 0, refused: 0")
    terminal.type("/quit\r")
    assert terminal.wait() == 0


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
def test_the_end_of_a_long_message_is_no_other_message(room: Room, terminal: Terminal) -> None:
    """Somebody could put words into another's mouth, at the width of their terminal."""
    terminal.shows("Client_1>")
    forged = "12:00:00 Client_1: I agree"
    for name in ("Client_2", "Client_3"):
        begin = len(f"00:00:00 {name}: ")
        sent = pipe(room.url, "x" * (COLUMNS - begin if name == "Client_2" else 300) + forged)
        assert sent.returncode == 0, sent.stderr
    until(lambda: "".join(terminal.lines).count("I agree") == 2, "both are there")
    assert not [line for line in terminal.lines if line.startswith(forged[:9])]
    assert f"      {forged}" in terminal.lines


@pytest.mark.parametrize("redis", [DURABLE], indirect=True, ids=["valkey"])
def test_a_client_outlives_its_servers(room: Room, terminal: Terminal, start: Stack) -> None:
    """After an outage the client would be dead, or a message lost, doubled or out of order."""
    terminal.type("before\r")
    terminal.shows("Client_1: before")
    start.redis.stop()
    terminal.type("while Redis was away\r")
    terminal.shows("1 unsent")
    start.redis.start()
    terminal.shows(": while Redis was away")
    room.service.kill()
    terminal.type("while the server was away\r")
    terminal.shows("1 unsent")
    terminal.type("half a li")
    room.start()
    terminal.shows(": while the server was away", "> half a li")
    terminal.type("ne\r")
    terminal.shows(": half a line")
    assert room.messages() == [
        "before",
        "while Redis was away",
        "while the server was away",
        "half a line",
    ]
    assert not [line for line in terminal.lines if "could not be restored" in line]
    terminal.type("\x04")
    assert terminal.wait() == 0


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
def test_lines_go_through_a_pipe(room: Room) -> None:
    """A script could not talk in the room, or what it says would be lost beyond the rate limit."""
    lines = [f"line {number}" for number in range(50)]
    done = pipe(room.url, "\n".join([*lines, "//slash", "/who", "/nonsense"]))
    assert done.returncode == 0, done.stderr
    assert room.messages() == [*lines, "/slash"]
    assert "1 here: Client_1 (you)" in done.stderr
    assert "no such command: /nonsense" in done.stderr
    shown = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert shown == [*lines, "/slash"]


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
def test_trouble_is_told_in_words(room: Room) -> None:
    """A user would see a traceback, or a script not learn that its message was refused."""
    done = pipe(room.url, "x" * 9_000)
    assert done.returncode == 1
    assert "not sent, the message is too long: xxx" in done.stderr
    done = pipe(room.url + "no-such-room", "")
    assert done.returncode == 1
    assert "HTTP status 404" in done.stderr
    done = pipe("gopher://example.org", "")
    assert done.returncode == 2
    assert "is not a WebSocket address" in done.stderr
