"""An ingestor that says that nothing comes fifty times a second, twenty times at most unread."""

from __future__ import annotations

from chassis import lifecycle
from ingestor import line, listening, writer
from ingestor.service import serve
from ingestor.settings import Settings

listening.SOON = listening.LATEST = line.LEAST_WAIT = 0.02
writer.UNREAD = 20

if __name__ == "__main__":
    lifecycle.run("ingestor", Settings, serve)
