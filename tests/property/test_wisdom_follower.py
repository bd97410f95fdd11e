"""Quotes reach every replica once and in order, whatever happens to what is published."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wisdom.follower import MADE_UP, Follower
from wisdom.stream import NOWHERE, Position, Quote


class _Stream:
    """The stream as it stands in Redis."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []

    async def newest(self, count: int, after: Position = NOWHERE) -> list[Quote]:
        return [quote for quote in self.quotes[::-1] if quote.position > after][:count]

    async def end(self) -> Position:
        return self.quotes[-1].position if self.quotes else NOWHERE


class _Log:
    def warning(self, *_: object, **__: object) -> None: ...


fates = st.sampled_from(["heard", "heard", "lost", "twice", "late", "probe", "subscribed", "gone"])


@given(st.integers(0, 3), st.lists(fates, max_size=40))
def test_each_quote_is_delivered_once(before: int, script: list[str]) -> None:
    """A replica's clients would miss quotes, or get them twice or in another order."""
    stream: Any = _Stream()
    log: Any = _Log()
    delivered: list[Quote] = []

    async def deliver(quotes: list[Quote]) -> None:
        delivered.extend(quotes)

    follower = Follower(stream, log, deliver)

    def publish(at: int) -> bytes:
        last = stream.quotes[-1].position if stream.quotes else NOWHERE
        quote = Quote(Position(1000 + at // 2, at % 2), f"quote {at}")
        stream.quotes.append(quote)
        return f"{last} {quote.position} {quote.text}".encode()

    async def play() -> list[Quote]:
        for at in range(before):
            publish(at)
        await follower.subscribed()
        everything: list[Quote] = []
        late: list[bytes] = []
        for at, fate in enumerate(script, before):
            end = str(await stream.end()).encode()
            if fate == "gone":
                stream.quotes.clear()
            message = publish(at)
            everything.append(stream.quotes[-1])
            match fate:
                case "heard" | "gone":
                    await follower.heard([message])
                case "twice":
                    await follower.heard([message, message])
                case "late":
                    late.append(message)
                case "probe":  # sent before the quote, heard after it
                    await follower.heard([message])
                    await follower.probe(end)
                case "subscribed":
                    await follower.subscribed()
                    await follower.heard([message])
            if fate != "late":
                await follower.heard(late)
                late.clear()
        await follower.probe(str(await stream.end()).encode())
        return everything

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        everything = loop.run_until_complete(play())
    assert delivered == sorted(set(delivered))
    assert set(delivered) <= set(everything)
    if script:
        assert delivered[-1] == everything[-1]
    # Only what Redis itself lost, or more in a row than are made up for, may be missing.
    if "gone" not in script and script.count("lost") + script.count("late") < MADE_UP:
        assert delivered == everything
