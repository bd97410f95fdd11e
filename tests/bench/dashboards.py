"""What dashboards cost: `make bench-dashboards BENCH_ARGS='[CHECKOUT …] [--feeds 1000]'`.

A Prometheus for each checkout, this one by default, has its rules and scrapes, every five seconds,
the relay's own metrics for so many feeds. Then, while nothing else is scraped or evaluated, all
queries of a dashboard are asked over all the time there is, one after the other; and so is each
rule once. Told are the seconds that it took, and those of them that were Prometheus' CPU's: on a
machine that is busy with other things only they mean something.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import yaml
from prometheus_client import REGISTRY, generate_latest

from chassis.lease import ACTIVE, FENCE
from ingestor.metrics import LineMetrics
from orderer.metrics import FeedMetrics
from publisher.metrics import SinkMetrics
from tests.support import http
from tests.support.processes import ROOT
from tests.support.servers import free_port
from tests.support.waiting import until

SCRAPE = 5
"""Seconds, as in Compose."""

SINKS = 1
"""Endpoints of each feed."""

PATIENCE = 300
"""Seconds that a query may take; Grafana's own patience is shorter."""

DIRECT = build_opener(ProxyHandler({}))

JOBS = {"ingestor": "ingestor_", "orderer": "orderer_", "publisher": "publisher_"}
"""Jobs, and what their metrics' names begin with."""


class Relay:
    """The metrics that a relay of many feeds would show; every counter grows steadily."""

    def __init__(self, feeds: int) -> None:
        for number in range(feeds):
            feed = f"feed-{number}"
            line = f"feeds.example:9000/{feed}"
            sinks = [f"endpoints.example:9000/{feed}/{at}" for at in range(SINKS)]
            LineMetrics(feed, line)
            FeedMetrics(feed)
            for sink in sinks:
                SinkMetrics(feed, sink)
            for role in (f"line:{line}", "orderer", *(f"sink:{sink}" for sink in sinks)):
                ACTIVE.labels(feed, role).set(1)
                FENCE.labels(feed, role).set(1)
        self._began = time.time()
        text = generate_latest(REGISTRY).decode()
        self._lines = {job: list(self._parsed(text, job)) for job in JOBS}

    def page(self, job: str) -> bytes:
        """Write a job's metrics as they are now."""
        now = time.time()
        grown = 100 * int(now - self._began)
        values = {"counter": grown, "time": now, "one": 1}
        rows = (
            f"{name} {values[kind] if share is None else grown * share:.1f}"
            for name, kind, share in self._lines[job]
        )
        return ("\n".join(rows) + "\n").encode()

    @staticmethod
    def _parsed(text: str, job: str) -> Iterator[tuple[str, str, float | None]]:
        """Give each series' name with how it moves: a bucket has a share of what is observed."""
        seen, place = "", 0
        for name in re.findall(r"(?m)^(\w+(?:\{.*\})?) \S+$", text):
            role = {"ingestor": "line:", "orderer": "orderer", "publisher": "sink:"}[job]
            if not (name.startswith(JOBS[job]) or ("lease_" in name and f'role="{role}' in name)):
                continue
            if "_bucket{" in name:
                series = re.sub(r'le="[^"]*"', "", name)
                place = place + 1 if series == seen else 1
                seen = series
                yield name, "bucket", min(1.0, place / 12)
            elif "timestamp" in name:
                yield name, "time", None
            elif re.match(r"\w+_(total|count|sum)\b", name):
                yield name, "counter", None
            else:
                yield name, "one", None


@contextlib.contextmanager
def shown(relay: Relay) -> Iterator[int]:
    """Serve the relay's metrics, a path for each job; yields the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = relay.page(self.path.strip("/"))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.05)
        try:
            yield server.server_port
        finally:
            server.shutdown()


class Watcher:
    """A Prometheus with a checkout's rules."""

    def __init__(self, checkout: Path, directory: Path, port: int) -> None:
        self._boards = sorted((checkout / "grafana" / "dashboards").glob("*.json"))
        self._port = free_port()
        config = {
            "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
            "rule_files": [str(checkout.resolve() / "grafana" / "prometheus" / "rules" / "*.yml")],
            "scrape_configs": [
                {
                    "job_name": job,
                    "metrics_path": f"/{job}",
                    "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                }
                for job in JOBS
            ] + [
                {
                    "job_name": "prometheus",
                    "static_configs": [{"targets": [f"127.0.0.1:{self._port}"]}],
                }
            ],
        }  # fmt: skip
        self._rules = checkout / "grafana" / "prometheus" / "rules"
        self._directory = directory
        self.began = time.time()
        self._start(config)

    def rest(self) -> None:
        """Scrape and evaluate no more, and only answer."""
        self._ended = time.time()
        self.process.terminate()
        self.process.wait()
        self._start({})

    def _start(self, config: dict[str, Any]) -> None:
        path = self._directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={path}", "--log.level=error",
                f"--storage.tsdb.path={self._directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                f"--query.lookback-delta={3 * SCRAPE}s",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._ready, "Prometheus is ready", deadline=PATIENCE)

    def boards(self, names: Sequence[str]) -> Iterator[tuple[str, int, float, float]]:
        """Ask all queries of dashboards; yields name, number, seconds and CPU seconds of each."""
        for path in (each for each in self._boards if each.stem in names):
            asked = list(_queries(json.loads(path.read_text())))
            yield path.stem, len(asked), *self._timed(asked)

    def rules(self) -> tuple[int, float, float]:
        """Evaluate each rule once; returns how many they are, seconds and CPU seconds."""
        files = [yaml.safe_load(path.read_text()) for path in sorted(self._rules.glob("*.yml"))]
        asked = [
            (str(rule["expr"]), True)
            for file in files
            for group in file["groups"]
            for rule in group["rules"]
        ]
        return len(asked), *self._timed(asked)

    def _timed(self, asked: Sequence[tuple[str, bool]]) -> tuple[float, float]:
        began, used = time.perf_counter(), self._cpu()
        for expr, instant in asked:
            self._ask(expr, instant)
        return time.perf_counter() - began, self._cpu() - used

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ask(self, expr: str, instant: bool) -> None:
        now = self._ended - SCRAPE
        span = int(now - self.began)
        for variable, value in {
            "$__rate_interval": f"{4 * SCRAPE}s", "$__range": f"{span}s",
            "$__interval": f"{SCRAPE}s",
        }.items():  # fmt: skip
            expr = expr.replace(variable, value)
        expr = re.sub(r"\$\w+", ".*", expr)
        if instant:
            self._get("query", {"query": expr, "time": f"{now}"})
        else:
            times = {"start": f"{now - span}", "end": f"{now}", "step": str(SCRAPE)}
            self._get("query_range", {"query": expr, **times})

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        address = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(parameters)}"
        with DIRECT.open(address, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def _ready(self) -> bool:
        try:
            return http.get(self._port, "/-/ready").status == 200
        except OSError:
            return False


def _queries(board: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Give each query of a dashboard, and whether it is asked for the present only."""
    for panel in [each for top in board["panels"] for each in (top, *top.get("panels", ()))]:
        for target in panel.get("targets", ()):
            yield target["expr"], target.get("instant", False)
    for annotation in board.get("annotations", {}).get("list", ()):
        if "target" in annotation:
            yield annotation["target"]["expr"], False


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.bench.dashboards")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--feeds", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=300, help="how long to scrape before")
    parser.add_argument("--boards", nargs="+", default=["overview", "relay"])
    options = parser.parse_args()
    with ExitStack() as ends:
        port = ends.enter_context(shown(Relay(options.feeds)))
        watchers = []
        for checkout in options.checkouts:
            directory = Path(ends.enter_context(tempfile.TemporaryDirectory()))
            watcher = Watcher(checkout, directory, port)
            ends.callback(watcher.process.wait)
            ends.callback(watcher.process.kill)
            watchers.append((checkout, watcher))
        time.sleep(options.seconds)
        for _, watcher in watchers:
            watcher.rest()
        print("| checkout | asked | queries | seconds | CPU seconds |")
        print("| --- | --- | --- | --- | --- |")
        for checkout, watcher in watchers:
            rules = ("all rules, one turn", *watcher.rules())
            for name, count, seconds, cpu in (rules, *watcher.boards(options.boards)):
                row = f"{checkout.resolve().name} | {name} | {count} | {seconds:.2f} | {cpu:.2f}"
                print(f"| {row} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
