"""What `tests.bench.floods` floods: processes of this machine, or the stack in containers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.compose.project import Project, docker
from tests.support.processes import Service
from tests.support.servers import Server, binary, free_port
from tests.support.stack import Stack

PROJECT = "seriatim-floods"
"""Name of the project in containers, so that a user's own stack and its data stay as they are."""

MIB = 1 << 20
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}

USED = re.compile(
    PROJECT + r"-(?P<service>[a-z-]+)-\d+\t(?P<used>[\d.]+)(?P<unit>[KMG]?i?B) / (?P<most>\S+)"
)
"""A line of `docker stats`."""


class Flooded(Protocol):
    """A stack whose Redis may use little."""

    host: str
    """The address at which feeds and endpoints are to listen."""
    chat: str
    """The address of the chat."""

    async def start(self, feeds: str, endpoints: str) -> None:
        """Start what works with these feeds and endpoints, and wait until all is ready."""

    async def watch(self) -> None:
        """Look at memory and health again and again, for ever."""

    def findings(self) -> str:
        """Tell what was seen."""


class Processes:
    """A Valkey, a chat and a relay."""

    host = "127.0.0.1"

    def __init__(self, directory: Path, redis: Server, stack: Stack) -> None:
        self._redis = redis
        self._stack = stack
        port = free_port()
        self.chat = f"ws://127.0.0.1:{port}/"
        self._services: dict[str, Service] = {
            "chat": stack.service(
                "chat", CHAT_HOST="127.0.0.1", CHAT_PORT=port, LEASE_TTL=3,
                CHAT_LOG_FILE=directory / "messages.json",
            )
        }  # fmt: skip
        self._used = 0
        self._resident: dict[str, int] = {}

    async def start(self, feeds: str, endpoints: str) -> None:
        self._services |= {
            "orderer": self._stack.orderer(LEASE_TTL=3),
            "publisher": self._stack.publisher(endpoints, LEASE_TTL=3),
            "ingestor": self._stack.ingestor(feeds, LEASE_TTL=3),
        }
        for service in self._services.values():
            await asyncio.to_thread(service.wait_ready)

    async def watch(self) -> None:
        while True:
            used = await asyncio.to_thread(self._redis.client.info, "memory")
            self._used = max(self._used, used["used_memory"])
            for name, service in self._services.items():
                with contextlib.suppress(OSError):
                    self._resident[name] = max(self._resident.get(name, 0), service.memory)
            await asyncio.sleep(0.2)

    def findings(self) -> str:
        resident = ", ".join(f"{name} {size // MIB}" for name, size in self._resident.items())
        unready = [name for name, service in self._services.items() if not service.ready]
        return (
            f"most MiB: Redis {self._used // MIB}, {resident};"
            f" not ready: {', '.join(unready) or 'none'}"
        )


@contextlib.contextmanager
def processes(memory: str) -> Iterator[Flooded]:
    """Have processes around a Valkey that may use so much."""
    program = binary("valkey")
    assert program is not None
    with tempfile.TemporaryDirectory() as directory:
        config = {"maxmemory": memory, "maxmemory-policy": "noeviction", "appendonly": "yes"}
        redis = Server(program, Path(directory), config)
        stack = Stack(redis)
        try:
            yield Processes(Path(directory), redis, stack)
        finally:
            try:
                stack.close()
            finally:
                redis.close()


class Containers:
    """All that `docker compose up` starts. Feeds and endpoints listen on this machine."""

    def __init__(self, project: Project) -> None:
        self._project = project
        project.compose("create", "--build", "--quiet-pull")
        gateway = "{{(index .IPAM.Config 0).Gateway}}"
        self.host = docker(
            "network", "inspect", f"{PROJECT}_edge", "--format", gateway
        ).stdout.strip()
        self.chat = f"ws://127.0.0.1:{project.settings['CHAT_PORT']}/"
        self._used: dict[str, tuple[float, str]] = {}
        self._unhealthy: dict[str, None] = {}

    async def start(self, feeds: str, endpoints: str) -> None:
        self._project.set(INGESTOR_URL=feeds, PUBLISHER_URL=endpoints)
        await asyncio.to_thread(self._project.up)

    async def watch(self) -> None:
        containers = self._project.compose("ps", "--quiet").stdout.split()
        stats = await asyncio.create_subprocess_exec(
            "docker", "stats", "--format", "{{.Name}}\t{{.MemUsage}}", *containers,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert stats.stdout is not None
        looking = asyncio.ensure_future(self._look())
        try:
            async for line in stats.stdout:
                if found := USED.search(line.decode()):
                    used = float(found["used"]) * UNITS[found["unit"]] / MIB
                    before, _ = self._used.get(found["service"], (0, ""))
                    self._used[found["service"]] = max(before, used), found["most"]
        finally:
            looking.cancel()
            stats.kill()
            await stats.wait()

    async def _look(self) -> None:
        while True:
            ill = await asyncio.to_thread(self._ill)
            self._unhealthy |= dict.fromkeys(ill)
            await asyncio.sleep(1)

    def _ill(self) -> list[str]:
        label = "com.docker.compose.service"
        return [
            each["Config"]["Labels"][label]
            for each in self._project.inspect()
            if each["State"].get("Health", {}).get("Status", "healthy") != "healthy"
        ]

    def findings(self) -> str:
        used = ", ".join(f"{name} {size:.0f}/{most}" for name, (size, most) in self._used.items())
        restarts = sum(each["RestartCount"] for each in self._project.inspect())
        data = max(self._project.query("max_over_time(redis_memory_used_bytes[5m])").values())
        return (
            f"most MiB: Redis' data {data / MIB:.0f}, {used}; restarts: {restarts};"
            f" unhealthy for a while: {', '.join(self._unhealthy) or 'none'};"
            f" at the end: {', '.join(self._ill()) or 'none'}"
        )


@contextlib.contextmanager
def containers(memory: str) -> Iterator[Flooded]:
    """Have a stack in containers whose Redis may use so much; whoever floods is a crowd.

    All its clients come from one address here, so what the gateway allows that is lifted.
    """
    amount, unit = int(memory[:-2]), memory[-2:]
    with tempfile.TemporaryDirectory() as directory:
        project = Project(
            Path(directory), PROJECT, REDIS_MAXMEMORY=memory,
            REDIS_MEMORY_LIMIT=f"{2 * amount}{unit}", GATEWAY_RATE=1_000_000,
        )  # fmt: skip
        project.down("--volumes")
        try:
            yield Containers(project)
        finally:
            project.down("--volumes")
