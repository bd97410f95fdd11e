"""The settings of a handshake, which differ in the variable's name only."""

from __future__ import annotations

import ipaddress
import re

from chassis.settings import integer, setting

from .admission import Network


def origins(variable: str) -> tuple[str, ...]:
    """Declare which web pages may connect."""
    doc = "web pages that may connect: same (origin), *, or origins, separated by spaces"
    return setting(variable, _origins, "same", doc)


def connections(variable: str) -> int:
    """Declare how many connections there may be."""
    return setting(variable, integer(1, 1_000_000), "10000", "connections to one replica")


def per_address(variable: str) -> int:
    """Declare how many of them may come from one address."""
    doc = "connections from one address to one replica"
    return setting(variable, integer(1, 1_000_000), "2000", doc)


def proxies(variable: str) -> tuple[Network, ...]:
    """Declare who is believed about where a connection comes from."""
    doc = "addresses or networks whose X-Forwarded-For is believed, separated by spaces"
    return setting(variable, _networks, "", doc)


def _origins(value: str) -> tuple[str, ...]:
    """Accept `same`, `*` and origins as browsers send them, separated by spaces."""
    words = tuple(value.split())
    for word in words:
        if word not in ("same", "*") and not re.fullmatch(r"https?://[^/\s?#]+", word):
            raise ValueError(f"{word!r} is neither same, * nor an origin like https://example.org")
    return tuple(word.lower() for word in words)


def _networks(value: str) -> tuple[Network, ...]:
    """Accept addresses and networks, separated by spaces."""
    found = []
    for word in value.split():
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise ValueError(f"{word!r} is neither an address nor a network") from None
    return tuple(found)
