"""Orderers and publishers with one promise broken on purpose: schedules must find each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from chassis.redis import Script
from orderer import commit, store
from orderer.commit import Step
from orderer.feed import Commit, Feed
from orderer.reorder.outputs import Origin
from orderer.store import Store
from orderer.worker import Worker
from publisher.session import Session
from relay.entry import position

FENCE = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end\n"
CONTIGUITY = (
    "if saved[2] ~= ARGV[3] or saved[3] ~= ARGV[4] or (saved[4] or '') ~= ARGV[5] then\n"
    "  return {'moved'}\nend\n"
)

Control = Callable[[], contextlib.AbstractContextManager[Any]]


def without(*checks: str) -> Control:
    """Leave checks out of the script that commits."""

    def broken() -> contextlib.AbstractContextManager[Any]:
        source = commit.COMMIT_LUA
        for check in checks:
            assert check in source
            source = source.replace(check, "")
        return mock.patch.object(commit, "_COMMIT", Script(source))

    return broken


def checkpoint_too_early() -> contextlib.AbstractContextManager[Any]:
    """Take for settled what was read."""
    made = Feed.commit

    def early(self: Feed, *, checkpoint: bool = True) -> Commit | None:
        found = made(self, checkpoint=checkpoint)
        if found is not None:
            self.committed = replace(found.after, raw=self.cursor)
            found = replace(found, after=self.committed)
        return found

    return mock.patch.object(Feed, "commit", early)


def reply_taken_for_granted() -> contextlib.AbstractContextManager[Any]:
    """Take a commit for done that nobody has answered."""

    async def once(self: Store, calls: Mapping[str, Step]) -> dict[str, Any]:
        try:
            replies = await self._link.send_all([step.command for step in calls.values()])
        except Exception as error:
            self._link.note(error)
            replies = [[b"done", *[b"0-1"] * len(step.rows)] for step in calls.values()]
        return dict(zip(calls, replies, strict=True))

    return mock.patch.object(Store, "_call", once)


@contextlib.contextmanager
def trim_at_what_memory_has() -> Iterator[None]:
    """Trim the input at a checkpoint that Redis need not have."""
    careless = Script("return redis.call('XTRIM', ARGV[2], 'MINID', '=', ARGV[1])")

    async def trim(self: Worker) -> None:
        settled = {name: work.feed._checkpoint.entry for name, work in self._working.items()}
        await self._link.attempt(lambda: self._store.trim(settled))

    async def trim_first(self: Worker) -> None:
        # Before the commit that would have made it true.
        await trim(self)
        await made(self)

    made = Worker._commit
    with (
        mock.patch.object(store, "_TRIM", careless),
        mock.patch.object(Worker, "_commit", trim_first),
    ):
        yield


def former_origin() -> contextlib.AbstractContextManager[Any]:
    """Take all for an epoch's that stands behind the first frame that was carried over."""

    def places(self: Origin, entry: bytes, frames: int) -> Sequence[int]:
        begin = min(
            self.carried, key=lambda place: (position(place.entry), place.at), default=self.last
        )
        return [
            at for at in range(frames)
            if (position(entry), at) >= (position(begin.entry), begin.at)
        ]  # fmt: skip

    return mock.patch.object(Origin, "places", places)


def position_without_a_pong() -> contextlib.AbstractContextManager[Any]:
    """Take for delivered what was written to a connection."""
    write = Session._write

    async def written(self: Session, entries: list[Any]) -> bool:
        done = await write(self, entries)
        await self._save(entries[-1][0], 0)
        return done

    return mock.patch.object(Session, "_write", written)


CONTROLS: dict[str, Control] = {
    "fence off": without(FENCE),
    "contiguity off": without(CONTIGUITY),
    "fence and contiguity off": without(FENCE, CONTIGUITY),
    "checkpoint too early": checkpoint_too_early,
    "reply taken for granted": reply_taken_for_granted,
    "trim at what memory has": trim_at_what_memory_has,
    "origin as it was": former_origin,
    "position without a pong": position_without_a_pong,
}
