"""Run the ingestor, or try a feed."""

from __future__ import annotations

import sys

from chassis import lifecycle

from . import trying
from .service import serve
from .settings import Settings

if len(sys.argv) > 1 and sys.argv[1] == "try":
    sys.exit(trying.main(sys.argv[2:]))
lifecycle.run("ingestor", Settings, serve, verbs="[try [feed]]")
