"""A crowd of raw WebSocket clients, as cheap as can be: counts what comes, times some of it.

    python -m tests.bench.chat_crowd kind port clients rate seconds

Waits for a line on standard input between connecting and talking; prints a JSON object each time.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from typing import cast

import uvloop

OBSERVERS = 50
"""Clients that look into the messages, for the delays."""

PATHS = {"chat": "/", "bare": "/", "python-socketio": "/socket.io/?EIO=4&transport=websocket",
         "socket.io": "/socket.io/?EIO=4&transport=websocket"}  # fmt: skip

MARK = b"@"


def masked(payload: bytes, opcode: int = 0x81) -> bytes:
    """Make a client's frame; a mask of zeros is one."""
    if len(payload) < 126:
        return bytes((opcode, 0x80 | len(payload))) + bytes(4) + payload
    return bytes((opcode, 0xFE)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


class Client(asyncio.Protocol):
    """One client."""

    def __init__(self, kind: str, observes: bool) -> None:
        self.kind = kind
        self.ready = asyncio.get_running_loop().create_future()
        self.received = 0
        self.delays: list[float] | None = [] if observes else None
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        transport = self.transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {PATHS[self.kind]} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._open = True
            data = rest
            if self.kind == "bare":
                self.greet()
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            stop = start + length
            if stop > end:
                break
            mark = data.find(MARK, start, stop)
            if mark >= 0:
                self.received += 1
                if self.delays is not None:
                    sent = int(data[mark + 1 : data.index(MARK, mark + 1)])
                    self.delays.append((time.monotonic_ns() - sent) / 1e6)
            else:
                self.control(data[at], data[start:stop])
            at = stop
        self._buffer = data[at:]

    def control(self, opcode: int, payload: bytes) -> None:
        """Take in what is no message."""
        if opcode == 0x89:
            self.transport.write(masked(payload, 0x8A))
        elif self.kind == "chat":
            if payload.startswith(b'{"type":"history"'):
                self.greet()
        elif payload.startswith(b"0"):
            self.transport.write(masked(b"40"))
        elif payload.startswith(b"40"):
            self.greet()
        elif payload == b"2":
            self.transport.write(masked(b"3"))

    def greet(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def say(self, size: int) -> None:
        """Send a message of so many bytes that tells when it was sent."""
        text = f"@{time.monotonic_ns()}@".encode().ljust(size, b"x")
        if "socket" in self.kind:
            text = b'42["message","%s"]' % text
        self.transport.write(masked(text))


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def crowd(kind: str, port: int, number: int, rate: float, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for at in range(number):
        _, client = await loop.create_connection(
            lambda at=at: Client(kind, at % max(1, number // OBSERVERS) == 0),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        clients.append(client)
        await asyncio.wait_for(client.ready, 30)
    print(json.dumps({"connected": len(clients)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for client in clients:
        client.received = 0
        if client.delays is not None:
            client.delays.clear()
    start = loop.time()
    messages = int(rate * seconds)
    for message in range(messages):
        await asyncio.sleep(start + message / rate - loop.time())
        clients[message * 7 % number].say(110)
    deadline = loop.time() + 10
    while sum(client.received for client in clients) < messages * number:
        if loop.time() > deadline:
            break
        await asyncio.sleep(0.05)
    took = loop.time() - start
    delays = [delay for client in clients for delay in client.delays or ()]
    received = sum(client.received for client in clients)
    print(
        json.dumps(
            {
                "expected": messages * number,
                "received": received,
                "seconds": took,
                "median": quantile(delays, 0.5),
                "p99": quantile(delays, 0.99),
            }
        ),
        flush=True,
    )
    await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    kind, port, number, rate, seconds = sys.argv[1:]
    uvloop.run(crowd(kind, int(port), int(number), float(rate), float(seconds)))
