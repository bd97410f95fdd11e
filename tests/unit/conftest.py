"""What unit tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from chassis import logs
from chassis.redis import Link
from tests.support import servers
from tests.support.peers import DEADLINE, Run
from tests.support.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for all tests of a module."""
    with servers.running("valkey", tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    """A link to that server, which holds nothing yet."""
    server.client.flushall()
    link = Link(server.url, logs.get("example"), timeout=1.0, stop=asyncio.Event())
    yield link
    await link.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end; services use uvloop, and the loops' transports differ."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(scenario, 3 * DEADLINE))

    return run
