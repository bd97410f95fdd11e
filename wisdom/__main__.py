"""Run wisdom."""

from __future__ import annotations

from chassis import lifecycle

from .service import serve
from .settings import Settings

lifecycle.run("wisdom", Settings, serve)
