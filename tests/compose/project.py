"""The stack in containers, driven by the commands that a user would type."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import http
from tests.support.processes import ROOT
from tests.support.servers import free_port
from tests.support.waiting import settled, until

NAME = "seriatim-test"
"""Name of the project, so that a user's own stack and its data stay as they are."""

IMAGE = f"seriatim:{NAME}"
"""The image that the project makes of the checkout."""

PORTS = (
    "GRAFANA_PORT",
    "PROMETHEUS_PORT",
    "SIMULATOR_PORT",
    "CHAT_PORT",
    "WISDOM_PORT",
    "VIEWER_PORT",
)
OURS = ("ingestor", "orderer", "publisher", "simulator", "chat", "wisdom", "viewer")

ANEW = ("redis", "ingestor", "orderer", "publisher", "chat", "wisdom", "viewer")
"""Services that are made anew when `LEASE_TTL` and `REDIS_MAXMEMORY` change."""

_SET = (
    "INGESTOR_", "ORDERER_", "PUBLISHER_", "SIMULATOR_", "CHAT_", "WISDOM_", "VIEWER_",
    "GRAFANA_", "PROMETHEUS_", "GATEWAY_", "REDIS_", "LEASE_", "LOG_", "COMPOSE_",
)  # fmt: skip
"""Beginnings of variables that would change the stack if the caller's shell has them."""

FEED = "default"
LEASES = {
    "ingestor": [(FEED, "lines:0")],
    "orderer": [(FEED, "orderer")],
    "publisher": [(FEED, "publisher")],
    "chat": [("main", "log"), ("playground", "tick")],
    "wisdom": [("wisdom", "tick")],
}
"""What one replica of each service does for all: feed and role of the lease for it."""


def docker(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a docker command; fails with what it wrote if it fails, unless `check` is false."""
    ended = subprocess.run(
        ["docker", *command],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(_SET)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert not check or ended.returncode == 0, f"{' '.join(command)}:\n{ended.stderr[-4000:]}"
    return ended


def faults(report: dict[str, Any]) -> dict[str, int]:
    """Pick what must be 0 out of a report."""
    return {
        name: report[name]
        for name in ("out_of_order", "missing", "repeated", "corrupted", "unknown")
        if report[name]
    }


class Project:
    """One project; `settings` are what its .env holds."""

    def __init__(self, directory: Path, name: str = NAME, **settings: object) -> None:
        self.name = name
        self._env_file = directory / ".env"
        self.settings: dict[str, object] = {port: free_port() for port in PORTS}
        self.set(**settings)

    def set(self, **settings: object) -> None:
        """Change the .env; what runs follows with the next `up()`."""
        self.settings.update(settings)
        lines = [f"{name}={value}\n" for name, value in self.settings.items()]
        self._env_file.write_text("".join(lines))

    # Commands ------------------------------------------------------------------------------

    def compose(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a docker compose command on the project."""
        return docker(
            "compose", "--project-name", self.name, "--env-file", str(self._env_file), *command,
            check=check,
        )  # fmt: skip

    def up(self, **replicas: int) -> float:
        """Start what does not run and wait until all is healthy; returns the seconds it took."""
        scale = [f"--scale={service}={count}" for service, count in replicas.items()]
        began = time.monotonic()
        self.compose("up", "--detach", "--wait", "--wait-timeout=120", "--quiet-pull", *scale)
        return time.monotonic() - began

    def down(self, *options: str) -> None:
        """Stop and remove everything; data stays without `--volumes`."""
        self.compose("down", "--timeout=20", *options)

    def run(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside of a container, whatever comes of it."""
        return self.compose("exec", "-T", service, *command, check=False)

    def python(self, service: str, program: str, *arguments: str) -> Any:
        """Run a Python program inside of a container; returns what it prints as JSON."""
        ended = self.run(service, "python", "-c", program, *arguments)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def redis(self, user: str, *command: str) -> str:
        """Run a command on Redis as one of its users; returns the reply as text."""
        password = str(self.settings[f"REDIS_PASSWORD_{user.upper()}"])
        client = ("redis-cli", "--no-auth-warning", "--user", user, "--pass", password)
        return self.run("redis", *client, *command).stdout.strip()

    def inspect(self) -> list[dict[str, Any]]:
        """Describe all containers of the project, ended ones too."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids).stdout)
        return found

    # What the stack says -------------------------------------------------------------------

    def get(self, port: str, path: str) -> Any:
        """GET JSON from a published port."""
        answer = http.get(int(str(self.settings[port])), path)
        assert answer.status == 200, answer
        return answer.json()

    def report(self) -> dict[str, Any]:
        """Tell what the endpoint has found out about what it received."""
        report: dict[str, Any] = self.get("SIMULATOR_PORT", "/report").get("demo", {})
        return report

    @property
    def received(self) -> int:
        """Messages that the endpoint has received."""
        count: int = self.report().get("received", 0)
        return count

    def wait_for_more(self, messages: int, what: str) -> None:
        """Wait until the endpoint has received so many more than now."""
        goal = self.received + messages
        until(lambda: self.received >= goal, what, 60)

    def query(self, expression: str) -> dict[str, float]:
        """Ask Prometheus; returns the values by what distinguishes them, joined by spaces."""
        path = "/api/v1/query?query=" + urllib.parse.quote(expression)
        result = self.get("PROMETHEUS_PORT", path)["data"]["result"]
        return {" ".join(row["metric"].values()): float(row["value"][1]) for row in result}

    def targets(self) -> list[tuple[str, str]]:
        """List Prometheus' targets: (job, up or down)."""
        found = self.get("PROMETHEUS_PORT", "/api/v1/targets?state=active")["data"]
        return sorted((each["labels"]["job"], each["health"]) for each in found["activeTargets"])

    def position(self) -> tuple[int, int]:
        """Tell where the feed stands: epoch, next id."""
        reply = self.redis("orderer", "HGET", f"next:{{{FEED}}}", FEED)
        epoch, following, _ = map(int, reply.split(":"))
        return epoch, following

    @contextlib.contextmanager
    def endings(self, *services: str) -> Iterator[dict[str, int]]:
        """Collect the exit status of each service's container that ends within the block."""
        found: dict[str, int] = {}
        ids = {name: self.compose("ps", "--quiet", name).stdout.strip() for name in services}
        waiting = {
            name: subprocess.Popen(["docker", "wait", container], stdout=subprocess.PIPE, text=True)
            for name, container in ids.items()
        }
        try:
            yield found
            for name, process in waiting.items():
                found[name] = int(process.communicate(timeout=60)[0])
        finally:
            for process in waiting.values():
                process.kill()
                process.communicate()

    # Failures ------------------------------------------------------------------------------

    def holder(self, service: str) -> str:
        """Tell which replica of a service is active: the beginning of its container's id."""
        ((feed, role),) = LEASES[service]
        value = self.redis(service, "GET", f"lease:{{{feed}}}:{role}")
        # <fence>:<host name>-<process>-<number>, and a container's host name is its id.
        return value.partition(":")[2].partition("-")[0]

    def kill_active(self, service: str) -> float:
        """Kill the active replica; returns the seconds until messages arrive again.

        They are counted from before the kill until the endpoint has received something new.
        """
        victim = self.holder(service)
        assert victim, f"no {service} is active"
        began = time.monotonic()
        docker("kill", victim)
        settled(lambda: self.received, "the endpoint's count", still=0.3)
        self.wait_for_more(1, f"another {service} takes over")
        seconds = time.monotonic() - began
        assert self.holder(service) not in ("", victim)
        return seconds
