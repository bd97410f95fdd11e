"""The system's Chromium, and how tests want it."""

from __future__ import annotations

import os
import shutil
from typing import Any

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

FLAGS = (
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
    *(("--no-sandbox",) if os.getuid() == 0 else ()),
)


def program() -> str | None:
    """Find the browser's program; None when it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
