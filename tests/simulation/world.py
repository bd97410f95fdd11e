"""A small world: feeds, ingestors' pens, orderers, publishers, a server, and what may befall them.

Real are the orderers and publishers with their leases (all that their services run but the ops
endpoint), the ingestors' lanes, pens and `Writer`, the links to Redis with their patience, and the
Lua scripts.
Simulated are time, chance, the network, the server, the feeds and the endpoints. All of it is a
function of the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import publisher.lane
from chassis import clock, logs
from chassis.redis import Link
from chassis.settings import load
from chassis.tasks import first
from ingestor.lane import Lanes
from ingestor.metrics import LineMetrics
from ingestor.pressure import Pressure
from ingestor.writer import Writer
from orderer import commit, service
from orderer.settings import Settings
from orderer.store import Store
from orderer.worker import Worker
from publisher import service as publishing
from publisher.reader import Reader
from publisher.settings import Settings as PublisherSettings
from relay import keys, raw
from relay.feeds import Peer

from .endpoint import Endpoint, dial
from .judge import Judge, Source, Wrong, frame, identity
from .loop import VirtualLoop
from .network import Faults, Network, Process
from .redis import Server
from .scenario import Reach, Scenario

TTL = 1.5
"""Seconds that a lease lasts."""

STRAGGLE = 5
"""Frames of a numbering before which the last one of the numbering before may come."""

SETTLE = 120.0
"""Virtual seconds after the last fault in which all must have come right."""

log = logs.get("simulation")


class World:
    """One schedule."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.dice = random.Random(seed)
        self.scenario = Scenario.draw(self.dice)
        self.server = Server(loop.time, loop.wall)
        self.network = Network(loop, self.server, self.dice)
        self.network.executed.append(self._note)
        self.reach = Reach()
        self.publishers: list[Process] = []
        self.endpoints = {
            f"f{number}": Endpoint(loop, self.dice) for number in range(self.scenario.feeds)
        }
        self.sources = {
            f"f{number}": self._source(f"f{number}") for number in range(self.scenario.feeds)
        }
        self.lanes = {name: "+0" if self.scenario.shared else name for name in self.sources}
        """The lane of each feed."""
        self.judge = Judge(self.server, self.scenario, list(self.sources.values()), self.lanes)
        self.serial = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.orderers: list[Process] = []
        self.snapshots: list[Any] = []

    # Feeds ----------------------------------------------------------------------------------

    def _source(self, name: str) -> Source:
        scenario, dice = self.scenario, self.dice
        source = Source(name)
        first_id = 0 if scenario.first_id == "0" else dice.choice([0, 1, 500])
        for numbering in range(1, scenario.numberings + 1):
            ids = sorted(
                range(first_id, first_id + scenario.messages),
                key=lambda seq: seq + dice.random() * scenario.depth,
            )
            if scenario.first_id != "0":
                ids.sort(key=lambda seq: seq != first_id)  # nobody can know of one that comes late
            source.starts.append(len(source.sent))
            source.sent += [frame(numbering, seq) for seq in ids]
        if scenario.straggles:
            self._straggle(source)
        return source

    def _straggle(self, source: Source) -> None:
        """Have the last frames of a numbering come among the first of the next."""
        for start in source.starts[1:]:
            late = source.sent.pop(start - 1)
            source.sent.insert(start - 1 + self.dice.randint(1, STRAGGLE - 1), late)

    async def ingest(self, lane: str) -> None:
        """Be a lane's feeds and ingestors: write frames, die, come back, say that nothing comes."""
        dice, scenario = self.dice, self.scenario
        sources = [source for source in self.sources.values() if self.lanes[source.name] == lane]
        begins = [0 for _ in sources]
        while True:
            # A frame that a dead pen has written comes at once or never: an ingestor's append does
            # not compare yet, and one that comes seconds late would be a frame of its own.
            process = self.process(f"ingestor-{lane}", stalls=False)
            lanes = Lanes(self.link(process), 10**9, log)
            living = [
                self.loop.create_task(self._write(lanes, source, at))
                for source, at in zip(sources, begins, strict=True)
            ]
            watching = self.loop.create_task(lanes.watch())
            self.tasks += [*living, watching]
            lifetime = math.inf if scenario.straggles else scenario.kills * (1 + 3 * dice.random())
            done, _ = await asyncio.wait(
                living, timeout=min(lifetime, 1e9), return_when=asyncio.FIRST_COMPLETED
            )
            if self.calm:
                await asyncio.gather(*living)
            for one in done:
                one.result()
            process.kill()
            self.reach.kills += 1
            begins = [self._again(source) for source in sources]
            await asyncio.sleep(dice.choice([0.05, 0.5, 3.0]))

    def _again(self, source: Source) -> int:
        """Tell where a feed goes on: where it was, or a little before, in its numbering.

        Nobody could tell what a former numbering sends again from the present one's messages.
        """
        begun = source.starts[max(0, source.numbering - 1)] if source.starts else 0
        return max(begun, source.reached - self.dice.choice([0, 0, 3, 20]))

    async def _write(self, lanes: Lanes, source: Source, at: int) -> None:
        """Write what the feed sends from `at` on, on a connection of its own."""
        dice, losses = self.dice, self.scenario.losses
        writer = await self.writer(lanes, source)
        await writer.connected()
        self.server.execute("HSET", keys.FEEDS, source.name, self.lanes[source.name])
        while at < len(source.sent):
            size = dice.choice([1, 1, 2, 5, 20])
            if any(at < start < at + size for start in source.starts) and dice.random() < 0.5:
                size = 1
            frames = source.sent[at : at + size]
            at += size
            if losses:
                first_one = source.sent[0]  # nobody can miss one that nobody has ever seen
                frames = [f for f in frames if f == first_one or dice.random() >= losses]
            if frames and dice.random() < 0.1:
                newest = identity(frames[-1])[0]
                frames.append(dice.choice([f for f in frames if identity(f)[0] == newest]))
            if frames:
                await writer.frames(frames)
            source.reached = max(source.reached, at)
            await self._silence(writer, dice.choice([0.0, 0.001, 0.02, 0.3]))
        # The feed goes on for ever, or a last gap would wait for it; but it says nothing.
        while True:
            await self._silence(writer, 1.0)

    async def _silence(self, writer: Writer, seconds: float) -> None:
        """Wait, and say so when it is time."""
        over = self.loop.time() + seconds
        while self.loop.time() < over:
            await asyncio.sleep(min(over, max(writer.due, self.loop.time())) - self.loop.time())
            if writer.due <= self.loop.time():
                if writer.needed(self.loop.time()):
                    await writer.alive()
                else:
                    writer.pass_by(self.loop.time())

    end = math.inf
    calm = False
    """Whether nothing goes wrong any more."""

    # Processes ------------------------------------------------------------------------------

    def process(self, kind: str, *, stalls: bool = True) -> Process:
        """Start a process."""
        self.serial += 1
        return Process(f"{kind}-{self.serial}", stalls=stalls)

    def link(self, process: Process) -> Link:
        """Make a process's link."""
        return Link(
            "redis://simulated", log, timeout=0.3 * TTL, stop=asyncio.Event(),
            make=self.network.client(process),
        )  # fmt: skip

    async def writer(self, lanes: Lanes, source: Source) -> Writer:
        """Make what writes a line in an ingestor."""
        peer, metrics = Peer(source.name, "line", "ws://feed"), LineMetrics(source.name, "line")
        lane = lanes[self.lanes[source.name]]
        member = Pressure(lane, peer, metrics, log)
        await lane.join(member)
        return Writer(lane, peer, member.backlog, metrics)

    def orderer(self) -> Process:
        """Start an orderer."""
        process = self.process("orderer")
        scenario = self.scenario
        settings = load(
            Settings,
            "orderer",
            {
                "ORDERER_FIRST_ID": scenario.first_id,
                "ORDERER_GAP_TIMEOUT": scenario.gap_timeout,
                "LEASE_TTL": str(TTL),
            },
        )
        link = self.link(process)
        worker = Worker(link, Store(link), settings, log)
        shares = service.share(link, worker, settings)
        task = self.loop.create_task(first(shares.run(asyncio.Event()), worker.run()))
        task.add_done_callback(self._ended)
        self.tasks.append(task)
        return process

    def publisher(self) -> Process:
        """Start a publisher to all endpoints."""
        process = self.process("publisher")
        urls = " ".join(f"{feed}=ws://endpoint/{feed}" for feed in self.endpoints)
        settings = load(
            PublisherSettings,
            "publisher",
            {"PUBLISHER_URL": urls, "PUBLISHER_RETAIN": "1000000", "LEASE_TTL": str(TTL)},
        )
        link = self.link(process)
        reader = Reader(link)
        shares = publishing.share(
            link, reader, settings, {}, settings.endpoints, dial=dial(self.endpoints, process)
        )
        task = self.loop.create_task(first(shares.run(asyncio.Event()), reader.run()))
        task.add_done_callback(self._ended)
        self.tasks.append(task)
        return process

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()

    failure: BaseException | None = None

    # What may happen ------------------------------------------------------------------------

    async def every(self, seconds: float, happen: Callable[[], None]) -> None:
        """Have something happen again and again, about so often, until the faults are over."""
        while seconds < math.inf and self.loop.time() < self.end:
            await asyncio.sleep(seconds * (0.3 + 1.4 * self.dice.random()))
            if self.loop.time() < self.end:
                happen()

    def kill_an_orderer(self) -> None:
        """Kill one, and start another, at once or later."""
        at = self.dice.randrange(len(self.orderers))
        self.orderers[at].kill()
        self.reach.kills += 1
        self.loop.call_later(self.dice.choice([0.0, 0.2, 2.0]), self._replace, at)

    def _replace(self, at: int) -> None:
        self.orderers[at] = self.orderer()

    def kill_a_publisher(self) -> None:
        """Kill one, and start another, at once or later."""
        self.publishers[-1].kill()
        self.reach.kills += 1
        self.loop.call_later(
            self.dice.choice([0.0, 2.0]), lambda: self.publishers.append(self.publisher())
        )

    def cut_a_connection(self) -> None:
        """Break a connection to an endpoint."""
        self.dice.choice(list(self.endpoints.values())).cut()

    def freeze_an_orderer(self) -> None:
        """Stop one in its tracks, maybe past its lease."""
        victim = self.dice.choice([*self.orderers, self.publishers[-1]])
        victim.frozen_until = self.loop.time() + self.dice.choice([0.2, 2 * TTL, 6.0])

    def go_back(self) -> None:
        """Have the server come back as it was a moment ago, or empty."""
        self.reach.went_back += 1
        forgets = self.dice.random() < self.scenario.forgets
        self.server.restore(self.snapshots[0] if forgets else self.dice.choice(self.snapshots))
        self.network.cut()
        for source in self.sources.values():
            # As ingestors do every second.
            self.server.execute("HSET", keys.FEEDS, source.name, self.lanes[source.name])
            source.written = set(self.judge.held(source.name))

    def take_a_snapshot(self) -> None:
        """Remember the server's state; the latest ones are what it may come back as."""
        first_one, *later = [*self.snapshots, self.server.snapshot()]
        self.snapshots = [first_one, *later[-3:]]

    def go_away(self) -> None:
        """Have the server not be reached for a while."""
        self.network.up = False
        self.network.cut()
        self.loop.call_later(self.dice.choice([0.1, 1.0, 2 * TTL]), self._come_back)

    def _come_back(self) -> None:
        self.network.up = True

    def step_the_clock(self) -> None:
        """Have somebody set the hosts' clock."""
        self.loop.step_wall(self.dice.choice([-60.0, -0.5, 0.5, 3600.0]))

    # The schedule ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Let it all happen, then wait until it has come right, and check."""
        scenario = self.scenario
        self.snapshots.append(self.server.snapshot())
        self.orderers += [self.orderer(), self.orderer()]
        self.publishers.append(self.publisher())
        self.network.faults = scenario.faults
        lanes = dict.fromkeys(self.lanes.values())
        ingesting = [self.loop.create_task(self.ingest(lane)) for lane in lanes]
        self.end = self.loop.time() + self.dice.choice([2.0, 4.0, 8.0])
        happening = [
            self.loop.create_task(self.every(seconds, happen))
            for seconds, happen in (
                (scenario.kills, self.kill_an_orderer),
                (2 * scenario.kills, self.kill_a_publisher),
                (scenario.cuts, self.cut_a_connection),
                (scenario.freezes, self.freeze_an_orderer),
                (0.4 if scenario.goes_back < math.inf else math.inf, self.take_a_snapshot),
                (scenario.goes_back, self.go_back),
                (scenario.away, self.go_away),
                (scenario.clock_steps, self.step_the_clock),
            )
        ]
        self.tasks += [*ingesting, *happening]
        await asyncio.gather(*happening)
        self.calm = True
        self.network.faults = Faults()
        self.end = self.loop.time() + SETTLE
        while self.loop.time() < self.end - 1:
            await asyncio.sleep(1.0)
            if self.failure is not None:
                raise self.failure
            if all(
                self.judge.complete(source)
                and self.judge.delivered(source, self.endpoints[source.name])
                for source in self.sources.values()
            ):
                break
        if self.failure is not None:
            raise self.failure
        for source in self.sources.values():
            self.reach.restarts += self.judge.check(source)
            self.judge.check_endpoint(source, self.endpoints[source.name])
            self.reach.messages += len(source.written)

    def _note(self, command: Sequence[Any], reply: Any) -> None:
        """Follow what the server is made to do."""
        if (
            command[0] == "EVALSHA"
            and command[1] == commit._COMMIT.sha
            and reply[0] in (b"done", b"back")
        ):
            lease, value = command[3], command[3 + command[2]]
            if self.server.execute("GET", lease) != value.encode():
                self.failure = Wrong(f"{value} has written without the lease")
        if command[0] == "XADD" and str(command[1]).startswith("raw:"):
            values = [v if isinstance(v, bytes) else str(v).encode() for v in command[3:]]
            for feed, part in raw.parts(str(command[1])[5:-1], values):
                frames, source = raw.unpack(reply, part).frames, self.sources[feed]
                source.written |= set(frames)
                numberings = [identity(one)[0] for one in frames]
                source.numbering = max(source.numbering, *numberings, 0)


# Time and chance -----------------------------------------------------------------------------


@contextlib.contextmanager
def under(loop: VirtualLoop, seed: int) -> Iterator[None]:
    """Put the loop's time and the seed's chance behind the one door to them."""
    dice = random.Random(f"chance {seed}")
    with (
        mock.patch.multiple(
            clock,
            monotonic=loop.time,
            wall=loop.wall,
            wall_us=lambda: int(loop.wall() * 1e6),
            chance=dice.random,
            shuffle=dice.shuffle,
            token=lambda size: f"{dice.getrandbits(8 * size):0{2 * size}x}",
        ),
        mock.patch.object(os, "getpid", return_value=1),  # it is part of an instance's name
        # There is plenty of memory, and yet much is set aside of lanes that are shared.
        mock.patch.multiple(publisher.lane, FROM=0.0, PATIENCE=0.3),
    ):
        yield


def simulate(seed: int) -> Reach:
    """Run the schedule of a seed; raises `Wrong`, or whatever a process died of."""
    from .loop import run

    logging.disable(logging.CRITICAL)
    found: list[World] = []

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed)
        found.append(world)
        with under(loop, seed):
            try:
                await world.run()
            finally:
                for task in world.tasks:
                    task.cancel()

    try:
        run(main)
    finally:
        logging.disable(logging.NOTSET)
    return found[0].reach
