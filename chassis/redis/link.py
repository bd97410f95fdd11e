"""A process's link to Redis: the one door to it, and patience with a server that is away.

All commands share one connection, on which they are sent as they come. A read that waits for
something new would hold up the others, so it has a connection for itself meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha1
from typing import Any, Protocol, TypeAlias, TypeVar

from redis.exceptions import NoScriptError

from chassis import clock
from chassis.backoff import Backoff
from chassis.logs import Log
from chassis.metrics import Counter, Gauge

from .address import Command, address
from .errors import Unavailable, transient
from .subscriber import Subscriber
from .wire import Wire

T = TypeVar("T")

DRAIN = 5.0
"""Seconds that a stopping service waits for a Redis that is away."""

MOST_TIMEOUT = 1.5
"""Seconds that one command may take at most; a stopping service has no more to spare."""

REFUSED = 2.0
"""Seconds after a refused write for which answers to other commands prove nothing."""

SCAN = 1000
"""Keys that one step of a scan passes over."""

BLOCK_MS = 1000
"""Milliseconds that a blocking read waits for something new."""

UP = Gauge("redis_up", "1 while Redis answers this process, else 0")
FAILURES = Counter("redis_failures", "Redis commands that failed and were tried again", ["reason"])
for _reason in ("connection", "timeout", "memory", "refused", "forbidden"):
    FAILURES.labels(_reason)


Entry: TypeAlias = "tuple[bytes, list[bytes]]"
"""A stream's entry: its id, and its fields as a flat list (field, value, field, value, …)."""


class Script:
    """A Lua script; calling it makes the command that runs it."""

    def __init__(self, source: str) -> None:
        self.sha = sha1(source.encode()).hexdigest()
        _SOURCES[self.sha] = source

    def __call__(self, keys: Sequence[Any] = (), args: Sequence[Any] = ()) -> Command:
        """Make the command that runs it on `keys` with `args`."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


_SOURCES: dict[str, str] = {}


def pairs(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn a flat reply (field, value, …), as HGETALL gives it, into a dict."""
    return dict(zip(reply[0::2], reply[1::2], strict=True))


def checked(replies: list[Any]) -> list[Any]:
    """Raise the first error that stands among the replies of `send_all`; return them if none."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


class Connection(Protocol):
    """What the link needs of a connection; see `Wire`."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their replies, with errors among them."""

    async def close(self) -> None:
        """End it."""


class Link:
    """One process's link to Redis.

    Replies are as Redis sends them: bytes, integers, None, and lists of these; what is a map is
    a flat list, see `pairs`. Errors are redis-py's; `transient` tells which may pass by itself.
    """

    def __init__(
        self,
        url: str,
        log: Log,
        *,
        timeout: float,
        stop: asyncio.Event,
        make: Callable[[float], Connection] | None = None,
    ) -> None:
        """Prepare; nothing connects yet.

        `timeout` is seconds for one command, `MOST_TIMEOUT` at most; patience ends `DRAIN`
        seconds after `stop`. `make(timeout)` makes what is used in place of connections.
        """
        self._timeout = min(timeout, MOST_TIMEOUT)
        self._log = log
        self._stop = stop
        self._stopped: float | None = None
        self._address = address(url)
        self._make = make or (lambda timeout: Wire(self._address, timeout))
        self._commands = self._make(self._timeout)
        self._idle: list[Connection] = []
        """Connections on which a read may wait."""
        self._down_since: float | None = None
        self._refused_at = -REFUSED
        self.answered = False
        """Whether Redis has ever answered."""
        UP.set(0)

    def channel(self, name: str) -> str:
        """Name a channel of this database: what is published is heard in all of them."""
        return f"{name}@{self._address.database}" if self._address.database else name

    @property
    def up(self) -> bool:
        """Whether the last command was answered."""
        return self.answered and self._down_since is None

    async def send(self, *command: Any) -> Any:
        """Send a command and return its reply; raises what the server or the connection says."""
        (reply,) = await self._commands.exchange((command,))
        if isinstance(reply, NoScriptError):
            (reply,) = await self._with_scripts([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; an error of one stands in the place of its reply.

        They are done in their order, but for scripts that the server does not know yet. Raises
        when the connection fails.
        """
        if not commands:
            return []
        replies = await self._commands.exchange(commands)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._with_scripts([commands[at] for at in unknown])
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        return replies

    async def _with_scripts(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands whose scripts the server has lost, together with the scripts."""
        loads = [("SCRIPT", "LOAD", _SOURCES[sha]) for sha in {command[1] for command in commands}]
        replies = await self._commands.exchange([*loads, *commands])
        return replies[len(loads) :]

    async def scan(self, pattern: str) -> set[bytes]:
        """List the keys that a pattern fits: it passes over all there are, and locks nobody out."""
        cursor, found = b"0", set[bytes]()
        while True:
            cursor, names = await self.send("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN)
            found.update(names)
            if cursor == b"0":
                return found

    async def read(
        self, cursors: Mapping[str, bytes], *, count: int, block: bool = True
    ) -> dict[str, list[Entry]]:
        """Read streams from behind their cursors on, `count` entries of each at most.

        With `block`, wait `BLOCK_MS` for something new. Streams without any are left out.
        """
        waiting = ("BLOCK", BLOCK_MS) if block else ()
        command = ("XREAD", "COUNT", count, *waiting, "STREAMS", *cursors, *cursors.values())
        reply = await self._wait(command) if block else await self.send(*command)
        return {stream.decode(): entries for stream, entries in reply or ()}

    async def _wait(self, command: Command) -> Any:
        """Send a command that may wait for long, on a connection that nobody else uses."""
        idle = self._idle
        connection = idle.pop() if idle else self._make(self._timeout + BLOCK_MS / 1000)
        try:
            (reply,) = await connection.exchange((command,))
        except BaseException:
            await connection.close()  # or the reply would come to the next who reads
            raise
        idle.append(connection)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def listen(self) -> Subscriber:
        """Make a connection that hears what is published; it must be closed."""
        return Subscriber(self._address, self._timeout)

    async def attempt(self, operation: Callable[[], Awaitable[object]]) -> bool:
        """Await `operation()` and tell whether Redis did it; what may pass by itself is noted."""
        try:
            await operation()
        except Exception as error:
            self.note(error)
            return False
        return True

    def note(self, error: Exception) -> None:
        """Note a failure that may pass by itself; raises any other."""
        reason = transient(error)
        if reason is None:
            raise error
        self.failed(error, reason)

    async def patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Await `operation()` until Redis accepts it, and return its result.

        It may run more than once although an earlier try took effect, so it must be harmless
        to repeat. Raises what no repetition can mend, and Unavailable when the service is to
        stop and Redis is still away.
        """
        backoff = Backoff(0.05, 1.0)
        tried = False
        while True:
            try:
                result = await operation()
            except Exception as error:
                reason = transient(error)
                if reason is None:
                    raise
                self.failed(error, reason)
                tried = True
                if self._stop.is_set():
                    self._stopped = self._stopped or clock.monotonic()
                    if clock.monotonic() - self._stopped > DRAIN:
                        raise Unavailable(str(error)) from error
                await asyncio.sleep(backoff.delay())
            else:
                self.succeeded(again=tried)
                return result

    def failed(self, error: BaseException, reason: str) -> None:
        """Note a failure; only the first of an outage is logged."""
        FAILURES.labels(reason).inc()
        if reason in ("memory", "refused", "forbidden"):
            self._refused_at = clock.monotonic()
        if self._down_since is None:
            self._down_since = clock.monotonic()
            UP.set(0)
            self._log.warning("waiting for Redis", reason=reason, error=str(error))

    def succeeded(self, again: bool = False) -> None:
        """Note an answer, which ends an outage.

        A server that is full still reads and renews. So where it has just refused a write, only
        a command that had failed itself ends the outage (`again`), or some time without refusals.
        """
        if self._down_since is not None:
            if not again and clock.monotonic() - self._refused_at < REFUSED:
                return
            seconds = round(clock.monotonic() - self._down_since, 3)
            self._down_since = None
            self._log.info("Redis answers again", seconds=seconds)
        self.answered = True
        UP.set(1)

    async def close(self) -> None:
        """Close all connections."""
        for connection in (self._commands, *self._idle):
            await connection.close()
