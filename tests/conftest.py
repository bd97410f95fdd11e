"""What all tests share: real servers to run on, and a stack that is taken down afterwards."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import servers
from tests.support.programs import needed
from tests.support.servers import Server
from tests.support.stack import Stack

_STACK = pytest.StashKey[Stack]()


@pytest.fixture(
    params=[pytest.param(servers.KINDS[0], marks=pytest.mark.redis_server), *servers.KINDS[1:]]
)
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of its own for each test: once Redis, once Valkey.

    Parametrise it indirectly to choose one kind: `@pytest.mark.parametrize("redis",
    ["valkey"], indirect=True)`; a pair `(kind, {directive: value})` configures it, too.
    """
    kind, config = request.param if isinstance(request.param, tuple) else (request.param, {})
    needed(servers.binary(kind), kind)
    with servers.running(kind, tmp_path, config) as running:
        yield running


@pytest.fixture
def start(redis: Server, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Starts services, feeds and endpoints on the test's server, and ends them afterwards."""
    stack = request.node.stash[_STACK] = Stack(redis)
    yield stack
    stack.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Attach the services' logs to the report of a test that failed."""
    report = yield
    stack = item.stash.get(_STACK, None)
    if report.failed and stack is not None:
        for number, service in enumerate(stack.services):
            report.sections.append((f"log of {service.module} ({number})", service.log()))
    return report
