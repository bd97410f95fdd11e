"""Questions to an endpoint, by timers."""

from __future__ import annotations

from chassis import clock
from publisher.asking import TOGETHER, Asking
from publisher.window import Confirmed, Window
from tests.support.peers import Run
from tests.support.waiting import eventually


class Endpoint:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []

    def write(self, messages: tuple[()], ping: bytes) -> None:
        """Take a ping."""
        self.pings.append(ping)


def wait_until(phase: float) -> None:
    """Wait, without the event loop, until it is `phase` seconds after such a moment."""
    while not phase <= clock.monotonic() % TOGETHER < phase + 0.0001:
        pass


def test_a_question_that_is_due_at_once(run: Run) -> None:
    """A timer of uvloop for it does not know when that is: the publisher died."""

    async def scenario() -> None:
        endpoint, window, heard = Endpoint(), Window(stuck_timeout=5.0), list[Confirmed]()
        asking = Asking(endpoint, window, lambda: 0.001, heard.append)

        def send() -> None:
            window.send(b"1-1", 1, 10, clock.monotonic())
            if ping := asking.sending():
                endpoint.pings.append(ping)

        async def answer() -> None:
            await eventually(lambda: bool(endpoint.pings), "it is asked")
            asking.pong(endpoint.pings.pop())

        for _ in range(20):
            wait_until(TOGETHER - 0.0011)
            send()
            await answer()
            # The next question may be asked from 0.1 ms before such a moment on.
            wait_until(TOGETHER - 0.0002)
            send()
            send()
            while window.messages:
                await answer()
        asking.stop()
        assert sum(each.advance for each in heard) == 60

    run(scenario())
