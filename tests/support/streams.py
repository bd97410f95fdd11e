"""What the services write to Redis, read (and written) as the documented contract has it.

This is a second reading of the contract and shares no code with the services: field by field
from raw replies, so that a field that is repeated, missing or out of place shows.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Client: TypeAlias = Any
"""redis-py's own type says of nearly every reply that it may be an awaitable."""

Entry: TypeAlias = "tuple[bytes, list[bytes]]"

DEFAULT = "default"


def connect(url: str) -> Client:
    """Make a client whose replies of XRANGE are raw lists, every field as it was written."""
    client = redis.Redis.from_url(url, protocol=2, socket_timeout=10, retry=Retry(NoBackoff(), 0))
    client.set_response_callback("XRANGE", lambda reply, **_: reply)
    return client


def entries(client: Client, key: str, after: bytes = b"-") -> list[Entry]:
    """Read a whole stream, or what comes after the entry `after`."""
    start = after if after == b"-" else b"(" + after
    return [(entry, values) for entry, values in client.xrange(key, start, "+")]


# Frames -------------------------------------------------------------------------------------


def frame(seq: int) -> bytes:
    """Make the frame of the id `seq`, with a text that belongs to it."""
    return b'{"id":%d,"text":%d}' % (seq, seq * seq % 1000003)


def frames(ids: Iterable[int]) -> list[bytes]:
    """Make the frames of `ids`."""
    return [frame(seq) for seq in ids]


def ids(messages: Iterable[bytes]) -> list[int]:
    """Read the ids out of frames."""
    return [json.loads(message)["id"] for message in messages]


# raw:{feed} ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """An entry of `raw`: frames, or a change of the connection."""

    entry: bytes
    time: int
    line: str
    connection: str
    listened: int
    """Milliseconds."""
    event: str
    frames: list[bytes]


def raw(client: Client, feed: str = DEFAULT, *, beats: bool = False) -> list[Batch]:
    """Read `raw`, `alive` entries only if asked for; fails where an entry is not as promised.

    Of a lane that feeds share, only this feed's parts are listed.
    """
    lane = (client.hget("feeds", feed) or feed.encode()).decode()
    found = []
    for entry, values in entries(client, f"raw:{{{lane}}}"):
        for part in parts(values) if lane.startswith("+") else [values]:
            if lane.startswith("+"):
                assert part[0] == b"feed", part[0]
                whose, part = part[1].decode(), part[2:]
                if whose != feed:
                    continue
            batch = _batch(entry, part)
            if batch.event != "alive" or beats:
                found.append(batch)
    return found


def parts(values: list[bytes]) -> list[list[bytes]]:
    """Cut an entry of a lane that feeds share into its parts; each begins with `feed`."""
    found: list[list[bytes]] = []
    for at in range(0, len(values), 2):
        if values[at] == b"feed":
            found.append([])
        found[-1] += values[at : at + 2]
    return found


def _batch(entry: bytes, values: list[bytes]) -> Batch:
    names = values[0::2]
    assert names[:4] == [b"t", b"line", b"conn", b"up"], names[:4]
    event, received = "", values[9::2]
    if names[4:] == [b"event"]:
        event, received = values[9].decode(), []
    else:
        assert names[4:] == [b"%d" % at for at in range(len(received))], names
    line, connection = values[3].decode(), values[5].decode()
    return Batch(entry, int(values[1]), line, connection, int(values[7]), event, received)


def raw_frames(client: Client, feed: str = DEFAULT) -> list[bytes]:
    """Read the frames in `raw`, in order of receipt."""
    return [received for batch in raw(client, feed) for received in batch.frames]


def write_raw(
    client: Client, messages: Sequence[bytes], *, feed: str = DEFAULT, line: str = "test"
) -> bytes:
    """Write a batch as an ingestor does; returns its entry id."""
    numbered = {str(at): message for at, message in enumerate(messages)}
    return append(client, feed, line, numbered)


def write_event(client: Client, event: str, *, feed: str = DEFAULT, line: str = "test") -> bytes:
    """Write that a line was `connected` or `disconnected`."""
    return append(client, feed, line, {"event": event})


def append(
    client: Client, feed: str, line: str, values: dict[str, Any], connection: str = "c0ffee"
) -> bytes:
    """Write an entry of a connection that has been listened to ever since this module was read."""
    now = time.time_ns() // 1000
    client.hset("feeds", feed, feed)
    up = int((time.monotonic() - _BEGAN) * 1000)
    entry: bytes = client.xadd(
        f"raw:{{{feed}}}", {"t": now, "line": line, "conn": connection, "up": up, **values}
    )
    return entry


_BEGAN = time.monotonic()


class Heartbeat:
    """Says `alive` ten times a second, as a living line does, within a `with` block."""

    def __init__(
        self, url: str, *, feed: str = DEFAULT, line: str = "test", connection: str = "c0ffee"
    ) -> None:
        self._client = connect(url)
        self._where = feed, line, connection
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        feed, line, connection = self._where
        while not self._stop.wait(0.1):
            with contextlib.suppress(redis.RedisError):
                append(self._client, feed, line, {"event": "alive"}, connection)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._client.close()


# ordered:{feed} -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """An entry of `ordered`: frames of consecutive ids."""

    entry: bytes
    epoch: int
    first: int
    frames: list[bytes]

    @property
    def last(self) -> int:
        """The last id."""
        return self.first + len(self.frames) - 1


def ordered(client: Client, feed: str = DEFAULT) -> list[Run]:
    """Read `ordered`; fails where a run is not laid out as promised."""
    found = []
    for entry, values in entries(client, f"ordered:{{{feed}}}"):
        names = values[0::2]
        assert names[0] == b"t", names[0]
        assert int(values[1].split(b" ")[0]) > 1_500_000_000_000_000, values[1]
        epoch, last = map(int, entry.split(b"-"))
        if names[1] == b"seq":
            epoch, serial = map(int, values[3].split(b":"))
            assert serial == last, (entry, values[3])
            del names[1], values[2:4]
            last = int(names[-1])
        first = int(names[1])
        assert names[1:] == [b"%d" % seq for seq in range(first, last + 1)], (entry, names)
        found.append(Run(entry, epoch, first, values[3::2]))
    return found


def ordered_frames(client: Client, feed: str = DEFAULT) -> list[bytes]:
    """Read the frames in `ordered`."""
    return [message for run in ordered(client, feed) for message in run.frames]


def ordered_ids(client: Client, feed: str = DEFAULT) -> list[int]:
    """Read the ids in `ordered`."""
    return [seq for run in ordered(client, feed) for seq in range(run.first, run.last + 1)]


def write_run(
    client: Client, messages: Sequence[bytes], *, epoch: int = 1, feed: str = DEFAULT,
    serial: int | None = None,
) -> bytes:  # fmt: skip
    """Write a run as an orderer does; returns its entry id.

    `serial` is that of its last message, by default the next.
    """
    seqs = ids(messages)
    order, stream = f"order:{{{feed}}}", f"ordered:{{{feed}}}"
    client.hsetnx(order, "incarnation", "0123456789abcdef")
    client.hsetnx(order, "floor", 1)
    client.hset("feeds", feed, feed)
    serial = serial or client.hincrby(order, "serial", len(messages))
    client.hset(f"next:{{{feed}}}", feed, f"{epoch}:{seqs[-1] + 1}:{serial}")
    numbered = {str(seq): message for seq, message in zip(seqs, messages, strict=True)}
    head = {"t": time.time_ns() // 1000, "seq": f"{epoch}:{serial}"}
    entry: bytes = client.xadd(stream, {**head, **numbered}, id=f"1-{serial}")
    return entry


# The rest -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gap:
    """An entry of the gap ledger: ids `first` … `last` were given up."""

    epoch: int
    first: int
    last: int
    opened: int
    closed: int
    cause: str
    late: int
    key: str = ""


def gaps(client: Client, feed: str = DEFAULT) -> list[Gap]:
    """Read the gap ledger, by epoch and ids."""
    found = []
    for _, values in entries(client, f"gaps:{{{feed}}}"):
        fields = _fields(values)
        cause, key = fields.pop("cause").decode(), fields.pop("key", b"").decode()
        numbers = {name: int(value) for name, value in fields.items()}
        found.append(Gap(cause=cause, key=key, **numbers))
    return sorted(found, key=lambda gap: (gap.epoch, gap.first))


def given_up(client: Client, feed: str = DEFAULT) -> list[int]:
    """List the ids that the gap ledger names, by epoch and ids."""
    return [seq for gap in gaps(client, feed) for seq in range(gap.first, gap.last + 1)]


def holes(numbers: Iterable[int], first: int | None = None) -> list[int]:
    """List what is missing from `first`, or the lowest of `numbers`, to the highest."""
    present = set(numbers)
    lowest = min(present) if first is None else first
    return [seq for seq in range(lowest, max(present) + 1) if seq not in present]


@dataclass(frozen=True)
class Reject:
    """An entry of the stream of rejected frames."""

    reason: str
    line: str
    size: int
    frame: bytes


def rejected(client: Client, feed: str = DEFAULT) -> list[Reject]:
    """Read the stream of rejected frames."""
    found = []
    for _, values in entries(client, f"rejected:{{{feed}}}"):
        fields = _fields(values)
        found.append(
            Reject(
                fields["reason"].decode(),
                fields["line"].decode(),
                int(fields["size"]),
                fields["frame"],
            )
        )
    return found


def order(client: Client, feed: str = DEFAULT) -> dict[str, str]:
    """Read the orderer's checkpoint."""
    fields = client.hgetall(f"order:{{{feed}}}")
    found = {name.decode(): value.decode() for name, value in fields.items()}
    stand = client.hget(f"next:{{{feed}}}", feed)
    if stand is not None:
        found["epoch"], found["next"], _ = stand.decode().split(":")
    return found


def sinks(client: Client, feed: str = DEFAULT) -> dict[str, str]:
    """Read the confirmed positions of a feed's sinks, by the sink's name."""
    prefix = f"sink:{{{feed}}}:"
    return {
        key.decode().removeprefix(prefix): (client.hget(key, "position") or b"").decode()
        for key in sorted(client.keys(prefix + "*"))
    }


def _fields(values: list[bytes]) -> dict[str, bytes]:
    names = [name.decode() for name in values[0::2]]
    assert len(set(names)) == len(names), names
    return dict(zip(names, values[1::2], strict=True))
