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
local first = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])) + 1
redis.call('SET', KEYS[1], string.format('%.0f', first + ARGV[2] - 1))
return first
""")
"""Take as many numbers as are asked for; a counter that Redis has lost must not give those of
clients that are still here."""


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
        self._waiting: list[asyncio.Future[int]] = []

    @property
    def highest(self) -> int:
        """The highest number that is known to be given."""
        return max(self._own, self._others())

    async def admit(self, token: str) -> tuple[str, bool]:
        """Name a client; tells whether it proved by its token to be one that was here before.

        Raises what the Redis client raises.
        """
        if self._stale:
            async with self._turn:
                await self._load()
        name, _, proof = token.partition(".")
        if re.fullmatch(r"Client_[0-9]{1,15}", name) and hmac.compare_digest(
            proof.encode(), self._prove(name).encode()
        ):
            self._own = max(self._own, int(name.removeprefix("Client_")))
            return name, True
        return f"Client_{await self._number()}", False

    async def _number(self) -> int:
        """Take a number; all who wait at the same time are given theirs together, in their order.

        One by one, a crowd would wait for as many answers of Redis as it has heads.
        """
        number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(number)
        try:
            async with self._turn:
                if not number.done():
                    await self._give()
            return await number
        finally:
            if not number.cancel():
                number.exception()  # who has gone meanwhile does not ask for it

    async def _give(self) -> None:
        """Take numbers for all who wait, or tell them why there are none."""
        waiting = [number for number in self._waiting if not number.done()]
        self._waiting.clear()
        try:
            self._expect_redis()
            args = [self.highest, len(waiting)]
            first = int(await self._link.send(*_NEXT(keys=[self._counter], args=args)))
        except Exception as error:
            for number in waiting:
                if not number.done():
                    number.set_exception(error)
            return
        self._own = max(self._own, first + len(waiting) - 1)
        for at, number in enumerate(waiting, first):
            if not number.done():
                number.set_result(at)

    async def _load(self) -> None:
        """Read the secret that all replicas share, or share ours, unless another just did."""
        if not self._stale:
            return
        self._expect_redis()
        ours = self._secret or clock.token(32)
        await self._link.send("SET", self._secret_key, ours, "NX")
        self._secret = await self._link.send("GET", self._secret_key)
        self._stale = False

    def _expect_redis(self) -> None:
        """Raise at once where a crowd would find out one by one that Redis is away."""
        if not self._link.up:
            raise ConnectionError("Redis is away, as whoever was first has found out")

    def token(self, name: str) -> str:
        """Make the token of a client that has been admitted."""
        return f"{name}.{self._prove(name)}"

    def _prove(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:32]

    def forget(self) -> None:
        """Give Redis the secret back, for it has lost its data; unless another was quicker."""
        self._stale = True
