"""Run the chat's server."""

from __future__ import annotations

from chassis import lifecycle

from .service import serve
from .settings import Settings

lifecycle.run("chat", Settings, serve, verbs="(the client: python -m chat.client [url])")
