"""What must hold of what has come out, whatever has happened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client import REGISTRY

from relay import gaps, keys, ordered, raw

from .endpoint import Endpoint
from .redis import Server
from .scenario import Scenario


class Wrong(AssertionError):
    """A promise was broken."""


@dataclass
class Source:
    """One feed: what it has sent, and what of it was written down."""

    name: str
    sent: list[bytes] = field(default_factory=list)
    """Its frames in the order in which it sends them, numbering after numbering."""
    starts: list[int] = field(default_factory=list)
    """Where in `sent` each numbering begins."""
    reached: int = 0
    """How far it has come for certain."""
    numbering: int = 0
    """The latest of which anything was written down, from 1."""
    written: set[bytes] = field(default_factory=set)
    """Frames that the server has taken, and has not lost."""


def losses_reported(feed: str) -> float:
    """Tell how often orderers have said that Redis has lost data."""
    return REGISTRY.get_sample_value("orderer_data_loss_total", {"feed": feed}) or 0.0


def frame(numbering: int, seq: int) -> bytes:
    """Make a frame that tells its numbering and its id."""
    return b'{"id":%d,"numbering":%d}' % (seq, numbering)


def identity(message: bytes) -> tuple[int, int]:
    """Read a frame's numbering and id."""
    head, tail = message[:-1].split(b',"numbering":')
    return int(tail), int(head.split(b":")[1])


class Judge:
    """Looks at what the server holds in the end."""

    def __init__(
        self, server: Server, scenario: Scenario, sources: list[Source], lanes: Mapping[str, str]
    ) -> None:
        self.server = server
        self.lanes = lanes
        self.scenario = scenario
        self.reported = {source.name: losses_reported(source.name) for source in sources}

    def held(self, feed: str) -> Iterator[bytes]:
        """List the frames that the server holds, in order or not."""
        lane = self.lanes[feed]
        for entry, values in self.server.execute("XRANGE", keys.raw(lane), "-", "+"):
            for whose, part in raw.parts(lane, values):
                if whose == feed:
                    yield from raw.unpack(entry, part).frames
        for _, _, message in self.output(feed):
            yield message

    def output(self, feed: str) -> list[tuple[int, int, bytes]]:
        """List what came out: epoch, id, frame."""
        out = []
        lane = self.lanes[feed]
        for entry, values in self.server.execute("XRANGE", keys.ordered(lane), "-", "+"):
            span = ordered.span(entry, values, shared=lane != feed)
            if lane != feed and span.feed.decode() != feed:
                continue
            messages = ordered.messages(values)
            out += [(span.epoch, span.first + at, message) for at, message in enumerate(messages)]
        return out

    def ledger(self, feed: str) -> list[gaps.Row]:
        """List what was given up."""
        rows = self.server.execute("XRANGE", keys.gaps(self.lanes[feed], feed), "-", "+")
        return [gaps.unpack(values) for _, values in rows]

    def complete(self, source: Source) -> bool:
        """Tell whether all that was written has come out, or stands in the ledger."""
        out = {message for _, _, message in self.output(source.name)}
        if source.reached < len(source.sent):
            return False
        return len(source.written & out) + self._given_up(source, out) >= len(source.written)

    def _given_up(self, source: Source, out: set[bytes]) -> int:
        epochs = self._epochs(source.name)
        given_up = {
            (row.epoch, seq)
            for row in self.ledger(source.name)
            for seq in range(row.first, row.last + 1)
        }
        count = 0
        for message in source.written - out:
            numbering, seq = identity(message)
            count += any((epoch, seq) in given_up for epoch in epochs.get(numbering, ()))
        return count

    def _epochs(self, feed: str) -> Mapping[int, set[int]]:
        """Tell in which epochs messages of each numbering came out."""
        epochs: dict[int, set[int]] = {}
        for epoch, _, message in self.output(feed):
            epochs.setdefault(identity(message)[0], set()).add(epoch)
        return epochs

    def check(self, source: Source) -> int:
        """Check the promises on what has come out; returns how many numberings have begun anew."""
        feed, scenario = source.name, self.scenario
        out = self.output(feed)
        went_back = scenario.goes_back < math.inf
        if not went_back and losses_reported(feed) > self.reported[feed]:
            raise Wrong(f"{feed}: a loss was reported, and there was none")
        for (epoch, seq, _), (later, following, _) in pairwise(out):
            if (later, following) <= (epoch, seq):
                raise Wrong(f"{feed}: {later}-{following} comes after {epoch}-{seq}")
        messages = [message for _, _, message in out]
        # What a server has forgotten, a feed may send again.
        if len(messages) != len(set(messages)) and not went_back:
            doubled = sorted({m for m in messages if messages.count(m) > 1})
            raise Wrong(f"{feed}: doubled {doubled[:3]}")
        for _, seq, message in out:
            if identity(message)[1] != seq:
                raise Wrong(f"{feed}: {message!r} under the id {seq}")
        given_up = {
            (row.epoch, seq) for row in self.ledger(feed) for seq in range(row.first, row.last + 1)
        }
        for (epoch, seq, _), (later, following, _) in pairwise(out):
            holes = range(seq + 1, following) if epoch == later else range(0)
            unexplained = [hole for hole in holes if (epoch, hole) not in given_up]
            if unexplained:
                raise Wrong(f"{feed}: holes in epoch {epoch} that nobody told of {unexplained[:5]}")
        if scenario.gap_timeout == "never" and scenario.losses == 0:
            self._check_all_is_there(source, out)
        elif not self.complete(source):
            lost = source.written - set(messages)
            raise Wrong(f"{feed}: lost without a word {sorted(lost, key=identity)[:5]}")
        return len({epoch for epoch, _, _ in out}) - 1

    def _check_all_is_there(self, source: Source, out: list[tuple[int, int, bytes]]) -> None:
        missing = set(source.sent) - {message for _, _, message in out}
        if missing:
            raise Wrong(f"{source.name}: missing {sorted(missing, key=identity)[:5]}")
        rows = [row for row in self.ledger(source.name) if row.last >= row.first]
        if rows:
            raise Wrong(f"{source.name}: given up {rows[:3]}")
        epochs = self._epochs(source.name)
        if any(len(found) != 1 for found in epochs.values()):
            raise Wrong(f"{source.name}: numberings in epochs {dict(epochs)}")

    def delivered(self, source: Source, endpoint: Endpoint) -> bool:
        """Tell whether the endpoint has read all that came out."""
        return {message for _, _, message in self.output(source.name)} <= endpoint.messages

    def check_endpoint(self, source: Source, endpoint: Endpoint) -> None:
        """Check what an endpoint has read: on each connection the output, without a hole."""
        feed, went_back = source.name, self.scenario.goes_back < math.inf
        out = [message for _, _, message in self.output(feed)]
        if not self.delivered(source, endpoint):
            missing = sorted(set(out) - endpoint.messages, key=identity)
            raise Wrong(f"{feed}: the endpoint has never got {missing[:5]}")
        place = {message: at for at, message in enumerate(out)}
        for connection in endpoint.connections:
            received = connection.received
            numbers = [identity(message) for message in received]
            if any(b[1] <= a[1] for a, b in pairwise(numbers)):
                raise Wrong(f"{feed}: an endpoint has read {numbers[:40]}")
            places = [place.get(message, -1) for message in received]
            if not went_back and any(b != a + 1 for a, b in pairwise(places)):
                raise Wrong(f"{feed}: an endpoint has read something else than what came out")
