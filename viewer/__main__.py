"""Run the viewer."""

from __future__ import annotations

from chassis import lifecycle

from .service import serve
from .settings import Settings

lifecycle.run("viewer", Settings, serve)
