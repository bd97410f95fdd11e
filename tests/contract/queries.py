"""The stack under a trying load, watched by a real Prometheus, and every query that we ship.

`python -m tests.contract.queries` prints what each query of the dashboards returned.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake
from websockets.typing import Origin

from tests.support import chat, http, servers, wisdom
from tests.support.processes import ROOT, Service
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.stranger import Endpoint, Feed
from tests.support.waiting import until

CONFIG = ROOT / "grafana" / "prometheus" / "prometheus.yml"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))

PROGRAMS = ("prometheus", "prometheus-redis-exporter")
GATEWAY = "\n".join(
    f'haproxy_{name}{{proxy="{proxy}"{more}}} 1'
    for proxy in ("chat", "wisdom")
    for name, more in (
        ("frontend_current_sessions", ""),
        ("frontend_http_responses_total", ',code="4xx"'),
        ("frontend_requests_denied_total", ""),
        ("backend_active_servers", ""),
        ("backend_connection_errors_total", ""),
    )
)
"""What the gateway, which does not run here, would tell: as HAProxy 3.2 names it."""

STILL = "still"
"""The name of a second feed, that says little."""

FEED = {
    "RATE": 800, "REORDER": 0.1, "DELAYED": 0.01, "DELAY": 0.1, "DELAY_MAX": 1,
    "LOSSES": 0.002, "REPEATS": 0.01, "GARBAGE": 0.02, "DISCONNECT_EVERY": 4500, "REWIND": 50,
    "CLOSE_AFTER": 6000, "REFUSE": 1,
}  # fmt: skip
"""A feed that loses, repeats, delays and spoils, and an endpoint that hangs up."""

GAP_TIMEOUT = 0.15

LOOKBACK = 3
"""Seconds for which a series is known that is no longer scraped: three scrapes, as in Compose."""


@dataclass(frozen=True)
class Query:
    """A query as a panel, or an annotation, has it."""

    panel: str
    legend: str
    expr: str

    @property
    def promql(self) -> str:
        """The expression with Grafana's variables filled in for a scrape interval of 1 s."""
        expr = self.expr
        for variable, value in VARIABLES.items():
            expr = expr.replace(variable, value)
        assert "$" not in expr, expr
        return expr


VARIABLES = {
    "$__rate_interval": "5s", "$__range": "60s", "$__interval": "1s", "$feed": ".*", "$room": ".*",
    "$replica": ".*", "$instance": ".*", "$job": ".*",
}  # fmt: skip
"""What Grafana fills in, for a scrape interval of 1 s and everything chosen."""


def panels() -> list[dict[str, Any]]:
    """List the panels of all dashboards, rows left out."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    return [panel for board in boards for panel in panels_of(board)]


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    """List a dashboard's panels, those in closed rows included."""
    everything = [each for panel in board["panels"] for each in (panel, *panel.get("panels", ()))]
    return [panel for panel in everything if panel["type"] != "row"]


def queries() -> list[Query]:
    """List the queries of all dashboards, those of annotations included."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    shown = [
        Query(panel["title"], target["legendFormat"], target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]
    marked = [
        Query(f"annotation {annotation['name']}", "", annotation["target"]["expr"])
        for board in boards
        for annotation in board["annotations"]["list"]
    ]
    return [*shown, *marked]


class Prometheus:
    """A Prometheus with our rules that scrapes `targets`, addresses by job, every second."""

    def __init__(
        self, directory: Path, targets: dict[str, list[str]], rules: Path = CONFIG.parent
    ) -> None:
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), "1s")
        config["rule_files"] = [str(rules / pattern) for pattern in config["rule_files"]]
        self.port = free_port()
        self._targets = directory / "targets"
        self._targets.mkdir(exist_ok=True)
        jobs = [job["job_name"] for job in config["scrape_configs"]]
        assert set(jobs) == {*targets, "prometheus"}
        for job in jobs:
            self.watch(job, targets.get(job, [f"127.0.0.1:{self.port}"]))
        config["scrape_configs"] = [
            {"job_name": job, "file_sd_configs": [{"files": [f"{self._targets}/{job}.json"]}]}
            for job in jobs
        ]
        path = directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.log = directory / "prometheus.log"
        self._command = [
            "prometheus", f"--config.file={path}", "--log.level=warn",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--query.lookback-delta={LOOKBACK}s",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the process, with what an earlier one stored, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._ready, "Prometheus is ready")

    def stop(self) -> None:
        """End the process in an orderly way."""
        self._process.terminate()
        self._process.wait()

    def watch(self, job: str, addresses: list[str]) -> None:
        """Have a job's targets be these from now on, as when their containers come and go."""
        path = self._targets / f"{job}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps([{"targets": addresses}]))
        new.replace(path)

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an expression now; returns labels and values, without those that are NaN."""
        answer = http.get(self.port, "/api/v1/query?" + urlencode({"query": expr}))
        assert answer.status == 200, f"{expr}: {answer.body.decode()}"
        found = [(row["metric"], float(row["value"][1])) for row in answer.json()["data"]["result"]]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return http.get(self.port, "/-/ready").status == 200
        except OSError:
            return False


def missing() -> list[str]:
    """List the programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True)
class Watched:
    """The whole stack under load, and a Prometheus that watches it."""

    prometheus: Prometheus
    redis: servers.Server
    stack: Stack
    orderers: list[Service]
    leased: list[Service]
    """The chat and wisdom, who take their leases anew when Redis has been away for long."""
    feed: Feed
    """That of `STILL`, which has opened no gap yet."""
    endpoint: Endpoint
    """That of `STILL`."""

    def incident(self) -> None:
        """Kill an orderer at work, stop a feed in a gap and an endpoint, and restart Redis."""
        victim = next(each for each in self.orderers if each.metric("lease_active"))
        victim.kill()
        successor = next(each for each in self.orderers if each.running)
        until(lambda: successor.metric("lease_active") == 2, "both feeds are taken over")
        self.feed.send(message(5))
        self.feed.stop()
        self.endpoint.stop()
        self.redis.stop()
        until(lambda: not any(map(_leases, self.leased)), "leases run out")
        self.redis.start()
        self.prometheus.watch("gateway", [])


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    """Run the whole stack under load, and a Prometheus that watches it."""
    with ExitStack() as ends:
        config = {"maxmemory": "256mb", "appendonly": "yes"}
        redis = ends.enter_context(servers.running("valkey", directory, config))
        stack = Stack(redis)
        ends.callback(stack.close)
        simulator = stack.simulator(**FEED)
        feed = stack.feed([message(number) for number in (1, 2, 3)])
        endpoint = stack.endpoint()
        publisher = stack.publisher(simulator.endpoint_url, f"{STILL}={endpoint.url}")
        orderers = [stack.orderer(ORDERER_GAP_TIMEOUT=GAP_TIMEOUT) for _ in range(2)]
        ingestor = stack.ingestor(simulator.feed_url, f"{STILL}={feed.url}")
        replica = chat.replica(stack, directory)
        ends.enter_context(_busy(_converse, chat.url(replica)))
        sages = [wisdom.replica(stack) for _ in range(2)]
        for sage in sages:
            ends.enter_context(_busy(_subscribe, wisdom.url(sage)))
        targets = {
            "ingestor": [_ops(ingestor)],
            "orderer": [_ops(orderer) for orderer in orderers],
            "publisher": [_ops(publisher)],
            "chat": [_ops(replica)],
            "wisdom": [_ops(sage) for sage in sages],
            "viewer": [_ops(stack.service("viewer", VIEWER_PORT=free_port()))],
            "simulator": [_ops(simulator)],
            "redis-exporter": [ends.enter_context(exporter(redis))],
            "gateway": [ends.enter_context(telling(GATEWAY))],
        }
        prometheus = Prometheus(directory, targets)
        ends.callback(prometheus.close)
        yield Watched(prometheus, redis, stack, orderers, [replica, *sages], feed, endpoint)


def _leases(service: Service) -> float:
    return service.metric("lease_active")


def message(number: int) -> bytes:
    """Make a message with this id."""
    return b'{"id": %d}' % number


@contextmanager
def exporter(redis: servers.Server) -> Iterator[str]:
    """Run an exporter of a Redis server's metrics at an address."""
    address = f"127.0.0.1:{free_port()}"
    url = redis.url.removesuffix("/0")
    process = subprocess.Popen(
        [PROGRAMS[1], f"-redis.addr={url}", f"-web.listen-address={address}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield address
    finally:
        process.kill()
        process.wait()


@contextmanager
def telling(text: str) -> Iterator[str]:
    """Serve these metrics at an address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(f"{text}\n".encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.05)
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


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
    with tempfile.TemporaryDirectory() as directory, watched(Path(directory)) as stack:
        prometheus = stack.prometheus
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
