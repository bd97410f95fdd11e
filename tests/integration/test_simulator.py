"""The simulator as a process, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Protocol

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from chassis.settings import load
from chassis.websocket import BatchingClient, dial
from simulator import metrics, pump
from simulator.service import serve
from simulator.settings import Settings
from tests.support.processes import command
from tests.support.servers import free_port
from tests.support.simulator import SURNAME, Simulator
from tests.support.waiting import DEADLINE, eventually, settled


class Start(Protocol):
    """Start a simulator with these settings, named without their prefix."""

    def __call__(self, **settings: object) -> Simulator: ...


@pytest.fixture
def start() -> Iterator[Start]:
    simulators: list[Simulator] = []

    def start(**settings: object) -> Simulator:
        simulators.append(Simulator(**settings))
        return simulators[-1]

    yield start
    for simulator in simulators:
        if simulator.running:
            simulator.kill()


async def read(line: BatchingClient, count: int) -> list[bytes]:
    """Read at least this many frames."""
    frames: list[bytes] = []
    async with asyncio.timeout(DEADLINE):
        while len(frames) < count:
            frames += await line.receive()
    return frames


def ids(frames: list[bytes]) -> list[int]:
    return [orjson.loads(frame)["id"] for frame in frames]


async def relay(simulator: Simulator, count: int) -> None:
    """Pass on the feed as it comes."""
    async with dial(simulator.feed_url) as line, dial(simulator.endpoint_url) as sink:
        while count > 0:
            async with asyncio.timeout(DEADLINE):
                frames = await line.receive()
                sink.write(frames)
                await sink.drain()
            count -= len(frames)
        async with asyncio.timeout(DEADLINE):
            await (await sink.ping())


async def test_feed_and_endpoint_together(start: Start) -> None:
    """A relay that does everything right would not be told so."""
    simulator = start(MESSAGES=20_000, RATE=0)
    await relay(simulator, 20_000)
    await eventually(lambda: simulator.report()["received"] == 20_000, "all has come")
    report = simulator.report()
    assert set(report) >= {
        "received", "out_of_order", "repeated", "missing", "connections", "seconds", "delay_ms",
    }  # fmt: skip
    faults = ("out_of_order", "repeated", "missing", "corrupted", "unknown")
    assert [report[fault] for fault in faults] == [0] * 5
    assert (report["connections"], report["highest"]) == (1, 20_000)
    assert 0 < report["delay_ms"]["min"] <= report["delay_ms"]["median"]
    assert report["delay_ms"]["median"] <= report["delay_ms"]["p99"] <= report["seconds"] * 1000
    feed = simulator.feed()
    assert (feed["sent"], feed["total"], feed["finished"]) == (20_000, 20_000, True)
    assert feed["written"] == 20_000


async def test_a_relay_that_does_not_sort_is_found_out(start: Start) -> None:
    """The checks would pass whatever a relay does."""
    simulator = start(
        MESSAGES=5000, RATE=0, REORDER=0.1, REPEATS=0.02, LOSSES=0.02, GARBAGE=0.02, DELAYED=0.01
    )
    async with dial(simulator.feed_url) as line:
        await eventually(lambda: simulator.feed()["finished"], "the feed is finished")
        state = simulator.feed()
        frames = await read(line, state["written"])
    assert len(frames) == state["written"]
    assert state["sent"] + state["lost"] == 5000
    assert min(state["lost"], state["repeated"], state["garbage"]) > 50
    async with dial(simulator.endpoint_url) as sink:
        sink.write(frames)
        await eventually(lambda: simulator.report().get("received") == len(frames), "all has come")
    report = simulator.report()
    assert report["out_of_order"] > 400
    assert report["repeated"] == state["repeated"]
    assert report["corrupted"] == state["garbage"]
    assert report["missing"] == report["unknown"] == 0
    status, body = simulator.get("/metrics")
    assert status == HTTPStatus.OK
    for line_of in (
        f"simulator_endpoint_received_total {float(len(frames))}",
        f"simulator_endpoint_out_of_order_total {float(report['out_of_order'])}",
        f"simulator_endpoint_repeated_total {float(report['repeated'])}",
        f"simulator_endpoint_corrupted_total {float(report['corrupted'])}",
        f"simulator_endpoint_delay_seconds_count {float(state['sent'])}",
        f'simulator_feed_messages_total{{kind="sent"}} {float(state["sent"])}',
        f'simulator_feed_messages_total{{kind="lost"}} {float(state["lost"])}',
    ):
        assert line_of in body.decode()


async def test_the_rate_is_kept(start: Start) -> None:
    """Delays at a given load would be measured at another."""
    simulator = start(MESSAGES=1000, RATE=2000)
    async with dial(simulator.feed_url) as line:
        frames, began = await read(line, 1), time.monotonic()
        frames += await read(line, 1000 - len(frames))
        assert 0.4 <= time.monotonic() - began <= 3
    assert ids(frames) == list(range(1, 1001))


async def test_two_connections_are_redundant_lines(start: Start) -> None:
    """A feed with two lines could not be simulated: each would get other frames."""
    simulator = start(RATE=5000)
    async with dial(simulator.feed_url) as first:
        before = await read(first, 50)
        async with dial(simulator.feed_url) as second:
            theirs = ids(await read(second, 200))
        ours = ids(before + await read(first, theirs[-1] - len(before)))
    begin = theirs[0] - 1
    assert begin > 0
    assert ours[begin : begin + len(theirs)] == theirs


async def test_the_feed_waits_while_nobody_is_connected(start: Start) -> None:
    """Messages would be lost between two connections, and be held against the relay."""
    simulator = start(RATE=1000)
    async with dial(simulator.feed_url) as line:
        frames = await read(line, 20)
        await line.close()
        frames += await rest(line)
    await eventually(lambda: simulator.feed()["connections"] == 0, "nobody is connected")
    sent = simulator.feed()["sent"]
    async with dial(simulator.feed_url) as line:
        assert ids(await read(line, 1))[0] == sent + 1
    assert ids(frames) == list(range(1, len(frames) + 1))


async def rest(line: BatchingClient) -> list[bytes]:
    """Take what had arrived before the connection was closed."""
    frames: list[bytes] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            frames += await line.receive()
    return frames


async def test_disconnections_lose_nothing_and_vary(start: Start) -> None:
    """Reconnecting could not be tested: all ends alike, or messages gone with them."""
    simulator = start(MESSAGES=6000, RATE=0, DISCONNECT_EVERY=1000, REWIND=10)
    codes, received = [], []
    for _ in range(5):
        async with asyncio.timeout(DEADLINE), dial(simulator.feed_url) as line:
            received.append(ids(await rest(line)))
            codes.append(line.close_code)
    async with dial(simulator.feed_url) as line:
        received.append(ids(await read(line, 1010)))
    assert codes == [1000, 1001, 1011, 1012, 1006]
    assert received[0] == list(range(1, 1001))
    for number in range(1, 6):
        first = number * 1000 + 1
        assert received[number] == list(range(first - 10, first + 1000))
    assert simulator.feed()["disconnections"] == 5


async def test_a_connection_that_lingers_in_closing_is_no_obstacle(start: Start) -> None:
    """One client that never finishes its close would keep the feed from all later ones."""
    simulator = start(RATE=0, REWIND=7)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(
        b"GET /raw-messages HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    with contextlib.closing(writer):
        await reader.readuntil(b"\r\n\r\n")
        await eventually(lambda: simulator.feed()["sent"] > 0, "it begins")
        writer.write(b"\x88\x80\x00\x00\x00\x00")
        async with asyncio.timeout(DEADLINE):
            while await reader.read(65536):
                pass
        sent = simulator.feed()["sent"]
        async with dial(simulator.feed_url) as line:
            # It is also the first after there was none.
            frames = ids(await read(line, 100_000))
    assert frames == list(range(sent - 6, sent - 6 + len(frames)))


async def test_a_finished_feed_stays_open_and_silent(start: Start) -> None:
    """The end of a feed would look like a failure of the connection."""
    simulator = start(MESSAGES=10, RATE=0)
    async with dial(simulator.feed_url) as line:
        assert len(await read(line, 10)) == 10
        async with asyncio.timeout(DEADLINE):
            await (await line.ping())
        assert simulator.feed()["connections"] == 1
    async with dial(simulator.feed_url) as line, asyncio.timeout(DEADLINE):
        await (await line.ping())


async def test_binary_garbage_goes_out_as_binary(start: Start) -> None:
    """A relay would not meet binary frames, or see a text frame that is no UTF-8."""
    simulator = start(MESSAGES=500, RATE=0, GARBAGE=1, LOSSES=1)
    kinds = set()
    async with asyncio.timeout(DEADLINE), connect(simulator.feed_url, proxy=None) as line:
        for _ in range(500):
            kinds.add(type(await line.recv()))
    assert kinds == {str, bytes}


async def test_a_slow_client_slows_the_feed(start: Start) -> None:
    """A client that reads slowly would fill the simulator's memory."""
    simulator = start(RATE=0)
    async with connect(simulator.feed_url, proxy=None, compression=None, max_queue=16) as line:
        await eventually(lambda: simulator.feed()["sent"], "it begins")
        sent = await asyncio.to_thread(settled, lambda: simulator.feed()["sent"], "the feed")
        assert sent < 2_000_000
        for _ in range(1000):
            await line.recv()
        line.transport.abort()
    # Nor does one that goes away in the middle of it end the feed.
    async with dial(simulator.feed_url) as other:
        assert len(await read(other, 1000)) >= 1000


async def test_a_stuck_client_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client that no longer reads would hold up the feed for all others."""
    monkeypatch.setattr(pump, "STUCK", 0.3)
    port, stop = free_port(), asyncio.Event()
    environ = {"SIMULATOR_HOST": "127.0.0.1", "SIMULATOR_PORT": str(port), "SIMULATOR_RATE": "0"}
    environ |= {"OPS_HOST": "127.0.0.1", "OPS_PORT": "0"}
    serving = asyncio.ensure_future(serve(load(Settings, "simulator", environ), stop))
    url = f"ws://127.0.0.1:{port}/raw-messages"

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await eventually(listens, "it listens")
    async with dial(url) as stuck, dial(url) as other, asyncio.timeout(DEADLINE):
        stuck.transport.pause_reading()
        while metrics.FEED_STUCK.labels().value == 0:
            await other.receive()
        await read(other, 100_000)
        stuck.abort()
    stop.set()
    async with asyncio.timeout(DEADLINE):
        await serving


async def test_endpoint_refuses_at_first(start: Start) -> None:
    """A publisher's patience with an endpoint that is not there yet could not be tested."""
    simulator = start(REFUSE=2)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refusal:
            await connect(simulator.endpoint_url, proxy=None)
        assert refusal.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    async with dial(simulator.endpoint_url):
        await eventually(lambda: simulator.report().get("connections") == 1, "it is connected")


async def test_endpoint_answers_late(start: Start) -> None:
    """An endpoint that is slow to accept could not be simulated."""
    simulator = start(ANSWER_DELAY=0.3)
    began = time.monotonic()
    async with dial(simulator.endpoint_url):
        assert time.monotonic() - began >= 0.25


async def test_endpoint_reads_slowly(start: Start) -> None:
    """An endpoint that cannot keep up could not be simulated."""
    simulator = start(SLOW=0.2)
    async with dial(simulator.endpoint_url) as sink:
        began = time.monotonic()
        for number in range(1, 4):
            sink.write([b'{"id":%d}' % number])
            received = partial(lambda number: simulator.report().get("received") == number, number)
            await eventually(received, "it is read")
        assert time.monotonic() - began >= 0.35


async def test_endpoint_stops_reading(start: Start) -> None:
    """A publisher that waits for ever for a stuck endpoint would not be noticed."""
    simulator = start(STALL_AFTER=5)
    async with dial(simulator.endpoint_url, close_timeout=0.1) as sink:
        sink.write([b'{"id":%d}' % number for number in range(1, 8)])
        await eventually(lambda: simulator.report().get("received") == 5, "five are read")
        pong = asyncio.ensure_future(await sink.ping())
        frame = b'{"id":9,"text":"' + b"x" * 10_000 + b'"}'

        def is_stuck() -> bool:
            if sink.unwritten == 0:
                sink.write([frame] * 100)
            return sink.unwritten > 0

        await eventually(is_stuck, "it is stuck")
        assert not pong.done()
        assert simulator.report()["received"] == 5
        pong.cancel()
        sink.abort()
    # Others are not affected, and a stalled connection does not hold up the end.
    async with dial(simulator.endpoint_url.replace(SURNAME, "else")) as sink:
        sink.write([b'{"id":1}'])
        await eventually(lambda: simulator.report("else").get("received") == 1, "the other is read")
        assert simulator.terminate() == 0


async def test_endpoint_closes(start: Start) -> None:
    """A publisher that takes what it wrote for delivered would not be found out."""
    simulator = start(CLOSE_AFTER=5, CLOSE_CODE=1013)
    for connection in (1, 2):
        async with dial(simulator.endpoint_url) as sink, asyncio.timeout(DEADLINE):
            sink.write([b'{"id":%d}' % number for number in range(1, 50_000)])
            with pytest.raises(ConnectionClosedError) as closed:
                await sink.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        five_more = partial(lambda count: simulator.report()["received"] == 5 * count, connection)
        await eventually(five_more, "five are read")
    report = simulator.report()
    assert (report["repeated"], report["out_of_order"], report["unknown"]) == (5, 0, 10)


async def test_paths(start: Start) -> None:
    """A mistyped path would look like an endpoint that accepts everything."""
    simulator = start()
    base = f"ws://127.0.0.1:{simulator.port}"
    for path in ("/nothing", "/ordered-messages/", "/ordered-messages/a/b", "/ordered-messages/a b",
                 "/ordered-messages/" + "x" * 65):  # fmt: skip
        with pytest.raises(InvalidStatus) as refusal:
            await connect(base + path.replace(" ", "%20"), proxy=None)
        assert refusal.value.response.status_code == HTTPStatus.NOT_FOUND
    async with dial(base + "/ordered-messages/O.Neill-Smith_2"):
        await eventually(lambda: simulator.report("O.Neill-Smith_2"), "it is known")
    page = simulator.page("/")
    assert page.status == HTTPStatus.OK
    assert b"/ordered-messages/{surname}" in page.body
    assert simulator.ready


async def test_surnames_are_limited(start: Start) -> None:
    """Somebody who makes up surnames could fill the memory."""
    simulator = start()
    base = f"ws://127.0.0.1:{simulator.port}/ordered-messages/"
    for number in range(0, 1000, 50):
        lines = await asyncio.gather(
            *(connect(f"{base}s{number + index}", proxy=None) for index in range(50))
        )
        await asyncio.gather(*(line.close() for line in lines))
    await eventually(lambda: len(simulator.page("/report").json()) == 1000, "all are known")
    with pytest.raises(InvalidStatus) as refusal:
        await connect(base + "another", proxy=None)
    assert refusal.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    async with connect(base + "s7", proxy=None):
        await eventually(lambda: simulator.report("s7")["connections"] == 2, "it is known")


async def test_sigterm_says_goodbye_and_exits_0(start: Start) -> None:
    """A stop would look like a crash to the peers and to whoever started it."""
    simulator = start(RATE=1000)
    async with dial(simulator.feed_url) as line, dial(simulator.endpoint_url) as sink:
        await read(line, 10)
        simulator.ask_to_stop()
        async with asyncio.timeout(DEADLINE):
            await rest(line)
            await rest(sink)
        assert (line.close_code, sink.close_code) == (1001, 1001)
    assert simulator.wait() == 0


def test_bad_settings_exit_with_2() -> None:
    """A mistyped setting would be ignored, and the wrong thing be tested."""
    ended = command("simulator", SIMULATOR_RATE="fast", SIMULATOR_LOSES="0.1")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "simulator: SIMULATOR_RATE: 'fast' is not a number",
        "simulator: SIMULATOR_LOSES: there is no such setting",
    ]
