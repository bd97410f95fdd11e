"""Who may come in at all: from where, from which page, and how many."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from chassis import hosts

_PORTS = {"http": 80, "https": 443}


class Admission:
    """Counts connections, in all and by address."""

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()
        self.count = 0

    def enter(self, address: str) -> str | None:
        """Let a connection in; returns None, or the reason why not."""
        if self.count >= self._total:
            return "connections"
        if self._by_address[address] >= self._per_address:
            return "address"
        self.count += 1
        self._by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """Note that a connection that had been let in is gone."""
        self.count -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def places(wanted: int) -> int:
    """Tell how many of `wanted` connections there are files for.

    An eighth of those that this process may have open, and 64 at least, is left for everything
    else: Redis, the ops endpoint, a log, requests for the page, handshakes.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, files - _reserve(files)))


def strangers() -> int:
    """Tell how many may have connected and not yet said what they want: half of the rest."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1000 if files == resource.RLIM_INFINITY else min(1000, _reserve(files) // 2)


def _reserve(files: int) -> int:
    return max(64, files // 8)


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Tell whether a page of `origin` may connect to `host`.

    What is no web page sends no origin and may: the check protects people whose browser was
    led astray, not the server. A page from the same host may, if that is a name of this process.
    """
    if origin is None or "*" in allowed or origin.lower() in allowed:
        return True
    if "same" not in allowed or host is None or not hosts.expected(host):
        return False
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host}")
        default = _PORTS.get(page.scheme)
        return (
            default is not None
            and page.hostname is not None
            and not (page.path or page.query or page.fragment or "@" in page.netloc)
            and (page.hostname, page.port or default) == (here.hostname, here.port or default)
        )
    except ValueError:
        return False
