"""What an earlier version left in Redis, taken over.

It knew one feed in each lane, named entries of the output `<epoch>-<last id>`, and kept in `order`
what stands in `next` and `status` now.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from importlib import resources
from typing import Any

from chassis.redis import Link, Script, checked
from relay import keys, ordered, prints, raw, standing
from relay.entry import START, position

from .commit import pack_origin, unpack_origin
from .reorder.outputs import Origin, Place

_UPGRADE = Script(resources.files(__package__).joinpath("upgrade.lua").read_text())

_UNTOLD = "*"
"""What was written for the lines where no entry had told about any."""


async def upgrade(link: Link, lane: str, fields: Mapping[bytes, bytes]) -> None:
    """Write what was left in `order`, its `fields`, as we do; harmless to repeat."""
    epoch, following = int(fields.get(keys.ORDER_EPOCH, b"1")), fields.get(keys.ORDER_NEXT, b"")
    begun = fields.get(keys.ORDER_BEGUN, b"")
    if keys.ORDER_FIRST in fields:
        first, origin = int(fields[keys.ORDER_FIRST] or b"0"), unpack_origin(begun)
    else:
        first, origin = await _former_origin(link, lane, begun)
    stand = standing.pack(epoch, int(following) if following else None, 0)
    lines = fields.get(keys.ORDER_LINES, b"").decode().split()
    values: dict[bytes, Any] = {
        keys.ORDER_FLOOR: 1 + max(epoch, await newest(link, lane)),
        keys.ORDER_SERIAL: 0,
        keys.ORDER_FIRST: first if following else b"",
        keys.ORDER_BEGUN: pack_origin(origin),
        keys.ORDER_LINES: " ".join(line for line in lines if line != _UNTOLD),
    }
    words = [word for pair in values.items() for word in pair]
    await link.send(*_UPGRADE(keys=[keys.order(lane), keys.next(lane)], args=[lane, stand, *words]))


async def newest(link: Link, lane: str) -> int:
    """Tell the highest epoch that the ends of the output and of its fingerprints know."""
    [entries, stretches] = checked(
        await link.send_all(
            [
                ("XREVRANGE", stream, "+", "-", "COUNT", 1)
                for stream in (keys.ordered(lane), keys.prints(lane, lane))
            ]
        )
    )
    epochs = [ordered.span(entry, values).epoch for entry, values in entries]
    epochs += [max(prints.unpack(values).epoch, position(id)[0]) for id, values in stretches]
    return max(epochs, default=0)


async def _former_origin(link: Link, lane: str, begun: bytes) -> tuple[int, Origin | None]:
    """Read where an epoch begins: its first id, and its origin.

    `<entry> <digest> <first id>`: from that frame of that entry on, all was the epoch's.
    """
    if not begun:
        return 0, None
    entry, digest, first, *_ = *begun.split(b" "), b"0", b"0"
    found = await link.send("XRANGE", keys.raw(lane), entry, entry)
    frames = raw.unpack(*found[0]).frames if found else []
    at = next((at for at, frame in enumerate(frames) if _digest(frame) == digest), 0)
    return int(first), Origin(Place(entry, at - 1)) if entry != START else None


def _digest(frame: bytes) -> bytes:
    return blake2b(frame, digest_size=8).hexdigest().encode()
