"""Services as processes: `python -m <service>` with an environment, its log and its metrics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from . import http
from .waiting import DEADLINE, until

ROOT = Path(__file__).resolve().parents[2]

_OURS = (
    "FEEDS_",
    "INGESTOR_",
    "ORDERER_",
    "PUBLISHER_",
    "SIMULATOR_",
    "REDIS_",
    "OPS_",
    "LOG_",
    "LEASE_",
    "CHAT_",
    "WISDOM_",
    "VIEWER_",
    "ALLOWED_",
)


def environment(settings: dict[str, object]) -> dict[str, str]:
    """Make a service's environment: `settings` and nothing of what the caller's shell has set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    common = {"OPS_HOST": "127.0.0.1", "OPS_PORT": "0", "LOG_FORMAT": "json"}
    return inherited | common | {name: str(value) for name, value in settings.items()}


def command(module: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


class Service:
    """A running service. `lines` is its log as written, `events` the same parsed."""

    def __init__(self, module: str, **settings: object) -> None:
        self.module = module
        self.lines: list[str] = []
        self.ended = False
        """Whether the test has ended it, so that nobody wonders."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))

    # The log -------------------------------------------------------------------------------

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """List the log's entries of this kind, with these fields."""
        parsed = (json.loads(line) for line in list(self.lines) if line.startswith("{"))
        return [
            entry
            for entry in parsed
            if entry["event"] == event
            and all(entry.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until the log has such an entry, and return the first."""

        def found() -> list[dict[str, Any]]:
            entries = self.events(event, **fields)
            assert entries or self.running, f"{self.module} has ended:\n{self.log()}"
            return entries

        return until(found, f"{self.module} logs {event!r} {fields or ''}")[0]

    def log(self, last: int = 200) -> str:
        """Show the end of the log."""
        return "\n".join(self.lines[-last:])

    @property
    def complaints(self) -> list[str]:
        """The log's lines that tell of a bug: tracebacks, and what is no entry at all."""
        return [line for line in self.lines if '"traceback"' in line or not line.startswith("{")]

    # The ops endpoint ----------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, bytes]:
        """GET a path of the ops endpoint; returns status and body."""
        answer = http.get(self.wait_for("ops endpoint listens")["port"], path)
        return answer.status, answer.body

    @property
    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        return self.get("/readyz")[0] == 200

    def wait_ready(self, ready: bool = True) -> None:
        """Wait until `/readyz` answers 200, or until it no longer does."""
        until(lambda: self.ready is ready, f"{self.module} is {'' if ready else 'not '}ready")

    def metric(self, name: str, **labels: str) -> float:
        """Add up the samples called `name` that have these labels.

        Fails if there is no such metric at all; without such samples the sum is 0.
        """
        text = self.get("/metrics")[1].decode()
        families = list(text_string_to_metric_families(text))
        known = any(name.startswith(family.name) for family in families)
        assert known, f"{self.module} has no metric {name}"
        total: float = sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
        return total

    # Its life ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @property
    def memory(self) -> int:
        """The resident set, bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def peak(self) -> int:
        """The most that the resident set has ever been, bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024

    def wait(self) -> int:
        """Wait for the process to end; returns its exit status."""
        self.ended = True
        status = self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        if self._process.stderr is not None:
            self._process.stderr.close()
        return status

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self.ended = True
        self._process.send_signal(signal.SIGTERM)

    def terminate(self) -> int:
        """Send SIGTERM and wait; returns the exit status."""
        self.ask_to_stop()
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        self._process.kill()
        self.wait()

    def freeze(self) -> None:
        """Stop the process in its tracks."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)
