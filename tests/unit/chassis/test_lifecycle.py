"""A service's life: it drains on a signal, and its exit code tells how it ended."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from chassis.lifecycle import raise_open_files
from chassis.version import VERSION, build
from tests.support.processes import Service, command


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


@pytest.mark.parametrize("refusal", [ValueError("not allowed"), PermissionError(1, "no")])
def test_open_files_that_may_not_be_raised(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """On a system that refuses what it says may be had, every service would end at once."""

    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_open_files()


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


PLACES = {
    "orderer": "OPS",
    "chat": "CHAT",
    "wisdom": "WISDOM",
    "viewer": "VIEWER",
    "simulator": "SIMULATOR",
}


@pytest.mark.parametrize(("service", "prefix"), PLACES.items())
def test_a_place_that_is_taken(service: str, prefix: str, tmp_path: Path) -> None:
    """Who starts two services by hand would see thirty lines of Python, and no setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {f"{prefix}_HOST": "127.0.0.1", f"{prefix}_PORT": port}
        settings |= {"CHAT_LOG_FILE": tmp_path / "m.json"} if service == "chat" else {}
        done = command(service, REDIS_URL="redis://127.0.0.1:1", **settings)
    assert done.returncode == 2
    *_, last = map(orjson.loads, done.stderr.splitlines())
    assert (last["event"], last["level"]) == ("misconfigured", "error")
    why = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert last["error"] == f"{prefix}_HOST, {prefix}_PORT: {why}"
    assert "traceback" not in last


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "::g"])
def test_a_place_that_is_none(host: str) -> None:
    """An address of another machine would end in a traceback."""
    done = command("simulator", SIMULATOR_HOST=host)
    assert done.returncode == 2
    last = orjson.loads(done.stderr.splitlines()[-1])
    assert last["event"] == "misconfigured"
    assert "SIMULATOR_HOST, SIMULATOR_PORT: cannot listen on " in last["error"]


def test_which_code_runs() -> None:
    """After a pull, nobody could tell whether what runs is the old code or the new."""
    told = command("orderer", "--version").stdout
    assert told == f"Seriatim {VERSION} (build {build()})\n"
    assert told in command("chat", "--help").stdout
    simulator = Service("simulator", SIMULATOR_HOST="127.0.0.1", SIMULATOR_PORT=0)
    try:
        started = simulator.wait_for("started")
        assert (started["version"], started["build"]) == (VERSION, build())
        assert simulator.metric("build_info", version=VERSION, build=build()) == 1
    finally:
        simulator.kill()
