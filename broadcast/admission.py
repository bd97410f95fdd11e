"""Who may come in at all: from where, from which page, and how many."""

from __future__ import annotations

import ipaddress
import resource
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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
    return max(1, min(wanted, files - max(64, files // 8)))


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Tell whether a page of `origin` may connect to `host`.

    What is no web page sends no origin and may: the check protects people whose browser was
    led astray, not the server.
    """
    if origin is None or "*" in allowed or origin.lower() in allowed:
        return True
    if "same" not in allowed or host is None:
        return False
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host}")
        default = _PORTS.get(page.scheme)
        return (
            default is not None
            and page.hostname is not None
            and (page.hostname, page.port or default) == (here.hostname, here.port or default)
        )
    except ValueError:
        return False


def client_address(peer: str, forwarded: str | None, proxies: Sequence[Network]) -> str:
    """Tell who a connection comes from, believing `X-Forwarded-For` as far as proxies wrote it."""
    hops = [hop.strip() for hop in (forwarded or "").split(",") if hop.strip()]
    address = peer
    while hops and _within(address, proxies):
        address = hops.pop()
    return address


def _within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
