"""One lane's state: entries of the input in, commits out. Pure: no clock, no Redis, no await."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from relay import raw
from relay.entry import START, position
from relay.forgotten import Forgotten

from .checkpoint import Checkpoint
from .feed import Feed, Options, Rejects
from .reorder.outputs import Batch
from .sequence import Move, State

EMPTY: list[str] = []


class Entry(NamedTuple):
    """An entry of the input: a part of each of some feeds."""

    id: bytes
    parts: Sequence[tuple[str, raw.Entry]]


class Mark(NamedTuple):
    """Where a lane stands: what it resumes from, apart from its feeds."""

    raw: bytes = START
    """The checkpoint: the last entry that is settled together with all before it."""
    seen: bytes = START
    """The last entry whose frames have been counted."""
    serial: int = 0
    """How many messages came out."""
    waiting: Sequence[str] = ()
    """The feeds that hold frames back."""
    lines: Mapping[str, Sequence[str]] = MappingProxyType({})
    """The lines of each feed that were connected at `seen`."""
    generation: int = 1
    """First half of the ids of what comes out."""
    floor: int = 1
    """The first epoch of a sequence that is new."""
    words: Mapping[str, str] = MappingProxyType({})
    """What a file of feeds says of the order of each feed that it names, as JSON."""


class LaneState(NamedTuple):
    """What a lane resumes from."""

    mark: Mark = Mark()
    feeds: Mapping[str, Mapping[str, State]] = MappingProxyType({})
    """The states of the sequences of each feed, by their keys."""
    forgotten: Mapping[str, Forgotten] = MappingProxyType({})
    """The names of feeds that were forgotten, of which something may be left."""


class Commit(NamedTuple):
    """What is to be written in one step, if the output still ends where this one begins."""

    lane: str
    moves: Sequence[Move]
    before: Mark
    """The checkpoint that is in force until the last step."""
    after: Mark


class Lane:
    """One lane.

    Call `take_in(entries)`, then write what `commit()` returns, and begin anew with another `Lane`
    from what is stored if that is refused.
    """

    def __init__(
        self, name: str, state: LaneState, options: Callable[[str], Options], room: float
    ) -> None:
        """Resume from `state`: the entries behind `cursor` follow.

        `options` tells what each feed is told; `room` is that of `allow`.
        """
        self.name = name
        self.cursor = state.mark.raw
        """The last entry that was taken in."""
        self.committed = state.mark
        """Where the last commit ends."""
        self._options = options
        self._room = room
        self._checkpoint: Checkpoint[Feed] = Checkpoint(state.mark.raw)
        self._seen = state.mark.seen
        self._forgotten = state.forgotten
        self._left = {name: position(gone.raw) for name, gone in state.forgotten.items()}
        """Up to where the input may still have parts of feeds that were forgotten."""
        self._replaying = True
        self._stirred: dict[str, Feed] = {}
        """Feeds that have had a part since the last commit."""
        self._unsettled: dict[str, Feed] = {}
        """Feeds that have had one since the last checkpoint, or are to be looked at then."""
        self._touched: dict[str, Feed] = {}
        """Feeds that have had one since they were last told of."""
        self._holding: dict[str, Feed] = {}
        """Feeds that hold frames back."""
        self._rejecting: dict[str, Feed] = {}
        self.feeds: dict[str, Feed] = {}
        for feed, states in state.feeds.items():
            self._begin(feed, states, state.mark.lines.get(feed, ()))

    # Entries in -----------------------------------------------------------------------------

    def take_in(self, entries: Iterable[Entry]) -> None:
        """Take in the next entries of the input."""
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        replayed = self._replaying and position(entry.id) <= position(self._seen)
        self._replaying = replayed
        parts = self._parts(entry) if self._left else entry.parts
        if not parts:
            self._checkpoint.add(Batch(entry.id, 0, 0.0, replayed), entry.id, None)
        left = len(parts)
        for name, part in parts:
            left -= 1
            feed = self.touch(name)
            # It matters only behind an entry that is kept already.
            size = sum(map(len, part.frames)) if self._holding else 0
            batch = feed.batch(part, replayed, size)
            # With the last of its parts, the entry is settled.
            self._checkpoint.add(batch, self.cursor if left else entry.id, feed)
            begun = feed.take(part, batch)
            self._note(feed)
            if begun and self._checkpoint.size > self._room:
                self._make_room()
        self.cursor = entry.id
        if not replayed:
            self._seen = entry.id

    def _parts(self, entry: Entry) -> Sequence[tuple[str, raw.Entry]]:
        """List the parts of an entry but those of feeds that were forgotten after it."""
        at = position(entry.id)
        self._left = {name: upto for name, upto in self._left.items() if at <= upto}
        return [(name, part) for name, part in entry.parts if name not in self._left]

    def touch(self, name: str) -> Feed:
        """Get a feed to do something with it; it may be new."""
        feed = self.feeds.get(name) or self._begin(name, {}, ())
        self._stir(feed)
        return feed

    def _stir(self, feed: Feed) -> None:
        self._stirred[feed.name] = self._unsettled[feed.name] = self._touched[feed.name] = feed

    def _begin(self, name: str, states: Mapping[str, State], lines: Sequence[str]) -> Feed:
        gone = self._forgotten.get(name)
        epoch = self.committed.floor if gone is None else gone.epoch
        feed = self.feeds[name] = Feed(name, states, lines, self._options(name), epoch)
        self._unsettled[name] = self._touched[name] = feed
        return feed

    def _note(self, feed: Feed) -> None:
        """Note how a feed is after something was done with it."""
        if feed.holding:
            self._holding[feed.name] = feed
        elif self._holding:
            self._holding.pop(feed.name, None)
        if feed.rejects.reasons:
            self._rejecting[feed.name] = feed

    def elapse(self, seconds: float, gone: Callable[[Feed], bool]) -> None:
        """Let time go by for the feeds that hold frames back and are `gone` for good."""
        for feed in [feed for feed in self._holding.values() if gone(feed)]:
            self._stir(feed)
            feed.elapse(seconds, self.cursor)
            self._note(feed)

    def allow(self, room: float) -> None:
        """Keep so many bytes of the input behind the checkpoint: what keeps more is settled."""
        self._room = room
        self._make_room()

    def _make_room(self) -> None:
        """Settle what keeps too much of the input from being trimmed, the oldest first."""
        while self._checkpoint.unsettled > self._room and (feed := self._checkpoint.keeper):
            relieved = feed.relieve()
            self._stir(feed)
            self._note(feed)
            if not relieved:
                break

    # Commits out ----------------------------------------------------------------------------

    def commit(self, *, checkpoint: bool = True) -> Commit | None:
        """Take what came out since the last call, with the checkpoint; None: nothing has changed.

        Without `checkpoint`, a checkpoint alone is no change that is worth a commit. The next one
        begins where this one ends, so this one must be written before it.
        """
        before, settled = self.committed, self._checkpoint.entry
        stirred, self._stirred = self._stirred, {}
        moves, lines, words = list[Move](), before.lines, before.words
        if checkpoint:
            stirred = self._unsettled
            self._unsettled = {name: feed for name, feed in stirred.items() if feed.dated}
        for name, feed in stirred.items():
            moves += feed.moves(settled, checkpoint=checkpoint)
            self._note(feed)
            if (names := feed.lines.names) != lines.get(name, EMPTY):
                lines = {**lines, name: names}
            if feed.words != words.get(name, ""):
                words = {**words, name: feed.words}
        at = (settled, self._seen, words)
        if not moves and not (checkpoint and at != (before.raw, before.seen, before.words)):
            return None
        serial = before.serial + sum(move.after.serial - move.before.serial for move in moves)
        waiting = sorted(self._holding)
        self.committed = before._replace(
            raw=settled, seen=self._seen, serial=serial, waiting=waiting, lines=lines, words=words
        )
        return Commit(self.name, moves, before, self.committed)

    def take_rejects(self) -> list[tuple[str, Rejects]]:
        """Take the frames that were not accepted since the last call, feed by feed."""
        found = []
        for name, feed in self._rejecting.items():
            found.append((name, feed.rejects))
            feed.rejects = Rejects()
        self._rejecting.clear()
        return found

    # Looking in -----------------------------------------------------------------------------

    def told(self) -> dict[str, Feed]:
        """List the feeds of which there is something new to tell: they had a part, or hold back."""
        told, self._touched = self._touched | self._holding, {}
        return told

    @property
    def astir(self) -> bool:
        """Whether there is something new to tell of any feed."""
        return bool(self._touched or self._holding)

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        return any(map(self.halted, self._holding.values()))

    def halted(self, feed: Feed) -> bool:
        """Tell whether it is this feed for which an operator must decide."""
        crammed = feed.timeout.never and self._checkpoint.unsettled > self._room
        return bool(feed.full or (crammed and feed.holding))


def entry(lane: str, id: bytes, values: list[bytes]) -> Entry:
    """Take an entry of a lane's input apart."""
    return Entry(id, [(feed, raw.unpack(id, part)) for feed, part in raw.parts(lane, values)])
