"""Reach a host through a proxy: HTTP CONNECT (RFC 9110, section 9.3.6) or SOCKS 5 (RFC 1928, 1929).

The proxy looks the host's name up, as it must where a network lets nothing else out.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from urllib.parse import unquote, urlsplit

from . import network

SCHEMES = ("http", "socks5", "socks5h")

_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080}

LONGEST_ANSWER = 16 * 1024
"""Bytes of a proxy's answer to CONNECT."""

_REFUSALS = (
    "", "general failure", "not allowed", "network unreachable", "host unreachable",
    "connection refused", "time to live expired", "command not supported",
    "address type not supported",
)  # fmt: skip


async def connect(proxy: str, host: str, port: int) -> socket.socket:
    """Connect to `host` through the proxy at this URL; raises OSError when there is no way."""
    parts = urlsplit(proxy)
    sock = await network.connect(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    user = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        if parts.scheme == "http":
            await _tunnel(sock, host, port, user)
        else:
            await _socks(sock, host, port, user)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(sock: socket.socket, host: str, port: int, user: tuple[str, str]) -> None:
    loop = asyncio.get_running_loop()
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if any(user):
        login = base64.b64encode(":".join(user).encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    answer = b""
    # One byte at a time: what follows belongs to whoever is behind the proxy.
    while not answer.endswith(b"\r\n\r\n"):
        answer += await _exactly(sock, 1)
        if len(answer) > LONGEST_ANSWER:
            raise ConnectionError("the proxy's answer has no end")
    status = re.match(rb"HTTP/1\.[01] ([0-9]{3})", answer)
    if status is None:
        raise ConnectionError("the proxy does not speak HTTP")
    if not status[1].startswith(b"2"):
        raise ConnectionRefusedError(f"the proxy answered with HTTP {status[1].decode()}")


async def _socks(sock: socket.socket, host: str, port: int, user: tuple[str, str]) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\x05\x02\x00\x02" if any(user) else b"\x05\x01\x00")
    version, method = await _exactly(sock, 2)
    if version != 5:
        raise ConnectionError("the proxy does not speak SOCKS 5")
    if method == 2 and any(user):
        name, password = (part.encode()[:255] for part in user)
        login = b"\x01%c%s%c%s" % (len(name), name, len(password), password)
        await loop.sock_sendall(sock, login)
        if (await _exactly(sock, 2))[1] != 0:
            raise ConnectionRefusedError("the proxy does not accept the login")
    elif method != 0:
        raise ConnectionRefusedError("the proxy wants a login")
    await loop.sock_sendall(sock, b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big"))
    _, reply, _, kind = await _exactly(sock, 4)
    if reply != 0:
        why = _REFUSALS[reply] if reply < len(_REFUSALS) else f"error {reply}"
        raise ConnectionRefusedError(f"the proxy does not connect: {why}")
    length = {1: 4, 4: 16}.get(kind)
    await _exactly(sock, (length or (await _exactly(sock, 1))[0]) + 2)


def _address(host: str) -> bytes:
    """Write a host as SOCKS has it: an address, or a name for the proxy to look up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna")
        return b"\x03%c%s" % (len(name), name)
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(sock, size - len(data))
        if not piece:
            raise ConnectionError("the proxy hung up")
        data += piece
    return data
