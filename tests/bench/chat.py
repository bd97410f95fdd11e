"""Measure the chat beside its rivals: `python -m tests.bench.chat [kind …] [--clients N] …`.

Each serves the same crowd in its turn: one replica, one room, everything that one client says goes
to all. CPU is the server process' own, user and system; Redis' and the crowd's are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.support import servers
from tests.support.processes import ROOT, environment
from tests.support.servers import free_port
from tests.support.waiting import until

from .chat_rivals import prepare

KINDS = ("chat", "python-socketio", "socket.io", "bare")
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Tell the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    """Tell the resident set, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(command: list[str], redis: str, port: int, directory: Path) -> Iterator[int]:
    """Run a server; yields its process id."""
    settings = {
        "CHAT_HOST": "127.0.0.1", "CHAT_PORT": port, "CHAT_RATE": 10_000, "REDIS_URL": redis,
        "CHAT_LOG_FILE": directory / "messages.json", "CHAT_CONNECTIONS_PER_ADDRESS": 100_000,
    }  # fmt: skip
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(settings), stdout=log, stderr=log
        )
    try:
        until(lambda: listens(port), f"{command} listens", 30)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(
    kind: str, command: list[str], options: argparse.Namespace, directory: Path
) -> dict[str, Any]:
    """Serve one crowd."""
    port = free_port()
    with servers.running(options.redis, directory) as redis:
        arguments = [] if kind == "chat" else [redis.url, str(port)]
        with serving([*command, *arguments], redis.url, port, directory) as pid:
            time.sleep(1)
            empty = memory(pid)
            crowd = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.chat_crowd", kind, str(port),
                 str(options.clients), str(options.rate), str(options.seconds)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            try:
                crowd.stdout.readline()
                time.sleep(2)  # until what joining has set off has come to rest
                full = memory(pid)
                before = cpu(pid)
                crowd.stdin.write("\n")
                crowd.stdin.flush()
                result: dict[str, Any] = json.loads(crowd.stdout.readline())
                result["cpu"] = (cpu(pid) - before) / max(1, result["received"]) * 1e6
                result["memory"] = (full - empty) / options.clients / 1024
            finally:
                crowd.kill()
                crowd.wait()
    return result


def main() -> None:
    """Measure each in turn, several rounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chat", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[], help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20, help="messages/s")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--redis", choices=["redis-server", "valkey"], default="valkey")
    options = parser.parse_args()
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"there is no such rival: {', '.join(sorted(unknown))}")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}")
    load = f"{options.rate:g} messages/s of 110 bytes, {options.seconds:g} s"
    print(f"{options.clients} clients, {load}")
    results: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        commands: dict[str, list[str]] = {}
        for kind in options.kinds or KINDS:
            directory = Path(temporary) / kind
            directory.mkdir()
            prepared = (
                [sys.executable, "-m", "chat"] if kind == "chat" else prepare(kind, directory)
            )
            if isinstance(prepared, str):
                print(f"  {kind:<16} left out: {prepared}")
            else:
                commands[kind] = prepared
        for at in range(options.repeats):
            for kind, command in commands.items():
                result = measure(kind, command, options, Path(temporary) / kind)
                results.setdefault(kind, []).append(result)
                lost = result["expected"] - result["received"]
                print(
                    f"  round {at + 1}  {kind:<16} {result['cpu']:6.1f} µs CPU per delivery, "
                    f"delay median {result['median']:7.1f}  p99 {result['p99']:7.1f} ms, "
                    f"{result['memory']:5.0f} KiB per connection"
                    + (f", {lost} NOT RECEIVED" if lost else ""),
                    flush=True,
                )
    for kind, rounds in results.items():
        middle = median(result["cpu"] for result in rounds)
        print(f"  {kind:<16} {middle:6.1f} µs CPU per delivery (median)")


if __name__ == "__main__":
    main()
