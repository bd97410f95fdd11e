"""Watch the file of feeds: a changed one is taken over as soon as it makes sense."""

from __future__ import annotations

from collections.abc import Mapping

from relay.feedfile import FeedFileError, load
from relay.feeds import FILE

from .services import RELAY
from .stack import ROOT, Stack


class Watched:
    """The file of feeds that services read, if the environment names one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the file as it is now for known."""
        name = named(environ)
        self.file = ROOT / name if name else None  # services run there
        self._environ = environ
        self._known = self._last = self._state()

    def _state(self) -> tuple[int, ...] | None:
        """Tell one state of the file from another; None: there is no file, or not just now."""
        try:
            found = None if self.file is None else self.file.stat()
        except OSError:
            return None
        return found and (found.st_ino, found.st_size, found.st_mtime_ns)

    def changed(self) -> bool:
        """Tell whether it has changed since that was told last, and is not being written now."""
        before, self._last = self._last, self._state()
        if self._last is None or self._last != before or self._last == self._known:
            return False
        self._known = self._last
        return True

    def take_over(self, stack: Stack) -> str:
        """Have the services read it again, unless it has mistakes; returns what is to be told."""
        try:
            load(str(self.file), self._environ)
        except FeedFileError as error:
            return "\n".join([f"{FILE} has changed and is not taken over:", *error.mistakes])
        relay = {service.name for service in RELAY} - {"simulator"}
        for child in stack.children:
            if child.name in relay:
                child.hang_up()
        return f"{FILE} has changed and is taken over."


def named(environ: Mapping[str, str]) -> str:
    """Tell which file the environment names; empty: none."""
    return environ.get(FILE, "").strip()
