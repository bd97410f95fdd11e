"""Ask a server of this machine by HTTP."""

from __future__ import annotations

import http.client
import json
from email.message import Message
from typing import Any, NamedTuple

from .waiting import DEADLINE


class Answer(NamedTuple):
    """What the server has answered."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


def get(port: int, path: str = "/") -> Answer:
    """GET a path, as it stands; raises OSError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()
