"""Who a client is: a number over all replicas, and a token to prove it by when it comes back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable

from chassis import clock
from chassis.redis import Link, Script

from . import keys

_NEXT = Script("""
local number = redis.call('INCR', KEYS[1])
if number <= tonumber(ARGV[1]) then
  number = tonumber(ARGV[1]) + 1
  redis.call('SET', KEYS[1], string.format('%.0f', number))
end
return number
""")
# A counter that Redis has lost must not give the numbers of clients that are still here.


class Clients:
    """Names clients `Client_1`, `Client_2`, …, and knows them again by their token."""

    def __init__(self, link: Link, room: str, highest: Callable[[], int]) -> None:
        """`highest` tells the highest number that other replicas have given, as far as known."""
        self._link = link
        self._counter = keys.clients(room)
        self._secret_key = keys.secret(room)
        self._others = highest
        self._own = 0
        self._secret = b""
        self._stale = True
        self._turn = asyncio.Lock()

    @property
    def highest(self) -> int:
        """The highest number that is known to be given."""
        return max(self._own, self._others())

    async def admit(self, token: str) -> tuple[str, bool]:
        """Name a client; tells whether it proved by its token to be one that was here before.

        Raises what the Redis client raises.
        """
        async with self._turn:  # whoever comes first gets the lower number
            if not self._link.up:
                raise ConnectionError("Redis is away, as whoever was first has found out")
            return await self._admit(token)

    async def _admit(self, token: str) -> tuple[str, bool]:
        if self._stale:
            self._secret = await self._load()
            self._stale = False
        name, _, proof = token.partition(".")
        if re.fullmatch(r"Client_[0-9]{1,15}", name) and hmac.compare_digest(
            proof.encode(), self._prove(name).encode()
        ):
            self._own = max(self._own, int(name.removeprefix("Client_")))
            return name, True
        number = int(await self._link.send(*_NEXT(keys=[self._counter], args=[self.highest])))
        self._own = max(self._own, number)
        return f"Client_{number}", False

    async def _load(self) -> bytes:
        ours = self._secret or clock.token(32)
        await self._link.send("SET", self._secret_key, ours, "NX")
        secret: bytes = await self._link.send("GET", self._secret_key)
        return secret

    def token(self, name: str) -> str:
        """Make the token of a client that has been admitted."""
        return f"{name}.{self._prove(name)}"

    def _prove(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:32]

    def forget(self) -> None:
        """Give Redis the secret back, for it has lost its data; unless another was quicker."""
        self._stale = True
