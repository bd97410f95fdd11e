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
from itertools import count
from typing import Any

from chassis import lifecycle
from chassis.lease import Lease
from chassis.redis import Link
from orderer import journal
from orderer.journal import Journal, State
from orderer.reorder import Reorder
from orderer.runs import Batch, Run
from orderer.service import serve
from orderer.settings import Settings
from relay import keys

RUNS = 13
"""Which argument of the script is the number of runs."""

BEGIN = f"local at = {RUNS}"
SAVE = "redis.call('HSET', KEYS[2]"
END = "return reply"


class TwoSteps:
    """Do in two scripts, one after the other, what `commit.lua` does in one."""

    def __init__(self, link: Link, dies_at: int) -> None:
        checks, rest = journal.COMMIT_LUA.split(BEGIN)
        append, save = rest.split(SAVE)
        assert END in save
        self._save = link.client.register_script(
            checks + SAVE + save.replace(END, "return {'done'}")
        )
        self._append = link.client.register_script(BEGIN + append + END)
        self._appends = count(1)
        self._dies_at = dies_at

    async def __call__(self, keys: list[str], args: list[Any]) -> Any:
        verdict = await self._save(keys=keys, args=args)
        if verdict != [b"done"]:
            return verdict
        runs = args[RUNS - 1]
        if runs and next(self._appends) == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._append(keys=keys, args=args)


def save_the_checkpoint_first(dies_at: int) -> None:
    """Break promise 3: a death at the wrong instant loses what was about to be appended."""
    make = Journal.__init__

    def broken(self: Journal, link: Link, feed: str, lease: Lease) -> None:
        make(self, link, feed, lease)
        self._commit = TwoSteps(link, dies_at)

    Journal.__init__ = broken  # type: ignore[method-assign] # that is the point


def release_at_once() -> None:
    """Break promise 1: frames go out in the order in which they come."""
    layout = journal._run_arguments
    serial = count(1)

    def accept(self: Reorder, seq: int, frame: bytes, batch: Batch) -> bool:
        self._out.append(Run(self.epoch, seq, [frame], [batch]))
        self.next = seq + 1
        return False

    def numbered(run: Run) -> list[Any]:
        # The stream itself would refuse ids that go back.
        return [f"{run.epoch}-{next(serial)}", *layout(run)[1:]]

    Reorder.accept = accept  # type: ignore[method-assign] # that is the point
    journal._run_arguments = numbered


def forget_the_checkpoint() -> None:
    """Break promise 2: what was published before a restart is published again."""
    load = Journal.load

    async def broken(self: Journal) -> State:
        order = keys.order(self.feed)
        fields = {"epoch": 1, "next": "", "raw": "0-0", "seen": "0-0"}
        if await self._link.client.exists(order):
            fields["epoch"] = int(await self._link.client.hget(order, "epoch")) + 1
            await self._link.client.hset(order, mapping=fields)
        return await load(self)

    Journal.load = broken  # type: ignore[method-assign] # that is the point


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
