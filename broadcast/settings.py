"""The settings of a handshake, which differ in the variable's name only."""

from __future__ import annotations

import ipaddress
import re

from chassis.settings import integer, setting

from .proxies import Network

_ORIGIN = r"file://|[a-z][a-z0-9+.-]*://[^/\s?#@]+"
"""What browsers, and the shells of apps made of pages, send; beside `null`, for pages from a file
or in a sandbox."""


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


def proxies(variable: str) -> tuple[Network | str, ...]:
    """Declare who is believed about where a connection comes from."""
    doc = "addresses, networks or host names whose X-Forwarded-For is believed, separated by spaces"
    return setting(variable, _proxies, "", doc)


def _origins(value: str) -> tuple[str, ...]:
    """Accept `same`, `*` and origins as browsers send them, separated by spaces."""
    words = tuple(value.split())
    for word in words:
        if word not in ("same", "*", "null") and not re.fullmatch(_ORIGIN, word, re.IGNORECASE):
            raise ValueError(f"{word!r} is neither same, * nor an origin like https://example.org")
    return tuple(word.lower() for word in words)


def _proxies(value: str) -> tuple[Network | str, ...]:
    """Accept addresses, networks and host names, separated by spaces."""
    return tuple(map(_proxy, value.split()))


def _proxy(word: str) -> Network | str:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        if not re.fullmatch(r"(?=.*[a-z])[\w-]+(\.[\w-]+)*", word, re.ASCII | re.IGNORECASE):
            raise ValueError(f"{word!r} is no address, network or host name") from None
        return word
