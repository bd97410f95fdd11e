"""Reach a host: look its name up without holding anybody up, try its addresses side by side.

The event loop looks names up in a small pool of threads, which everything else in the process
shares: a few names whose server does not answer fill it, and then nothing connects any more, and
the process cannot end. Here each name has at most one thread, which may hang alone.

The addresses are tried as RFC 8305 says ("Happy Eyeballs"): in turns of their families, each a
moment after the one before it, until the first of them answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any, NamedTuple


class Unusable(Exception):
    """Nothing can listen where a setting says; the message is for whoever has set it."""


@contextlib.contextmanager
def listening(variables: str, host: str, port: int) -> Iterator[None]:
    """Begin to listen inside the block; what prevents it is the mistake of these `variables`."""
    try:
        yield
    except OSError as error:
        # The event loop puts many words around what the system says.
        named = error.errno in errno.errorcode and not isinstance(error, socket.gaierror)
        why = os.strerror(error.errno or 0) if named else str(error.strerror or error)
        where = f"[{host}]" if ":" in host else host
        raise Unusable(f"{variables}: cannot listen on {where}:{port}: {why}") from error


STAGGER = 0.25
"""Seconds after which the next address is tried, too (RFC 8305, section 5)."""

LATE = 1.0
"""Seconds after which a name's former addresses do, while its server is asked again."""


class Address(NamedTuple):
    """Where a name leads."""

    family: int
    where: tuple[Any, ...]


_asking: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}
_known: dict[tuple[str, int], list[Address]] = {}


async def connect(host: str, port: int) -> socket.socket:
    """Connect to the first of a host's addresses that answers; raises OSError when none does."""
    waiting = await addresses(host, port)
    trying: set[asyncio.Task[socket.socket]] = set()
    failed: OSError | None = None
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.ensure_future(_try(waiting.pop(0))))
            done, trying = await asyncio.wait(
                trying,
                timeout=STAGGER if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                try:
                    return task.result()
                except OSError as error:
                    failed = failed or error
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_close)
    raise failed or OSError(f"{host} has no address")


async def addresses(host: str, port: int) -> list[Address]:
    """List a host's addresses in the order in which to try them; raises OSError for none."""
    try:
        return _in_turns(_look_up(host, port, socket.AI_NUMERICHOST))
    except OSError:
        pass  # a name
    name = host, port
    asking = _asking.get(name)
    if asking is None or asking.get_loop() is not asyncio.get_running_loop():
        asking = _asking[name] = _ask(name)
    known = _known.get(name)
    try:
        async with asyncio.timeout(LATE if known else None):
            found = await asyncio.shield(asking)
    except OSError:  # TimeoutError is one
        if not known:
            raise
        found = known
    return list(found)


def _ask(name: tuple[str, int]) -> asyncio.Future[list[Address]]:
    """Have a thread look a name up."""
    loop = asyncio.get_running_loop()
    asking: asyncio.Future[list[Address]] = loop.create_future()

    def answer(found: list[Address], error: OSError | None) -> None:
        if _asking.get(name) is asking:
            del _asking[name]
        if error is None:
            _known[name] = found
            asking.set_result(found)
        else:
            asking.set_exception(error)
            asking.exception()  # seen, also if nobody waits any longer

    def ask() -> None:
        found: list[Address] = []
        failure = None
        try:
            found = _in_turns(_look_up(*name))
        except OSError as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(answer, found, failure)

    threading.Thread(target=ask, name=f"looks up {name[0]}", daemon=True).start()
    return asking


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (ValueError, OverflowError) as error:
        raise OSError(f"{host!r} with port {port} cannot be: {error}") from error
    return [Address(family, where) for family, _, _, _, where in found]


def _in_turns(found: list[Address]) -> list[Address]:
    """Let the families take turns, the first one's first."""
    families = dict.fromkeys(address.family for address in found)
    rows = ([address for address in found if address.family == family] for family in families)
    return [address for address in chain.from_iterable(zip_longest(*rows)) if address]


async def _try(address: Address) -> socket.socket:
    """Connect to one address. The loop's own way would look it up again."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address.where)
        if code == errno.EINPROGRESS:
            writable: asyncio.Future[None] = loop.create_future()
            loop.add_writer(sock, _set, writable)
            try:
                await writable
            finally:
                loop.remove_writer(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, f"{os.strerror(code)}: {address.where[0]} port {address.where[1]}")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Close what was not cancelled in time."""
    if not task.cancelled() and not task.exception():
        task.result().close()
