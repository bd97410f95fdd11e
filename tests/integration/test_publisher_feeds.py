"""The publisher with a file of feeds: endpoints that want more than a URL."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.integration.test_ingestor_feeds import one_server
from tests.support.processes import Service, command
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, wait_for_messages
from tests.support.stranger import Received
from tests.support.streams import frame, frames, write_run
from tests.support.waiting import settled, until

FEED = """
    [feed.default]
    url = "wss://feed.example/?token=${FEED_TOKEN}"

    [feed.default.endpoint.shop]
    url = "%s?key=${SHOP_KEY}"
    headers = { Authorization = "Bearer ${SHOP_TOKEN}" }
    open_message = '{"hello":"${SHOP_KEY}"}'
"""


@one_server
def test_an_endpoint_is_told_what_it_wants(redis: Server, start: Stack, tmp_path: Path) -> None:
    """An endpoint behind a token would refuse all, or secrets of feeds be wanted here, too."""
    endpoint = start.endpoint()
    file = tmp_path / "feeds.toml"
    file.write_text(FEED % endpoint.url)
    (tmp_path / "token").write_text("s3cret-token\n")
    publisher = start.service(
        "publisher", FEEDS_FILE=file, SHOP_KEY="s3cret-key", SHOP_TOKEN_FILE=tmp_path / "token"
    )
    write_run(redis.client, frames([1, 2, 3]))
    wait_for_messages(endpoint, [b'{"hello":"s3cret-key"}', *frames([1, 2, 3])])
    assert endpoint.headers["Authorization"] == "Bearer s3cret-token"
    until(lambda: publisher.metric("publisher_confirmed_total", sink="shop") == 3, "confirmed")
    assert redis.client.hget("sink:{default}:shop", "position") == b"1-3"


@one_server
def test_secrets_are_not_told(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A token would stand in the log whenever the endpoint is away."""
    file = tmp_path / "feeds.toml"
    file.write_text(FEED % f"ws://127.0.0.1:{free_port()}/shop")
    publisher = start.service(
        "publisher", FEEDS_FILE=file, SHOP_KEY="s3cret-key", SHOP_TOKEN="s3cret-token"
    )
    until(lambda: publisher.events("no connection"), "it has tried")
    assert "s3cret" not in "".join(publisher.lines)
    assert b"s3cret" not in publisher.get("/metrics")[1]


@one_server
def test_half_a_secret_is_not_told(redis: Server, start: Stack, tmp_path: Path) -> None:
    """An endpoint that repeats a token would bring a part of it into the log, where it is cut."""
    endpoint = start.endpoint(answer=lambda received: ["x" * 193 + "s3cret-token" * 2])
    file = tmp_path / "feeds.toml"
    file.write_text(FEED % endpoint.url + 'replies = [{ on = "?", send = "x" }]\n')
    publisher = start.service(
        "publisher", FEEDS_FILE=file, SHOP_KEY="s3cret-key", SHOP_TOKEN="s3cret-token"
    )
    assert publisher.wait_for("endpoint says")["words"] == "x" * 193 + "******"


def test_what_is_missing(tmp_path: Path) -> None:
    """The publisher would start without what its endpoints need."""
    file = tmp_path / "feeds.toml"
    file.write_text(FEED % "ws://shop.example/x")
    ended = command("publisher", FEEDS_FILE=file)
    assert ended.returncode == 2
    assert "SHOP_KEY" in ended.stderr
    assert "FEED_TOKEN" not in ended.stderr


# In an endpoint's own words ------------------------------------------------------------------

PHOENIX = """
    open_message = '["1","1","room","phx_join",{}]'
    message = '["1","m{{$count}}","room","new",{{$message}}]'
    ack = { 1 = "m{{$count}}", 3 = "phx_reply" }
"""
OCPP = """
    message = '[2,"{{$count}}","DataTransfer",{"data":{{$message}}}]'
    ack = { 0 = 3, 1 = "{{$count}}" }
    max_in_flight = 1
"""
POSITION = "sink:{default}:shop"


class Publish:
    """Starts publishers to one endpoint, with these words."""

    def __init__(self, start: Stack, file: Path) -> None:
        self._start = start
        self._file = file

    def __call__(self, url: str, words: str, **settings: object) -> Service:
        text = f'[feed.default]\nurl = "ws://f/"\n[feed.default.endpoint.shop]\nurl = "{url}"\n'
        self._file.write_text(text + words)
        return self._start.service("publisher", FEEDS_FILE=self._file, **settings)


@pytest.fixture
def publish(start: Stack, tmp_path: Path) -> Publish:
    """Start publishers."""
    return Publish(start, tmp_path / "feeds.toml")


def position(redis: Server) -> bytes | None:
    found: bytes | None = redis.client.hget(POSITION, "position")
    return found


def put(seqs: Iterable[int], first: int = 1) -> list[bytes]:
    """List messages as they are put to Phoenix, the first one with this count."""
    return [
        b'["1","m%d","room","new",%s]' % (count, frame(seq))
        for count, seq in enumerate(seqs, first)
    ]


def replies(received: Received) -> list[str]:
    """Confirm a message as Phoenix does, in pairs: the later one first; joins, too."""
    at, last = len(received), json.loads(received[-1])[1]
    if at % 2:
        return []
    before = json.loads(received[-2])[1]
    return [f'["1","{ref}","room","phx_reply",{{"status":"ok"}}]' for ref in (last, before)]


@one_server
def test_messages_in_its_words_and_its_confirmations(
    redis: Server, start: Stack, publish: Publish
) -> None:
    """Positions would go by pongs, which say nothing of what an application has taken."""
    endpoint = start.endpoint(answer=replies)
    publisher = publish(endpoint.url, PHOENIX)
    write_run(redis.client, frames(range(1, 11)))
    join = b'["1","1","room","phx_join",{}]'
    wait_for_messages(endpoint, [join, *put(range(1, 11))])
    # Of eleven, the last one is not confirmed yet: nor is the entry.
    until(lambda: publisher.metric("publisher_confirmed_total", sink="shop") == 9, "nine are")
    assert position(redis) == b"0-0"
    write_run(redis.client, frames([11]))
    until(lambda: position(redis) == b"1-11", "it is saved when all are")
    assert "phx_reply" in publisher.events("endpoint says")[0]["words"]


@one_server
def test_what_was_not_confirmed_comes_again(redis: Server, start: Stack, publish: Publish) -> None:
    """A crash would lose what the endpoint has read and not taken, or send all of it again."""
    endpoint = start.endpoint(answer=replies)
    publisher = publish(endpoint.url, PHOENIX)
    for seq in range(1, 7):
        write_run(redis.client, frames([seq]))
    until(lambda: position(redis) == b"1-5", "five are confirmed")
    publisher.kill()
    publish(endpoint.url, PHOENIX)
    until(lambda: len(endpoint.connections) == 2 and len(endpoint.connections[1]) == 2, "again")
    assert endpoint.connections[1][1:] == put([6])
    until(lambda: position(redis) == b"1-6", "and is confirmed")


@one_server
def test_one_at_a_time(redis: Server, start: Stack, publish: Publish) -> None:
    """A protocol of calls would get a second one before the first is answered."""
    most = 0

    def answer(received: Received) -> list[str]:
        nonlocal most
        call = json.loads(received[-1])
        most = max(most, len(received) - int(call[1]) + 1)
        # Errors and strangers are no confirmations.
        return ['[4,"1","NotSupported","",{}]', '[3,"999",{}]', f'[3,"{call[1]}",{{}}]']

    endpoint = start.endpoint(answer=answer)
    publisher = publish(endpoint.url, OCPP)
    write_run(redis.client, frames(range(1, 31)))
    until(lambda: position(redis) == b"1-30", "all are confirmed")
    calls = [json.loads(message) for message in endpoint.messages]
    assert [call[3]["data"]["id"] for call in calls] == list(range(1, 31))
    assert most == 1
    assert publisher.metric("publisher_disconnects_total") == 0


@one_server
def test_no_more_in_flight_than_it_wants(redis: Server, start: Stack, publish: Publish) -> None:
    """An endpoint that takes ten at a time would be given all."""
    held: list[str] = []
    endpoint = start.endpoint(answer=lambda received: held[: len(received)] and [])
    publish(endpoint.url, OCPP.replace("= 1\n", "= 10\n"))
    write_run(redis.client, frames(range(1, 101)))
    until(lambda: len(endpoint.messages) == 10, "ten have come")
    assert settled(lambda: len(endpoint.messages), "no more", still=0.5) == 10


@one_server
def test_who_confirms_nothing(redis: Server, start: Stack, publish: Publish) -> None:
    """What it was sent would count as delivered, or be sent again and again without a pause."""
    endpoint = start.endpoint()
    publisher = publish(endpoint.url, OCPP, PUBLISHER_STUCK_TIMEOUT=0.3)
    write_run(redis.client, frames([1, 2]))
    until(lambda: len(endpoint.connections) == 3, "it is tried again")
    until(lambda: bool(publisher.events("endpoint confirms nothing")), "it says why")
    assert position(redis) == b"0-0"
    assert publisher.metric("publisher_disconnects_total", ending="stuck") >= 2


@one_server
def test_a_rate(redis: Server, start: Stack, publish: Publish) -> None:
    """An endpoint that closes on who is faster would be sent the same tail for ever."""
    times: list[float] = []

    def answer(received: Received) -> list[tuple[int, str]]:
        times.append(time.monotonic())
        recent = [at for at in times if at > times[-1] - 0.5]
        return [(1008, "rate")] if len(recent) > 60 else []

    endpoint = start.endpoint(answer=answer)
    publish(endpoint.url, "rate = 50\n")
    write_run(redis.client, frames(range(1, 101)))
    wait_for_messages(endpoint, frames(range(1, 101)))
    assert times[-1] - times[0] > 1.5
    assert len(endpoint.connections) == 1


@one_server
def test_what_it_wants_to_hear_besides(redis: Server, start: Stack, publish: Publish) -> None:
    """An endpoint that asks, or wants a sign of life of its own kind, would close."""
    asked = False

    def answer(received: Received) -> list[str]:
        nonlocal asked
        if not asked:
            asked = True
            return ['{"ping":7}']
        return []

    endpoint = start.endpoint(answer=answer)
    publish(
        endpoint.url,
        """
        ping_message = "still here"
        ping_interval = 0.2
        replies = [{ on = { ping = "*" }, send = '{"pong":{{ping}}}' }]
        """,
    )
    until(lambda: endpoint.messages.count(b"still here") >= 3, "it hears from us")
    until(lambda: b'{"pong":7}' in endpoint.messages, "it is answered")
    write_run(redis.client, frames([1]))
    until(lambda: position(redis) == b"1-1", "pongs confirm")


@one_server
def test_a_silent_endpoint_is_left(redis: Server, start: Stack, publish: Publish) -> None:
    """A connection that a proxy has forgotten would be kept until a message is to be sent."""
    endpoint = start.endpoint()
    publisher = publish(endpoint.url, "message_timeout = 0.3\n")
    until(lambda: len(endpoint.connections) >= 2, "it is connected anew")
    assert publisher.events("silent endpoint")


@one_server
def test_credentials(redis: Server, start: Stack, publish: Publish, tmp_path: Path) -> None:
    """A token that is good for one connection would be used twice."""
    sign = tmp_path / "sign"
    sign.write_text(
        f"#!/bin/sh\necho TOKEN=once-$(wc -l <{tmp_path}/times)\necho >>{tmp_path}/times\n"
    )
    (tmp_path / "times").write_text("")
    sign.chmod(0o755)
    endpoint = start.endpoint(refuse=1)
    words = f"credentials = ['{sign}']\n" + 'headers = { Authorization = "${TOKEN}" }\n'
    publisher = publish(endpoint.url, words)
    write_run(redis.client, frames([1]))
    wait_for_messages(endpoint, frames([1]))
    assert endpoint.headers["Authorization"] == "once-1"
    assert "once-" not in "".join(publisher.lines)


@one_server
def test_a_changed_file_is_taken_over(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A new endpoint would wait for a restart, which breaks the connections of all others."""
    endpoints = {name: start.endpoint() for name in ("one", "two", "three")}
    file = tmp_path / "feeds.toml"

    def write(*names: str, more: str = "") -> None:
        tables = [
            f"[feed.{name}]\nurl = 'ws://f/'\n[feed.{name}.endpoint.out]\n"
            f"url = '{endpoints[name].url}'\n{more if name == 'two' else ''}"
            for name in names
        ]
        file.write_text("\n".join(tables))

    write("one", "two")
    publisher = start.service("publisher", FEEDS_FILE=file)
    for name in endpoints:
        write_run(redis.client, frames([1, 2]), feed=name)
    for name in ("one", "two"):
        wait_for_messages(endpoints[name], frames([1, 2]))
    file.write_text("[feed.one]\nurll = 'x'\n")
    os.kill(publisher.pid, signal.SIGHUP)
    until(lambda: publisher.events("feeds not taken over"), "a broken file is refused")
    write("one", "two", "three", more="message = '{\"new\":{{$message}}}'\n")
    os.kill(publisher.pid, signal.SIGHUP)
    wait_for_messages(endpoints["three"], frames([1, 2]))
    until(lambda: len(endpoints["two"].connections) == 2, "the changed one is connected anew")
    for name in endpoints:
        write_run(redis.client, frames([3]), feed=name)
    wait_for_messages(endpoints["one"], frames([1, 2, 3]))
    wait_for_messages(endpoints["two"], [*frames([1, 2]), b'{"new":%s}' % frame(3)])
    assert len(endpoints["one"].connections) == 1
    write("one", "three")
    os.kill(publisher.pid, signal.SIGHUP)
    until(lambda: endpoints["two"].connections[-1].code is not None, "the removed one is left")
    assert len(endpoints["one"].connections) == 1
