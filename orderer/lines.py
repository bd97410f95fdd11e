"""Which lines of a feed are connected, as far as the input tells. Pure.

Nothing that decides about gaps depends on it; it tells whether a line that is connected is the
only one, and serves the status and the metrics.
"""

from __future__ import annotations

from collections.abc import Iterable

from relay import keys

SILENT = 5
"""Looks, one a second, after which a line that says nothing is no longer shown."""


class Lines:
    """The lines that are connected, each with its connection's name."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Begin with the lines that were connected when this was last known."""
        self._connections = dict.fromkeys(names, b"")
        self._looks = dict.fromkeys(self._connections, 0)

    @property
    def names(self) -> list[str]:
        """The lines that are connected, sorted."""
        return sorted(self._connections)

    def heard(self, line: str, connection: bytes, event: bytes) -> None:
        """Note an entry of a connection; an older connection's end does not hide a newer one.

        Any entry proves that its connection stands, unless another one of the line is known to:
        that is newer then, and what comes from the older one comes after its beginning.
        """
        known = self._connections.get(line)
        if event == keys.DISCONNECTED:
            if known in (b"", connection):
                del self._connections[line]
            return
        if event == keys.CONNECTED or not known:
            self._connections[line] = connection
        self._looks[line] = 0

    def alone(self, line: str) -> bool:
        """Tell whether no other line is connected."""
        return not self._connections.keys() - {line}

    def look(self) -> list[str]:
        """List the lines that are connected and have spoken within the last looks.

        An ingestor that was killed could not say that its lines are gone.
        """
        self._looks = {line: self._looks.get(line, 0) + 1 for line in self._connections}
        return sorted(line for line, looks in self._looks.items() if looks <= SILENT)
