"""Run the publisher, or try an endpoint."""

from __future__ import annotations

import sys

from chassis import lifecycle

from . import trying
from .service import serve
from .settings import Settings

if len(sys.argv) > 1 and sys.argv[1] == "try":
    sys.exit(trying.main(sys.argv[2:]))
lifecycle.run("publisher", Settings, serve, verbs="[try [feed [endpoint]]]")
