"""A line's side of the conversation, over all its connections: how to go on, and when to come back.

Nothing is answered before Redis has the frame that is answered.
"""

from __future__ import annotations

from chassis.redis import Link
from relay import keys, standing, talking
from relay.feedfile import Feed
from relay.pauses import Ending, Pauses
from relay.talking import wall


class Talk(talking.Talk):
    """The conversation of one line over all its connections."""

    def __init__(self, link: Link, lane: str, words: Feed) -> None:
        super().__init__(words)
        self.words = words
        self._link = link
        self._lane = lane
        self._pauses = Pauses()

    async def _prepare(self) -> None:
        if self.words.resume is not None:
            await self._link.attempt(self._learn_settled)

    async def _learn_settled(self) -> None:
        """Learn up to which id everything is settled."""
        stand = await self._link.send("HGET", keys.next(self._lane), self.words.name)
        settled = standing.unpack(stand).settled if stand else None
        if settled is not None and settled >= 0:
            self.conversation.settled = {"": settled}

    def ended(
        self, *, opened: bool, status: int = 0, retry_after: str = "", code: int = 0
    ) -> float:
        """Take in how an attempt or a connection has ended; returns the least seconds to wait."""
        conversation = self.conversation
        ending = Ending(status, retry_after, code, opened and conversation.fruitful)
        # To be refused what was asked for beyond the usual is no reason to stay away.
        extra = conversation.resuming and not ending.fruitful
        wait = 0.0 if extra else self._pauses.after(ending, wall() / 1000)
        if opened or 400 <= status < 500:
            conversation.ended(refused=not opened)
        return wait

    @property
    def refusals(self) -> int:
        """Noes in a row; the first message ends them."""
        return 0 if self.conversation.fruitful else self._pauses.refusals


def refusal(error: BaseException) -> tuple[int, str]:
    """Get the status with which a handshake was refused, 0 if by none, and when to come back."""
    response = getattr(error, "response", None)
    if response is None:
        return 0, ""
    return response.status_code, response.headers.get("Retry-After", "")
