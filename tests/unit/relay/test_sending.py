"""What endpoints get for a message, and what confirms it."""

from __future__ import annotations

import re

import pytest

from relay.feedfile import Endpoint, load
from relay.sending import Sending
from tests.support.processes import ROOT

FILE = ROOT / "tests/support/feeds.toml"
MESSAGE = '{"n":"\\u00fc ü"}'.encode()


def endpoint(name: str) -> Endpoint:
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", FILE.read_text()), "s3cr3t")
    found = load(str(FILE), environ)["orders"].endpoints
    return next(words for words in found if words.name == name)


@pytest.mark.parametrize(
    ("name", "frame", "ack", "counts"),
    [
        ("plain", MESSAGE.decode(), b"anything", []),
        ("guarded", MESSAGE.decode(), b"anything", []),
        (
            "azure",
            '{"type":"sendToGroup","group":"pack","dataType":"json","ackId":5,"data":%s}',
            b'{"type":"ack","ackId":5,"success":true}',
            [5],
        ),
        (
            "phoenix",
            '["1","m5","wolves:lobby","howl",%s]',
            b'["1","m5","wolves:lobby","phx_reply",{"status":"ok"}]',
            [5],
        ),
        (
            "phoenix",
            '["1","m5","wolves:lobby","howl",%s]',
            b'[null,"h","phoenix","phx_reply",{}]',
            [],
        ),
        (
            "centrifugo",
            '{"id":5,"publish":{"channel":"ordered","data":%s}}',
            b'{"id":5,"publish":{}}\n{"id":6,"publish":{}}\n{}',
            [5, 6],
        ),
        (
            "pulsar",
            '{"payload":"eyJuIjoiXHUwMGZjIMO8In0=","context":"5"}',
            b'{"result":"ok","messageId":"CAAQAw==","context":"5"}',
            [5],
        ),
        ("ocpp", '[2,"5","DataTransfer",{"vendorId":"wolf","data":%s}]', b'[3,"5",{}]', [5]),
        ("ocpp", '[2,"5","DataTransfer",{"vendorId":"wolf","data":%s}]', b'[4,"5","Error"]', []),
        ("ocpp", '[2,"5","DataTransfer",{"vendorId":"wolf","data":%s}]', b"\xff[", []),
    ],
)
def test_endpoints(name: str, frame: str, ack: bytes, counts: list[int]) -> None:
    """An endpoint would not understand what it gets, or its answer confirm another message."""
    sending = Sending(endpoint(name))
    assert sending.wrap(MESSAGE, 5, 0) == frame.replace("%s", MESSAGE.decode()).encode()
    assert sending.confirmed(ack) == counts
    assert sending.acknowledged == (name not in ("plain", "guarded"))
    assert sending.counts == sending.acknowledged
