"""The publisher with a file of feeds: endpoints that want more than a URL."""

from __future__ import annotations

from pathlib import Path

from tests.integration.test_ingestor_feeds import one_server
from tests.support.processes import command
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, wait_for_messages
from tests.support.streams import frames, write_run
from tests.support.waiting import until

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


def test_what_is_missing_or_cannot_be_done(tmp_path: Path) -> None:
    """The publisher would start without what its endpoints need."""
    file = tmp_path / "feeds.toml"
    file.write_text(FEED % "ws://shop.example/x" + "    rate = 5\n    ack = { ok = true }\n")
    ended = command("publisher", FEEDS_FILE=file)
    assert ended.returncode == 2
    assert "SHOP_KEY" in ended.stderr
    assert "FEED_TOKEN" not in ended.stderr
    ended = command("publisher", FEEDS_FILE=file, SHOP_KEY="x", SHOP_TOKEN="y")
    assert [line.rpartition("] ")[2] for line in ended.stderr.splitlines()] == [
        "rate: the publisher cannot do that yet",
        "ack: the publisher cannot do that yet",
    ]
