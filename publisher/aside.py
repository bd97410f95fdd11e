"""Sets aside what a shared lane has for sinks that are long behind, so that it can be trimmed.

Else one endpoint that is away would keep the output of all feeds of its lane, until the lane's
share of memory is used up and all of them are held back. What is set aside has streams of its own,
one for each such sink, from which that goes on until it has caught up with its lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from chassis.redis import Link, Script, checked
from relay import keys
from relay.feeds import Peer

from .position import Position

FROM = 1 / 2
"""Share of its memory that a lane's output takes when anything is set aside."""

AT_A_TIME = 200
"""Entries to look at in one step: Redis does nothing else meanwhile."""

COPY_LUA = resources.files(__package__).joinpath("aside.lua").read_text()
_COPY = Script(COPY_LUA)
_BACK = Script(resources.files(__package__).joinpath("back.lua").read_text())


class Superseded(Exception):
    """Another publisher has the lane."""


class Aside:
    """What is set aside of one shared lane.

    All methods raise what the link raises, and Superseded.
    """

    def __init__(self, link: Link, lane: str, lease_key: str) -> None:
        self._link = link
        self._lane = lane
        self._lease_key = lease_key
        self.sizes: dict[Peer, int] = {}
        """Bytes of what is set aside for each sink for which something is."""

    @property
    def summary(self) -> str:
        """Tell how many bytes are set aside, and for which feeds; empty if none are."""
        if not self.sizes:
            return ""
        return " ".join([str(sum(self.sizes.values())), *sorted({one.feed for one in self.sizes})])

    async def size(self) -> int:
        """Ask how many bytes the lane's output takes."""
        return await self._size(keys.ordered(self._lane))

    async def add(self, peer: Peer, sink: Position, fence: str) -> None:
        """Set aside what a sink has not confirmed."""
        stored = keys.sink(self._lane, peer.feed, peer.name)
        while True:
            command = _COPY(
                keys=[self._lease_key, stored, self._stream(peer)],
                args=[fence, keys.ordered(self._lane), peer.feed, sink.held_for, AT_A_TIME],
            )
            done: bytes = await self._link.send(*command)
            if not done:
                raise Superseded
            if done == sink.held_for:
                break
            sink.aside = done

    async def look(self, sinks: Iterable[tuple[Peer, Position]], fence: str) -> None:
        """Drop what has been confirmed, and measure what is left."""
        for peer, sink in sinks:
            if not sink.aside:
                continue
            keys_ = [self._lease_key, keys.sink(self._lane, peer.feed, peer.name)]
            back = sink.back
            command = _BACK(
                keys=[*keys_, self._stream(peer)], args=[fence, sink.confirmed, int(back)]
            )
            if not await self._link.send(*command):
                raise Superseded
            self.sizes[peer] = 0 if back else await self._size(self._stream(peer))
            if back:
                sink.aside = b""
                del self.sizes[peer]

    async def forget(self, peers: Iterable[Peer]) -> None:
        """Drop all: the numbering is lost."""
        checked(await self._link.send_all([("DEL", self._stream(peer)) for peer in peers]))

    def _stream(self, peer: Peer) -> str:
        return keys.aside(self._lane, peer.feed, peer.name)

    async def _size(self, stream: str) -> int:
        return int(await self._link.send("MEMORY", "USAGE", stream, "SAMPLES", 0) or 0)
