"""A wisdom that may have few files open."""

from __future__ import annotations

import resource

from chassis import lifecycle
from wisdom.service import serve
from wisdom.settings import Settings

FILES = 160

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    lifecycle.run("wisdom", Settings, serve)
