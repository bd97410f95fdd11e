"""The table of each feed that can be served, against frames in the shape of its documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.conversation import Conversation
from relay.frames.reader import Message, Reader
from tests.support.transcripts import feed

WALL = 1_900_000_000_000
ENVIRON = {"BOT_TOKEN": "b0t", "HASS_TOKEN": "h4ss", "DXLINK_TOKEN": "dx"}

Told = str | tuple[str, int] | tuple[str, int, int | None]
"""A word, why something is no message; or key, id, and what stands at `first` or `previous`."""

FRAMES: dict[str, list[tuple[Any, list[Any], list[Any]]]] = {
    # feed: frame, what is in it, what is answered
    "coinbase-advanced": [
        ({"channel": "market_trades", "sequence_num": 0, "events": []}, [("", 0)], []),
        ({"channel": "subscriptions", "sequence_num": 1}, [("", 1, "drop")], []),
        ({"channel": "heartbeats", "sequence_num": 2}, [("", 2, "drop")], []),
    ],
    "kraken": [
        ({"channel": "status", "type": "update", "data": [{"system": "online"}]}, ["ignored"], []),
        ({"method": "subscribe", "success": True}, ["ignored"], []),
        ({"channel": "heartbeat"}, ["ignored"], []),
        (
            {
                "channel": "trade",
                "type": "update",
                "data": [
                    {"symbol": "WOLF/USD", "trade_id": 7},
                    {"symbol": "PACK/USD", "trade_id": 3},
                ],
            },
            [("WOLF/USD", 7), ("PACK/USD", 3)],
            [],
        ),
    ],
    "kraken-futures": [
        ({"event": "subscribed", "feed": "trade", "product_ids": ["PI_XBTUSD"]}, ["ignored"], []),
        ({"feed": "trade_snapshot", "product_id": "PI_XBTUSD", "trades": []}, ["ignored"], []),
        (
            {"feed": "trade", "product_id": "PI_XBTUSD", "seq": 653355},
            [("trade PI_XBTUSD", 653355)],
            [],
        ),
    ],
    "binance-futures": [
        ({"stream": "w", "data": {"s": "WOLF", "U": 5, "u": 9, "pu": 4}}, [("WOLF", 9, 4)], []),
        ({"id": 1, "result": None}, ["missing"], []),
    ],
    "bybit": [
        ({"success": True, "op": "subscribe"}, ["ignored"], []),
        ({"success": True, "ret_msg": "pong", "op": "ping"}, ["ignored"], []),
        (
            {"topic": "orderbook.50.W", "type": "snapshot", "data": {"u": 1}},
            [("orderbook.50.W", 1, "restart")],
            [],
        ),
        (
            {"topic": "orderbook.50.W", "type": "delta", "data": {"u": 2}},
            [("orderbook.50.W", 2)],
            [],
        ),
    ],
    "kucoin": [
        (
            {"id": "x", "type": "welcome"},
            ["ignored"],
            [
                {
                    "id": "1",
                    "type": "subscribe",
                    "topic": "/market/level2:WOLF-USDT,PACK-USDT",
                    "response": True,
                }
            ],
        ),
        ({"id": "1", "type": "ack"}, ["ignored"], []),
        (
            {"topic": "/m:W", "type": "message", "data": {"sequenceStart": 5, "sequenceEnd": 9}},
            [("/m:W", 9, 5)],
            [],
        ),
    ],
    "bitfinex": [
        ({"event": "info", "version": 2}, ["ignored"], []),
        ({"event": "subscribed", "chanId": 17}, ["ignored"], []),
        ([17, "te", [401597395, 1574694478808, 0.005, 7245.3], 3], [("", 3)], []),
        ([17, "hb", 4], [("", 4, "drop")], []),
    ],
    "deribit": [
        ({"jsonrpc": "2.0", "id": 1, "result": "ok"}, ["ignored"], []),
        (
            {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}},
            ["ignored"],
            [{"jsonrpc": "2.0", "id": 3, "method": "public/test"}],
        ),
        (
            {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}},
            ["ignored"],
            [],
        ),
        (
            {
                "method": "subscription",
                "params": {"channel": "book.W", "data": {"type": "snapshot", "change_id": 7}},
            },
            [("book.W", 7, "restart")],
            [],
        ),
        (
            {
                "method": "subscription",
                "params": {
                    "channel": "book.W",
                    "data": {"type": "change", "change_id": 9, "prev_change_id": 7},
                },
            },
            [("book.W", 9, 7)],
            [],
        ),
    ],
    "gateio": [
        ({"channel": "spot.pong"}, ["ignored"], []),
        (
            {
                "channel": "spot.order_book_update",
                "event": "update",
                "result": {"s": "W", "U": 5, "u": 9},
            },
            [("W", 9, 5)],
            [],
        ),
    ],
    "cryptocom": [
        (
            {"id": 15, "method": "public/heartbeat", "code": 0},
            ["ignored"],
            [{"id": 15, "method": "public/respond-heartbeat"}],
        ),
        (
            {
                "id": -1,
                "method": "subscribe",
                "result": {
                    "subscription": "book.W.50",
                    "channel": "book.update",
                    "data": [{"u": 9, "pu": 8}],
                },
            },
            [("book.W.50", 9, 8)],
            [],
        ),
        (
            {
                "id": 1,
                "method": "subscribe",
                "result": {"subscription": "book.W.50", "channel": "book", "data": [{"u": 9}]},
            },
            [("book.W.50", 9, "restart")],
            [],
        ),
    ],
    "gemini": [
        ({"type": "update", "socket_sequence": 0}, [("", 0)], []),
        ({"type": "heartbeat", "socket_sequence": 1}, [("", 1, "drop")], []),
    ],
    "dydx": [
        ({"type": "connected", "message_id": 0}, [("", 0, "drop")], []),
        ({"type": "channel_data", "message_id": 2}, [("", 2)], []),
    ],
    "lighter": [
        ({"type": "ping"}, ["ignored"], [{"type": "pong"}]),
        (
            {
                "type": "update/order_book",
                "channel": "order_book:0",
                "order_book": {"nonce": 9, "begin_nonce": 8},
            },
            [("order_book:0", 9, 8)],
            [],
        ),
    ],
    "hyperliquid": [
        ({"channel": "subscriptionResponse", "data": {}}, ["ignored"], []),
        ({"channel": "pong"}, ["ignored"], []),
        (
            {"channel": "trades", "data": [{"coin": "W", "time": 1}, {"coin": "W", "time": 2}]},
            [("W", 1), ("W", 2)],
            [],
        ),
    ],
    "kalshi": [
        ({"type": "subscribed", "id": 1}, ["ignored"], []),
        ({"type": "orderbook_delta", "sid": 2, "seq": 3}, [("2", 3)], []),
    ],
    "polymarket": [
        ("PONG", ["ignored"], []),
        ({"market": "0xa", "timestamp": "1757908892351"}, [("0xa", 1757908892351)], []),
    ],
    "alpaca": [
        ([{"T": "success", "msg": "connected"}], ["ignored"], []),
        (
            [{"T": "success", "msg": "authenticated"}],
            ["ignored"],
            [{"action": "subscribe", "trades": ["WOLF"]}],
        ),
        (
            [{"T": "t", "S": "WOLF", "t": "1970-01-01T00:00:01.000000005Z"}],
            [("t WOLF", 1_000_000_005)],
            [],
        ),
    ],
    "finnhub": [
        ({"type": "ping"}, ["ignored"], []),
        ({"type": "trade", "data": [{"s": "W", "t": 5, "p": 1.5}]}, [("W", 5)], []),
    ],
    "dxlink": [
        ({"type": "SETUP", "channel": 0}, ["ignored"], []),
        (
            {"type": "AUTH_STATE", "state": "UNAUTHORIZED"},
            ["ignored"],
            [{"type": "AUTH", "channel": 0, "token": "dx"}],
        ),
        (
            {"type": "FEED_DATA", "channel": 1, "data": [{"eventSymbol": "WOLF", "index": 7}]},
            [("WOLF", 7)],
            [],
        ),
    ],
    "jetstream-v2": [
        ({"payload": {"$type": "network.bsky.jetstream.subscribeEvents#info"}}, ["ignored"], []),
        ({"payload": {"$type": "x#commit", "seq": 7}}, [("", 7)], []),
    ],
    "mastodon": [
        (
            {"event": "update", "payload": json.dumps({"id": "108914416", "content": "ауу"})},
            [("", 108914416)],
            [],
        ),
        ({"event": "delete", "payload": "108914416"}, ["ignored"], []),
    ],
    "nostr": [
        (["EOSE", "wolves"], ["ignored"], []),
        (["EVENT", "wolves", {"id": "ab", "created_at": 1_700_000_000}], [("", 1_700_000_000)], []),
    ],
    "discord": [
        (
            {"op": 10, "d": {"heartbeat_interval": 41250}, "s": None, "t": None},
            ["ignored"],
            [
                {
                    "op": 2,
                    "d": {
                        "token": "b0t",
                        "intents": 513,
                        "properties": {"os": "linux", "browser": "seriatim", "device": "seriatim"},
                    },
                }
            ],
        ),
        (
            {
                "op": 0,
                "t": "READY",
                "s": 1,
                "d": {"session_id": "s", "resume_gateway_url": "wss://r"},
            },
            [("", 1, "drop restart")],
            [],
        ),
        ({"op": 11, "d": None, "s": None}, ["ignored"], []),
        ({"op": 0, "t": "MESSAGE_CREATE", "s": 2, "d": {}}, [("", 2)], []),
        ({"op": 1, "d": None, "s": None}, ["ignored"], [{"op": 1, "d": 2}]),
    ],
    "mattermost": [
        (
            {"event": "hello", "seq": 0, "data": {"connection_id": "c"}},
            [("", 0, "drop restart")],
            [],
        ),
        ({"status": "OK", "seq_reply": 1}, ["ignored"], []),
        ({"event": "posted", "seq": 1}, [("", 1)], []),
    ],
    "phoenix": [
        (["1", "1", "wolves:lobby", "phx_reply", {"status": "ok"}], ["ignored"], []),
        (["1", None, "wolves:lobby", "howl", {"seq": 5}], [("", 5)], []),
    ],
    "centrifugo": [
        ("{}", ["ignored"], ["{}"]),
        ('{"id":1,"connect":{}}\n{"id":2,"subscribe":{}}', ["ignored", "ignored"], []),
        (
            '{"push":{"channel":"wolves","pub":{"offset":5}}}\n'
            '{"push":{"channel":"wolves","pub":{"offset":6}}}',
            [("wolves", 5), ("wolves", 6)],
            [],
        ),
    ],
    "appsync": [
        ({"type": "ka"}, ["ignored"], []),
        ({"type": "data", "id": "1", "event": '{"seq":5}'}, [("", 5)], []),
    ],
    "pulsar": [
        (
            {"messageId": "CAAQAw==", "payload": "e30=", "properties": {"seq": "5"}},
            [("", 5)],
            [{"messageId": "CAAQAw=="}],
        ),
    ],
    "kubernetes": [
        (
            {"type": "ADDED", "object": {"metadata": {"resourceVersion": "10245"}}},
            [("", 10245)],
            [],
        ),
        (
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "10246"}}},
            ["ignored"],
            [],
        ),
    ],
    "ethereum": [
        ({"jsonrpc": "2.0", "id": 1, "result": "0x9cef"}, ["ignored"], []),
        (
            {"method": "eth_subscription", "params": {"result": {"number": "0x1b4"}}},
            [("", 436)],
            [],
        ),
    ],
    "solana": [
        ({"jsonrpc": "2.0", "result": 0, "id": 1}, ["ignored"], []),
        (
            {"method": "slotNotification", "params": {"result": {"parent": 75, "slot": 76}}},
            [("", 76, 75)],
            [],
        ),
    ],
    "cometbft": [
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, ["missing"], []),
        ({"result": {"data": {"value": {"block": {"header": {"height": "5"}}}}}}, [("", 5)], []),
    ],
    "certstream": [
        ({"message_type": "heartbeat", "timestamp": 1.5}, ["ignored"], []),
        ({"data": {"cert_index": 7, "source": {"url": "ct.example"}}}, [("ct.example", 7)], []),
    ],
    "home-assistant": [
        ({"type": "auth_required"}, ["ignored"], [{"type": "auth", "access_token": "h4ss"}]),
        (
            {"type": "auth_ok"},
            ["ignored"],
            [{"id": 1, "type": "subscribe_events", "event_type": "state_changed"}],
        ),
        (
            {"id": 1, "type": "event", "event": {"time_fired": "1970-01-01T00:00:02.000000+00:00"}},
            [("", 2_000_000_000)],
            [],
        ),
    ],
}


def told(item: Any) -> Any:
    """Say what something is, as the frames above have it."""
    if not isinstance(item, Message):
        return item.reason
    marks = " ".join(mark for mark in ("drop", "restart") if getattr(item, mark))
    more = [item.link] if item.link is not None else [marks] if marks else []
    return (item.key, item.id, *more)


@pytest.mark.parametrize("name", FRAMES)
def test_tables(name: str) -> None:
    """A feed that is said to be served would not be."""
    words = feed(name, ENVIRON)
    reader, talk = Reader(words.reading), Conversation(words)
    talk.secrets = {"KUCOIN_TOKEN": "k", "KALSHI_TIME": "t", "KALSHI_SIGNATURE": "s"}
    assert talk.plan(WALL).url.startswith("wss://" if name != "home-assistant" else "ws://")
    assert None not in talk.opened(0.0, WALL)
    for frame, items, answers in FRAMES[name]:
        data = (frame if isinstance(frame, str) else json.dumps(frame)).encode()
        assert [told(item) for item in reader.read(data)] == items, frame
        assert [
            json.loads(text) if text[0] == "{" and text != "{}" else text
            for text in talk.heard(data, WALL)
        ] == answers, frame


def test_discord_goes_on() -> None:
    """A bot would lose what was said during an outage, or lose its session."""
    talk = Conversation(feed("discord", ENVIRON))
    talk.plan(WALL)
    talk.opened(0.0, WALL)
    for frame, _, _ in FRAMES["discord"]:
        talk.heard(json.dumps(frame).encode(), WALL)
    assert talk.ping(41.0, WALL) == ['{"op":1,"d":2}']
    talk.ended()
    talk.settled = {"": 1}  # less than what was received
    plan = talk.plan(WALL)
    assert plan.url == "wss://r/?v=10&encoding=json"
    talk.opened(50.0, WALL)
    [resume] = talk.heard(b'{"op":10,"d":{"heartbeat_interval":41250},"s":null}', WALL)
    assert json.loads(resume) == {"op": 6, "d": {"token": "b0t", "session_id": "s", "seq": 1}}
    assert talk.heard(b'{"op":9,"d":false,"s":null}', WALL) == []
    talk.ended()
    assert not talk.plan(WALL).resumed
