"""Run the orderer, or one of the operator's verbs."""

from __future__ import annotations

import sys

from chassis import lifecycle

from . import operator
from .service import serve
from .settings import Settings

if len(sys.argv) > 1 and sys.argv[1] in {"status", "skip", "reset", "forget"}:
    sys.exit(operator.main(sys.argv[1:]))
lifecycle.run("orderer", Settings, serve, verbs="[status|skip|reset [feed] | forget feed]")
