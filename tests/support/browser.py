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

AGED = """
for (const [where, names] of [
  [URL, ["canParse", "parse"]],
  [Object, ["hasOwn", "groupBy"]],
  [Array.prototype, ["at", "findLast", "findLastIndex", "toSorted", "toReversed", "with"]],
  [String.prototype, ["at", "replaceAll", "isWellFormed", "toWellFormed"]],
  [AbortSignal, ["timeout", "any"]],
  [AbortSignal.prototype, ["throwIfAborted"]],
  [Promise, ["withResolvers", "try"]],
  [Set.prototype, ["union", "intersection", "difference"]],
  [Crypto.prototype, ["randomUUID"]],
  [globalThis, ["structuredClone", "scheduler", "navigation", "BroadcastChannel", "Iterator"]],
  [Element.prototype, ["checkVisibility", "setHTML"]],
  [Navigator.prototype, ["userAgentData", "locks"]],
]) for (const name of names) delete where[name];
"""
"""A script that takes from a page what browsers of 2021 (Safari 15, Chrome 90) do not have."""


def program() -> str | None:
    """Find the browser's program; None when it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
