"""Redis' command in docker-compose.yml, run by a shell of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import yaml

from tests.contract.test_acl import users
from tests.support.processes import ROOT
from tests.support.programs import needed
from tests.support.servers import binary, free_port
from tests.support.waiting import until

pytestmark = pytest.mark.redis_server


class Container:
    """The command, with a port and a directory of its own."""

    def __init__(self, directory: Path) -> None:
        needed(binary("redis-server"), "redis-server")
        self.port = free_port()
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        shell, option, script = compose["services"]["redis"]["command"]
        for there, here in (
            ("$$", "$"), ("/tmp/", f"{directory}/"), ("--dir /data", f"--dir {directory}"),
            ("redis-server ", f"redis-server --port {self.port} --bind 127.0.0.1 "),
            ("redis-cli ", f"redis-cli -p {self.port} "),
        ):  # fmt: skip
            assert there in script
            script = script.replace(there, here)
        settings = {"USERS": users(), "MAXMEMORY": "64mb"}
        self.process = subprocess.Popen(
            [shell, option, script], env={**os.environ, **settings}, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.client = self.connect("ingestor")
        until(self.answers, "Redis answers")

    def connect(self, user: str) -> redis.Redis:
        """Make a client that holds one connection, as `user`."""
        return redis.Redis(
            port=self.port,
            username=user,
            password=f"{user}-password",
            single_connection_client=True,
        )

    def answers(self) -> bool:
        """Tell whether the server answers the client."""
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    running = Container(tmp_path)
    yield running
    running.client.close()
    if running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def test_redis_goes_when_the_services_have_gone(container: Container) -> None:
    """What services hold when everything is told to stop could not be written any more."""
    admin = container.connect("admin")

    def looked() -> int:
        """Count how often Redis was asked who is connected."""
        found: dict[str, dict[str, int]] = admin.info("commandstats")
        return found.get("cmdstat_client|list", {}).get("calls", 0)

    container.process.terminate()
    until(lambda: looked() >= 3, "it waits")
    container.client.xadd("raw:{default}", {"last": "words"})
    for client in (container.client, admin):
        client.close()
    assert container.process.wait(10) == 0


def test_the_container_ends_with_redis(container: Container) -> None:
    """A Redis that has died would not be started again."""
    children = f"/proc/{container.process.pid}/task/{container.process.pid}/children"
    (server,) = map(int, Path(children).read_text().split())
    os.kill(server, signal.SIGKILL)
    assert container.process.wait(10) != 0
