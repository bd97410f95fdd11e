"""The stack under a trying load, watched by a real Prometheus, and every query that we ship.

`python -m tests.contract.queries` prints what each query of the dashboards returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import math
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake
from websockets.typing import Origin

from tests.support import chat, servers, wisdom
from tests.support.processes import ROOT, Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack
from tests.support.waiting import DEADLINE, until

CONFIG = ROOT / "grafana" / "prometheus" / "prometheus.yml"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))

PROGRAMS = ("prometheus", "prometheus-redis-exporter")
ABSENT = {"gateway"}
"""Jobs that do not run here. No query names a metric of theirs."""

FEED = {
    "RATE": 800, "REORDER": 0.1, "DELAYED": 0.01, "DELAY": 0.1, "DELAY_MAX": 1,
    "LOSSES": 0.002, "REPEATS": 0.01, "GARBAGE": 0.02, "DISCONNECT_EVERY": 4500, "REWIND": 50,
    "CLOSE_AFTER": 6000, "REFUSE": 1,
}  # fmt: skip
"""A feed that loses, repeats, delays and spoils, and an endpoint that hangs up."""

GAP_TIMEOUT = 0.15


@dataclass(frozen=True)
class Query:
    """A query as a panel has it."""

    panel: str
    legend: str
    expr: str

    @property
    def promql(self) -> str:
        """The expression with Grafana's variables filled in for a scrape interval of 1 s."""
        return self.expr.replace("$__rate_interval", "5s").replace("$feed", ".*")


def panels() -> list[dict[str, Any]]:
    """List the panels of all dashboards, rows left out."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    return [panel for board in boards for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """List the queries of all dashboards."""
    return [
        Query(panel["title"], target["legendFormat"], target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]


class Prometheus:
    """A Prometheus with our rules that scrapes `targets`, addresses by job, every second."""

    def __init__(self, directory: Path, targets: dict[str, list[str]]) -> None:
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), "1s")
        config["rule_files"] = [str(CONFIG.parent / pattern) for pattern in config["rule_files"]]
        self.port = free_port()
        known = {**targets, "prometheus": [f"127.0.0.1:{self.port}"]}
        jobs = [job["job_name"] for job in config["scrape_configs"]]
        assert set(jobs) == set(known) | ABSENT
        config["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": known[job]}]}
            for job in jobs
            if job in known
        ]
        path = directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.log = directory / "prometheus.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={path}", "--log.level=warn",
                    f"--storage.tsdb.path={directory / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self._ready, "Prometheus is ready")

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an expression now; returns labels and values, without those that are NaN."""
        status, body = self._get("/api/v1/query?" + urlencode({"query": expr}))
        assert status == 200, f"{expr}: {body.decode()}"
        found = [
            (row["metric"], float(row["value"][1])) for row in json.loads(body)["data"]["result"]
        ]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def missing() -> list[str]:
    """List the programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def watched(directory: Path) -> Iterator[Prometheus]:
    """Run the whole stack under load, and a Prometheus that watches it."""
    with ExitStack() as ends:
        program = servers.binary("valkey")
        assert program is not None
        redis = Server(program, directory, {"maxmemory": "256mb", "appendonly": "yes"})
        ends.callback(redis.close)
        stack = Stack(redis)
        ends.callback(stack.close)
        simulator = stack.simulator(**FEED)
        publisher = stack.publisher(simulator.endpoint_url)
        orderers = [stack.orderer(ORDERER_GAP_TIMEOUT=GAP_TIMEOUT) for _ in range(2)]
        ingestor = stack.ingestor(simulator.feed_url)
        replica = chat.replica(stack, directory)
        ends.enter_context(_busy(_converse, chat.url(replica)))
        sages = [wisdom.replica(stack) for _ in range(2)]
        for sage in sages:
            ends.enter_context(_busy(_subscribe, wisdom.url(sage)))
        exporter = f"127.0.0.1:{free_port()}"
        address = redis.url.removesuffix("/0")
        process = subprocess.Popen(
            [PROGRAMS[1], f"-redis.addr={address}", f"-web.listen-address={exporter}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ends.callback(process.wait)
        ends.callback(process.kill)
        targets = {
            "ingestor": [_ops(ingestor)],
            "orderer": [_ops(orderer) for orderer in orderers],
            "publisher": [_ops(publisher)],
            "chat": [_ops(replica)],
            "wisdom": [_ops(sage) for sage in sages],
            "simulator": [_ops(simulator)],
            "redis-exporter": [exporter],
        }
        prometheus = Prometheus(directory, targets)
        ends.callback(prometheus.close)
        yield prometheus


def _ops(service: Service) -> str:
    return f"127.0.0.1:{service.wait_for('ops endpoint listens')['port']}"


# The load on the chat and on wisdom ---------------------------------------------------------

Clients: TypeAlias = Callable[[str, threading.Event], Coroutine[Any, Any, None]]
"""Clients of the service at an address, until the event is set."""

PAUSE = 0.1
"""Seconds between two messages of a client."""

ELSEWHERE = Origin("http://elsewhere.example")


@contextmanager
def _busy(clients: Clients, address: str) -> Iterator[None]:
    """Have clients do what they do as long as the `with` block lasts."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(clients(address, stop)))
        try:
            yield
        finally:
            stop.set()
        running.result()


async def _be_refused(address: str) -> None:
    with contextlib.suppress(InvalidHandshake):
        async with connect(address, proxy=None, origin=ELSEWHERE):
            raise AssertionError("a page from elsewhere was let in")


async def _converse(address: str, stop: threading.Event) -> None:
    """Have clients talk in the chat's rooms, and one from another page be refused."""
    await _be_refused(address)
    async with asyncio.TaskGroup() as group:
        for room in ("", "", "playground"):
            group.create_task(_talk(address + room, stop))


async def _talk(address: str, stop: threading.Event) -> None:
    async with connect(address, proxy=None) as connection:
        listening = asyncio.ensure_future(_listen(connection))
        while not stop.is_set():
            await connection.send("hello")
            await asyncio.sleep(PAUSE)
    await listening


async def _listen(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


async def _subscribe(address: str, stop: threading.Event) -> None:
    """Have a client listen to quotes, say what nobody understands, and one be refused."""
    await _be_refused(address)
    async with wisdom.howl(address) as wolf:
        await wolf.say("bark", "connect", "subscribe")
        while not stop.is_set():
            await wolf.say("ping")
            await asyncio.sleep(PAUSE)


# Printing -----------------------------------------------------------------------------------


def main() -> None:
    """Print what each query returned once the stack has been under load for a while."""
    steady = 'min(min_over_time({__name__=~"(ingestor|publisher)_connected"}[5s])) == 1'
    with tempfile.TemporaryDirectory() as directory, watched(Path(directory)) as prometheus:
        goal = f"sum(simulator_endpoint_received_total) > {20 * FEED['RATE']} and {steady}"
        until(lambda: prometheus.query(goal), "the load flows", deadline=60)
        print(f"| panel | series | value | query |\n| --- | --- | --- | --- |{_rows(prometheus)}")


def _rows(prometheus: Prometheus) -> str:
    text = ""
    for query in queries():
        found = prometheus.query(query.promql)
        if query.legend == "{{le}}":
            # The last bucket of a heatmap has all that was observed.
            found = [
                ({"le": "observed"}, value) for labels, value in found if labels["le"] == "+Inf"
            ]
        rows = [(_legend(query.legend, labels), value) for labels, value in found]
        expr = query.expr.replace("|", "\\|")
        for name, value in sorted(rows) or [("", math.nan)]:
            text += f"\n| {query.panel} | {name} | {value:.6g} | `{expr}` |"
    return text


def _legend(legend: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    if legend:
        return legend
    return " ".join(f"{label}={value}" for label, value in sorted(labels.items()))


if __name__ == "__main__":
    main()
