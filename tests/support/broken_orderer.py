"""An orderer with one promise broken on purpose: the checks of these tests must find it out.

    BROKEN=checkpoint-first python -m tests.support.broken_orderer

checkpoint-first  saves the checkpoint in a step of its own before it appends, and dies in
                  between at the commit number BROKEN_AT
eager             releases every frame as it comes, without waiting for those before it
forgetful         forgets its checkpoint at every start, and publishes what is left in `raw` again
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from itertools import count
from typing import Any

from chassis import lifecycle
from chassis.redis import Command, Link, Script
from orderer import commit
from orderer.feed import State
from orderer.reorder.outputs import Batch, Run
from orderer.reorder.reorder import Reorder
from orderer.service import serve
from orderer.settings import Settings
from orderer.store import Store
from relay import keys, ordered
from relay.messages import LARGEST

RUNS = 15
"""Which argument of the script is the number of runs."""

BEGIN = f"local at = {RUNS}"
SAVE = "redis.call('HSET', KEYS[2]"
END = "return reply"


def save_the_checkpoint_first(dies_at: int) -> None:
    """Break promise 3: a death at the wrong instant loses what was about to be appended.

    What `commit.lua` does in one step is done in two, one after the other.
    """
    checks, rest = commit.COMMIT_LUA.split(BEGIN)
    append, save = rest.split(SAVE)
    assert END in save
    saving = Script(checks + SAVE + save.replace(END, "return {'done'}"))
    appending = Script(BEGIN + append + END)
    whole = Script(commit.COMMIT_LUA)(keys=(), args=())[1]
    appends = count(1)
    send_all = Link.send_all

    async def in_two_steps(self: Link, commands: Sequence[Command]) -> list[Any]:
        replies = []
        for command in commands:
            if command[:2] != ("EVALSHA", whole):
                replies += await send_all(self, [command])
                continue
            names, arguments = command[3 : 3 + command[2]], command[3 + command[2] :]
            (verdict,) = await send_all(self, [saving(names, arguments)])
            if verdict == [b"done"]:
                if arguments[RUNS - 1] and next(appends) == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                (verdict,) = await send_all(self, [appending(names, arguments)])
            replies.append(verdict)
        return replies

    Link.send_all = in_two_steps  # type: ignore[method-assign] # that is the point


def release_at_once() -> None:
    """Break promise 1: frames go out in the order in which they come."""
    serial, entry_id = count(1), ordered.entry_id

    def take_in(
        self: Reorder, batch: Batch, ids: list[int], frames: Sequence[bytes],
        places: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        for seq, frame in zip(ids, frames, strict=True):
            self._out.append(Run(self.epoch, seq, [frame], [batch]))

    def numbered(epoch: int, last: int) -> str:
        # The stream itself would refuse ids that go back; an epoch's bounds stay what they are.
        return entry_id(epoch, last if last in (0, LARGEST) else next(serial))

    Reorder.take_in = take_in  # type: ignore[method-assign] # that is the point
    ordered.entry_id = numbered


def forget_the_checkpoint() -> None:
    """Break promise 2: what was published before a restart is published again."""
    load = Store.load

    async def broken(self: Store, feed: str, lease_key: str, fingerprints: int) -> State:
        order = keys.order(feed)
        if await self._link.send("EXISTS", order):
            epoch = int(await self._link.send("HGET", order, "epoch")) + 1
            await self._link.send(
                "HSET", order, "epoch", epoch, "next", "", "raw", "0-0", "seen", "0-0"
            )
        return await load(self, feed, lease_key, fingerprints)

    Store.load = broken  # type: ignore[method-assign] # that is the point


if __name__ == "__main__":
    match os.environ["BROKEN"]:
        case "checkpoint-first":
            save_the_checkpoint_first(int(os.environ.get("BROKEN_AT", "0")))
        case "eager":
            release_at_once()
        case "forgetful":
            forget_the_checkpoint()
        case other:
            raise SystemExit(f"there is no such breakage: {other}")
    lifecycle.run("orderer", Settings, serve)
