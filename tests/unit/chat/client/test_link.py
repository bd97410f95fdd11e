"""The terminal client against a server that says anything."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from typing import Any

import pytest

from chassis.websocket import BatchingServer
from chat.client import text
from chat.client.link import Link
from chat.client.room import ASKED_CAP, Room, asked
from tests.support.peers import peer
from tests.support.waiting import eventually

CONTROLS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"

WELCOME = {"type": "welcome", "client_id": "Client_1", "message": "hi", "epoch": 1, "seq": 0}
HISTORY = {"type": "history", "records": []}


def said(**odd: object) -> dict[str, object]:
    """Make a message with something odd about it."""
    return {"type": "message", "sender": "client", "client_id": "C", "message": "m", **odd}


NONE: tuple[Any, ...] = (None, 7, [], {})

ODD: tuple[Any, ...] = (
    "[" * 200_000,
    *({"type": kind} for kind in NONE),
    {**WELCOME, "client_id": CONTROLS, "message": CONTROLS},
    {**WELCOME, "client_id": [], "epoch": {}, "seq": "x", "token": 7, "message": {}},
    {**WELCOME, "epoch": CONTROLS, "token": "\ud800" * 9},
    {"type": "history", "records": [1, None, "x", [], {}]},
    {"type": "history", "records": [said(seq={}), said(client_id={}), said(message={"a": []})]},
    {"type": "history", "records": 7},
    said(seq=10**400),
    said(time=CONTROLS, client_id=CONTROLS, message=CONTROLS),
    *(said(time=time) for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")),
    *({"type": "presence", "online": online} for online in (CONTROLS, -1, 1e999, *NONE)),
    *({"type": "who", "online": CONTROLS, "clients": who} for who in NONE),
    *({"type": "ack", "key": key} for key in NONE),
    {"type": "who", "online": 1, "clients": [CONTROLS, {}, 1]},
    {"type": "error", "code": CONTROLS, "message": CONTROLS},
    {"type": "error", "code": {}, "message": [], "key": {}, "temporary": [], "retry_after_ms": "1"},
    "\ud800",
    b"\xff\xfe",
    "7",
)


async def test_what_is_odd_harms_only_itself() -> None:
    """A server, or one record in it, could end the client or write to its user's terminal."""
    shown: list[str] = []

    async def handle(connection: BatchingServer) -> None:
        for frame in (WELCOME, HISTORY, *ODD, WELCOME, HISTORY, said(seq=5, message="still here")):
            data = frame if isinstance(frame, str | bytes) else json.dumps(frame)
            await connection.send(data.encode(errors="replace") if type(data) is str else data)
        await connection.wait_closed()

    async with peer(handle) as url:
        link = Link(url, lambda line: shown.append(text.plain(line)))
        running = asyncio.ensure_future(link.run())
        await eventually(lambda: running.done() or "C: still here" in "".join(shown), "the last")
        await link.close()
        await running
    assert link.stats.connections == 1
    told = link.room.client_id, link.room.online, *shown
    hidden = {c for line in map(str, told) for c in line if unicodedata.category(c) in ("Cc", "Cf")}
    assert hidden <= {"\n"}


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (1500, 1.5), (0, 0.0), (1e308, ASKED_CAP), (10**400, ASKED_CAP), (-5, None),
        *((odd, None) for odd in (True, "7", float("nan"), float("inf"), *NONE[::2])),
    ],
)  # fmt: skip
def test_the_server_cannot_ask_for_any_pause(wait: object, seconds: float | None) -> None:
    """A client would wait for ever, come back without a pause, or end."""
    assert asked({"retry_after_ms": wait}) == seconds


@pytest.mark.parametrize("odd", ["\ud800", "x" * 1000, "ü", {}, 1.5, None])
def test_what_cannot_stand_in_an_address_is_not_sent_back(odd: object) -> None:
    """A client could not come back, or would ask with an address that no server takes."""
    room = Room()
    room.connecting()
    room.welcome({**WELCOME, "token": odd, "epoch": odd})
    room.history([{"seq": 3}])
    assert room.query == "?epoch=&seq=3"


@pytest.mark.parametrize(
    "location",
    [
        "https://example.org/login",
        "ws://127.0.0.1:99999/",
        "ws://[::1/",
        "ws://a..b/",
        "ws://h\x9b/",
    ],
)
async def test_a_redirect_leads_nowhere_else(location: str) -> None:
    """A server could end the client, or have it talk to another in its user's network."""
    shown: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        writer.write(answer.encode("latin-1"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = Link(f"ws://127.0.0.1:{port}/", lambda line: shown.append(text.plain(line)))
        running = asyncio.ensure_future(link.run())
        await eventually(lambda: running.done() or len(shown) > 1, "it tries again")
        await link.close()
        await running
    assert not {letter for line in shown for letter in line if unicodedata.category(letter) == "Cc"}


async def test_a_redirect_to_another_server_is_not_followed() -> None:
    """A server could have what is written here delivered within its user's network."""
    shown: list[str] = []
    reached: list[bytes] = []

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(inside, "127.0.0.1", 0) as other:
        elsewhere = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/admin"

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            link = Link(f"ws://127.0.0.1:{port}/", lambda line: shown.append(text.plain(line)))
            running = asyncio.ensure_future(link.run())
            await eventually(lambda: "another server" in "".join(shown), "it is told")
            await link.close()
            await running
    assert reached == []
