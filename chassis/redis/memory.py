"""How much memory the server may use, so that everybody can keep to a share of it."""

from __future__ import annotations

from typing import NamedTuple

from .link import Link


class Memory(NamedTuple):
    """The server's memory, in bytes."""

    limit: int
    """What it may use."""
    used: int
    """What counts towards that."""
    limited: bool
    """Whether the limit was set; if not, it is half of what the machine has."""
    evicts: bool
    """Whether it throws away what was written when it is full."""


async def memory(link: Link) -> Memory:
    """Ask for the server's memory; raises what the link raises."""
    reply: bytes = await link.send("INFO", "memory")
    found = dict(line.split(b":", 1) for line in reply.split(b"\r\n") if b":" in line)
    # Buffers of replicas and of the log do not count, as in the server's own check.
    used = int(found[b"used_memory"]) - int(found.get(b"mem_not_counted_for_evict", 0))
    limit = int(found[b"maxmemory"])
    evicts = found.get(b"maxmemory_policy", b"noeviction") != b"noeviction"
    machine = int(found.get(b"total_system_memory", 2**32))
    return Memory(limit or machine // 2, used, limit > 0, evicts and limit > 0)
