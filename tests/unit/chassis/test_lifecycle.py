"""A service's life: it drains on a signal, and its exit code tells how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import orjson
import pytest


def test_open_files_are_raised() -> None:
    """In a container of a new engine, or from a shell, a service would stop at 1024 clients."""
    script = (
        "import resource as r; from chassis.lifecycle import OPEN_FILES, raise_open_files\n"
        "_, hard = r.getrlimit(r.RLIMIT_NOFILE)\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, hard))\n"
        "raise_open_files()\n"
        "assert r.getrlimit(r.RLIMIT_NOFILE) == (min(hard, OPEN_FILES), hard)\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 64))\n"
        "raise_open_files()\n"
        "assert r.getrlimit(r.RLIMIT_NOFILE) == (64, 64)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# Whole processes ----------------------------------------------------------------------------

SERVICE = """
    import asyncio
    from chassis import lifecycle, settings

    async def serve(config, stop):
        print("up", flush=True)
        {body}

    lifecycle.GRACE = 0.3
    lifecycle.run("example", settings.Common, serve)
"""


class Process:
    """A service whose `serve()` does this."""

    def __init__(self, body: str, **environ: str) -> None:
        code = textwrap.dedent(SERVICE).format(body=body)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LOG_FORMAT": "json", **environ},
        )

    def started(self) -> Process:
        """Wait until the service serves."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"
        return self

    def ended(self, *signals: signal.Signals) -> tuple[int, list[str]]:
        """Send signals and wait for the end; returns the exit code and the events logged."""
        for number in signals:
            self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=20)
        return self.process.returncode, [
            orjson.loads(line)["event"] for line in logged.splitlines()
        ]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with self.process:
            pass


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Processes that are ended after the test, whatever becomes of it."""
    running: list[Process] = []
    yield running
    for process in running:
        process.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drains(number: signal.Signals, processes: list[Process]) -> None:
    """A service would not stop when it is told to, or say that it failed."""
    processes.append(Process("await stop.wait(); await asyncio.sleep(0.01)"))
    assert processes[0].started().ended(number) == (0, ["started", "stopping", "stopped"])


def test_returns_by_itself(processes: list[Process]) -> None:
    """A service that has nothing to do would not end."""
    processes.append(Process("pass"))
    assert processes[0].ended() == (0, ["started", "stopped"])


def test_a_bug(processes: list[Process]) -> None:
    """A bug would look like an orderly end, or leave no traceback."""
    processes.append(Process("raise LookupError('over here')"))
    assert processes[0].ended() == (1, ["started", "failed"])


def test_draining_too_long(processes: list[Process]) -> None:
    """A service that hangs would have to be killed, and nobody would know why."""
    processes.append(Process("await asyncio.Event().wait()"))
    assert processes[0].started().ended(signal.SIGTERM) == (
        1, ["started", "stopping", "draining took too long"],
    )  # fmt: skip


def test_second_signal(processes: list[Process]) -> None:
    """An impatient Ctrl-C, Ctrl-C would have to wait for the grace period."""
    body = "await stop.wait(); print('draining', flush=True); await asyncio.Event().wait()"
    processes.append(Process(body))
    process = processes[0].started()
    process.process.send_signal(signal.SIGINT)
    assert process.process.stdout is not None
    assert process.process.stdout.readline() == b"draining\n"
    code, events = process.ended(signal.SIGINT)
    assert code == 1
    assert events[-1] in ("stopped at once by a second signal", "draining took too long")


def test_misconfigured(processes: list[Process]) -> None:
    """A service would serve with settings that it does not understand."""
    processes.append(Process("pass", LOG_LEVEL="loud", OPS_PORT="-1"))
    out, err = processes[0].process.communicate(timeout=20)
    assert processes[0].process.returncode == 2
    assert out == b""
    assert err.splitlines() == [
        b"example: OPS_PORT: -1 is not between 0 and 65535",
        b"example: LOG_LEVEL: 'loud' is not one of debug, info, warning, error",
    ]
