"""Who a connection comes from, and which proxies are believed about that.

A proxy passes on what its client wrote before what it adds itself, so `X-Forwarded-For` is read
from its end, for as long as the one who added a part is a known proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence

from chassis import network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FOLLOW = 1.0
"""Seconds between two look-ups of the proxies that are known by name."""

SUBNET = 64
"""Bits of an IPv6 address that are its network's: who has one has all the rest, too."""


class Proxies:
    """The proxies that are believed: addresses, networks, and hosts by name, who may move."""

    def __init__(self, known: Sequence[Network | str]) -> None:
        self._networks = [each for each in known if not isinstance(each, str)]
        self._names = [each for each in known if isinstance(each, str)]
        self._found: dict[str, set[Address]] = {}

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks) or any(
            address in found for found in self._found.values()
        )

    async def follow(self) -> None:
        """Look the names up, for ever; one that is not found keeps the addresses it had."""
        await asyncio.gather(*map(self._follow, self._names))
        await asyncio.get_running_loop().create_future()  # there are none

    async def _follow(self, name: str) -> None:
        while True:
            with contextlib.suppress(OSError):
                answers = [parse(str(where[0])) for _, where in await network.addresses(name, 0)]
                self._found[name] = {address for address in answers if address}
            await asyncio.sleep(FOLLOW)


def client_address(peer: str, forwarded: str | None, proxies: Proxies) -> str:
    """Tell what a connection is counted under: an IPv4 address, or an IPv6 network.

    `forwarded` is `X-Forwarded-For`. What a proxy wrote there and is no address counts as the
    proxy itself, or a client could be somebody else each time.
    """
    address = parse(peer)
    if address is None:
        return peer
    hops = [hop for hop in (forwarded or "").split(",") if hop.strip()]
    while hops and address in proxies:
        hop = parse(hops.pop())
        if hop is None:
            break
        address = hop
    if address.version == 6:
        return str(ipaddress.ip_network((address, SUBNET), strict=False))
    return str(address)


def parse(text: str) -> Address | None:
    """Read an address in any spelling: `a`, `[a]`, `a:port` or `[a]:port`; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
