"""The lines that are to be read, and how a changed file of feeds is taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from chassis.logs import Log
from relay.feedfile import Feed, FeedFileError
from relay.feeds import FeedsFile, Peer, line

from .line import Line


class Piece(NamedTuple):
    """A line as a piece of work; with other words it is another piece."""

    peer: Peer
    version: int


class Lines:
    """All lines by their pieces of work."""

    def __init__(
        self, peers: tuple[Peer, ...], file: FeedsFile,
        make: Callable[[Peer, Feed | None], Line], log: Log,
    ) -> None:  # fmt: skip
        """Have a line made for each of `peers`, or else for each feed in the file."""
        self._file = file
        self._make = make
        self._log = log
        self._version = 0
        self._lines = {Piece(peer, 0): make(peer, None) for peer in peers}
        """Those that have gone, too: they may not have ended yet."""
        self._fixed = list(self._lines)
        self._current: dict[str, Piece] = {}
        """The piece of each feed in the file."""
        if not peers:
            for words in file.feeds.values():
                self._add(words)

    def __getitem__(self, piece: Piece) -> Line:
        return self._lines[piece]

    @property
    def pieces(self) -> list[Piece]:
        """The pieces of work there are now; one that is not among them any more is to end."""
        return [*self._fixed, *self._current.values()]

    def reload(self) -> None:
        """Read the file again: feeds that have changed are read anew, the others go on untouched.

        A file with mistakes changes nothing; each of them is logged.
        """
        try:
            file = self._file.again()
        except FeedFileError as error:
            for mistake in error.mistakes:
                self._log.error("feeds not taken over", mistake=mistake)
            return
        before, after = self._file.feeds, file.feeds
        changed = [name for name in after if after[name] != before.get(name)]
        removed = [name for name in before if name not in after]
        self._file = file
        self._version += 1
        for name in removed:
            del self._current[name]
        for name in changed:
            self._add(after[name])
        self._log.info("feeds taken over", changed=changed, removed=removed, feeds=len(after))

    def _add(self, words: Feed) -> None:
        piece = Piece(line(words), self._version)
        self._lines[piece] = self._make(piece.peer, words)
        self._current[words.name] = piece
