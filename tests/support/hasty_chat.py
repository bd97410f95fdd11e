"""A chat in which a message must come within half a second."""

from __future__ import annotations

from broadcast import connection
from chassis import lifecycle
from chat.service import serve
from chat.settings import Settings

connection.DAWDLING = 0.5

if __name__ == "__main__":
    lifecycle.run("chat", Settings, serve)
