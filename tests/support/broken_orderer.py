"""An orderer with one promise broken on purpose: the checks of these tests must find it out.

    BROKEN=checkpoint-first python -m tests.support.broken_orderer

checkpoint-first  saves the checkpoint in a step of its own before it appends, and dies in
                  between at the commit number BROKEN_AT
eager             releases every frame as it comes, without waiting for those before it
reviving          takes in what a feed that was forgotten has left in `raw`
forgetful         forgets its checkpoint at every start, and publishes what is left in `raw` again
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from itertools import count
from typing import Any

from chassis import lifecycle
from chassis.redis import Command, Link, Script, pairs
from orderer import commit
from orderer.lane import LaneState
from orderer.reorder.outputs import Batch, Run
from orderer.reorder.reorder import Reorder
from orderer.service import serve
from orderer.settings import Settings
from orderer.store import Store
from relay import keys, prints, standing

PARSE, BEGIN = "local at = 8\n", "local runs = tonumber"
CHECK = "    if (stood or '') ~= ARGV[7 + 3 * i] then return {'moved'} end\n"
SAVE = "if moving > 0 then redis.call('HSET'"
END = "return reply"


def runs(arguments: Sequence[Any]) -> int:
    """Tell how many runs a call of the script appends."""
    changed = 8 + 3 * arguments[7]
    count: int = arguments[changed + 1 + arguments[changed]]
    return count


def save_the_checkpoint_first(dies_at: int) -> None:
    """Break promise 3: a death at the wrong instant loses what was about to be appended.

    What `commit.lua` does in one step is done in two, one after the other.
    """
    checks, rest = commit.COMMIT_LUA.split(BEGIN)
    append, save = rest.split(SAVE)
    assert END in save
    assert CHECK in checks
    saving = Script(checks + SAVE + save.replace(END, "return {'done'}"))
    parse = PARSE + checks.split(PARSE)[1].replace(CHECK, "")
    appending = Script("local saved = {}\n" + parse + BEGIN + append + END)
    whole = commit._COMMIT.sha
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
                if runs(arguments) and next(appends) == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                (verdict,) = await send_all(self, [appending(names, arguments)])
            replies.append(verdict)
        return replies

    Link.send_all = in_two_steps  # type: ignore[method-assign] # that is the point


def release_at_once() -> None:
    """Break promise 1: frames go out in the order in which they come."""

    def take_in(
        self: Reorder, batch: Batch, ids: list[int], frames: Sequence[bytes],
        places: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        for seq, frame in zip(ids, frames, strict=True):
            self._out.append(Run(self.epoch, seq, [frame], [batch], prints.take([frame])))

    Reorder.take_in = take_in  # type: ignore[method-assign] # that is the point


def forget_the_checkpoint() -> None:
    """Break promise 2: what was published before a restart is published again."""
    load = Store.load

    async def broken(
        self: Store, lane: str, lease_key: str, lease: str, fingerprints: int
    ) -> LaneState:
        stands = pairs(await self._link.send("HGETALL", keys.next(lane)))
        for feed, stand in stands.items():
            epoch, _, serial, _ = standing.unpack(stand)
            again = standing.pack(epoch + 1, None, serial)
            await self._link.send("HSET", keys.next(lane), feed, again)
            await self._link.send("HSET", keys.order(lane), "raw", "0-0", "seen", "0-0")
        return await load(self, lane, lease_key, lease, fingerprints)

    Store.load = broken  # type: ignore[method-assign] # that is the point


def take_in_what_was_forgotten() -> None:
    """Break `forget`: what is left of a feed in its lane's input is read again."""
    load = Store.load

    async def broken(
        self: Store, lane: str, lease_key: str, lease: str, fingerprints: int
    ) -> LaneState:
        state = await load(self, lane, lease_key, lease, fingerprints)
        return state._replace(forgotten={})

    Store.load = broken  # type: ignore[method-assign] # that is the point


if __name__ == "__main__":
    match os.environ["BROKEN"]:
        case "checkpoint-first":
            save_the_checkpoint_first(int(os.environ.get("BROKEN_AT", "0")))
        case "eager":
            release_at_once()
        case "forgetful":
            forget_the_checkpoint()
        case "reviving":
            take_in_what_was_forgotten()
        case other:
            raise SystemExit(f"there is no such breakage: {other}")
    lifecycle.run("orderer", Settings, serve)
