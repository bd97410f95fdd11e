"""Run the ingestor."""

from __future__ import annotations

from chassis import lifecycle

from .service import serve
from .settings import Settings

lifecycle.run("ingestor", Settings, serve)
