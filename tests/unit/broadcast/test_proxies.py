"""Who a connection comes from."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from broadcast.proxies import Proxies, client_address
from chassis.tasks import end
from tests.support.waiting import eventually

PROXIES = Proxies([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1,, 10.0.0.2:99 ,", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_addresses(peer: str, forwarded: str | None, address: str) -> None:
    """Anybody could count as somebody else, or all behind the gateway as one."""
    assert client_address(peer, forwarded, PROXIES) == address


@pytest.mark.parametrize(
    ("spellings", "address"),
    [
        (("198.51.100.1", " 198.51.100.1:443", "::ffff:198.51.100.1", "[::ffff:c633:6401]:9"),
         "198.51.100.1"),
        (("2001:db8::9", "2001:DB8:0::9", "2001:0db8::0009", "[2001:db8::9]", "[2001:db8::9]:443",
          "2001:db8::9%eth0", "2001:db8::1", "2001:db8:0:0:ffff::"), "2001:db8::/64"),
        (("2001:db8:0:1::9",), "2001:db8:0:1::/64"),
        (("unknown", "_hidden", "198.51.100.256", "1.2.3.4.5", "::g", "1:2:3", "0x7f.1"),
         "10.0.0.1"),
    ],
)  # fmt: skip
def test_one_client_is_one_address(spellings: tuple[str, ...], address: str) -> None:
    """A client could take more places than one address has, by being written in other ways."""
    found = {client_address("10.0.0.1", f"6.6.6.6, {each}", PROXIES) for each in spellings}
    assert found == {address}


async def test_a_proxy_may_be_known_by_name() -> None:
    """A gateway whose address changes would not be believed, or all who had it before."""
    proxies = Proxies(["localhost", "no-such-host.invalid"])
    assert client_address("127.0.0.1", "198.51.100.1", proxies) == "127.0.0.1"
    following = asyncio.ensure_future(proxies.follow())
    await eventually(lambda: ipaddress.ip_address("127.0.0.1") in proxies, "the name is found")
    await end(following)
    assert client_address("127.0.0.1", "198.51.100.1", proxies) == "198.51.100.1"
    assert client_address("127.0.0.2", "198.51.100.1", proxies) == "127.0.0.2"
