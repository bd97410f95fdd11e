"""A look at what the feed sends, in the order in which it does: as one more who listens."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from chassis.tasks import until
from chassis.websocket import ConnectionClosed, InvalidHandshake, dial

from . import endpoints

LENGTH = 2000
"""Messages that are listened to."""

PAUSE = 0.01
"""Seconds between two looks at whether the feed has begun."""


async def listen(site: str, ids: list[int], stop: asyncio.Event) -> None:
    """Wait until the feed has begun, and append the ids of its next messages to `ids`.

    Not before: the feed begins with the first who listens, and the relay is to miss nothing.
    """
    while not (await endpoints.get_json(f"{site}/feed") or {}).get("written"):
        if await until(stop, PAUSE):
            return
    try:
        async with dial(f"ws{site.removeprefix('http')}/raw-messages") as connection:
            while len(ids) < LENGTH:
                found = map(_id, await connection.receive())
                ids += [id for id in found if id is not None]
    except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
        return


def _id(frame: bytes) -> int | None:
    try:
        message: Any = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    id = message.get("id") if isinstance(message, dict) else None
    return id if type(id) is int else None
