"""What keys cost the orderer: `make bench-keys BENCH_ARGS='[CHECKOUT …] [--rounds 5]'`.

The orderer's own loop turns, with all that it does but Redis, in whose place a few fixed replies
stand. Told are the bytes that it keeps of a key that is idle and in order, its name included, after
so many messages; and the µs of CPU for a message that is in order, with one key and with many, of
which each turn brings some by chance. "One in a hundred waits": so many of the keys have a gap
that nothing fills, and no other may be held up. Checkouts, this one by default, and rounds
alternate, each case in a process of its own; of the µs the medians are told.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from chassis import logs
from chassis.lease import Lease
from chassis.redis import Command, Link
from chassis.settings import load
from orderer.settings import Settings
from orderer.store import Store
from orderer.worker import SAVE_EVERY, Worker

ROOT = Path(__file__).resolve().parents[2]

MESSAGES = 100_000
BATCH = 20
"""Messages in an entry, and entries that are read in one turn."""
ENTRIES = 4

IDLE = [(2000, 3), (20_000, 3), (100, 600)]
"""Keys, and how many messages each has had."""

BUSY = [(1, 0), (2000, 0), (2000, 100), (20_000, 0)]
"""Keys, and of how many of them one waits; 0: none."""

JOINED = 100
"""Signs of life after which all first ids are found."""


class Redis:
    """In place of Redis: it has the input that it is given, and takes whatever is written."""

    def __init__(self) -> None:
        self.input: deque[Any] = deque()
        self._entries = 0

    def receive(self, frames: Sequence[bytes]) -> None:
        """Have one more entry in the input."""
        self._entries += 1
        at = self._entries
        words = [b"t", b"%d" % (1_700_000_000_000_000 + 20_000 * at), b"line", b"l"]
        words += [b"conn", b"c", b"up", b"%d" % (20 * at)]
        words += [b"event", b"alive"] if not frames else []
        words += [word for place, frame in enumerate(frames) for word in (b"%d" % place, frame)]
        self.input.append([b"%d-0" % at, words])

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Answer commands."""
        return [self._reply(command) for command in commands]

    def _reply(self, command: Command) -> Any:
        match command[0]:
            case "XREAD":
                came = [self.input.popleft() for _ in range(min(ENTRIES, len(self.input)))]
                return [[b"raw:{f}", came]] if came else []
            case "EVALSHA":
                return [b"done"]
            case "HGETALL" if command[1] == "order:{f}":
                return [b"incarnation", b"i", b"serial", b"0", b"floor", b"1"]
            case "INFO":
                return b"used_memory:1\r\nmaxmemory:1000000000\r\nmaxmemory_policy:noeviction\r\n"
        return []

    async def close(self) -> None:
        """End nothing."""


class Running:
    """An orderer of one feed, whose turns are taken one by one."""

    def __init__(self, directory: Path) -> None:
        file = directory / "feeds.toml"
        file.write_text('[feed.f]\nurl = "ws://h"\nkey = "of"\ngap_timeout = "never"\n')
        settings = load(Settings, "orderer", {"FEEDS_FILE": str(file)})
        log, stop = logs.get("bench"), asyncio.Event()
        self.redis = Redis()
        link = Link("redis://h", log, timeout=1, stop=stop, make=lambda _: self.redis)
        self._worker = Worker(link, Store(link), settings, log)
        lease = Lease(link, "f", "orderer", "me", 10)
        self._ordering = asyncio.create_task(self._worker.order("f", lease, stop))

    async def turn(self) -> None:
        """Take turns until all is read."""
        await asyncio.sleep(0)
        while self.redis.input:
            await self._worker.turn()

    async def settle(self) -> None:
        """Let time pass until nothing more goes on."""
        for _ in range(JOINED):
            self.redis.receive(())
        await self.turn()
        for _ in range(3):
            await asyncio.sleep(SAVE_EVERY)
            self.redis.receive(())
            await self.turn()

    @property
    def committed(self) -> int:
        """Messages that came out."""
        [work] = self._worker._working.values()
        return work.lane.committed.serial


def message(key: int, id: int) -> bytes:
    return b'{"id":%d,"of":"KEY%05d","text":"hello world","price":"104.00"}' % (id, key)


def batches(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Put messages into entries."""
    some: list[bytes] = []
    for each in messages:
        some.append(each)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


async def idle(directory: Path, keys: int, each: int) -> float:
    """Measure the bytes that an idle key takes."""
    running = Running(directory)
    running.redis.receive(())
    await running.turn()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for id in range(1000, 1000 + each):
        for frames in batches(message(key, id) for key in range(keys)):
            running.redis.receive(frames)
            await running.turn()
    await running.settle()
    assert running.committed == keys * each
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / keys


async def busy(directory: Path, keys: int, of: int) -> float:
    """Measure the µs of CPU that a message takes; with `of`, of so many keys one waits."""
    running, chance = Running(directory), random.Random(1)
    ids = [1003] * keys
    for id in range(1000, 1003):
        for frames in batches(message(key, id) for key in range(keys)):
            running.redis.receive(frames)
        await running.turn()
    waiting = range(0, keys, of) if of else range(0)
    for frames in batches(message(key, 1004) for key in waiting):
        running.redis.receive(frames)
    await running.settle()
    sent, held, before = [], 0, running.committed
    for key in (chance.randrange(keys) for _ in range(MESSAGES)):
        if key in waiting:
            held += 1
            sent.append(message(key, 1004 + held))
        else:
            sent.append(message(key, ids[key]))
            ids[key] += 1
    took = 0.0
    for frames in batches(sent):
        running.redis.receive(frames)
        if len(running.redis.input) == ENTRIES:
            began = time.process_time()
            await running.turn()
            took += time.process_time() - began
    await running.turn()
    assert running.committed - before == MESSAGES - held
    return took / MESSAGES * 1e6


def measure(checkout: Path, kind: str, case: Sequence[int]) -> float:
    """Measure one case in a process of its own, with the code of a checkout."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--alone", kind, *map(str, case)],
        cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def alone(kind: str, keys: int, number: int) -> None:
    """Measure one case, and print it."""
    # As in the running service: what is in flight forms no cycles, so collect seldom.
    gc.set_threshold(50_000, 20, 50)
    with tempfile.TemporaryDirectory() as directory:
        print(asyncio.run({"idle": idle, "busy": busy}[kind](Path(directory), keys, number)))


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.keys", description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        kind, keys, number = options.alone
        alone(kind, int(keys), int(number))
        return
    names = [checkout.resolve().name for checkout in options.checkouts]
    print(f"{'':<52}" + "".join(f"{name:>14}" for name in names))
    for case in IDLE:
        told = [measure(checkout, "idle", case) for checkout in options.checkouts]
        what = f"bytes of an idle key, {case[0]} keys, {case[1]} messages each"
        print(f"{what:<52}" + "".join(f"{size:>14,.0f}" for size in told), flush=True)
    costs: dict[tuple[Sequence[int], Path], list[float]] = {}
    for _ in range(options.rounds):
        for case in BUSY:
            for checkout in options.checkouts:
                costs.setdefault((case, checkout), []).append(measure(checkout, "busy", case))
    for case in BUSY:
        some = f", one in {case[1]} waits" if case[1] else ""
        what = f"µs for a message, {case[0]} keys{some}"
        middles = [median(costs[case, checkout]) for checkout in options.checkouts]
        print(f"{what:<52}" + "".join(f"{cost:>14.2f}" for cost in middles), flush=True)


if __name__ == "__main__":
    main()
