"""`messages.json` while its writer is killed: whole at every instant, complete in the end."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat import Regular, port, replica, url
from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


class Sampler(threading.Thread):
    """Loads the file again and again, as anybody might."""

    def __init__(self, path: Path, pause: float) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._pause = pause
        self.samples = 0
        self.faults: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        length = 0
        while not self.ending.wait(self._pause):
            if not self._path.exists() and not length:
                continue
            try:
                with self._path.open() as file:
                    records = json.load(file)
            except (OSError, ValueError) as error:
                self.faults.append(str(error))
                continue
            self.samples += 1
            if len(records) < length:
                self.faults.append(f"{length} records became {len(records)}")
            length = len(records)


def logged(redis: Server) -> list[dict[str, Any]]:
    """Read the room's log as it stands in Redis."""
    return [
        json.loads(values[1])
        for _, values in redis.client.xrange("chat:{main}:log")
        if values[0] != b"epoch"
    ]


async def kill_writers(
    redis: Server, start: Stack, directory: Path, *, seconds: float, pause: float
) -> Sampler:
    """Kill whoever writes every second, under load; then compare the file with the log."""
    settings: dict[str, Any] = {"CHAT_RATE": 100_000, "CHAT_RETAIN": 10_000_000}
    replicas = [replica(start, directory, **settings) for _ in range(2)]
    urls = [url(service) for service in replicas]
    path = directory / "messages.json"
    sampler = Sampler(path, pause)
    sampler.start()
    go = asyncio.Event()
    go.set()
    regulars = [
        Regular(f"c{number}", lambda visits, at=number: urls[(at + visits) % 2], go)  # type: ignore[misc]
        for number in range(4)
    ]
    for regular in regulars:
        regular.pause = 0.01
    running = [asyncio.ensure_future(regular.run(1_000_000)) for regular in regulars]

    def writing(service: Service) -> bool:
        return service.metric("chat_log_writing") == 1

    def kill() -> bool:
        for at, service in enumerate(replicas):
            if writing(service):
                bound = port(service)
                service.kill()
                replicas[at] = replica(start, directory, **settings, CHAT_PORT=bound)
                return True
        return False

    ending = time.monotonic() + seconds
    kills = 0
    while time.monotonic() < ending:
        await asyncio.sleep(1)
        kills += await asyncio.to_thread(kill)
    for regular in regulars:
        regular.leave()
    await asyncio.gather(*running)
    await eventually(lambda: json.loads(path.read_text()) == logged(redis), "all is written")
    sampler.ending.set()
    await asyncio.to_thread(sampler.join)
    assert kills >= seconds / 4
    written = json.loads(path.read_text())
    acked = sum(regular.acked for regular in regulars)
    messages = [record for record in written if record["type"] == "message"]
    assert len(messages) >= acked > 100 * seconds
    assert len({record["message"] for record in messages}) == len(messages)
    for record in written:
        assert record.keys() >= {"time", "client_id", "message", "sender", "seq", "epoch"}
    for service in replicas:
        assert await asyncio.to_thread(service.terminate) == 0
    assert not list(directory.glob(".messages.json.[no]*"))
    return sampler


@one_server
async def test_the_log_survives_its_writers(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A killed writer would leave a broken file, or records twice or not at all."""
    sampler = await kill_writers(redis, start, tmp_path, seconds=4, pause=0.001)
    assert not sampler.faults
    assert sampler.samples > 50


@pytest.mark.slow
@pytest.mark.skipif("not config.getoption('markexpr')", reason="takes minutes: pytest -m slow")
@pytest.mark.timeout(180)
@one_server
async def test_the_log_survives_a_minute_of_kills(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """What holds for seconds might not hold for long."""
    sampler = await kill_writers(redis, start, tmp_path, seconds=60, pause=0.02)
    assert not sampler.faults
    assert sampler.samples >= 1000
